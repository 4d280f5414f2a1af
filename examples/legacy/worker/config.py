"""What every program of this package needs to reach the object store. The key was given out by the cloud."""

ID = "old-id"
KEY = "old-secret"
BUCKET = "old-bucket"
