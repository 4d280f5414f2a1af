"""The client's side of the service: start it, connect to it, query it, stop it."""
