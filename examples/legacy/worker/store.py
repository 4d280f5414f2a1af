"""The bucket and the primes, for all programs."""

import os

import config
import oss2


def open_bucket() -> oss2.Bucket:
    return oss2.Bucket(oss2.Auth(config.ID, config.KEY), os.environ["ALI_DIKU_OSS_HOST"], config.BUCKET)


def folder() -> str:
    """The prefix of the objects of this job."""
    return "find-prime/{}/".format(os.environ["ALI_DIKU_JOB_ID"])


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def primes(start: int, end: int) -> str:
    """The primes of [start, end), one a line."""
    return "".join(f"{number}\n" for number in range(start, end) if is_prime(number))


def share(start: int, end: int) -> tuple[int, int]:
    """The part of [start, end) that this instance searches."""
    instance, count = int(os.environ["ALI_DIKU_INSTANCE_ID"]), int(os.environ["INSTANCE_COUNT"])
    return start + (end - start) * instance // count, start + (end - start) * (instance + 1) // count
