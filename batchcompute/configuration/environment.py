"""Environment variables that are settings: BATCHCOMPUTE_KEY, BATCHCOMPUTE_SECTION_KEY, and the proxies of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config import SECTIONS, Config
from ..schema import keys_of
from .entries import Entry

PREFIX = "BATCHCOMPUTE_"
PLUGINS = "BATCHCOMPUTE_PLUGINS"
RESERVED = frozenset(
    {"BATCHCOMPUTE_DATA_DIR", "BATCHCOMPUTE_OSS_ROOT", "BATCHCOMPUTE_ATTEMPT", "BATCHCOMPUTE_LOCAL_ATTEMPT"}
)
"""Never settings: the service's data folder, and what the service gives to the programs that it runs."""


def variables(sections: Mapping[str, type]) -> dict[str, tuple[str, str]]:
    """(section, key) of every variable that sets a key of `sections`; the section '' has the keys without one."""
    return {
        (f"{PREFIX}{section}_{key}" if section else f"{PREFIX}{key}").upper(): (section, key)
        for section, kind in sections.items()
        for key in keys_of(kind)
    }


def read(environ: Mapping[str, str]) -> tuple[list[Entry], list[Entry]]:
    """Return the settings in the environment, and the variables that may belong to plugins. An empty variable counts as unset."""
    ours = {name: text for name, text in environ.items() if name.startswith(PREFIX) and text and name not in RESERVED}
    if not ours:
        return [], []
    known = variables({"": Config, **SECTIONS})
    found, unknown = [], []
    for name, text in sorted(ours.items()):
        if name in known:
            found.append(Entry(*known[name], text, name, from_text=True))
        elif name == PLUGINS:
            found.append(Entry("plugins", PLUGINS, text, name, from_text=True))
        else:
            unknown.append(Entry("", name, text, name, from_text=True))
    # Last, because it changes what BATCHCOMPUTE_PLUGINS_BLOCK sets.
    found.sort(key=lambda entry: entry.key == PLUGINS)
    return found, unknown


def proxies(environ: Mapping[str, str]) -> Iterator[Entry]:
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY; the lower-case spelling wins, as with other programs.

    Where a web server runs us as CGI, HTTP_PROXY is what a caller sent in a header `Proxy`, so it is not used there.
    """
    for key in ("http_proxy", "https_proxy", "no_proxy"):
        upper = key.upper()
        if key == "http_proxy" and "REQUEST_METHOD" in environ:
            upper = key
        name = key if environ.get(key) else upper
        text = environ.get(name, "").strip()
        if text:
            if key != "no_proxy" and "://" not in text:
                text = f"http://{text}"
            yield Entry("transport", key, text, name, from_text=True)
