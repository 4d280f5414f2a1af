"""The region `lab`: a plugin for batchcompute, as a third party would write it. It uses nothing but what docs/hooks.md names."""
