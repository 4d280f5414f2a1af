"""Objects of regions for batchcompute, over OSS's own protocol, through Alibaba Cloud's library."""

__version__ = "3.1.0"
