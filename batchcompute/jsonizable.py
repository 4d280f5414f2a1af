"""The base class under the name that pickles of version 3.0 have: they call `_restore` of this module.

The classes are in `values.jsonizable`.
"""

from .values.jsonizable import Jsonizable as Jsonizable, _restore as _restore
