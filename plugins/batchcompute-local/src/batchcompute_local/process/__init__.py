"""The executor of this machine: prepares an instance and has the runner start it."""
