"""The runner: the parent process of all programs. Standard library and the shared plain modules only."""
