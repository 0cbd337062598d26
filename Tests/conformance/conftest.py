"""Fixtures, and the selection of the tests that this host can run."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, landlock, processes
from agent.audit import AuditLog
from agent.file_systems import missing_for_loop_devices
from agent.plugin import default_binary
from agent.tracer import Tracer

_not_run: dict[str, list[str]] = {}


def _lacking() -> dict[str, str]:
    """Markers whose tests cannot run here → what this host lacks, and where to run them instead."""
    lacking = {}
    if not cgroups.has_controllers():
        lacking["controllers"] = (
            f"cgroup v2 controllers, of which {cgroups.mount_point()} has {sorted(cgroups.controllers()) or 'none'}: run "
            "them in the virtual machine (Tests/vm/run)")
    if missing := AuditLog.missing():
        lacking["audit"] = f"the right to switch the kernel's audit log on and to read it ({missing})"
    if missing := missing_for_loop_devices():
        lacking["loop"] = f"loop devices, for which this host has no {missing}"
    if not Path("/dev/fuse").exists():
        lacking["fuse"] = "FUSE, for a file system that does not answer"
    # See sd_booted(3).
    if not Path("/run/systemd/system").is_dir():
        lacking["systemd"] = "systemd as PID 1: run them in the virtual machine (Tests/vm/run --systemd)"
    if cgroups.has_controllers():
        lacking["no_controllers"] = "a host whose cgroup v2 has no controllers"
    for processor in ("x86_64", "aarch64"):
        if platform.machine() != processor:
            lacking[processor] = f"an {processor} processor"
    return lacking


def _needs_of_kernel(item: pytest.Item) -> str | None:
    """The Landlock versions that the item needs, if this kernel has another one."""
    marker = item.get_closest_marker("landlock")
    if marker is None:
        return None
    if unknown := set(marker.kwargs) - {"minimum", "maximum"}:
        raise pytest.UsageError(f"{item.nodeid}: the marker landlock has no argument {', '.join(sorted(unknown))}")
    minimum, maximum = marker.kwargs.get("minimum", 1), marker.kwargs.get("maximum", float("inf"))
    if minimum <= landlock.abi() <= maximum:
        return None
    return f"Landlock of version {f'{minimum} or newer' if minimum > 1 else f'{maximum} or older'}, and this kernel has {landlock.abi()}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--landlock-minimum", type=int, default=1, metavar="VERSION",
                     help="fail if the kernel's Landlock is older than this, instead of leaving tests out")


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM, as at a time limit, lets the session clean up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A background job of a shell ignores SIGINT and SIGQUIT, and nohup SIGHUP. Programs under test would inherit that, and
    # tests that signal them would hang. A handler becomes the default action at execve; this process ignores them still.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    minimum = config.getoption("--landlock-minimum", 1)
    if minimum > 1 and landlock.abi() < minimum:
        raise pytest.UsageError(
            f"these tests were asked for with Landlock {minimum} or newer, and Linux {platform.release()} here has "
            f"{landlock.abi()}: run them under a newer kernel (Tests/vm/run --kernel)")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the tests that need what the host lacks, and lists them in the summary; selecting them by their marker
    is an error."""
    for marker, reason in _lacking().items():
        needing = [item for item in items if item.get_closest_marker(marker)]
        if needing and marker in config.option.markexpr.replace(f"not {marker}", ""):
            raise pytest.UsageError(f"{len(needing)} tests were asked for that need {reason}")
        if needing:
            _not_run.setdefault(reason, []).extend(item.nodeid for item in needing)
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]
    other = [(item, reason) for item in items if (reason := _needs_of_kernel(item))]
    for item, reason in other:
        _not_run.setdefault(reason, []).append(item.nodeid)
    config.hook.pytest_deselected(items=[item for item, _ in other])
    items[:] = [item for item in items if not _needs_of_kernel(item)]


def pytest_report_header() -> list[str]:
    return [
        f"Linux {platform.release()}, {landlock.description()}",
        f"cgroup v2: {cgroups.mount_point()}, controllers: {' '.join(sorted(cgroups.controllers())) or 'none'}",
    ]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for reason, names in _not_run.items():
        terminalreporter.section("not run here", sep="!", red=True, bold=True)
        terminalreporter.line(f"These tests need {reason}.")
        for name in names:
            terminalreporter.line(f"  not run: {name}")


@pytest.fixture(scope="session")
def host() -> Iterator[AgentHost]:
    """The session's agent; nothing may be left at its end."""
    agent = AgentHost()
    yield agent
    faults = agent.close()
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="session")
def binary() -> Path:
    """The plugin under test; the session ends if it is missing."""
    try:
        return default_binary()
    except FileNotFoundError as error:
        pytest.exit(str(error), returncode=3)


@pytest.fixture(scope="module")
def plugin(host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin with the default config except for unveil_by_task, shared by the
    tests of a file."""
    plugin = host.launch({"unveil_by_task": True})
    yield plugin
    assert plugin.is_running, "the plugin has ended unexpectedly"
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    faults += plugin.violations
    assert not faults, "\n".join(faults)


@pytest.fixture
def launch(host: AgentHost, binary: Path) -> Iterator[Callable[..., Plugin]]:
    """Launches plugins, and ends them after the test."""
    launched: list[Plugin] = []

    def start(*arguments: Any, **options: Any) -> Plugin:
        plugin = host.launch(*arguments, **options)
        launched.append(plugin)
        return plugin

    yield start
    faults = host.clean_tasks()
    for plugin in launched:
        if plugin.is_running and plugin.channel is not None:
            faults += host.leftovers(plugin)
        plugin.end()
        host.plugins.remove(plugin)
        faults += plugin.violations
    assert not faults, "\n".join(faults)


@pytest.fixture(autouse=True)
def tasks_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test its tasks are destroyed and their cgroups empty."""
    yield
    if "host" not in request.fixturenames:
        return
    faults = request.getfixturevalue("host").clean_tasks()
    assert not faults, "\n".join(faults)


@pytest.fixture
def make(host: AgentHost, plugin: Plugin) -> Callable[..., Task]:
    """Makes tasks of the shared plugin."""

    def task(command: Any, arguments: Any = (), **options: Any) -> Task:
        return host.task(plugin, command, arguments, **options)

    return task


@pytest.fixture
def act(host: AgentHost, make: Callable[..., Task]) -> Callable[..., Task]:
    """Makes tasks that do what Tests/programs/act.c says."""

    def task(*verbs: str, **options: Any) -> Task:
        return make(host.program("act"), verbs, **options)

    return task


@pytest.fixture
def plugin_lives_on(host: AgentHost, plugin: Plugin) -> Iterator[None]:
    """After the test the same process still runs tasks, and its memory is below a limit."""
    pid = plugin.pid
    yield
    plugin.set_config(plugin.config)
    assert plugin.pid == pid and plugin.is_running
    assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)
    assert int(processes.status(plugin.pid, "VmRSS").split()[0]) < 400_000


@pytest.fixture
def own(plugin: Plugin, host: AgentHost) -> Callable[..., Task]:
    """Makes tasks of a shell script, of the module's plugin unless another is given."""

    def task(script: str, *, plugin: Plugin = plugin, **options: Any) -> Task:
        return host.task(plugin, "sh", ["-c", script], **options)

    return task


@pytest.fixture
def places(host: AgentHost) -> Iterator[Path]:
    """A directory of the host below no default rule, for sources and destinations."""
    directory = host.root / "places"
    directory.mkdir()
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def volume(places: Path) -> Path:
    """A volume that every user may write to, with a file, a program and a directory in it."""
    source = places / "source"
    source.mkdir()
    source.chmod(0o777)
    (source / "file").write_text("of the volume")
    (source / "file").chmod(0o666)
    shutil.copy("/bin/true", source / "program")
    (source / "deep").mkdir()
    (source / "deep").chmod(0o777)
    return source


@pytest.fixture
def namespace() -> Iterator[Path]:
    """A network namespace whose loopback interface is up."""
    name = f"exec2-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    yield Path("/run/netns") / name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def trace(host: AgentHost) -> Iterator[Callable[[int], Tracer]]:
    """Traces processes, at most until the test's end."""
    tracers: list[Tracer] = []

    def begin(pid: int) -> Tracer:
        tracers.append(Tracer(host.program("tracer"), pid))
        return tracers[-1]

    yield begin
    for tracer in tracers:
        tracer.let_go()
