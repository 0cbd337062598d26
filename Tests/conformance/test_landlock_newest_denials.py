"""Plugin option denial_events: what a task is denied is told in its events, with what would allow it."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, landlock, messages, processes
from agent.audit import AuditLog
from agent.exec import exec_task
from agent.restart import recover, successor
from agent.timing import scaled

Launch = Callable[..., Plugin]
Driver = messages.driver
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
pytestmark = [pytest.mark.audit, pytest.mark.landlock(minimum=7)]
MAXIMUM = 16
LAST = "the sandbox denied more: no further denials of this task are told; the kernel's audit log has them"


@pytest.fixture(autouse=True)
def auditing() -> Iterator[None]:
    with AuditLog():
        yield


@pytest.fixture
def files(places: Path) -> list[Path]:
    """Of the host, and readable."""
    paths = [places / f"file{number}" for number in range(24)]
    for path in paths:
        path.write_text("of the host")
        path.chmod(0o644)
    return paths


def shown(host: AgentHost, *paths: Path | str, modes: str = "w") -> dict[str, Any]:
    """A config with rules that show the paths and do not let them be read."""
    return {"denial_events": True, "unveil_paths": [host.programs_rule, *(f"{modes}:{path}" for path in paths)]}


class Events:
    """Those of a plugin, from here on."""

    def __init__(self, plugin: Plugin):
        self._stream = iter(plugin.driver.TaskEvents(Driver.TaskEventsRequest(), timeout=scaled(10)))
        # By the task's id: those that were passed over in the last search.
        self.others: dict[str, list[str]] = {}

    def of(self, task: Task, until: str) -> list[str]:
        """The messages about the task, up to the first that has this text in it."""
        found = []
        self.others = defaultdict(list)
        for event in self._stream:
            if event.task_id != task.id:
                self.others[event.task_id].append(event.message)
                continue
            assert (event.alloc_id, event.task_name) == (task.alloc_id, task.name)
            found.append(event.message)
            if until in event.message:
                break
        return found

    def of_all(self, tasks: list[Task], text: str) -> dict[str, list[str]]:
        """By the task's id, in whatever order the tasks come: the messages up to the first of each that has this text in it."""
        ids = {task.id for task in tasks}
        found: dict[str, list[str]] = defaultdict(list)
        missing = set(ids)
        for event in self._stream:
            if event.task_id in ids:
                found[event.task_id].append(event.message)
            if text in event.message:
                missing.discard(event.task_id)
            if not missing:
                break
        return dict(found)


def reads(host: AgentHost, plugin: Plugin, *paths: Path | str, **options: Any) -> Task:
    task = host.task(plugin, host.program("access"), [word for path in paths for word in ("read", str(path))], **options)
    assert task.run() == ExitResult(0), task.stderr.text
    return task


def audit_ports(pid: int) -> list[int]:
    """Of the sockets of the audit log that a process has (proc_net(5))."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]]
    open_files = set(processes.descriptors(pid).values())
    return [int(line[2]) for line in lines if line[1] == "9" and f"socket:[{line[9]}]" in open_files]


def reading(path: Path | str) -> str:
    return f'the sandbox denied reading "{path}" (Landlock: fs.read_file); the unveil rule "r:{path}" allows it'


@users
def test_each_rule_is_told_once(launch: Launch, host: AgentHost, files: list[Path], user: str) -> None:
    plugin = launch(shown(host, *files[:3]))
    events = Events(plugin)
    for _ in range(2):  # the second by a standby Executor
        task = reads(host, plugin, files[0], files[1], files[0], files[0], files[2], user=user)
        assert events.of(task, str(files[2])) == [reading(path) for path in files[:3]]


def test_the_rule_that_is_told_allows_it(launch: Launch, host: AgentHost, places: Path) -> None:
    """As it stands in the event, in quotes as HCL has them. Names are the task's choice."""
    names = ["plain", "with space", 'quote"s', "back\\slash", "new\nline", "ümlaut"]
    for name in names:
        (places / name).write_text("found")
        (places / name).chmod(0o644)
    plugin = launch({**shown(host, places), "unveil_by_task": True})
    events = Events(plugin)
    paths = [places / name for name in names]
    task = reads(host, plugin, *paths)
    told = events.of(task, "mlaut")
    assert len(told) == len(names) and all("\n" not in message for message in told)
    rules = [message.split('the unveil rule "')[1].rsplit('" allows it')[0] for message in told]
    unescaped = [rule.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\") for rule in rules]
    task = reads(host, plugin, *paths, unveil=unescaped)
    assert task.stdout.text.count("ok") == len(names), task.stdout.text


def test_programs_directories_and_files(launch: Launch, host: AgentHost, places: Path) -> None:
    program, directory = places / "program", places / "directory"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    directory.mkdir()
    directory.chmod(0o777)
    plugin = launch({"denial_events": True, "unveil_paths": [f"r:{program}", f"w:{directory}"]})
    events = Events(plugin)
    task = host.task(plugin, "sh", ["-c", f"{program}; ls {directory}; touch {directory}/new; exit 0"])
    task.run()
    assert events.of(task, "creating") == [
        f'the sandbox denied executing "{program}" (Landlock: fs.execute); the unveil rule "rx:{program}" allows it',
        f'the sandbox denied reading "{directory}" (Landlock: fs.read_dir); the unveil rule "r:{directory}" allows it',
        f'the sandbox denied creating, renaming or removing something in "{directory}" (Landlock: fs.make_reg); the unveil '
        f'rule "c:{directory}" allows it']


def test_ports_and_abstract_sockets(launch: Launch, host: AgentHost) -> None:
    plugin = launch(shown(host))
    events = Events(plugin)
    with socket.socket(socket.AF_UNIX) as server:
        name = f"exec2-{os.getpid()}"
        server.bind(f"\0{name}")
        server.listen()
        script = ("import socket\n"
                  "def attempt(family, method, address):\n"
                  "    try: getattr(socket.socket(family), method)(address)\n"
                  "    except OSError: pass\n"
                  "attempt(socket.AF_INET, 'bind', ('127.0.0.1', 81))\n"
                  "attempt(socket.AF_INET, 'connect', ('127.0.0.1', 82))\n"
                  f"attempt(socket.AF_UNIX, 'connect', chr(0) + {name!r})\n")
        task = host.task(plugin, "/usr/bin/python3", ["-c", script], config={"tcp_bind": [], "tcp_connect": []})
        assert task.run() == ExitResult(0), task.stderr.text
        assert events.of(task, "abstract") == [
            "the sandbox denied binding TCP port 81 (Landlock: net.bind_tcp); the port in the task option tcp_bind allows it",
            "the sandbox denied connecting to TCP port 82 (Landlock: net.connect_tcp); the port in the task option tcp_connect allows it",
            f'the sandbox denied connecting to an abstract unix socket, "@{name}" (Landlock: scope.abstract_unix_socket); the plugin '
            "option abstract_sockets = true allows it"]


@pytest.mark.landlock(minimum=10)
def test_udp_ports_and_unix_sockets(launch: Launch, host: AgentHost, places: Path) -> None:
    path = places / "socket"
    plugin = launch(shown(host, path, modes="r"))
    events = Events(plugin)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o666)
        script = ("import socket\n"
                  "def attempt(family, kind, method, *words):\n"
                  "    try: getattr(socket.socket(family, kind), method)(*words)\n"
                  "    except OSError: pass\n"
                  "attempt(socket.AF_INET, socket.SOCK_DGRAM, 'bind', ('127.0.0.1', 83))\n"
                  "attempt(socket.AF_INET, socket.SOCK_DGRAM, 'connect', ('127.0.0.1', 84))\n"
                  "attempt(socket.AF_INET, socket.SOCK_DGRAM, 'sendto', b'x', ('127.0.0.1', 85))\n"
                  f"attempt(socket.AF_UNIX, socket.SOCK_STREAM, 'connect', {str(path)!r})\n")
        task = host.task(plugin, "/usr/bin/python3", ["-c", script], config={"udp_bind": [83 + 1], "udp_connect": [53]})
        assert task.run() == ExitResult(0), task.stderr.text
        told = events.of(task, "resolve_unix")
    assert [message.split("(Landlock")[0].strip() for message in told] == [
        "the sandbox denied binding UDP port 83", "the sandbox denied connecting or sending to UDP port 84",
        "the sandbox denied connecting or sending to UDP port 85", f'the sandbox denied connecting to "{path}"'], told
    allowing = [message.split("; ")[1] for message in told]
    assert allowing == ["the port in the task option udp_bind allows it", "the port in the task option udp_connect allows it",
                        "the port in the task option udp_connect allows it", f'the unveil rule "w:{path}" allows it']


def test_a_task_that_is_denied_much(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    """The first ones are told, and then that there are more."""
    plugin = launch(shown(host, *files))
    events = Events(plugin)
    access = host.program("access")
    attempts = [f"{access} {' '.join(f'read {path}' for path in some)}" for some in (files[:20], files[20:])]
    task = host.task(plugin, "sh", ["-c", f"{attempts[0]}; until test -e $NOMAD_TASK_DIR/go; do sleep 0.05; done; {attempts[1]}; true"]).start()
    assert events.of(task, LAST) == [*(reading(path) for path in files[:MAXIMUM]), LAST]
    (task.local / "go").touch()
    assert task.wait() == ExitResult(0)
    # What is denied later is told later.
    other = reads(host, plugin, files[0])
    assert events.of(other, "reading") == [reading(files[0])]
    assert not [message for message in events.others[task.id] if "denied" in message]


def test_each_task_has_its_own(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    plugin = launch(shown(host, *files))
    # One stream: what a stream has told it a moment ago, the next one may or may not tell again.
    events = Events(plugin)
    tasks = [host.task(plugin, host.program("access"), ["read", str(path)], name=f"task{index}") for index, path in enumerate(files[:6])]
    for task in tasks:
        task.start()
    assert events.of_all(tasks, "reading") == {task.id: [reading(path)] for task, path in zip(tasks, files)}


def test_commands_in_a_task(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    """Their sandbox is another one, of the same task."""
    plugin = launch(shown(host, *files[:2]))
    events = Events(plugin)
    task = host.task(plugin, "sleep", ["300"]).start()
    # It is looked for by its process.
    exec_task(task, "sh", "-c", f"cat {files[0]}; sleep 2")
    assert events.of(task, str(files[0])) == [reading(files[0])]
    task.stop(signal="SIGKILL")


# A child that makes a sandbox, and what it is denied in there; then something that its parent is denied.
OWN_SANDBOX = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def read(path):
    try: open(path)
    except PermissionError: print("denied", flush=True)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    access = ctypes.c_uint64(4)  # LANDLOCK_ACCESS_FS_READ_FILE
    ruleset = libc.syscall(444, ctypes.byref(access), ctypes.c_size_t(8), 0)
    libc.syscall(446, ruleset, 0)
    read(sys.argv[1])
    os.write(writer, b"x")
    time.sleep(600)
os.read(reader, 1)
time.sleep(2)  # Denials wait until the process is found that has made the sandbox.
read(sys.argv[2])
os.kill(child, 9)
"""


def test_sandboxes_of_a_program(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    """They are its own, as a browser's: no rule of the task's would allow what they deny."""
    plugin = launch({"denial_events": True, "unveil_paths": [host.programs_rule, f"r:{files[0]}", f"w:{files[1]}"]})
    events = Events(plugin)
    with AuditLog() as log:
        task = host.task(plugin, "/usr/bin/python3", ["-c", OWN_SANDBOX, str(files[0]), str(files[1])])
        assert task.run() == ExitResult(0) and task.lines() == ["denied", "denied"], task.stderr.text
        assert [denial.path for denial in log.denials() if denial.path.startswith(str(files[0].parent))] == [str(files[0]), str(files[1])]
    assert events.of(task, str(files[1])) == [reading(files[1])]


def test_records_that_the_kernel_has_not_sent(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    plugin = launch(shown(host, files[0]))
    events = Events(plugin)
    task = host.task(plugin, "sh", ["-c", f"read -r _ < local/go; cat {files[0]}"])
    os.mkfifo(task.local / "go", 0o666)
    task.start()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as forger:
        forger.bind((0, 0))
        for kind, text in ((1423, f'domain=1 blockers=fs.write_file path="{files[1]}"'),
                           (1424, f'domain=1 status=allocated mode=enforcing pid={task.pid} uid=0 exe="x" comm="exec2-x"')):
            record = f"audit(1.0:1): {text}".encode()
            forger.sendto(struct.pack("=IHHII", 16 + len(record), kind, 0, 0, 0) + record, (audit_ports(plugin.pid)[0], 0))
    time.sleep(0.5)
    (task.local / "go").write_text("go\n")
    assert events.of(task, "reading") == [reading(files[0])]


def test_after_the_driver(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    """The first denial of a task that an earlier driver has started."""
    plugin = launch(shown(host, *files[:2]))
    task = host.task(plugin, "sh", ["-c", f"trap 'cat {files[0]}' USR1; echo up; while :; do sleep 0.1; done"]).start()
    task.stdout.wait_for("up")
    plugin = successor(launch, plugin)
    recover(plugin, task)
    # Events of a recovered task are told once the host waits for it. gRPC cancels a call when nothing refers to it any more.
    waiting = task.wait_soon()
    events = Events(plugin)
    task.signal("SIGUSR1")
    assert events.of(task, str(files[0])) == [reading(files[0])]
    task.stop(signal="SIGKILL")
    assert waiting.result().result.signal == 9


# The option


def test_without_the_option(launch: Launch, host: AgentHost, files: list[Path]) -> None:
    """No event, no record, and no socket; the option can be changed while the driver runs."""
    plugin = launch({**shown(host, *files[:1]), "denial_events": False})
    with AuditLog() as log:
        reads(host, plugin, files[0])
        assert log.denials() == []
    assert audit_ports(plugin.pid) == []
    plugin.begin({**plugin.config, "denial_events": True})
    assert len(audit_ports(plugin.pid)) == 1
    events = Events(plugin)
    assert events.of(reads(host, plugin, files[0]), "reading") == [reading(files[0])]
    assert len(audit_ports(plugin.pid)) == 1
    plugin.begin({**plugin.config, "denial_events": False})
    assert audit_ports(plugin.pid) == []


def test_the_fingerprint_and_check_tell_whether_it_works(launch: Launch, host: AgentHost, binary: Path) -> None:
    def check() -> str:
        lines = subprocess.run([binary, "check"], capture_output=True, text=True, check=False).stdout.splitlines()
        return next(line for line in lines if "denial events" in line)

    plugin = launch({"denial_events": True})
    assert "denial_events" not in plugin.fingerprint().health_description
    assert "possible, with the plugin option denial_events = true" in check()
    with AuditLog() as log:
        log.switch(False)
        said = plugin.fingerprint().health_description
        assert "the plugin option denial_events has no effect: the kernel's auditing is off: switch it on with auditctl -e 1" in said
        assert "not possible" in check() and "auditctl -e 1" in check()
    assert landlock.abi() >= 7
