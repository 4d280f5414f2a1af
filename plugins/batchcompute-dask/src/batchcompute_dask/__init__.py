"""The executor `dask`: the instances of region local run on a Dask cluster."""

__version__ = "3.1.0"
