"""Every default path: it is accessible with the defaults and with its own rule; without, it does not exist, or is denied
where another rule shows it."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
import uuid
from pathlib import Path
from typing import Any, Iterator

import pytest

from agent import AgentHost, Plugin

USERS = ["nomad-80000", "nobody", "root"]

PATHS = {
    "rx": ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin",
           "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/lib64"],
    "r": ["/etc/ld.so.conf", "/etc/ld.so.cache", "/etc/ld.so.conf.d", "/dev/zero", "/dev/fd", "/dev/urandom", "/dev/random",
          "/usr/share/locale", "/usr/share/zoneinfo", "/usr/share/common-licenses", "/proc/self/cmdline",
          "/proc/self/mountinfo", "/proc/sys/kernel/ngroups_max", "/proc/sys/kernel/cap_last_cap",
          "/proc/sys/vm/overcommit_memory", "/etc/hosts", "/hostname", "/etc/hostname", "/etc/services", "/etc/protocols",
          "/etc/resolv.conf", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
          "/etc/pki/ca-trust-extracted/pem/tls-ca-bundle.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
          "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
          "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/alternatives", "/usr/share/perl", "/usr/share/perl5",
          "/usr/share/terminfo", "/etc/terminfo", "/etc/java-8-openjdk", "/etc/java-11-openjdk", "/etc/java-17-openjdk",
          "/etc/java-21-openjdk", "/etc/java-25-openjdk", "/etc/localtime", "/etc/timezone"],
    "rwc": ["/tmp"],
    "rw": ["/dev/null", "/dev/full", "/dev/stdin", "/dev/stdout", "/dev/stderr"],
    "w": ["/dev/log"],
}
CASES = [(path, letter) for modes, paths in PATHS.items() for path in paths for letter in modes]
MODES = {path: modes for modes, paths in PATHS.items() for path in paths}
DIRECTORIES = {*PATHS["rx"], "/etc/ld.so.conf.d", "/dev/fd", "/usr/share/locale", "/usr/share/zoneinfo", "/usr/share/common-licenses",
           "/etc/ssl/certs", "/etc/pki/tls/certs", "/tmp", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
           "/etc/alternatives", "/usr/share/perl", "/usr/share/perl5", "/usr/share/terminfo", "/etc/terminfo",
           "/etc/java-8-openjdk", "/etc/java-11-openjdk", "/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/java-25-openjdk"}

PROGRAM = "exec2-program"


def attempt(path: str, letter: str, scratch: Path) -> tuple[str, str]:
    """The operation and its path that show whether the mode `letter` is allowed for `path`."""
    if letter == "x":
        return "exec", f"{path}/{PROGRAM}"
    if letter == "c":
        return "mkfile", f"{path}/exec2-{uuid.uuid4().hex}"
    if letter == "w":
        return "write", str(scratch) if path == "/tmp" else path
    return ("readdir" if path in DIRECTORIES else "read"), path


def can_be_tried(path: str, letter: str, user: str) -> bool:
    """Reading /dev/stdout and /dev/stderr would consume the task's own log, and
    only root may open the FIFOs behind them, whatever the rules."""
    return path not in ("/dev/stdout", "/dev/stderr") or (letter == "w" and user == "root")


@pytest.fixture(scope="module")
def layer(host: AgentHost) -> Iterator[Path]:
    """An overlay for the host's files, so that the host has every default path,
    and in each directory of programs one that needs no other file."""
    root = host.root / "layer"
    listener = socket.socket(socket.AF_UNIX)

    def inside(path: str) -> Path:
        """Where `path` is in the layer; links of the host are followed."""
        place = root / os.path.realpath(os.path.dirname(path))[1:]
        place.mkdir(parents=True, exist_ok=True)
        return place / os.path.basename(path)

    for directory in DIRECTORIES - {"/tmp", "/dev/fd"}:
        place = root / os.path.realpath(directory)[1:]
        place.mkdir(parents=True, exist_ok=True)
        if "x" in MODES[directory]:
            shutil.copy(host.program("act"), place / PROGRAM)
    for path in MODES:
        if path not in DIRECTORIES and not path.startswith(("/dev/", "/proc/")) and not os.path.exists(path):
            inside(path).write_text("text")
    devices = root / "dev"
    devices.mkdir()
    for name, minor in {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}.items():
        os.mknod(devices / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (devices / name).chmod(0o666)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        (devices / name).symlink_to(f"/proc/self/fd{target}")
    # A socket's path must be short.
    descriptor = os.open(devices, os.O_PATH)
    listener.bind(f"/proc/self/fd/{descriptor}/log")
    os.close(descriptor)
    (devices / "log").chmod(0o666)
    yield root
    listener.close()


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A file in /tmp that everybody may write to."""
    descriptor, name = tempfile.mkstemp(prefix="exec2-", dir="/tmp")
    os.close(descriptor)
    os.chmod(name, 0o666)
    yield Path(name)
    os.unlink(name)
    for rest in Path("/tmp").glob("exec2-" + "[0-9a-f]" * 32):
        rest.unlink()


@pytest.fixture(scope="module")
def plugin(host: AgentHost, binary: Path, layer: Path) -> Iterator[Plugin]:
    """A plugin with the defaults on such a host."""
    yield from one(host, layer, {})


@pytest.fixture(scope="module")
def closed(host: AgentHost, binary: Path, layer: Path) -> Iterator[Plugin]:
    """A plugin without defaults, where tasks may name their own rules."""
    yield from one(host, layer, {"unveil_defaults": False, "unveil_by_task": True})


@pytest.fixture(scope="module")
def shown(host: AgentHost, binary: Path, layer: Path) -> Iterator[Plugin]:
    """A plugin without defaults, whose tasks have the host's whole root, of which no rule lets them do anything: `x` without
    `r` allows nothing."""
    yield from one(host, layer, {"unveil_defaults": False, "unveil_paths": [host.programs_rule, "x:/"]})


def one(host: AgentHost, layer: Path, config: dict[str, Any]) -> Iterator[Plugin]:
    plugin = host.launch(config, layer=layer)
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations


def outcomes(host: AgentHost, plugin: Plugin, user: str, cases: list[tuple[Any, str, str]], **options: Any) -> dict[Any, str]:
    """Runs one task that tries all `cases` (key, operation, path)."""
    words = [word for _, *words in cases for word in words]
    task = host.task(plugin, host.program("access"), words, user=user, bind_mounts=False, **options)
    result = task.run()
    assert result.exit_code == 0, (result, task.stderr.text)
    lines = [line.split("\t") for line in task.lines()]
    assert [line[:2] for line in lines] == [list(words) for _, *words in cases]
    return {key: line[2] for (key, *_), line in zip(cases, lines)}


@pytest.fixture(scope="module")
def seen(host: AgentHost, plugin: Plugin, closed: Plugin, shown: Plugin, scratch: Path) -> dict[str, tuple[dict, dict, dict]]:
    """For each user what happened with all defaults, with none, and with none in the host's whole root."""

    def tried(which: Plugin, user: str) -> dict[Any, str]:
        cases = [((path, letter), *attempt(path, letter, scratch)) for path, letter in CASES
                 if can_be_tried(path, letter, user)]
        return outcomes(host, which, user, cases)

    return {user: (tried(plugin, user), tried(closed, user), tried(shown, user)) for user in USERS}


def without_rule(path: str, letter: str) -> tuple[str, str]:
    """What happens with no defaults, and in the host's whole root, which is mounted read-only and shown by a rule that allows
    nothing."""
    if path.startswith("/proc/"):
        return "EACCES", "EACCES"
    if path == "/dev/log":
        # No root has the host's /dev.
        return "ENOENT", "ENOENT"
    if path == "/tmp":
        # The directory stands there, and what is in it does not.
        return {"r": ("EACCES", "EACCES"), "w": ("ENOENT", "EROFS"), "c": ("EROFS", "EROFS")}[letter]
    return "ENOENT", "EACCES"


@pytest.mark.parametrize(
    "path, letter, user", [(*case, user) for case in CASES for user in USERS if can_be_tried(*case, user)])
def test_default_path(
    host: AgentHost, closed: Plugin, seen: dict[str, tuple[dict, dict, dict]], scratch: Path, path: str, letter: str, user: str,
) -> None:
    # A socket cannot be opened, but the kernel checks the permission first.
    permitted = "ENXIO" if path == "/dev/log" else "ok"
    with_defaults, with_none, in_whole_root = seen[user]
    assert with_defaults[path, letter] == permitted
    assert (with_none[path, letter], in_whole_root[path, letter]) == without_rule(path, letter)
    own = outcomes(host, closed, user, [("own", *attempt(path, letter, scratch))], unveil=[f"{MODES[path]}:{path}"])
    assert own["own"] == permitted


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("directory", ["local", "secrets", "tmp", "alloc"])
def test_task_directories(host: AgentHost, plugin: Plugin, closed: Plugin, directory: str, user: str) -> None:
    """rwxc on the task's own directories with the defaults, nothing without."""

    def tried(plugin: Plugin) -> dict[str, str]:
        task = host.task(plugin, host.program("access"), user=user, bind_mounts=False)
        place = task.directory / directory
        program = place / "program"
        program.write_bytes(host.program("act").read_bytes())
        program.chmod(0o755)
        (place / "file").write_text("text")
        (place / "file").chmod(0o666)
        words = ["readdir", place, "read", place / "file", "write", place / "file", "exec", program,
                 "mkfile", place / "new", "mkdir", place / "sub", "symlink", place / "link", "fifo", place / "pipe",
                 "sock", place / "socket", "unlink", place / "new", "rmdir", place / "sub"]
        task.set_config({"command": str(host.program("access")), "args": [str(word) for word in words]})
        assert task.run().exit_code == 0
        return {line.split("\t")[0]: line.split("\t")[2] for line in task.lines()}

    assert set(tried(plugin).values()) == {"ok"}
    denied = tried(closed)
    assert {outcome for operation, outcome in denied.items() if operation not in ("unlink", "rmdir")} == {"EACCES"}


def test_nothing_but_the_defaults(host: AgentHost, plugin: Plugin) -> None:
    """Directories that every host has and that are not below a default path: at the top they stand there, and deeper only
    those that lead to one."""
    there = ["/", "/etc", "/root", "/home", "/var", "/run", "/sys", "/dev", "/usr", "/usr/share", "/usr/local"]
    for user in USERS:
        found = outcomes(host, plugin, user, [(path, "readdir", path) for path in [*there, "/var/lib", "/usr/share/doc", "/proc"]])
        assert found == {**dict.fromkeys(there, "EACCES"), "/var/lib": "ENOENT", "/usr/share/doc": "ENOENT", "/proc": "ok"}, user


@pytest.mark.parametrize("above", [False, True], ids=["default", "rule above"])
def test_agents_own_directories_are_closed(host: AgentHost, plugin: Plugin, closed: Plugin, shown: Plugin, above: bool) -> None:
    """Even for root: the agent's data, the state directory, another task's directory, and the cgroup, which a task may only
    read. A rule for what is above them all shows empty directories."""
    used = shown if above else plugin
    other = host.task(used, host.program("act"), ["pause="], user="root", bind_mounts=False).start()
    task = host.task(used, host.program("access"), user="root", bind_mounts=False)
    places = [host.data, host.data / "alloc", task.alloc_dir, used.state_dir, other.directory, other.local, task.scope]
    words = [word for place in places for word in ("readdir", place, "mkdir", place / "new")]
    task.set_config({"command": str(host.program("access")), "args": [str(word) for word in words]})
    task.run()
    found = [line.split("\t")[2] for line in task.lines()]
    denied, missing = ["EACCES", "EROFS"], ["ENOENT", "ENOENT"]
    if above:
        assert found == [*denied, *denied, *missing, *denied, *missing, *missing, *denied]
    else:
        assert found == [*missing * 6, "ok", "EROFS"]
    other.stop()
