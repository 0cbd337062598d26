"""The mode letters: each combination permits what it names and nothing else."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, Plugin
from agent.landlock import abi
from agent.task import identity

USERS = ["nomad-80000", "nobody", "root"]
COMBINATIONS = ["".join(letters) for count in range(1, 5) for letters in itertools.combinations("rwxc", count)]
NEEDS = {
    "read": "r", "readdir": "r", "write": "w", "truncate": "w", "exec": "rx", "mkfile": "c", "mkdir": "c", "symlink": "c",
    "fifo": "c", "sock": "c", "unlink": "c", "rmdir": "c", "rename": "c", "move": "c", "link": "c",
}
# What a mount permits without `w` and `c`, when it is read-only.
READING = {"read", "readdir", "exec"}
# A kernel with a lower Landlock version always permits what that does not govern.
GOVERNED_SINCE = {"truncate": 3}


@pytest.fixture(scope="module")
def closed(host: AgentHost) -> Iterator[Plugin]:
    plugin = host.launch({"unveil_defaults": False, "unveil_by_task": True})
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults + plugin.violations


@pytest.fixture
def tree(host: AgentHost) -> Iterator[Callable[[str], Path]]:
    """A directory with something of each kind, owned by the user."""
    made: list[Path] = []

    def make(user: str) -> Path:
        root = host.root / "tree"
        made.append(root)
        for directory in (root, root / "sub", root / "empty"):
            directory.mkdir()
        for name in ("file", "sub/old", "sub/renamed", "sub/moved", "sub/linked"):
            (root / name).write_text("text")
        shutil.copy(host.program("act"), root / "program")
        uid, gid = identity(user)
        for path in [root, *root.rglob("*")]:
            os.chown(path, uid, gid)
            path.chmod(0o755)
        return root

    yield make
    for root in made:
        shutil.rmtree(root)


def tries(root: Path) -> dict[str, str]:
    return {
        "read": f"{root}/file", "readdir": f"{root}", "write": f"{root}/file", "truncate": f"{root}/file",
        "exec": f"{root}/program", "mkfile": f"{root}/new-file", "mkdir": f"{root}/new-directory",
        "symlink": f"{root}/new-link", "fifo": f"{root}/new-pipe", "sock": f"{root}/new-socket",
        "unlink": f"{root}/sub/old", "rmdir": f"{root}/empty", "rename": f"{root}/sub/renamed",
        "move": f"{root}/sub/moved,{root}/moved", "link": f"{root}/sub/linked,{root}/linked",
    }


def run(host: AgentHost, plugin: Plugin, user: str, words: dict[str, str], unveil: list[str]) -> dict[str, str]:
    task = host.task(plugin, host.program("access"), [word for pair in words.items() for word in pair], user=user, unveil=unveil)
    assert task.run().exit_code == 0, task.stderr.text
    return {line.split("\t")[0]: line.split("\t")[2] for line in task.lines()}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("modes", COMBINATIONS)
def test_modes_of_a_directory(host: AgentHost, closed: Plugin, tree: Callable[[str], Path], modes: str, user: str) -> None:
    """With neither `w` nor `c` the mount is read-only, and Landlock refuses the rest. Seen without Landlock: with every
    combination but rwxc a task could do more than the letters name."""
    root = tree(user)
    found = run(host, closed, user, tries(root), [f"{modes}:{root}"])
    assert found.keys() == NEEDS.keys()
    for operation, outcome in found.items():
        if set(modes).isdisjoint("wc") and operation not in READING:
            assert outcome == "EROFS", f"{operation} with {modes}"
        elif set(NEEDS[operation]) <= set(modes) or abi() < GOVERNED_SINCE.get(operation, 1):
            assert outcome == "ok", f"{operation} with {modes}"
        else:
            # Without the right to move between directories the kernel may also return EXDEV.
            assert outcome in (("EACCES", "EXDEV") if operation in ("move", "link") else ("EACCES",)), f"{operation} with {modes}"


@pytest.mark.parametrize("user", USERS)
def test_order_of_letters_is_free(host: AgentHost, closed: Plugin, tree: Callable[[str], Path], user: str) -> None:
    root = tree(user)
    assert set(run(host, closed, user, tries(root), [f"cxwr:{root}"]).values()) == {"ok"}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("modes", ["r", "w", "rw", "rx", "rwx"])
@pytest.mark.parametrize("is_there", [False, True], ids=["hidden", "there"])
def test_modes_of_a_file(
    host: AgentHost, closed: Plugin, tree: Callable[[str], Path], is_there: bool, modes: str, user: str
) -> None:
    """A rule for a file does not apply to the other files of its directory, which are there if a rule unveils that."""
    root = tree(user)
    words = {"read": f"{root}/program", "write": f"{root}/program", "readdir": f"{root}", "truncate": f"{root}/file"}
    if "w" not in modes:
        words["exec"] = f"{root}/program"
    found = run(host, closed, user, words, [f"{modes}:{root}/program", *([f"c:{root}"] if is_there else [])])
    assert found["read"] == ("ok" if "r" in modes else "EACCES")
    assert found["write"] == ("ok" if "w" in modes else "EACCES" if is_there else "EROFS")
    if "exec" in found:
        assert found["exec"] == ("ok" if "x" in modes else "EACCES")
    assert found["readdir"] == "EACCES"
    assert found["truncate"] == ("ENOENT" if not is_there else "EACCES" if abi() >= 3 else "ok")


@pytest.mark.parametrize("user", USERS)
def test_x_alone_runs_nothing(host: AgentHost, closed: Plugin, tree: Callable[[str], Path], user: str) -> None:
    root = tree(user)
    assert run(host, closed, user, {"exec": f"{root}/program"}, [f"x:{root}"]) == {"exec": "EACCES"}
    assert run(host, closed, user, {"exec": f"{root}/program"}, [f"rx:{root}"]) == {"exec": "ok"}


@pytest.mark.parametrize("user", USERS)
def test_device_control_needs_w(host: AgentHost, closed: Plugin, user: str) -> None:
    reading = run(host, closed, user, {"ioctl": "/dev/zero"}, ["r:/dev/zero"])
    assert reading == {"ioctl": "EACCES" if abi() >= 5 else "ENOTTY"}
    assert run(host, closed, user, {"ioctl": "/dev/zero"}, ["rw:/dev/zero"]) == {"ioctl": "ENOTTY"}


@pytest.mark.parametrize("user", USERS)
def test_no_mode_allows_device_nodes(host: AgentHost, closed: Plugin, tree: Callable[[str], Path], user: str) -> None:
    """Seen without Landlock and with all of root's capabilities: a root task made one."""
    root = tree(user)
    found = run(host, closed, user, {"char": f"{root}/char", "block": f"{root}/block"}, [f"rwxc:{root}"])
    assert set(found.values()) <= {"EACCES", "EPERM"}


def test_rules_add_up(host: AgentHost, closed: Plugin, tree: Callable[[str], Path]) -> None:
    """A narrower rule below a wider one restricts nothing; two rules for one path
    allow the modes of both."""
    root = tree("nobody")
    found = run(host, closed, "nobody", {"write": f"{root}/sub/old", "read": f"{root}/sub/old"}, [f"rw:{root}", f"r:{root}/sub"])
    assert found == {"write": "ok", "read": "ok"}
    found = run(host, closed, "nobody", {"write": f"{root}/file", "read": f"{root}/file"}, [f"r:{root}/file", f"w:{root}/file"])
    assert found == {"write": "ok", "read": "ok"}
