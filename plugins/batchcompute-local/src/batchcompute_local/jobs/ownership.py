"""A description may name buckets of its own account only, or such that are not there yet; one elsewhere needs its library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from batchcompute_local.errors import ServiceError, invalid
from batchcompute_local.objects.backing import find_missing
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.plan import JobPlan, TaskSpec
from batchcompute_local.storage import split_uri

_SENDING = "process"
_CURE = "An account names its own buckets; `batchcompute local bucket give` gives one away."


def find_foreign(plan: JobPlan, owner: int, owner_of: Callable[[str, int], int | None]) -> ServiceError | None:
    """Return the refusal of a plan that names a bucket of another account; None if it names none.

    `owner_of` returns the account that has a bucket, for the account that asks; None if there is no such bucket.
    """
    known: dict[str, int | None] = {}
    for task in plan.tasks:
        for field, uri in _uris(task):
            bucket, _ = split_uri(uri)
            if bucket not in known:
                known[bucket] = owner_of(bucket, owner)
            if known[bucket] not in (None, owner):
                path = f"TaskDag.TaskDescMap.{task.name}.{field}"
                return invalid(path, f"{uri[:200]!r} is in the bucket {bucket!r} of another account. {_CURE}")
    return None


def find_unusable(plan: JobPlan, buckets: Mapping[str, BucketElsewhere], executor: str) -> ServiceError | None:
    """Return the refusal of a plan that names a bucket elsewhere in vain; None if it names none.

    Its library is not installed; or it is to have logs, which only the executor of this machine sends.
    """
    for task in plan.tasks:
        for field, uri in _uris(task):
            bucket = buckets.get(split_uri(uri)[0])
            if bucket is None:
                continue
            wrong = find_missing(bucket)
            if not wrong and field.endswith("RedirectPath") and executor != _SENDING:
                wrong = f"the executor {executor!r} writes no logs to a bucket that is elsewhere, as {bucket.name} is"
            if wrong:
                return invalid(f"TaskDag.TaskDescMap.{task.name}.{field}", f"{uri[:200]!r}: {wrong}.")
    return None


def _uris(task: TaskSpec) -> Iterator[tuple[str, str]]:
    texts = {"PackageUri": task.package_uri, "StdoutRedirectPath": task.stdout, "StderrRedirectPath": task.stderr}
    yield from ((field, uri) for field, uri in texts.items() if uri.startswith("oss://"))
    yield from (("OssMapping", uri) for uri in task.mapping)
