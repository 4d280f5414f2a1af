"""Task Find: writes the primes of this instance's share of [0, END) to an object of its own."""

import os
import sys
from pathlib import Path


def is_prime(number: int) -> bool:
    if number < 2:
        return False
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def main() -> None:
    end = int(sys.argv[1])
    instance = int(os.environ["ALI_DIKU_INSTANCE_ID"])
    count = int(os.environ["INSTANCE_COUNT"])
    share = range(end * instance // count, end * (instance + 1) // count)
    primes = [number for number in share if is_prime(number)]
    folder = Path(os.environ["BATCHCOMPUTE_OSS_ROOT"]) / "demo" / "find-prime" / os.environ["ALI_DIKU_JOB_ID"]
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{instance}"
    part.write_text("\n".join(map(str, primes)))
    part.replace(folder / f"primes.{instance}")  # so that nobody ever reads half of it
    print(f"instance {instance} of {count}: {len(primes)} primes in [{share.start}, {share.stop})")


main()
