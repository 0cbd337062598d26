"""The virtual machine: serves it this machine's files, and returns its command's output and exit status."""

from __future__ import annotations

import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO

from architecture import AMD64, Architecture
from files import File, FileServer, FilesError, mount_point
from kernel import Kernel

GUEST = pathlib.Path(__file__).resolve().parent / "guest"

# A guest that dies before its command starts is booted again, and so is one that hangs as a whole: emulated kernels sometimes
# panic early, and sometimes stop. A command that hangs is another matter: its guest goes on telling that it is alive.
ATTEMPTS = 3
# Seconds without a sign of life, of which the guest gives one every ten.
HUNG = 90

KERNEL_PARAMETERS = (
    "quiet loglevel=4 panic=-1 mitigations=off nokaslr cryptomgr.notests "
    "systemd.unified_cgroup_hierarchy=1"
)


class MachineError(Exception):
    """The guest cannot be run; the text says why, with the remedy."""


@dataclass(frozen=True)
class Settings:
    """The command to run, and the machine for it."""

    command: list[str]
    cwd: str
    environment: dict[str, str]
    shares: list[str]
    memory_mib: int
    cpus: int
    timeout: float  # seconds
    systemd: bool
    accelerator: str
    console: pathlib.Path | None
    architecture: Architecture = AMD64
    # The guest's / where it is not this machine's, and which directories of this machine are where in it.
    root: str | None = None
    views: dict[str, str] = field(default_factory=dict)


def run(kernel: Kernel, settings: Settings) -> int:
    """Run the command and return its exit status; 124 at the time limit."""
    _require_programs(settings)
    deadline = time.monotonic() + settings.timeout
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="exec2-vm-") as directory:
            try:
                boot = Boot(kernel, settings, pathlib.Path(directory))
            except FilesError as error:
                raise MachineError(str(error)) from error
            try:
                end = boot.wait(deadline)
            finally:
                boot.end()
            if settings.console:
                shutil.copy(boot.console, settings.console)
            status = boot.exit_status()
            if status is not None:
                return status
            if end == End.TIME_LIMIT:
                print(f"vm: the time limit of {settings.timeout:g} s was reached\n"
                      f"{boot.last_output()}", file=sys.stderr)
                return 124
            if end == End.GUEST and boot.command_started():
                raise MachineError(f"the guest died while the command ran\n{boot.last_output()}")
            what = "died before the command started" if end == End.GUEST else f"gave no sign of life for {HUNG} s"
            if attempt == ATTEMPTS:
                raise MachineError(f"{ATTEMPTS} guests were tried, and the last one {what}\n{boot.last_output()}")
            print(f"vm: the guest {what}; booting another\n{boot.last_output()}", file=sys.stderr)
    raise AssertionError("unreachable")


def _require_programs(settings: Settings) -> None:
    architecture = settings.architecture
    if settings.root is None and platform.machine() != architecture.processor:
        raise MachineError(f"the guest is {architecture.processor} and runs this machine's programs, which are "
                           f"{platform.machine()}: --root names a directory with others")
    if settings.accelerator != "tcg" and not architecture.accelerated:
        raise MachineError(f"--accel {settings.accelerator}: a guest of {architecture.processor} is only emulated")
    if os.geteuid() != 0:
        raise MachineError("sharing the root file system with the guest needs root")
    packages = {architecture.program: architecture.program_package, "cpio": "cpio"}
    for program, package in packages.items():
        if shutil.which(program) is None:
            raise MachineError(f"{program} is missing: apt-get install {package}")
    if not _busybox(settings).exists():
        raise MachineError(f"{_busybox(settings)} is missing, which brings the guest up: apt-get install busybox-static"
                           + (f" for {architecture.debian} into {settings.root}" if settings.root else ""))
    if settings.systemd and not os.access(pathlib.Path(settings.root or "/", "lib/systemd/systemd"), os.X_OK):
        raise MachineError("/lib/systemd/systemd is missing: apt-get install systemd")


def _busybox(settings: Settings) -> pathlib.Path:
    if settings.root is not None:
        return pathlib.Path(settings.root, "usr", "bin", "busybox")
    return pathlib.Path(shutil.which("busybox") or "/bin/busybox")


class End(Enum):
    """Why waiting for a guest has ended."""

    GUEST = "the guest has ended"
    HUNG = "it gave no sign of life"
    TIME_LIMIT = "the deadline came first"


class Boot:
    """One start of the guest."""

    def __init__(self, kernel: Kernel, settings: Settings, directory: pathlib.Path) -> None:
        self.console = directory / "console"
        self.console.touch()
        self._directory = directory
        self._control = directory / "control"
        self._copiers: list[threading.Thread] = []
        self._qemu: subprocess.Popen[bytes] | None = None
        self._servers: list[FileServer] = []
        try:
            self._start(kernel, settings)
        except BaseException:
            self.end()
            raise

    def _start(self, kernel: Kernel, settings: Settings) -> None:
        if settings.root is None:
            views = {path: path for path in ("/", mount_point(str(kernel.modules)), mount_point(settings.cwd))}
        else:
            views = {"/": settings.root, str(kernel.modules): str(kernel.modules), **settings.views}
        # What is below another one is mounted after it.
        files = [File(f"view{i}", path, writable=False, source=views[path]) for i, path in enumerate(sorted(views))]
        files += [File(f"share{i}", path, writable=True) for i, path in enumerate(settings.shares)]
        self._servers = [FileServer(file, self._directory) for file in files]
        for server in self._servers:
            server.wait_until_ready()

        initramfs = self._write_initramfs(kernel, settings, files)
        outputs = [self._copied_to(sys.stdout.buffer), self._copied_to(sys.stderr.buffer)]
        try:
            with open(self._directory / "qemu.log", "wb") as log:
                self._qemu = subprocess.Popen(
                    self._qemu_command(kernel, settings, initramfs, outputs),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=outputs)
        finally:
            for output in outputs:
                os.close(output)

    def _write_initramfs(self, kernel: Kernel, settings: Settings, files: list[File]) -> pathlib.Path:
        root = self._directory / "initramfs"
        for name in ("bin", "modules", "proc", "sys", "dev", "vm"):
            (root / name).mkdir(parents=True)
        shutil.copy(_busybox(settings), root / "bin" / "busybox")
        for module in kernel.boot_modules:
            shutil.copy(module, root / "modules")
        shutil.copytree(GUEST, root / "vm", dirs_exist_ok=True)
        (root / "vm" / "init").rename(root / "init").chmod(0o755)
        (root / "vm" / "mounts").write_text("".join(f"{file.line}\n" for file in files))
        (root / "vm" / "settings").write_text(
            f"SYSTEMD={'yes' if settings.systemd else ''}\nMODULES={shlex.quote(str(kernel.modules))}\n")
        (root / "vm" / "command").write_text(_command_script(settings))
        archive = self._directory / "initramfs.cpio"
        with open(archive, "wb") as out:
            subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=root, stdout=out, check=True)
        return archive

    def _copied_to(self, stream: BinaryIO) -> int:
        """The write end of a pipe whose bytes are copied to a stream as they come."""
        reader, writer = os.pipe()

        def copy() -> None:
            with open(reader, "rb", buffering=0) as source:
                while data := source.read(65536):
                    stream.write(data)
                    stream.flush()

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        self._copiers.append(thread)
        return writer

    def _qemu_command(self, kernel: Kernel, settings: Settings, initramfs: pathlib.Path,
                      outputs: list[int]) -> list[str]:
        architecture = settings.architecture
        command = [
            # If this process is killed, the guest ends too.
            "setpriv", "--pdeathsig", "KILL", architecture.program,
            *(architecture.emulated if settings.accelerator == "tcg" else architecture.accelerated),
            "-smp", str(settings.cpus),
            "-m", str(settings.memory_mib),
            "-object", f"memory-backend-memfd,id=memory,size={settings.memory_mib}M,share=on",
            "-numa", "node,memdev=memory",
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", f"console={architecture.console} {KERNEL_PARAMETERS}",
            "-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
            "-device", "virtio-serial-pci,max_ports=8",
        ]
        ports = {
            "out": f"/dev/fd/{outputs[0]}", "err": f"/dev/fd/{outputs[1]}", "control": str(self._control),
        }
        for name, path in ports.items():
            command += ["-chardev", f"file,id={name},path={path}",
                        "-device", f"virtserialport,chardev={name},name={name}"]
        for server in self._servers:
            command += server.qemu_arguments
        return command

    def wait(self, deadline: float) -> End:
        """Wait until the guest has ended, hangs, or the deadline has come."""
        assert self._qemu is not None
        reported, since = 0, time.monotonic()
        while time.monotonic() < deadline:
            try:
                self._qemu.wait(1)
                return End.GUEST
            except subprocess.TimeoutExpired:
                pass
            reports = len(self._reports())
            if reports != reported or not self.command_started():
                reported, since = reports, time.monotonic()
            elif time.monotonic() - since > HUNG:
                return End.HUNG
        return End.TIME_LIMIT

    def end(self) -> None:
        """End every process of the machine, and wait for all output to be copied."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
        for server in self._servers:
            server.end()
        for copier in self._copiers:
            copier.join()

    def exit_status(self) -> int | None:
        """The command's exit status, if it has ended."""
        for line in self._reports():
            if line[0] == "ended":
                return int(line[1])
        return None

    def command_started(self) -> bool:
        return any(line[0] == "started" for line in self._reports())

    def _reports(self) -> list[list[str]]:
        if not self._control.exists():
            return []
        return [line.split() for line in self._control.read_text().splitlines() if line.strip()]

    def last_output(self) -> str:
        """The last output of each process of the machine, for an error's text."""
        text = ""
        for log in [self._directory / "qemu.log", *sorted(self._directory.glob("*.server.log")), self.console]:
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            text += "".join(f"  {log.name}: {line}\n" for line in lines[-40:])
        return text


def _command_script(settings: Settings) -> str:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": os.environ.get("HOME", "/root"),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TERM": "dumb",
        **settings.environment,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines += [f"cd {shlex.quote(settings.cwd)} || exit 125", f"exec {shlex.join(settings.command)}"]
    return "\n".join(lines) + "\n"
