"""Clusters that the service starts: a scheduler in a process of its own, and workers that it keeps running."""
