"""The agent's own service is stopped: Executors and tasks live on, and a new agent recovers them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, messages, mounts, processes
from agent.messages import REPOSITORY
from agent.timing import SLOW, scaled, wait_until

pytestmark = pytest.mark.systemd
Driver = messages.driver
SECONDS = 60
DROP_IN = REPOSITORY / "examples" / "nomad.service.d" / "nomad-driver-exec2.conf"


class Unit:
    """A transient service that runs agent_unit.py."""

    def __init__(self, directory: Path, binary: Path, kill_mode: str):
        self.name = f"exec2-agent-{uuid.uuid4().hex[:8]}.service"
        self.directory = directory
        directory.mkdir()
        file = directory / "notes.json"
        self._call(
            "systemd-run", f"--unit={self.name}", f"--property=KillMode={kill_mode}", "--property=TimeoutStopSec=60",
            f"--setenv=EXEC2_CONFORMANCE_DIR={directory}", f"--setenv=EXEC2_PLUGIN={binary}", f"--setenv=EXEC2_SLOW={SLOW}",
            sys.executable, str(Path(__file__).with_name("agent_unit.py")), str(file))
        wait_until(lambda: file.exists() or not self.is_active, SECONDS, f"notes of {self.name}")
        assert file.exists(), self._call("systemctl", "status", "--no-pager", self.name, check=False)
        self.notes = json.loads(file.read_text())
        self.cgroup = processes.cgroup(self.notes["driver"])
        self.tasks: dict[str, Any] = self.notes["tasks"]

    @property
    def is_active(self) -> bool:
        return self._call("systemctl", "is-active", self.name, check=False).strip() in ("active", "activating")

    def stop(self) -> None:
        """Stops the service, as an administrator does."""
        self._call("systemctl", "stop", self.name)

    @staticmethod
    def _call(*command: str, check: bool = True) -> str:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=scaled(SECONDS))
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout


@pytest.fixture
def start_unit(host: AgentHost, binary: Path) -> Iterator[Callable[[str], Unit]]:
    """Starts units; removes what their agents have made afterwards."""
    units: list[Unit] = []

    def start(kill_mode: str) -> Unit:
        units.append(Unit(host.root / f"unit{uuid.uuid4().hex[:8]}", binary, kill_mode))
        return units[-1]

    yield start
    for unit in units:
        for task in unit.tasks.values():
            scope = Path(task["scope"])
            if scope.exists():
                cgroups.kill(scope)
        for point in mounts.below(unit.directory):
            mounts.unmount(Path(point))


def recover(plugin: Plugin, task: dict[str, Any]) -> None:
    handle = Driver.TaskHandle.FromString(bytes.fromhex(task["handle"]))
    plugin.driver.RecoverTask(Driver.RecoverTaskRequest(task_id=task["id"], handle=handle), timeout=scaled(30))


def wait(driver: Any, task: dict[str, Any]) -> ExitResult:
    return Task.result_of(driver.WaitTask(Driver.WaitTaskRequest(task_id=task["id"]), timeout=scaled(30)))


def pid(driver: Any, task: dict[str, Any]) -> int:
    answer = driver.InspectTask(Driver.InspectTaskRequest(task_id=task["id"]), timeout=scaled(30))
    return int(answer.driver.attributes["pid"])


def check_survival(unit: Unit) -> None:
    """The endless task and the Executors live, outside of the service's cgroup."""
    endless = unit.tasks["endless"]
    assert processes.is_alive(endless["pid"])
    assert processes.is_alive(endless["executor"])
    for number in (endless["pid"], endless["executor"]):
        assert unit.name not in processes.cgroup(number)


def check_recovery(unit: Unit, launch: Callable[..., Plugin]) -> None:
    """A new agent recovers all tasks: those that run, and those that ended meanwhile."""
    plugin = launch({"state_dir": unit.notes["state_dir"]})
    for task in unit.tasks.values():
        recover(plugin, task)
    endless = unit.tasks["endless"]
    assert pid(plugin.driver, endless) == endless["pid"]
    assert wait(plugin.driver, unit.tasks["brief"]) == ExitResult(7)
    assert wait(plugin.driver, unit.tasks["greedy"]) == ExitResult(137, 9, oom_killed=True)
    assert len(cgroups.processes(Path(endless["scope"]))) == 3
    stop = Driver.StopTaskRequest(task_id=endless["id"], signal="SIGTERM")
    stop.timeout.FromSeconds(20)
    plugin.driver.StopTask(stop, timeout=scaled(30))
    assert wait(plugin.driver, endless) == ExitResult(143, 15)
    assert cgroups.processes(Path(endless["scope"])) == []
    for task in unit.tasks.values():
        plugin.driver.DestroyTask(Driver.DestroyTaskRequest(task_id=task["id"]), timeout=scaled(30))
    assert list(Path(unit.notes["state_dir"]).iterdir()) == []


def test_stopped_with_its_whole_cgroup(start_unit: Callable[[str], Unit], launch: Callable[..., Plugin]) -> None:
    """KillMode=control-group, systemd's default: the Driver ends with its agent."""
    unit = start_unit("control-group")
    assert unit.name in unit.cgroup
    unit.stop()
    assert not unit.is_active
    assert not processes.is_alive(unit.notes["driver"])
    check_survival(unit)
    check_recovery(unit, launch)


def test_stopped_alone(start_unit: Callable[[str], Unit], launch: Callable[..., Plugin]) -> None:
    """KillMode=process, as Nomad's unit has it: the Driver lives on and its next agent talks to it, or
    ends it and launches another."""
    unit = start_unit("process")
    unit.stop()
    assert not unit.is_active
    assert processes.is_alive(unit.notes["driver"])
    check_survival(unit)
    with grpc.insecure_channel(f"unix:{unit.notes['address']}") as channel:
        driver = messages.driver_service.DriverStub(channel)
        assert pid(driver, unit.tasks["endless"]) == unit.tasks["endless"]["pid"]
        assert wait(driver, unit.tasks["brief"]) == ExitResult(7)
        messages.goplugin_service.GRPCControllerStub(channel).Shutdown(messages.goplugin.Empty(), timeout=scaled(30))
    wait_until(lambda: not processes.is_alive(unit.notes["driver"]), 10, "the end of the old Driver")
    check_survival(unit)
    check_recovery(unit, launch)


# What systemd-analyze security recommends and a driver cannot live with.
HARDENING = """\
User=daemon
Group=daemon
CapabilityBoundingSet=CAP_CHOWN CAP_KILL
SystemCallFilter=@system-service
SystemCallArchitectures=native
RestrictAddressFamilies=AF_INET
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
MemoryDenyWriteExecute=yes
LockPersonality=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectControlGroups=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
PrivateNetwork=yes
PrivateIPC=yes
ReadOnlyPaths=/run
InaccessiblePaths=/srv
NoExecPaths=/opt
DevicePolicy=closed
DeviceAllow=/dev/null rw
"""


def settings(unit: str) -> dict[str, str]:
    """What systemd has understood of a unit's hardening."""
    names = [line.partition("=")[0] for line in HARDENING.splitlines()]
    said = systemctl("show", "--all", *(f"--property={name}" for name in names), unit)
    # An empty list has no line.
    return dict.fromkeys(names, "") | dict(line.split("=", 1) for line in said.splitlines())


def systemctl(*words: str, check: bool = True) -> str:
    return Unit._call("systemctl", *words, check=check)


@pytest.fixture
def units(binary: Path) -> Iterator[Callable[..., str]]:
    """Makes services that run a command in a sandbox."""
    made: list[Path] = []
    name = f"exec2-hardened-{uuid.uuid4().hex[:8]}"

    def make(label: str, hardening: str = "", drop_in: str = "") -> str:
        unit = Path("/run/systemd/system", f"{name}-{label}.service")
        directory = unit.with_suffix(".service.d")
        directory.mkdir(parents=True)
        made.extend((unit, directory))
        unit.write_text(f"[Service]\nType=oneshot\nExecStart={binary} run -- sh -c 'exit 0'\n{hardening}")
        (directory / "nomad-driver-exec2.conf").write_text(drop_in)
        systemctl("daemon-reload")
        return unit.name

    yield make
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    systemctl("daemon-reload")


def test_drop_in_gives_a_hardened_unit_back_what_the_driver_needs(units: Callable[..., str]) -> None:
    plain, hardened = units("plain"), units("hardened", HARDENING)
    mended = units("mended", HARDENING, DROP_IN.read_text())
    refused = settings(hardened)
    assert [name for name, value in settings(plain).items() if refused[name] == value] == []
    allowed = settings(plain) | {"User": "root", "Group": "root"}
    assert settings(mended) == allowed
    for unit, works in ((plain, True), (hardened, False), (mended, True)):
        systemctl("start", unit, check=False)
        assert (systemctl("show", "--property=Result", unit).strip() == "Result=success") == works, (
            unit + systemctl("status", "--no-pager", unit, check=False))
