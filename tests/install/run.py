"""`make test-install`: what a user does on a fresh machine, in a temporary folder with an empty HOME.

1. The SDK alone: `Client("local")` names what is missing. Every line that says what to install is run, for an SDK from the
   checkout and for one from a folder of wheels.
2. The commands of docs/quickstart.md, as they stand there, in one shell, and again in another one.
3. The commands of examples/third-party/README.md, as they stand there, in one shell; the demo job must count 1229 primes.
4. The commands of examples/legacy/README.md, in the same way: five jobs of old programs, each with 1229 primes.
5. The commands of docs/cluster.md, in a fresh environment with wheels: the demo on a cluster of two nodes.
6. Nothing is left: no process; and no secret was in the process list while it ran.

Needs the package index, for the dependencies and the build back end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICK_START = ROOT / "docs/quickstart.md"
README = ROOT / "examples/third-party/README.md"
CLUSTER = ROOT / "docs/cluster.md"
LEGACY = ROOT / "examples/legacy/README.md"
_SECONDS = 900
_PARTS = {
    "local": "batchcompute_local",
    "alibabacloud": "batchcompute_alibabacloud",
    "oss": "batchcompute_oss",
    "testing": "vcr",
    "yaml": "yaml",
}
"""A module that each extra brings."""


def commands(page: Path) -> str:
    """The commands of a page, in order: `sh` blocks, and in `console` blocks the lines that begin with `$ `."""
    blocks = re.findall(r"^```(sh|console)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return "\n".join(
        text if language == "sh" else "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE))
        for language, text in blocks
    )


def environment(home: Path) -> dict[str, str]:
    """An empty HOME; nothing of the caller but what pip needs to find packages."""
    kept = {name: text for name, text in os.environ.items() if name in ("PATH", "LANG", "TERM") or _is_network(name)}
    return kept | {
        "HOME": str(home),
        "BATCHCOMPUTE_DATA_DIR": str(home / "data"),
        "BATCHCOMPUTE_LAB_PORT": str(_free_port()),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _is_network(name: str) -> bool:
    return name.startswith(("PIP_", "SSL_", "REQUESTS_")) or name.lower().endswith("_proxy")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def shell(script: str, surroundings: dict[str, str], cwd: Path) -> str:
    """What the commands print; they must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        raise SystemExit(f"these commands failed:\n{script}")
    return done.stdout


def check(condition: object, what: str) -> None:
    """End with `what` unless it is so."""
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


def copy_of_checkout(target: Path) -> Path:
    """What git knows, and what it would add: building must neither see nor leave anything in the checkout."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def processes(words: str) -> dict[int, str]:
    """The command lines that contain `words`, by process id; our own apart."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and int(folder.name) != os.getpid():
            found[int(folder.name)] = line.strip()
    return found


def sdk_alone(checkout: Path, home: Path) -> None:
    """Without its parts the SDK says how to get them; each of these lines is run, in a fresh environment each."""
    script = """
python3 -m venv ~/alone
~/alone/bin/pip install --quiet ./
~/alone/bin/python -c '
from batchcompute import Client, ConfigError
try:
    Client("local")
except ConfigError as error:
    print("refused:", error)
'
~/alone/bin/batchcompute demo || echo "status $?"
"""
    shown = shell(script, environment(home), checkout)
    line = rf"install it with: {home}/alone/bin/python3? -m pip install {checkout}/plugins/batchcompute-local\n"
    check(len(re.findall(line, shown)) == 2, "the SDK alone names the install command for region local")
    check("status 2" in shown and "Traceback" not in shown, "the command line says it in a sentence")
    script = """
python3 -m venv ~/builder
~/builder/bin/pip wheel --quiet --no-deps --wheel-dir ~/wheels ./ ./plugins/batchcompute-local \\
    ./plugins/batchcompute-alibabacloud ./plugins/batchcompute-oss ./plugins/batchcompute-dask
"""
    shell(script, environment(home), checkout)
    for number, source in enumerate(("./", "~/wheels/batchcompute-[0-9]*.whl")):
        for extra, module in _PARTS.items():
            python = f"~/fresh-{number}-{extra}/bin/python"
            script = f"""
python3 -m venv ~/fresh-{number}-{extra}
{python} -m pip install --quiet {source}
said=$({python} -c 'from batchcompute.installing import advise; print(advise("{extra}"))')
echo "$said"
eval "${{said#install it with: }}"
{python} -c 'import {module}'
{python} -m pip list --format freeze | grep -F "batchcompute=="
rm -r ~/fresh-{number}-{extra}
"""
            shown = shell(script, environment(home), checkout)
            check("batchcompute==2" not in shown, f"the line that is said for {extra}, from {source}, installs it")


def quick_start(checkout: Path, home: Path) -> None:
    """The page works, and works again: nothing that the first time has left is in the way, and nothing asks."""
    script = commands(QUICK_START)
    check("python3 -m venv" in script and "job submit" in script, "the quick start has the commands")
    for often in ("once", "twice"):
        shown = shell(f"{script}\nbatchcompute local stop", environment(home), checkout)
        check("Mean.0 | 400000 rolls, mean 3.5" in shown, f"the quick start works {often}")


def example(checkout: Path, home: Path) -> None:
    """By the README's own commands; a pause of the shell in between lets us look at what runs."""
    script = commands(README)
    check("batchcompute demo -e lab" in script and 'kill "$gateway"' in script, "the README has the commands")
    before, end = script.split('kill "$gateway"')
    look = f"{sys.executable} {Path(__file__)} --look"
    shown = shell(f'{before}\n{look}\nkill "$gateway"{end}', environment(home), checkout)
    check("Primes below 10000: 1229" in shown, "the demo job counted 1229 primes through the gateway")
    check("no secret in any command line" in shown, "no secret was in the list of processes")
    check(secret_of(home) not in shown, "no secret was printed")


def legacy(checkout: Path, home: Path) -> None:
    """Old programs with OSS's official client and with curl."""
    shown = shell(f"{commands(LEGACY)}\nbatchcompute local stop", environment(home), checkout)
    check(shown.count(": 1229 primes\n") == 5, "five jobs of old programs counted 1229 primes each")


def cluster(checkout: Path, home: Path) -> None:
    """From one machine to a cluster; the package is a wheel here."""
    script = commands(CLUSTER)
    install = "pip install ./plugins/batchcompute-dask"
    check(
        script.startswith(f"{install}\n") and "batchcompute demo" in script, "the page of the cluster has the commands"
    )
    before = """
python3 -m venv ~/cluster
source ~/cluster/bin/activate
pip wheel --quiet --no-deps --wheel-dir ~/cluster-wheels ./ ./plugins/batchcompute-local ./plugins/batchcompute-dask
pip install --quiet ~/cluster-wheels/batchcompute-*.whl ~/cluster-wheels/batchcompute_local-*.whl
"""
    script = script.replace(install, "pip install --quiet ~/cluster-wheels/batchcompute_dask-*.whl", 1)
    surroundings = {**environment(home), "BATCHCOMPUTE_DATA_DIR": str(home / "cluster-data")}
    shown = shell(before + script, surroundings, checkout)
    check("1229" in shown and "The cluster has ended." in shown, "the demo ran on a cluster, which has ended")


@contextmanager
def logs_and_an_end(home: Path) -> Iterator[None]:
    """After a failure, print the logs of the service and end what runs."""
    try:
        yield
    except BaseException:
        for log in (*home.glob("*data/*.log"), *home.glob("*data/dask/*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}", flush=True)
        for pid in processes(str(home)):  # all of them are ours: the folder is
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        raise


def secret_of(home: Path) -> str:
    """The secret of the service's account."""
    match = re.search(r'"access_key_secret": *"(\w+)"', (home / "data/credentials.json").read_text())
    if match is None:
        raise SystemExit("the service has made no account")
    return match[1]


def look() -> None:
    """While the gateway and the service run: are they there, and does any command line or environment show the secret?"""
    home = Path(os.environ["HOME"])
    secret = secret_of(home)
    mine = processes(str(home))
    if not mine or not any("daemon" in line for line in mine.values()):
        raise SystemExit(f"the service does not run: {mine}")
    shown = processes(secret)
    environments = [pid for pid in mine if secret.encode() in environ_of(pid)]
    if shown or environments:
        raise SystemExit(f"the secret is shown by processes {sorted(shown)} or in the environment of {environments}")
    keys = home / ".local/share/batchcompute-lab/keyring.cfg"
    if keys.exists() and keys.stat().st_mode & 0o077:
        raise SystemExit("others can read the keyring file")
    print("no secret in any command line")


def environ_of(pid: int) -> bytes:
    """The environment that a process was started with; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def nothing_is_left(home: Path) -> None:
    """No process of the folder; those that are ending may take a moment."""
    ends = time.monotonic() + 20
    while processes(str(home)) and time.monotonic() < ends:
        time.sleep(0.1)
    left = processes(str(home))
    check(not left, f"no process is left{': ' + str(left) if left else ''}")


def main() -> None:
    """All of it."""
    if sys.argv[1:] == ["--look"]:
        look()
        return
    with tempfile.TemporaryDirectory(prefix="batchcompute-install-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        checkout = copy_of_checkout(Path(folder) / "checkout")
        sdk_alone(checkout, home)
        try:
            with logs_and_an_end(home):
                quick_start(checkout, home)
                example(checkout, home)
                legacy(checkout, home)
                cluster(checkout, home)
        finally:
            nothing_is_left(home)
    print("test-install passed")


if __name__ == "__main__":
    main()
