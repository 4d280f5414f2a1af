"""The values: what scripts write and what services answer. No I/O."""
