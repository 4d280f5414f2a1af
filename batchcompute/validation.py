"""The checks under the name that docs/hooks.md shows and that plugins import.

The functions are in `values.validation`.
"""

from .values.validation import check_job as check_job, find_cycle as find_cycle
