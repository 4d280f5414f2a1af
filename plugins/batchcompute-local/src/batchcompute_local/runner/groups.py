"""The groups of a data folder: where this runner makes them, and those that earlier runners have left."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from batchcompute_local.containment import (
    UnavailableError,
    list_subgroups,
    make_folder,
    read_folders,
    write_folders,
)
from batchcompute_local.paths import Layout


class Groups:
    """Chosen once, when a runner starts. `is_wanted` is False if the settings say that no groups are to be used."""

    def __init__(self, layout: Layout, is_wanted: bool) -> None:
        self._file = layout.groups
        self._folders = read_folders(layout.groups, layout.root)
        self.folder: Path | None = None
        """The folder of groups for this runner; None if it has none."""
        self.description = "marks only (containment is off in service.toml)"
        """What keeps the processes of an attempt together, in words."""
        if is_wanted:
            try:
                self.folder = make_folder(layout.root)
                self.description = f"cgroup {self.folder}"
            except UnavailableError as error:
                self.description = f"marks only (no writable cgroup v2: {error})"
        if self.folder is not None and self.folder not in self._folders:
            self._folders.append(self.folder)
            self._write()
        self.stale = [group for folder in self._folders for group in list_subgroups(folder)]
        """What earlier runners have left."""

    def close(self) -> None:
        """Remove the folders in which no group is left."""
        for folder in self._folders:
            with suppress(OSError):
                folder.rmdir()
        self._folders = [folder for folder in self._folders if folder.exists()]
        self._write()

    def _write(self) -> None:
        with suppress(OSError):  # a full disk; a runner that begins in the same group finds its folder without the file
            write_folders(self._file, self._folders)
