"""The HTTP side: who asks, which operation, and the answer."""
