"""What a description may contain in the `local` region: the SDK checks it before sending, the service on arrival."""

from __future__ import annotations

from batchcompute.regions import Range, Ranges

PROGRAM_TYPES = ("python", "php", "java")

LOCAL_RANGES = Ranges(
    cpu=Range(1),
    memory=Range(1),
    program_types=PROGRAM_TYPES,
    optional=frozenset({"Timeout", "ImageId"}),
    source="the local region",
)
"""As the reference, but for small Cpu and Memory, for Timeout (86400 if absent) and ImageId (`img-local`)."""
