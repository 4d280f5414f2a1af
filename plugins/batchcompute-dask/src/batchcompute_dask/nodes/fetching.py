"""Objects on a node that does not see the service's: fetched from the OSS endpoint through the relay, once for each version.

The node has them where the service has them, below its own data folder, so that all else is as on one machine.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from batchcompute_local.objects import address
from batchcompute_local.oss.signatures import Signed, sign_v1
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.storage import ObjectStore, split_uri

_SECONDS = 60.0
_KNOWN = 100_000


class FetchError(OSError):
    """An object cannot be fetched now; the message says why."""


class Fetcher:
    """One per node. Thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._store = ObjectStore(layout.oss)
        self._versions: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}

    def fetch(self, task: TaskSpec, key: tuple[str, str]) -> None:
        """Have the package and the mapped objects of a task here, as they are now. `key` is an access key of an attempt.

        An object that is absent is absent here too. Raises FetchError, and UriError for an URI that cannot be used.
        """
        if task.package_uri:
            self._fetch(task.package_uri, key)
        for uri in task.mapping:
            self._fetch_folder(uri, key)

    def _fetch(self, uri: str, key: tuple[str, str]) -> bool:
        """Fetch one object; return False if there is none."""
        with self._locks.setdefault(uri, threading.Lock()):
            bucket, name = split_uri(uri)
            known = self._versions.get(uri) if self._store.path(uri).exists() else None
            connection, answer = self._ask(bucket, name, {}, {"if-none-match": known} if known else {}, key)
            try:
                if answer.status == 304:
                    return True
                if answer.status == 404:
                    self._versions.pop(uri, None)
                    self._store.delete(uri)
                    return False
                if answer.status != 200:
                    raise FetchError(f"{uri}: the service answers {answer.status}")
                self._store.put(uri, answer)
                if len(self._versions) > _KNOWN:
                    self._versions.clear()
                self._versions[uri] = answer.headers.get("etag", "")
                return True
            except (OSError, http.client.HTTPException) as error:
                raise FetchError(f"{uri}: {error or type(error).__name__}") from error
            finally:
                connection.close()

    def _fetch_folder(self, uri: str, key: tuple[str, str]) -> None:
        """Fetch a mapped object, or all objects below it, and remove those that are gone."""
        bucket, name = split_uri(uri)
        if name and not name.endswith("/") and self._fetch(uri, key):
            return
        folder = f"oss://{bucket}/{name}".rstrip("/") + "/"
        there = set()
        for each in self._list(bucket, folder.removeprefix(f"oss://{bucket}/"), key):
            there.add(f"oss://{bucket}/{each}")
            if not each.endswith("/"):
                self._fetch(f"oss://{bucket}/{each}", key)
        for found, _ in [*self._store.list(folder)]:
            if found not in there:
                self._store.delete(found)

    def _list(self, bucket: str, prefix: str, key: tuple[str, str]) -> Iterator[str]:
        marker = ""
        while True:
            asked = {"prefix": prefix, "marker": marker, "max-keys": "1000", "encoding-type": "url"}
            connection, answer = self._ask(bucket, "", asked, {}, key)
            try:
                if answer.status == 404:
                    return
                if answer.status != 200:
                    raise FetchError(f"oss://{bucket}/{prefix}: the service answers {answer.status}")
                tree = ElementTree.fromstring(answer.read())  # noqa: S314  # from the service that this node belongs to
            except (OSError, http.client.HTTPException, ElementTree.ParseError) as error:
                raise FetchError(f"oss://{bucket}/{prefix}: {error or type(error).__name__}") from error
            finally:
                connection.close()
            yield from (unquote(each.text or "") for each in tree.iterfind("Contents/Key"))
            if tree.findtext("IsTruncated") != "true":
                return
            marker = unquote(tree.findtext("NextMarker") or "")

    def _ask(
        self, bucket: str, name: str, parameters: dict[str, str], headers: dict[str, str], key: tuple[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        sent = {"date": formatdate(usegmt=True), **headers}
        signature = sign_v1(key[1], Signed("GET", bucket, name, parameters, sent), sent["date"])
        query = "&".join(f"{quote(each, safe='')}={quote(value, safe='')}" for each, value in parameters.items())
        target = f"/{bucket}/{quote(name)}" + (f"?{query}" if query else "")
        port = address.read_port(self._layout.objects_ports)
        connection = http.client.HTTPConnection(address.LOOPBACK, port, timeout=_SECONDS)
        try:
            connection.request("GET", target, headers={**sent, "authorization": f"OSS {key[0]}:{signature}"})
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise FetchError(
                f"the objects of the service cannot be reached: {error or type(error).__name__}"
            ) from error
