"""The descriptions under the name that the original SDK gave their module: scripts import them from here.

Pickles of version 3.0 name this module too. The classes are in `values.resources`.
"""

from .values.resources import (
    JobDescription as JobDescription,
    ResourceDescription as ResourceDescription,
    TaskDag as TaskDag,
    TaskDescription as TaskDescription,
    TaskDict as TaskDict,
)
