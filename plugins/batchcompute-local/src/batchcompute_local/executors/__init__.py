"""The executor protocol."""
