"""Every wrong value of a task: an error that names option and value, nothing
started, nothing left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import msgpack
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, cgroups, hcl, messages, mounts
from agent.expect import refused
from agent.host import state_directories
from agent.timing import scaled, wait_until

Make = Callable[..., Task]

# option, value, what the error must show of it
WRONG = [
    ("command", None, "missing"), ("command", "", '""'), ("command", 5, "5"), ("command", ["/bin/true"], "/bin/true"), ("command", True, "true"),
    ("command", "bin/true", "bin/true"), ("command", "./true", "./true"), ("command", "../bin/true", "../bin/true"),
    ("args", "one", "one"), ("args", 7, "7"), ("args", {"a": "b"}, "b"), ("args", ["ok", 8], "8"), ("args", [["nested"]], "nested"),
    ("args", [None], "args"),
    ("unveil", "r:/etc/hosts", "r:/etc/hosts"), ("unveil", [9], "9"), ("unveil", {"r": "/etc"}, "/etc"),
    ("unveil", ["q:/etc"], "q:/etc"), ("unveil", ["rr:/etc"], "rr:/etc"), ("unveil", [":/etc"], ":/etc"), ("unveil", ["/etc"], "/etc"),
    ("unveil", ["r:"], "r:"), ("unveil", ["R:/etc"], "R:/etc"), ("unveil", [""], '""'), ("unveil", ["r/etc"], "r/etc"),
    ("unveil", ["r:/nonexistent/path"], "/nonexistent/path"), ("unveil", ["r:/etc/hosts", "rw:/nonexistent/path"], "/nonexistent/path"),
    ("unveil", ["r:missing/relative"], "missing/relative"),
    ("oom_score_adj", -1, "-1"), ("oom_score_adj", 1001, "1001"), ("oom_score_adj", "10", "10"), ("oom_score_adj", 1.5, "1.5"),
    ("oom_score_adj", [1], "1"), ("oom_score_adj", float("nan"), "nan"), ("oom_score_adj", 2**63, "9223372036854775808"),
    ("oom_score_adj", True, "true"),
]


@pytest.fixture
def nothing_is_left(host: AgentHost, plugin: Plugin) -> Any:
    """After the test: no process, state directory or mount more than before it,
    and a plugin in which tasks run."""
    states, mounted = len(state_directories(plugin)), len(mounts.below(host.root))
    yield
    for task in host.tasks:
        assert cgroups.processes(task.scope) == []
        assert task.stdout.text == "" and not task.was_started
        if task.scope.exists():
            task.scope.rmdir()
    assert host.clean_tasks() == []
    assert host.leftovers(plugin) == []
    wait_until(lambda: len(state_directories(plugin)) <= max(states, 1), 5, "no state directory left")
    assert len(mounts.below(host.root)) <= mounted
    assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)


@pytest.mark.parametrize("option, value, shown", WRONG, ids=[f"{option}={value!r}" for option, value, _ in WRONG])
def test_wrong_value(make: Make, host: AgentHost, plugin: Plugin, nothing_is_left: None, option: str, value: Any, shown: str) -> None:
    config = {"command": str(host.program("act")), "args": ["out=started", "exit=0"], option: value}
    task = make(None)
    task.set_config(hcl.unchecked({key: value for key, value in config.items() if value is not None}))
    with refused(option, shown):
        task.start()


@pytest.mark.parametrize("user", ["no-such-user", "nomad-", "nomad-x", "nomad--1", "nomad-99999999999", "", "nobody:nogroup", "ro ot"])
def test_absent_user(make: Make, host: AgentHost, nothing_is_left: None, user: str) -> None:
    with refused("user", user):
        make(host.program("act"), ["out=started"], user=user).start()


@pytest.mark.parametrize("limits, shown", [
    ({"memory": -5}, "-5"), ({"memory": 64, "memory_max": -2}, "-2"), ({"memory": 64, "memory_max": 32}, "32"), ({"cpu": -1}, "-1"),
    ({"memory": 2**62}, str(2**62))])
def test_impossible_limits(make: Make, host: AgentHost, nothing_is_left: None, limits: dict[str, int], shown: str) -> None:
    task = make(host.program("act"), ["out=started"])
    allocated = task.request.task.resources.allocated_resources
    allocated.cpu.cpu_shares = limits.get("cpu", 0)
    allocated.memory.memory_mb = limits.get("memory", 0)
    allocated.memory.memory_max_mb = limits.get("memory_max", 0)
    with refused("cpu" if "cpu" in limits else "memory", shown):
        task.start()


def test_environment_beyond_the_kernels_limit(make: Make, host: AgentHost, plugin: Plugin) -> None:
    """64 MiB pass gRPC and are too much for execve: that is said, by the start
    or by the task's own log."""
    import grpc

    task = make(host.program("act"), ["out=started"], env={f"BIG{index}": "x" * 100_000 for index in range(671)})
    try:
        task.start(120)
    except grpc.RpcError as error:
        assert error.code() not in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE), error.details()
        assert "too" in error.details().lower() and ("environment" in error.details().lower() or "argument" in error.details().lower())
    else:
        assert task.wait().exit_code in (126, 127)
        assert "too long" in task.stderr.text.lower() or "too big" in task.stderr.text.lower()
    assert task.stdout.text == ""
    plugin.ping()
    assert host.task(plugin, host.program("act"), ["exit=5"]).run() == ExitResult(5)


def test_request_of_64_megabytes(make: Make, host: AgentHost) -> None:
    """The size alone is no obstacle, in either direction."""
    task = make(host.program("act"), ["exit=5"])
    task.request.task.network_isolation_spec.labels["big"] = "x" * (64 << 20)
    assert task.start(120).wait() == ExitResult(5)
    assert len(task.handle.config.network_isolation_spec.labels["big"]) == 64 << 20


def test_command_line_beyond_the_kernels_limit(make: Make, host: AgentHost) -> None:
    import grpc

    task = make(host.program("act"), ["out=" + "x" * 200_000])
    try:
        task.start()
    except grpc.RpcError as error:
        assert "too" in error.details().lower() and "argument" in error.details().lower()
    else:
        assert task.wait().exit_code in (126, 127)
        assert "too long" in task.stderr.text.lower()
    assert task.stdout.text == ""


def test_numbers_may_be_floats(make: Make, host: AgentHost) -> None:
    task = make(host.program("act"), ["out=up", "pause="], config={"oom_score_adj": 7.0}).start()
    task.stdout.wait_for("up")
    assert Path(f"/proc/{task.pid}/oom_score_adj").read_text() == "7\n"
    task.stop()


def test_nil_is_not_set(make: Make, host: AgentHost) -> None:
    task = make(None)
    task.set_config({"command": str(host.program("act")), "args": ["exit=5"], "unveil": None, "oom_score_adj": None})
    assert task.run() == ExitResult(5)


def test_unknown_options_are_ignored(make: Make, host: AgentHost) -> None:
    task = make(host.program("act"), ["exit=5"])
    task.set_config(hcl.unchecked({**task.config, "of_the_future": {"deep": [1, {"x": None}]}}))
    assert task.run() == ExitResult(5)


def test_strings_as_bin(make: Make, host: AgentHost) -> None:
    task = make(None)
    task.set_config(msgpack.packb({b"command": str(host.program("act")).encode(), b"args": [b"exit=5"]}))
    assert task.run() == ExitResult(5)


def test_errors_are_not_retried_for_ever(make: Make, host: AgentHost, plugin: Plugin) -> None:
    """A wrong config fails for good: no RecoverableError says otherwise."""
    import grpc

    task = make(host.program("act"))
    task.set_config(hcl.unchecked({"command": "true", "args": 5}))
    with pytest.raises(grpc.RpcError) as refusal:
        plugin.driver.StartTask(task.request, timeout=scaled(10))
    trailers = dict(refusal.value.trailing_metadata() or ())
    if "grpc-status-details-bin" in trailers:
        status = messages.status.Status.FromString(trailers["grpc-status-details-bin"])
        detail = messages.recoverable.RecoverableError()
        assert status.details[0].type_url.endswith("hashicorp.nomad.plugins.shared.structs.RecoverableError")
        detail.ParseFromString(status.details[0].value)
        assert not detail.recoverable
