"""`python -m benchmarks`: measure, print, and exit with 1 when a target is missed."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from pathlib import Path

from .harness import HEADER, line, measure
from .registry import BENCHMARKS


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 1 when a target was missed; always 0 for the quick form, whose few rounds prove nothing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Ratios of CPU time, all on this machine."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones; all by default: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    warnings.simplefilter("ignore")
    print(f"Python {platform.python_version()}; CPU time; median of interleaved rounds")
    print(HEADER, flush=True)
    results = []
    for name in given.names or BENCHMARKS:
        results.append(measure(BENCHMARKS[name], given.quick))
        print(line(results[-1]), flush=True)
        print(f"{'':<22} floor: {BENCHMARKS[name].floor}", flush=True)
    if given.json:
        given.json.write_text(json.dumps([result.as_json() for result in results], indent=2) + "\n")
    return 0 if given.quick or all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
