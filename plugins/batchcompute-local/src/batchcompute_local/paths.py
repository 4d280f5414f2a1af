"""Paths of one service. No I/O but in `create`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from batchcompute_local.procs import ATTEMPT_FILE_VARIABLE

ENV_DATA_DIR = "BATCHCOMPUTE_DATA_DIR"
ENV_ATTEMPT = ATTEMPT_FILE_VARIABLE


def own_data_dir() -> Path | None:
    """Return the data folder of the service that runs this program; None outside of programs of a job."""
    named = os.environ.get(ENV_ATTEMPT)
    return Path(os.path.abspath(named)).parent.parent if named else None


def default_data_dir() -> Path:
    """Return the data folder of this user: `$BATCHCOMPUTE_DATA_DIR`, else the platform's user data folder.

    In a program of a job it is that of the service that runs the program.
    """
    own = own_data_dir()
    if own is not None:
        return own
    named = os.environ.get(ENV_DATA_DIR)
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    import platformdirs  # imported only if needed

    return Path(platformdirs.user_data_path("batchcompute"))


@dataclass(frozen=True)
class Layout:
    """The data folder, absolute. One daemon at a time owns it (`lock`).

    `has_objects` is False where the objects are not files of this machine: then their folder has what was fetched, and logs.
    """

    root: Path
    has_objects: ClassVar[bool] = True

    @classmethod
    def at(cls, root: str | os.PathLike[str]) -> Layout:
        """Return the layout under `root`, made absolute. Creates nothing."""
        return cls(Path(os.path.abspath(root)))

    def create(self) -> None:
        """Create the folder, mode 0700, if it is absent. Raises OSError."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root.stat().st_mode & 0o777 != 0o700:  # it is the user's, or the umask took more
            self.root.chmod(0o700)

    @property
    def settings(self) -> Path:
        """The service's own settings (optional)."""
        return self.root / "service.toml"

    @property
    def credentials(self) -> Path:
        """The access key of the daemon's own account, mode 0600."""
        return self.root / "credentials.json"

    @property
    def accounts(self) -> Path:
        """The accounts that users added, mode 0600."""
        return self.root / "accounts.json"

    @property
    def accounts_lock(self) -> Path:
        """The lock for changes of accounts."""
        return self.root / "accounts.lock"

    @property
    def attempts_secret(self) -> Path:
        """The secret from which the keys of attempts are computed, mode 0600."""
        return self.root / "attempts.key"

    @property
    def attempts(self) -> Path:
        """The attempt files, by the names of running attempts."""
        return self.root / "attempts"

    @property
    def programs_socket(self) -> Path:
        """The socket for programs of jobs. Its folder has nothing else, since containers get the folder."""
        return self.root / "socket" / "daemon.sock"

    @property
    def nonces(self) -> Path:
        """The used nonces of the last minutes."""
        return self.root / "nonces"

    @property
    def lock(self) -> Path:
        """The lock that the daemon holds while it runs."""
        return self.root / "daemon.lock"

    @property
    def start_lock(self) -> Path:
        """The lock that a client holds while it starts the daemon."""
        return self.root / "start.lock"

    @property
    def socket(self) -> Path:
        """The socket of the daemon, mode 0600."""
        return self.root / "daemon.sock"

    @property
    def log(self) -> Path:
        """The log of the daemon."""
        return self.root / "daemon.log"

    @property
    def runner_lock(self) -> Path:
        """The lock that the runner holds while it runs."""
        return self.root / "runner.lock"

    @property
    def runner_socket(self) -> Path:
        """The socket of the runner, mode 0600."""
        return self.root / "runner.sock"

    @property
    def journal(self) -> Path:
        """The journal: the runner's durable exit records."""
        return self.root / "runner.journal"

    @property
    def groups(self) -> Path:
        """The folders of cgroups that runners of this data folder have made, one a line."""
        return self.root / "runner.groups"

    @property
    def database(self) -> Path:
        """The state of all jobs."""
        return self.root / "state.sqlite3"

    @property
    def copies(self) -> Path:
        """The copies of the database."""
        return self.root / "copies"

    @property
    def kept_logs(self) -> Path:
        """The logs of Finished jobs."""
        return self.root / "logs.sqlite3"

    @property
    def oss(self) -> Path:
        """The objects: `oss://bucket/key` is `oss/bucket/key`."""
        return self.root / "oss"

    @property
    def unsent(self) -> Path:
        """Logs for buckets elsewhere that are not there yet, by bucket and key."""
        return self.root / "unsent"

    @property
    def objects_database(self) -> Path:
        """What is beside the objects: metadata, odd keys, owners of buckets, uploads."""
        return self.oss / ".batchcompute" / "objects.sqlite3"

    @property
    def objects_ports(self) -> Path:
        """The ports of the OSS endpoint, which it keeps."""
        return self.root / "objects.json"

    @property
    def packages(self) -> Path:
        """Unpacked packages, one folder per version."""
        return self.root / "packages"

    @property
    def pool(self) -> Path:
        """The folder pool: working folders for reuse."""
        return self.root / "work" / ".pool"

    @property
    def trash(self) -> Path:
        """What is being removed: trees that were moved away from their names."""
        return self.root / "work" / ".trash"

    def work(self, job: str) -> Path:
        """The folder of one job: working folders, and the output of tasks without a redirect path."""
        return self.root.joinpath("work", job)

    def logs(self, job: str) -> Path:
        """The folder of the output of tasks without a redirect path."""
        return self.work(job)

    def instance(self, job: str, task: str, number: int) -> Path:
        """The working folder of one instance. Task names have no `@`."""
        return self.root.joinpath("work", job, f"{task}@{number}")
