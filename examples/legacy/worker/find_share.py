"""Each instance uploads the primes of its share of [0, 10000)."""

import os

import store

start, end = store.share(0, 10000)
name = "primes." + os.environ["ALI_DIKU_INSTANCE_ID"]
store.open_bucket().put_object(store.folder() + name, store.primes(start, end))
print(f"primes of [{start}, {end}) are in {name}")
