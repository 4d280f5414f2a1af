"""A bucket that is elsewhere, for tests: what service.toml says of it, and what is really there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchcompute_local.objects.elsewhere import BucketElsewhere

from .weed import describe_toml


@dataclass
class Elsewhere:
    """The bucket `far` at `url`; `system` is a file system of fsspec in which the test looks, with the path `base`."""

    url: str
    options: Mapping[str, Any]
    system: Any = field(repr=False)
    base: str
    kind: str

    @property
    def bucket(self) -> BucketElsewhere:
        return BucketElsewhere("far", self.url, self.options)

    @property
    def toml(self) -> str:
        return describe_toml("far", self.url, dict(self.options))

    def write(self, key: str, content: bytes) -> None:
        self.system.makedirs(f"{self.base}/{key}".rpartition("/")[0], exist_ok=True)
        self.system.pipe_file(f"{self.base}/{key}", content)

    def read(self, key: str) -> bytes | None:
        self.system.invalidate_cache()
        try:
            return bytes(self.system.cat_file(f"{self.base}/{key}"))
        except FileNotFoundError:
            return None

    def stored(self) -> list[str]:
        self.system.invalidate_cache()
        start = f"{self.base}/"  # weed lists a folder that is empty as an object
        return sorted(path.removeprefix(start) for path in self.system.find(self.base) if path.startswith(start))
