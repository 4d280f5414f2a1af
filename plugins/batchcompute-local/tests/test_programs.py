"""What runs a program: types by hook, images, OssMapping. Real processes, but no service."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local import extensions
from batchcompute_local.errors import ServiceError, SettingsError
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.paths import Layout
from batchcompute_local.process import binder
from batchcompute_local.process.mappings import Mapper
from batchcompute_local.process.sources import Sources
from batchcompute_local.process.workspace import PreparationError
from batchcompute_local.programs import ProgramType
from batchcompute_local.records import Warm
from batchcompute_local.settings import Settings, read_settings
from batchcompute_local.specs import ExecutorContext, ExecutorType, hookimpl
from batchcompute_local.storage import ObjectStore

from tests.support.descriptions import describe
from tests.support.programs import Desk, make_tool, write_settings

SHOW = "import os, sys; print(sys.argv[1:])"


class Point:
    """An entry point of a package that is not installed."""

    dist = None

    def __init__(self, name: str, module: object) -> None:
        self.name, self._module = name, module

    def load(self) -> object:
        if isinstance(self._module, Exception):
            raise self._module
        return self._module


class Shell:
    @hookimpl
    def register_program_types(self) -> list[ProgramType]:
        return [ProgramType("sh", lambda program: [program.interpreter("sh"), program.path()])]

    @hookimpl
    def register_executors(self) -> list[ExecutorType]:
        def make(context: ExecutorContext) -> Any:
            raise ValueError(f"bad option {sorted(context.options)}")

        return [ExecutorType("elsewhere", make)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[programs]\npyhton = "/usr/bin/python2"',
            r"\[programs\]: program type 'pyhton' is not installed; did you mean 'python'",
        ),
        (
            "[images.'img-x']\nPhp = '/usr/bin/php'",
            r"\[images.\"img-x\"\]: program type 'Php' is not installed; did you mean 'php'",
        ),
        ('[programs]\nSh = "/bin/sh"', "program type 'Sh' is not installed; did you mean 'sh'"),
        (
            "[executors.elswhere]\na = 1",
            r"\[executors\]: executor 'elswhere' is not installed; did you mean 'elsewhere'",
        ),
        ('[programs]\nsh = "/bin/sh"\nphp = "/usr/bin/php"\n[executors.elsewhere]\na = 1', ""),
    ],
)
def test_names_in_the_settings_that_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    _install(monkeypatch, Shell())
    path = tmp_path / "service.toml"
    path.write_text(text)
    settings = read_settings(path)
    if not message:
        extensions.check_names(settings, path)
        return
    with pytest.raises(SettingsError, match=message):
        extensions.check_names(settings, path)


def test_a_name_that_is_like_no_other_is_only_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The package that has it may have been removed for a while."""
    _install(monkeypatch)
    extensions.check_names(Settings(programs={"ruby": "/usr/bin/ruby"}), tmp_path / "service.toml")
    assert "service.toml: [programs]: program type 'ruby' is not installed" in caplog.text


class Misspelt:
    @hookimpl
    def register_program_type(self) -> list[ProgramType]:
        return []


def _install(monkeypatch: pytest.MonkeyPatch, *modules: object) -> extensions.Extensions:
    found = extensions.load([Point(f"p{n}", module) for n, module in enumerate(modules)])  # type: ignore[misc]  # a stand-in for an entry point
    monkeypatch.setattr(extensions, "installed", lambda: found)
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


# -- program types


def test_a_program_type_by_hook(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    found = _install(monkeypatch, Shell(), Misspelt(), ImportError("no such thing"))
    assert set(found.program_types) == {"sh", "python", "php", "java", "shell", "command"}
    assert "register_program_type" in caplog.text
    assert ":p2 is left out: ImportError: no such thing" in caplog.text
    assert read_description(describe({"A": {"ProgramType": "sh"}}), Settings()).tasks[0].program_type == "sh"
    with pytest.raises(ServiceError, match=r"got 'SH'.*allowed: sh, python, php, java, shell, command"):
        read_description(describe({"A": {"ProgramType": "SH"}}), Settings())
    assert desk.out(Settings(), {"a.sh": "echo $1"}, program_type="sh", program_arguments="'x y'") == "x y\n"
    _install(monkeypatch)
    with pytest.raises(PreparationError, match="program type 'sh' is no longer installed"):
        desk.prepared(Settings(), {"a.sh": ""}, program_type="sh")


def test_an_executor_by_hook(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, Shell())
    for name, message in (
        ("elsewher", "did you mean 'elsewhere'"),
        ("elsewhere", r"\[executors.elsewhere\]: bad option"),
    ):
        context = ExecutorContext(desk.layout, Settings(executor=name), "job-", bool, {"speed": 1})
        with pytest.raises(SettingsError, match=message):
            extensions.make_executor(context)


@pytest.mark.skipif(not shutil.which("javac") or not shutil.which("jar"), reason="no JDK on this machine")
def test_java_runs_classes_and_jars(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "Main.java").write_text(
        'public class Main { public static void main(String[] a) { System.out.println(String.join("|", a)); } }'
    )
    subprocess.run(["javac", "Main.java"], cwd=tmp_path, check=True)
    subprocess.run(["jar", "cfe", "main.jar", "Main", "Main.class"], cwd=tmp_path, check=True)
    from batchcompute import pack as pack_folder

    (tmp_path / "worker").mkdir()
    for name in ("Main.class", "main.jar"):
        shutil.copy(tmp_path / name, tmp_path / "worker")
    desk.pack = lambda files: pack_folder(tmp_path / "worker")
    for name in ("Main", "Main.class", "main.jar"):
        assert desk.out(Settings(), {name: ""}, program_type="java", program_arguments="a 'b c'") == "a|b c\n"


@pytest.mark.skipif(not shutil.which("php"), reason="no php on this machine")
def test_php_runs_programs(desk: Desk) -> None:
    program = '<?php echo implode("|", array_slice($argv, 1)), " ", getenv("ALI_DIKU_INSTANCE_ID"), "\\n"; exit(3);'
    out = desk.out(Settings(), {"main.php": program}, program_type="php", program_arguments="a 'b c'")
    assert out == "a|b c 0\n"


def test_php_and_every_type_by_the_settings(desk: Desk, tmp_path: Path) -> None:
    settings = Settings(programs={"php": make_tool(tmp_path / "php5", 'echo "php $2"')})
    assert desk.out(settings, {"a.php": ""}, program_type="php", program_arguments="x") == "php x\n"


# -- images


def test_an_image_of_other_interpreters(desk: Desk, tmp_path: Path) -> None:
    old = make_tool(tmp_path / "python2", "echo old $(basename $1)")
    settings = write_settings(tmp_path, f'[images."img-old"]\npython = "{old}"\ndescription = "Python of 2015"\n')
    assert desk.out(settings, {"a.py": SHOW}, image_id="img-old") == "old a.py\n"
    assert desk.out(settings, {"a.py": SHOW}, image_id="img-unknown") == "[]\n"
    broken = write_settings(tmp_path, '[images."img-old"]\npython = "/nowhere/python2"\n')
    with pytest.raises(PreparationError, match="this machine has no /nowhere/python2 to run python programs with"):
        desk.prepared(broken, {"a.py": SHOW}, image_id="img-old")


def test_an_image_that_is_a_command(desk: Desk, tmp_path: Path) -> None:
    engine = make_tool(tmp_path / "podman", 'for word in "$@"; do echo "$word"; done')
    command = [
        engine, "run", "--name={attempt}", "--volume={cwd}:{cwd}", "--volume={mapping}", "--env={variable}",
        "--bind={service}", "py2", "{argv}",
    ]  # fmt: skip
    settings = write_settings(tmp_path, f'[images."img-box"]\ncommand = {command!r}\npython = "python2"\n')
    desk.store.put("oss://data/in/x", b"1")
    task = {"image_id": "img-box", "environment": {"MINE": "secret"}, "program_arguments": "-s 1"}
    words = desk.out(settings, {"a.py": SHOW}, mapping={"oss://data/in/": "/in"}, **task).splitlines()
    cwd = desk.layout.instance("job-1", "T", 0)
    assert words[:4] == [
        "run",
        "--name=job-1.0.0.1",
        f"--volume={cwd}:{cwd}",
        f"--volume={desk.layout.oss}/data/in:/in:ro",
    ]
    assert words[-5:] == ["py2", "python2", f"{cwd}/a.py", "-s", "1"]
    variables = [word.removeprefix("--env=") for word in words if word.startswith("--env=")]
    assert {"MINE", "ALI_DIKU_INSTANCE_ID", "BATCHCOMPUTE_ATTEMPT"} <= set(variables)
    assert not {"PATH", "HOME"} & set(variables)
    assert not any("secret" in word for word in words)
    paths = [desk.layout.root / "socket", desk.layout.attempts / "job-1.0.0.1"]
    assert [word for word in words if word.startswith("--bind=")] == [f"--bind={path}:{path}:ro" for path in paths]
    assert "BATCHCOMPUTE_LOCAL_ATTEMPT" in variables
    bare = write_settings(tmp_path, f'[images."img-box"]\ncommand = ["{engine}", "{{argv}}"]\n')
    with pytest.raises(PreparationError, match=r"img-box has no \{mapping\}"):
        desk.prepared(bare, {"a.py": SHOW}, mapping={"oss://data/in/": "/in"}, image_id="img-box")


def test_programs_of_an_image_that_may_begin_warm(desk: Desk, tmp_path: Path) -> None:
    text = '[environment]\nMINE = "1"\n[images."img-warm"]\npython = "/bin/sh"\nwarm = ["json", "os.path"]\n'
    settings = write_settings(tmp_path, text)
    desk.store.put("oss://data/in/x", b"1")
    variables = {"PYTHONHASHSEED": "1", "LD_PRELOAD": "", "LC_ALL": "C", "OTHER": "2"}

    def warm(image: str = "img-warm", **task: Any) -> Warm | None:
        found = desk.prepared(settings, {"a.py": SHOW}, image_id=image, environment=variables, **task).warm
        assert found is None or isinstance(found, Warm)
        return found

    found = warm()
    assert found is not None
    assert found.modules == ("json", "os.path")
    assert {"MINE", "PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONHASHSEED", "LD_PRELOAD", "LC_ALL"} <= set(
        found.variables
    )
    assert not [name for name in found.variables if name == "OTHER" or name.startswith(("ALI_", "BATCH"))]
    assert warm("img-local") is None
    assert warm(program_type="command", program_name="true") is None
    assert warm(mapping={"oss://data/in/": str(tmp_path / "in")}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[images."box"]', "the id must be img-"),
        ('[images."img-x"]\ncomand = ["a", "{argv}"]', "did you mean 'command'"),
        ('[images."img-x"]\npython = 3', "python cannot be used; it maps a program type"),
        ('[images."img-x"]\ncommand = ["a"]', r"have the word \{argv\} in it, once"),
        ('[images."img-x"]\ncommand = ["a", "{argv}", "{mappings}"]', "did you mean 'mapping'"),
        ('[images."img-x"]\ncommand = "a {argv}"', "command must be a list"),
        ('[images."img-x"]\ndescription = 1', "description must be text"),
        ('[images."img-x"]\npython = "python3"\nwarm = "numpy"', "warm must be a list of modules"),
        ('[images."img-x"]\npython = "python3"\nwarm = ["a b"]', "warm must be a list of modules"),
        ('[images."img-x"]\nwarm = []', "warm needs the key python, and no command"),
        (
            '[images."img-x"]\npython = "a"\nwarm = []\ncommand = ["a", "{argv}"]',
            "warm needs the key python, and no command",
        ),
        ("images = 3", "must be tables"),
        ("executor = 3", "executor must be text"),
        ("executors = 3", "executors must be tables"),
        ("cpu = -1", "cpu must be positive"),
    ],
)
def test_bad_settings(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_settings(tmp_path, text)


# -- OssMapping

LOOK = """
import os, sys
print(open(sys.argv[1] + "/x").read(), os.getuid(), os.environ["BATCHCOMPUTE_ATTEMPT"])
try:
    open(sys.argv[1] + "/y", "w")
except OSError as error:
    print(error.strerror)
"""
can_mount = Mapper(Layout.at("/"), Sources(ObjectStore(Path("/")), {}, Path("/"))).can_mount


def _mapped(desk: Desk, target: Path, **more: Any) -> str:
    desk.store.put("oss://data/in/x", b"text")
    mapping = {"oss://data/in/": f"{target}/"}
    return desk.out(Settings(), {"a.py": LOOK}, mapping=mapping, program_arguments=str(target), **more)


@pytest.mark.skipif(not can_mount, reason="the kernel allows this user no mount namespace")
def test_a_mapped_folder_is_read_only_and_nobody_else_s(desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "in"
    assert _mapped(desk, target) == f"text {os.getuid()} job-1.0.0.1\nRead-only file system\n"
    assert list(target.iterdir()) == []  # the mount was the program's own


@pytest.mark.skipif(not can_mount or os.getuid() != 0, reason="needs to be root to become another user")
def test_a_mapped_folder_of_another_user() -> None:
    with tempfile.TemporaryDirectory() as folder:  # one that others can reach
        _map_as_another_user(Path(folder))


def _map_as_another_user(tmp_path: Path) -> None:
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    (tmp_path / "from" / "x").write_text("text")
    helper = Path(shutil.copy(binder.__file__, tmp_path / "binder.py"))
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(path.stat().st_mode | stat.S_IROTH | stat.S_IXOTH)
    program = f"import os; print(open({str(tmp_path / 'to' / 'x')!r}).read(), os.getuid(), os.getgid())"
    command = ["/usr/bin/python3", "-I", "-S", str(helper), str(tmp_path / "from"), str(tmp_path / "to"), "--"]
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command, "/usr/bin/python3", "-c", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 126:
        pytest.skip(f"the kernel allows no user namespace: {done.stderr}")
    assert done.stdout == "text 65534 65534\n", done.stderr


def test_a_mapped_folder_by_symlink(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mapper, "can_mount", False)
    target = tmp_path / "in"
    assert _mapped(desk, target).startswith("text ")
    assert target.readlink() == desk.layout.oss / "data" / "in"
    assert _mapped(desk, target).startswith("text ")
    target.unlink()
    target.mkdir()
    with pytest.raises(PreparationError, match=f"OssMapping cannot use {target}: File exists"):
        _mapped(desk, target)


def test_mappings_that_are_not_possible(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PreparationError, match=r"OssMapping cannot use .*/file/in: Not a directory"):
        _mapped(desk, tmp_path / "file" / "in")
    with pytest.raises(PreparationError, match="the service's data folder"):
        _mapped(desk, desk.layout.root / "work")
    with pytest.raises(PreparationError, match="the service's data folder"):
        _mapped(desk, tmp_path)
    desk.store.put("oss://data/in/数据", b"")
    with pytest.raises(
        PreparationError, match="OssMappingLocale is GBK, but '数据' in oss://data/in/ is shown in UTF-8"
    ):
        _mapped(desk, tmp_path / "in")
    assert _mapped(desk, tmp_path / "in", mapping_locale="UTF-8").startswith("text ")
