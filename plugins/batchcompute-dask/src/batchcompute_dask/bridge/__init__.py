"""The process beside the daemon that has the Dask client."""
