"""Remote credentials for batchcompute, through Alibaba Cloud's own credentials library."""

__version__ = "3.1.0"
