"""Where everything of one service lives. No I/O here apart from `create`; names only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ENV_DATA_DIR = "BATCHCOMPUTE_DATA_DIR"


def default_data_dir() -> Path:
    """The data folder of this user: `$BATCHCOMPUTE_DATA_DIR`, else the platform's user data folder."""
    named = os.environ.get(ENV_DATA_DIR)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    import platformdirs  # only wanted when nothing was named

    return Path(platformdirs.user_data_path("batchcompute"))


@dataclass(frozen=True)
class Layout:
    """The data folder, absolute. One daemon at a time owns it (`lock`)."""

    root: Path

    @classmethod
    def at(cls, root: str | os.PathLike[str]) -> Layout:
        """The layout under `root`, made absolute; nothing is created."""
        return cls(Path(os.path.abspath(root)))

    def create(self) -> None:
        """Make the folder, mode 0700, if it is not there. Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root.stat().st_mode & 0o077:
            self.root.chmod(0o700)

    @property
    def settings(self) -> Path:
        """The service's own settings (optional)."""
        return self.root / "service.toml"

    @property
    def credentials(self) -> Path:
        """The access key the daemon made, mode 0600."""
        return self.root / "credentials.json"

    @property
    def accounts(self) -> Path:
        """The accounts somebody added, mode 0600."""
        return self.root / "accounts.json"

    @property
    def accounts_lock(self) -> Path:
        """Held while accounts are changed."""
        return self.root / "accounts.lock"

    @property
    def nonces(self) -> Path:
        """The nonces of the last minutes."""
        return self.root / "nonces"

    @property
    def lock(self) -> Path:
        """Held by the daemon for its life."""
        return self.root / "daemon.lock"

    @property
    def start_lock(self) -> Path:
        """Held by a client while it starts the daemon."""
        return self.root / "start.lock"

    @property
    def socket(self) -> Path:
        """Where the daemon listens, mode 0600."""
        return self.root / "daemon.sock"

    @property
    def log(self) -> Path:
        """What the daemon has to say."""
        return self.root / "daemon.log"

    @property
    def runner_lock(self) -> Path:
        """Held by the runner for its life."""
        return self.root / "runner.lock"

    @property
    def runner_socket(self) -> Path:
        """Where the runner listens, mode 0600."""
        return self.root / "runner.sock"

    @property
    def journal(self) -> Path:
        """The runner's durable exit records."""
        return self.root / "runner.journal"

    @property
    def database(self) -> Path:
        """The state of all jobs."""
        return self.root / "state.sqlite3"

    @property
    def oss(self) -> Path:
        """The objects: `oss://bucket/key` is `oss/bucket/key`."""
        return self.root / "oss"

    @property
    def packages(self) -> Path:
        """Unpacked packages, one folder per version."""
        return self.root / "packages"

    @property
    def spare(self) -> Path:
        """Working folders that wait for another instance."""
        return self.root / "work" / ".spare"

    def work(self, job: str) -> Path:
        """What is there of one job: its instances' working folders, and their output where no redirect path was named."""
        return self.root.joinpath("work", job)

    def instance(self, job: str, task: str, number: int) -> Path:
        """The working folder of one instance; no name of a task has an `@`."""
        return self.root.joinpath("work", job, f"{task}@{number}")
