"""Other ways to run a confined program, for comparison; docs/performance.md describes each."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
from typing import Any, Sequence

from tools import Spawner

USER = "80000"
CGROUP = "exec2-bench"  # that of all peers is below it
# The host's directories that a peer's task sees, and its own.
DIRECTORIES = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
RUNTIMES = {"crun": ["--cgroup-manager=cgroupfs"], "runc": []}


def missing(program: str) -> str | None:
    """Why a peer cannot run here."""
    return None if shutil.which(program) else f"no {program} on this host ('.ci/install-dependencies bench')"


def chain(command: Sequence[str]) -> list[str]:
    """util-linux's unshare and setpriv, with which HashiCorp's driver starts its tasks."""
    return ["unshare", "--pid", "--mount", "--ipc", "--fork", "--kill-child", "--mount-proc", "setpriv", "--reuid", USER,
            "--regid", USER, "--clear-groups", "--no-new-privs", "--bounding-set=-all", *command]


def bubblewrap(command: Sequence[str], programs: pathlib.Path) -> list[str]:
    """bubblewrap with the host's file system read-only; there another user needs a user namespace."""
    return ["bwrap", "--unshare-user", "--uid", USER, "--gid", USER, "--unshare-pid", "--unshare-ipc",
            *(part for directory in (*DIRECTORIES, str(programs)) if os.path.exists(directory) for part in ("--ro-bind", directory, directory)),
            "--proc", "/proc", "--dev", "/dev", "--bind", "/tmp", "/tmp", "--die-with-parent", "--new-session",
            "--cap-drop", "ALL", *command]


class Bundle:
    """A bundle for OCI runtimes: the host's directories bind-mounted read-only, with its own /proc and /dev."""

    def __init__(self, directory: pathlib.Path, command: Sequence[str], programs: pathlib.Path, cgroup: str):
        self.directory = directory
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ]
        for path in (*DIRECTORIES, str(programs), "/tmp"):
            if os.path.exists(path):
                (directory / "rootfs" / path[1:]).mkdir(parents=True)
                mounts.append({"destination": path, "type": "bind", "source": os.path.realpath(path),
                               "options": ["rbind"] + ([] if path == "/tmp" else ["ro"])})
        for name in ("proc", "dev"):
            (directory / "rootfs" / name).mkdir()
        sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.0",
            "process": {"terminal": False, "user": {"uid": int(USER), "gid": int(USER)}, "args": list(command),
                        "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "noNewPrivileges": True,
                        "capabilities": {name: [] for name in sets}},
            "root": {"path": "rootfs", "readonly": True}, "mounts": mounts,
            "linux": {"cgroupsPath": cgroup, "namespaces": [{"type": kind} for kind in ("pid", "ipc", "mount")]},
        }))

    def run(self, runtime: str, state: pathlib.Path, name: str) -> list[str]:
        """The command that runs it to its end."""
        return [runtime, "--root", str(state), *RUNTIMES[runtime], "run", "--bundle", str(self.directory), name]

    def conmon(self, runtime: str, state: pathlib.Path, name: str) -> list[str]:
        """The command that makes conmon create it; `start` starts it."""
        arguments = [f"--runtime-arg={argument}" for argument in ["--root", str(state), *RUNTIMES[runtime]]]
        return ["conmon", "--cid", name, "--cuuid", name, "--name", name, "--runtime", str(shutil.which(runtime)), *arguments,
                "--bundle", str(self.directory), "--container-pidfile", str(self.directory / "pid"),
                "--log-path", f"k8s-file:{self.directory}/log", "--exit-dir", str(self.directory),
                "--conmon-pidfile", str(self.directory / "conmon.pid"), "--socket-dir-path", str(self.directory)]


def runtime(command: str, program: str, state: pathlib.Path, name: str) -> list[str]:
    """Another command of an OCI runtime."""
    return [program, "--root", str(state), *RUNTIMES[program], command, name]


class Events:
    """A socket in the place of containerd's for its shims' events: they do not start without it."""

    def __init__(self, directory: pathlib.Path):
        self.path = directory / "events"
        self._sockets = []
        for suffix in ("", ".ttrpc"):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(f"{self.path}{suffix}")
            # No accept is needed: a pending connection suffices.
            listening.listen(4096)
            self._sockets.append(listening)

    def close(self) -> None:
        for listening in self._sockets:
            listening.close()


class Shim:
    """containerd's shim without containerd, controlled through its socket (ttrpc)."""

    def __init__(self, spawner: Spawner, program: pathlib.Path, bundle: Bundle, name: str, events: Events):
        self.name = name
        log = bundle.directory / "log"
        os.mkfifo(log)
        self._log = os.open(log, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # The shim starts itself again in the background and prints its address.
        out = bundle.directory / "address"
        script = ('cd "$1" && TTRPC_ADDRESS="$5" exec timeout 20 "$2" -namespace exec2-bench -id "$3" -address "$5" '
                  '-publish-binary /bin/true start >"$4" </dev/null')
        status = spawner.run(["/bin/sh", "-c", script, "sh", bundle.directory, program, name, out, events.path]).number
        address = out.read_text().strip() if out.exists() else ""
        if status != 0 or not address.startswith("unix://"):
            raise RuntimeError(f"containerd's shim did not start (status {status}, {address!r})")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(address.removeprefix("unix://"))
        self._stream = 1
        self.task = _varint(self._call("Create", _field(1, name) + _field(2, str(bundle.directory))), 1)
        self._call("Start", _field(1, name))

    @property
    def pid(self) -> int:
        """The shim's own pid."""
        return _varint(self._call("Connect", _field(1, self.name)), 1)

    def end(self) -> None:
        """Kills and deletes the task, and ends the shim."""
        for method, message in (("Kill", _field(1, self.name) + b"\x18\x09\x20\x01"), ("Wait", _field(1, self.name)),
                                ("Delete", _field(1, self.name)), ("Shutdown", _field(1, self.name) + b"\x10\x01")):
            try:
                self._call(method, message)
            except (RuntimeError, OSError):
                pass
        self._socket.close()
        os.close(self._log)

    def _call(self, method: str, message: bytes) -> bytes:
        request = _field(1, "containerd.task.v2.Task") + _field(2, method) + _field(3, message)
        self._socket.sendall(struct.pack(">IIBB", len(request), self._stream, 1, 0) + request)
        self._stream += 2
        length, _, _, _ = struct.unpack(">IIBB", self._read(10))
        response = self._read(length)
        status, payload = _bytes(response, 1), _bytes(response, 2)
        if status and _varint(status, 1):
            raise RuntimeError(f"containerd's shim: {method}: {_bytes(status, 2).decode(errors='replace')}")
        return payload

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise RuntimeError("containerd's shim has closed the connection")
            data += part
        return data


def _number(value: int) -> bytes:
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def _field(number: int, value: str | bytes) -> bytes:
    """A length-delimited protobuf field."""
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + _number(len(data)) + data


def _fields(message: bytes) -> dict[int, int | bytes]:
    found: dict[int, int | bytes] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found[key >> 3] = varint()
        elif key & 7 == 2:
            length = varint()
            found[key >> 3] = message[at:at + length]
            at += length
        else:
            raise RuntimeError(f"containerd's shim: a field of type {key & 7}")
    return found


def _bytes(message: bytes, number: int) -> bytes:
    value = _fields(message).get(number, b"")
    return value if isinstance(value, bytes) else b""


def _varint(message: bytes, number: int) -> int:
    value = _fields(message).get(number, 0)
    return value if isinstance(value, int) else 0


def version(program: str) -> str:
    """The first line of a program's version output that is not its own path."""
    option = "-v" if "shim" in program else "--version"
    try:
        said = subprocess.run([program, option], capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    lines = [line.strip() for line in (said.stdout or said.stderr).splitlines()]
    return next((line for line in lines if line and line != f"{program}:"), "")
