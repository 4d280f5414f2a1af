"""Downloads the parts that the instances of find_share.py have uploaded, and uploads their number of primes."""

import oss2
import store

bucket = store.open_bucket()
total = 0
for part in oss2.ObjectIterator(bucket, prefix=store.folder() + "primes."):
    bucket.get_object_to_file(part.key, "part")
    with open("part") as file:
        total += len(file.readlines())
bucket.put_object(store.folder() + "count", str(total))
