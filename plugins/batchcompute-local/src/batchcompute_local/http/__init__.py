"""The HTTP side: find the account and the operation, send the answer."""
