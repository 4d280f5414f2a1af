"""What runs in the worker processes of the cluster."""
