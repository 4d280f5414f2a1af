"""The OSS endpoint: the objects of this machine over HTTP, by the protocol of OSS. docs/objects.md has what it answers."""
