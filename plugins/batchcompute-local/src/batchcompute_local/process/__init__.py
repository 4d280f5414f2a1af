"""The executor of this machine: prepare an instance, and let the runner start it."""
