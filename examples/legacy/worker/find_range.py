"""Like find_share.py, with arguments: the range, and the prefix of the parts."""

import os
from argparse import ArgumentParser

import store

parser = ArgumentParser()
parser.add_argument("-s", "--start", type=int)
parser.add_argument("-e", "--end", type=int)
parser.add_argument("-o", "--output")
arguments = parser.parse_args()

start, end = store.share(arguments.start, arguments.end)
name = "primes." + os.environ["ALI_DIKU_INSTANCE_ID"]
store.open_bucket().put_object(arguments.output + name, store.primes(start, end))
