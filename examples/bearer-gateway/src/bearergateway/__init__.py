"""A plugin for batchcompute: a gateway that takes bearer tokens."""
