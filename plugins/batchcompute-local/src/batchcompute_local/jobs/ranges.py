"""Ranges of a description in the `local` region: the SDK checks them before sending, the service on arrival."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from batchcompute.regions import Range, Ranges

_BUILT_IN = ("python", "php", "java", "shell", "command")


class _ProgramTypes(Collection[str]):
    """Program types: built-in ones, and installed ones, which are loaded only if another name is asked for."""

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN or any(name == each for each in self)

    def __iter__(self) -> Iterator[str]:
        from batchcompute_local.extensions import installed

        return iter(installed().program_types)

    def __len__(self) -> int:
        return sum(1 for _ in self)


LOCAL_RANGES = Ranges(
    cpu=Range(1),
    memory=Range(1),
    program_types=_ProgramTypes(),
    optional=frozenset({"Timeout", "ImageId"}),
    packageless_types=frozenset({"shell", "command"}),
    extensions=frozenset({"JobFailOnInstanceFail", "LeftoverSeconds", "MaxRetryCount"}),
    source="the local region",
)
"""As the reference, but for small Cpu and Memory, for Timeout (86400 if absent), ImageId (`img-local`), more program types and
the extensions."""
