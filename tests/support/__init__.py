"""What the tests of all packages share. Nothing here is a test, and no user needs it."""
