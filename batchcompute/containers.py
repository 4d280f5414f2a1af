"""The containers under the name that pickles of version 3.0 have. The classes are in `values.containers`."""

from .values.containers import LazyList as LazyList, NamesDict as NamesDict, StringDict as StringDict
