"""Counts the primes of the parts in a folder, which an OssMapping shows, and uploads the number."""

from argparse import ArgumentParser
from pathlib import Path

import store

parser = ArgumentParser()
parser.add_argument("-i", "--input", type=Path)
parser.add_argument("-o", "--output")
arguments = parser.parse_args()

total = sum(len(part.read_text().splitlines()) for part in arguments.input.glob("primes.*"))
store.open_bucket().put_object(arguments.output, str(total))
