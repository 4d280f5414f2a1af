"""The parts of an answer or an error under the name that pickles of version 3.0 have.

The classes are in `values.properties`.
"""

from .values.properties import Origin as Origin, PropertyTypeError as PropertyTypeError
