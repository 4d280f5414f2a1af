# config.py, for shell scripts
ID=old-id
KEY=old-secret
BUCKET=old-bucket
