"""What the Makefile runs to make a release."""
