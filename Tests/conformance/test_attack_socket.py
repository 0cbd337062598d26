"""Who may connect to the plugin's socket, and so have the driver act as root.

Each test was seen to fail on a build without the tested protection; its docstring says how.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, HandshakeError, Plugin
from agent.timing import wait_until
from attacking import REFUSED, USERS, attack

Launch = Callable[..., Plugin]
# The outcomes of a connection that the server closes.
CLOSED = REFUSED | {"EPIPE", "ECONNRESET"}


@pytest.fixture
def within_reach(host: AgentHost, launch: Launch) -> Iterator[Plugin]:
    """A plugin whose socket every task reaches, as where an operator has chosen such a directory: what then keeps tasks from
    the driver is that it checks who connects."""
    place = host.root / "sockets"
    place.mkdir(mode=0o755)
    plugin = launch({"unveil_by_task": True, "unveil_paths": [host.programs_rule, f"rwc:{place}"]},
                    environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)})
    yield plugin
    plugin.end()
    place.rmdir()


@pytest.mark.parametrize("user", USERS)
def test_task_cannot_command_the_driver(host: AgentHost, within_reach: Plugin, user: str) -> None:
    """Before Landlock 9 no rule governs connecting to a path: file permissions keep users out, but not user 0. Seen before
    the Driver checked its peers: a root task was served."""
    plugin = within_reach
    found = attack(host, plugin, ("rpc", plugin.address), user=user)
    assert set(found.values()) <= CLOSED
    if user == "root":
        def told() -> bool:
            return any(entry["@level"] == "warn" and "PID namespace below" in str(entry.get("reason")) for entry in plugin.log)

        wait_until(told, 5, "a warning of the driver's")
    plugin.ping()


def test_descendants_of_a_task_cannot_either(host: AgentHost, within_reach: Plugin) -> None:
    """A process in namespaces that the task has made. Seen before the Driver checked who connects: it was served."""
    plugin = within_reach
    found = attack(host, plugin, ("unshare", "user+mnt+net"), ("rpc", plugin.address), user="root")
    assert found[f"rpc {plugin.address}"] in CLOSED


def test_many_refusals_fill_no_log(host: AgentHost, within_reach: Plugin) -> None:
    """And do not keep others from being served. Seen with a line for each: 200 lines."""
    plugin = within_reach
    before = len(plugin.log)
    # Every attempt is made, though the dictionary of outcomes has one entry.
    task = host.task(plugin, host.program("attack"), ["rpc", plugin.address] * 200, user="root")
    assert task.run() == ExitResult(0)
    assert {line.split("\t")[2] for line in task.lines()} <= CLOSED
    plugin.ping()
    assert len([entry for entry in plugin.log[before:] if "refused a connection" in entry["@message"]]) <= 2


# Attempts on a socket and its directory, each with its outcome on a line. Where the protection is missing they succeed, and
# must do so on what is this plugin's alone: nothing above its directory is renamed or changed.
TAKE_OVER = """
import errno, os, socket, sys
address = sys.argv[1]
own = os.path.dirname(address)
above = os.path.dirname(own)

def link():
    open("tmp/file", "w").close()
    os.link("tmp/file", own + "/link")

def bind():
    if not os.path.isdir(own):
        os.mkdir(own)
    socket.socket(socket.AF_UNIX).bind(address)

for name, attempt in (
    ("stat", lambda: os.stat(address)), ("list above", lambda: os.listdir(above)), ("list", lambda: os.listdir(own)),
    ("connect", lambda: socket.socket(socket.AF_UNIX).connect(address)), ("make above", lambda: os.makedirs(above)),
    ("link", link), ("device", lambda: os.mknod(own + "/device", 0o600)), ("chmod", lambda: os.chmod(own, 0o777)),
    ("chown", lambda: os.chown(own, 1, 1)), ("rename socket", lambda: os.rename(address, address + ".old")),
    ("rename", lambda: os.rename(own, own + ".old")), ("bind", bind),
):
    try:
        attempt()
        print(name, "done", sep=": ")
    except OSError as error:
        print(name, errno.errorcode[error.errno], sep=": ")
"""
TWELFTH = "mknod"


@pytest.mark.parametrize("unveil", [[], ["rwc:/tmp"], ["rwc:/run"], ["rwc:/"]], ids=["defaults", "tmp", "run", "all"])
def test_the_socket_does_not_exist_for_a_task(host: AgentHost, launch: Launch, unveil: list[str]) -> None:
    """As root, with the eleven capabilities of root's tasks and the one that a client may add. Seen with the socket below
    /tmp, which tasks have: the task renamed it and bound its own, and the agent's next connection went to the task."""
    plugin = launch({"unveil_by_task": True, "allow_caps": [TWELFTH]})
    assert Path(plugin.address).parent.parent == Path("/run/nomad-driver-exec2/.sockets")
    before = os.stat(plugin.address)
    task = host.task(plugin, "/usr/bin/python3", ["-c", TAKE_OVER, plugin.address], user="root", unveil=unveil,
                     config={"cap_add": [TWELFTH]})
    assert task.run() == ExitResult(0), task.stderr.text
    found = dict(line.split(": ") for line in task.lines())
    # The directory above may stand there, as an empty file system that cannot be written to.
    assert found.pop("make above") in {"EACCES", "EROFS"}, found
    assert len(found) == 11 and set(found.values()) <= {"ENOENT", "EACCES"}, found
    after = os.stat(plugin.address)
    assert (after.st_ino, after.st_mode, after.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
    assert client(plugin.address, "root") == "served"
    plugin.ping()


# Connects, greets and waits for the server's first frame.
CLIENT = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(20)
try:
    client.connect(sys.argv[1])
    client.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    print("served" if client.recv(100) else "closed")
except (ConnectionResetError, BrokenPipeError):
    print("closed")
except PermissionError:
    print("refused")
"""


def client(path: str, user: str) -> str:
    return subprocess.run([sys.executable, "-c", CLIENT, path], user=user, group="nogroup", extra_groups=[], cwd="/",
                          capture_output=True, text=True, check=True).stdout.strip()


def test_another_user_cannot_connect(launch: Launch) -> None:
    """Seen with a directory of mode 0755 and a socket of mode 0666: connected."""
    plugin = launch()
    directory, path = Path(plugin.address).parent, Path(plugin.address)
    for place, mode in ((directory, 0o700), (path, 0o600)):
        facts = place.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, mode), place
    assert client(plugin.address, "nobody") == "refused"
    assert client(plugin.address, "root") == "served"


def test_another_user_is_not_served_whatever_the_modes(within_reach: Plugin) -> None:
    """If the modes of directory and socket allow the connection, the driver still checks its peer. Seen without that:
    served."""
    plugin = within_reach
    Path(plugin.address).parent.chmod(0o755)
    Path(plugin.address).chmod(0o666)
    assert client(plugin.address, "nobody") == "closed"
    plugin.ping()
    assert any("user is 65534" in str(entry.get("reason")) for entry in plugin.log)


def squat(directory: Path, over: threading.Event, seen: set[str], done: list[str]) -> None:
    """As another user, in a process of its own: tries to take over each directory that appears."""
    script = """
import os, sys, time
directory = sys.argv[1]
os.chdir(directory)
while True:
    for name in os.listdir("."):
        if not name.startswith("nomad-exec2-"):
            continue
        print("seen", name, flush=True)
        for what, attempt in (("rename", lambda: os.rename(name, "mine")), ("rmdir", lambda: os.rmdir(name)),
                              ("open", lambda: os.listdir(name)), ("bind", lambda: os.mkdir(name + "/driver.sock")),
                              ("link", lambda: os.symlink("/tmp", name + "/x"))):
            try:
                attempt()
                print("done", what, flush=True)
            except OSError:
                pass
    time.sleep(0.0005)
"""
    process = subprocess.Popen([sys.executable, "-c", script, str(directory)], user="nobody", group="nogroup", extra_groups=[], stdout=subprocess.PIPE, text=True)

    def read() -> None:
        for line in process.stdout:
            word, name = line.split()
            (seen.add if word == "seen" else done.append)(name)

    reader = threading.Thread(target=read)
    reader.start()
    over.wait()
    process.kill()
    process.wait()
    reader.join()


def test_socket_cannot_be_taken_beforehand(launch: Launch, host: AgentHost) -> None:
    """In a directory that everybody may write to, such as /tmp, each start makes a directory with an unpredictable name,
    which other users cannot rename or remove. Seen in a directory without the sticky bit, in a build that accepts one (next
    test): the other user renamed the driver's before the agent had connected."""
    shared = host.root / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    over = threading.Event()
    seen: set[Any] = set()
    done: list[Any] = []
    squatter = threading.Thread(target=squat, args=(shared, over, seen, done))
    squatter.start()
    try:
        names = set()
        for _ in range(3):
            plugin = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(shared)})
            directory = Path(plugin.address).parent
            assert directory.parent == shared and len(directory.name) >= len("nomad-exec2-") + 6
            names.add(directory.name)
            wait_until(lambda: directory.name in seen, 10, "the other user has seen the directory")
            time.sleep(0.02)
            facts = directory.lstat()
            assert stat.S_ISDIR(facts.st_mode) and (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (0, 0o700)
            plugin.ping()
            plugin.end()
        assert len(names) == 3
        assert done == []
    finally:
        over.set()
        squatter.join()
    shared.rmdir()


@pytest.mark.parametrize("where", ["itself", "above"])
@pytest.mark.parametrize("how", ["writable", "another's"])
def test_directory_in_which_it_could_be_replaced(launch: Launch, host: AgentHost, where: str, how: str) -> None:
    """Seen without the check: the plugin served there."""
    above = host.root / "above"
    directory = above / "directory"
    directory.mkdir(parents=True)
    spoilt = directory if where == "itself" else above
    if how == "writable":
        spoilt.chmod(0o777)
    else:
        os.chown(spoilt, 65534, 65534)
    try:
        with pytest.raises(HandshakeError) as refusal:
            host.launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(directory)})
        assert str(spoilt) in str(refusal.value) and "replace the socket" in str(refusal.value)
        assert list(directory.iterdir()) == []
    finally:
        host.plugins = [plugin for plugin in host.plugins if plugin.channel is not None]
        directory.rmdir()
        above.rmdir()


def test_symlink_as_the_directory(launch: Launch, host: AgentHost) -> None:
    """A link to a directory of root's is the operator's choice; the address is the directory's real path, so that a later
    change of the link redirects nobody. Seen without that: the address contained the link."""
    real = host.root / "real"
    real.mkdir()
    link = host.root / "link"
    link.symlink_to(real)
    plugin = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(link)})
    assert Path(plugin.address).parent.parent == real
    plugin.end()
    link.unlink()
    real.rmdir()
