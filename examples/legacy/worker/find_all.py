"""One instance uploads the primes of [0, 10000)."""

import store

store.open_bucket().put_object(store.folder() + "primes.0", store.primes(0, 10000))
