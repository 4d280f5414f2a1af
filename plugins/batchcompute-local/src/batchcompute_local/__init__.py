"""The `local` region of BatchCompute: a service on this machine that speaks API 2015-06-30 and runs the jobs."""

__version__ = "3.1.0"
