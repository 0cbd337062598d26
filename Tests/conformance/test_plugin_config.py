"""SetConfig: the encodings that clients send, and every wrong value."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Callable

import msgpack
import pytest

from agent import AgentHost, Plugin, hcl, messages, processes
from agent.expect import refused
from agent.host import state_directories
from agent.timing import wait_until

Launch = Callable[..., Plugin]


@pytest.fixture
def bare(launch: Launch) -> Plugin:
    """A plugin before its first SetConfig."""
    return launch(configure=False)


def started_with(host: AgentHost, plugin: Plugin) -> None:
    """A task runs with the config that was set."""
    task = host.task(plugin, host.program("act"), ["out=up", "exit=3"])
    assert task.run().exit_code == 3
    assert task.stdout.text == "up\n"


def test_no_driver_part_then_the_real_one(host: AgentHost, bare: Plugin) -> None:
    """The agent first validates the config alone, then sets it."""
    bare.set_config(bare.config, with_driver=False)
    bare.set_config(bare.config)
    started_with(host, bare)


def test_empty_bytes_are_no_config(bare: Plugin) -> None:
    bare.set_config(None, with_driver=False)
    bare.ping()


def test_nil_is_no_config(bare: Plugin) -> None:
    bare.set_config(msgpack.packb(None), with_driver=False)
    bare.ping()


def test_nil_values_are_not_set(host: AgentHost, bare: Plugin) -> None:
    bare.set_config({**bare.config, "unveil_defaults": None, "unveil_by_task": None, "executor_path": None})
    started_with(host, bare)


def test_unknown_keys_are_ignored(host: AgentHost, bare: Plugin) -> None:
    future = {"of_the_future": {"a": [1, 2.5, None, {"b": b"c"}]}, "x": msgpack.Timestamp(1)}
    bare.set_config(hcl.unchecked({**bare.config, **future}))
    started_with(host, bare)


def test_strings_as_bin(host: AgentHost, bare: Plugin) -> None:
    config = {key.encode(): value for key, value in bare.config.items()}
    config[b"state_dir"] = bare.config["state_dir"].encode()
    config[b"unveil_paths"] = [path.encode() for path in bare.config["unveil_paths"]]
    bare.set_config(msgpack.packb(config))
    started_with(host, bare)


def test_strings_in_the_old_raw_encoding(host: AgentHost, bare: Plugin) -> None:
    bare.set_config(msgpack.packb(bare.config, use_bin_type=False))
    started_with(host, bare)


def wide_map(config: dict[str, Any]) -> bytes:
    """The map with MessagePack's widest headers."""

    def wide(value: Any) -> bytes:
        if isinstance(value, dict):
            return b"\xdf" + struct.pack(">I", len(value)) + b"".join(wide(k) + wide(v) for k, v in value.items())
        if isinstance(value, list):
            return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(wide, value))
        if isinstance(value, str):
            return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
        return msgpack.packb(value)

    return wide(config)


def test_widest_headers(host: AgentHost, bare: Plugin) -> None:
    bare.set_config(wide_map(bare.config))
    started_with(host, bare)


@pytest.mark.parametrize("number", [
    msgpack.packb(1), b"\xcc\x01", b"\xcd\0\x01", b"\xce\0\0\0\x01", b"\xcf" + b"\0" * 7 + b"\x01",
    b"\xd0\x01", b"\xd1\0\x01", b"\xd2\0\0\0\x01", b"\xd3" + b"\0" * 7 + b"\x01",
    b"\xca" + struct.pack(">f", 1), b"\xcb" + struct.pack(">d", 1),
], ids=["fix", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"])
def test_numbers_of_any_width(host: AgentHost, bare: Plugin, number: bytes) -> None:
    """oom_score_adj is the one numeric option of HashiCorp's driver; every encoding of 1 is
    the same."""
    bare.set_config(bare.config)
    config = msgpack.packb({"command": str(host.program("act")), "args": ["out=up", "pause="]})
    task = host.task(bare, None)
    task.set_config(bytes([config[0] + 1]) + config[1:] + msgpack.packb("oom_score_adj") + number)
    task.start().stdout.wait_for("up")
    assert Path(f"/proc/{task.pid}/oom_score_adj").read_text() == "1\n"
    task.stop()


# option, value, how the error must show the value
WRONG = [
    ("unveil_defaults", "yes", "yes"), ("unveil_defaults", 5, "5"), ("unveil_defaults", [True], "true"),
    ("unveil_by_task", "true", "true"), ("unveil_by_task", 1, "1"),
    ("unveil_paths", "r:/etc", "r:/etc"), ("unveil_paths", [5], "5"), ("unveil_paths", {"r": "/etc"}, "/etc"),
    ("unveil_paths", ["q:/etc"], "q:/etc"), ("unveil_paths", ["rr:/etc"], "rr:/etc"), ("unveil_paths", [":/etc"], ":/etc"),
    ("unveil_paths", ["/etc"], "/etc"), ("unveil_paths", ["r:"], "r:"), ("unveil_paths", [""], '""'),
    ("unveil_paths", ["R:/etc"], "R:/etc"), ("unveil_paths", ["r:/etc", "rz:/usr"], "rz:/usr"),
    ("executor_path", 7, "7"), ("executor_path", "relative/executor", "relative/executor"),
    ("state_dir", "relative/state", "relative/state"), ("state_dir", 7, "7"),
    ("orphan_grace", -1, "-1"), ("orphan_grace", "30", "30"), ("orphan_grace", 1.5, "1.5"),
]

@pytest.mark.parametrize("option, value, shown", WRONG, ids=[f"{option}={value!r}" for option, value, _ in WRONG])
def test_wrong_value(host: AgentHost, bare: Plugin, option: str, value: Any, shown: str) -> None:
    """The error names the option and the value."""
    with refused(option, shown):
        bare.set_config(hcl.unchecked({**bare.config, option: value}))
    assert state_directories(bare) == []
    assert bare.executors() == []
    bare.ping()
    bare.set_config({**bare.config})
    started_with(host, bare)


# option, value, the text that the operator reads
LACKING = [
    ("executor_path", "/nonexistent/executor", "the Executor cannot be run from /nonexistent/executor (No such file or directory)"),
    ("executor_path", "/etc", "the Executor cannot be run from /etc (not a regular file)"),
    ("executor_path", "/etc/passwd", "the Executor cannot be run from /etc/passwd (not executable: Permission denied)"),
    ("state_dir", "/etc/passwd", "cannot use the state directory /etc/passwd (option state_dir): Not a directory"),
    ("state_dir", "/etc/passwd/below", "cannot use the state directory /etc/passwd/below (option state_dir): "),
    ("state_dir", "/proc/none", "cannot make the state directory (option state_dir) /proc/none: No such file or directory"),
    ("unveil_paths", ["r:/etc/hosts", "r:/nonexistent/path"],
     'cannot unveil /nonexistent/path: No such file or directory; it is named by the plugin option unveil_paths: '
     '"r:/nonexistent/path"'),
    ("unveil_paths", ["r:/etc/passwd/x"],
     'cannot unveil /etc/passwd/x: Not a directory; it is named by the plugin option unveil_paths: "r:/etc/passwd/x"'),
    ("allow_caps", ["chown", "fly"], 'plugin config: option "allow_caps", item 2, is "fly": must be the name of a Linux capability'),
]


@pytest.mark.parametrize("option, value, text", LACKING, ids=[f"{option}={value!r}" for option, value, _ in LACKING])
def test_what_the_host_lacks(host: AgentHost, bare: Plugin, option: str, value: Any, text: str) -> None:
    """A failing SetConfig would stop the agent. Instead the driver is unhealthy, and a start fails with the same text.
    Seen before: allow_caps made SetConfig fail; with the others, except executor_path, the driver was healthy."""
    bare.begin({**bare.config, option: value})
    given = bare.fingerprint()
    assert given.health == messages.driver.FingerprintResponse.UNHEALTHY
    assert text in given.health_description
    task = host.task(bare, host.program("act"), ["out=started"])
    with refused(text):
        task.start()
    assert task.stdout.text == ""
    wait_until(lambda: bare.executors() == [], 5, "neither a standby Executor nor the maker of a root is left")
    bare.set_config({**bare.config})
    assert text not in bare.fingerprint().health_description
    started_with(host, bare)


def test_a_landlock_version_that_this_driver_does_not_know(host: AgentHost, bare: Plugin) -> None:
    """Seen before: SetConfig failed."""
    bare.begin({**bare.config, "landlock_min_abi": 1000})
    given = bare.fingerprint()
    assert given.health != messages.driver.FingerprintResponse.HEALTHY
    assert "landlock_min_abi" in given.health_description and "1000" in given.health_description
    with refused('plugin config: option "landlock_min_abi" is 1000: must be a whole number from 1 to '):
        host.task(bare, host.program("act"), ["out=started"]).start()


def test_what_the_host_lacked_appears(host: AgentHost, bare: Plugin, tmp_path: Path) -> None:
    """The path of a rule is made while the plugin runs."""
    path = tmp_path / "late"
    bare.begin({**bare.config, "unveil_paths": [host.programs_rule, f"r:{path}"]})
    assert str(path) in bare.fingerprint().health_description
    path.touch()
    assert str(path) not in bare.fingerprint().health_description
    started_with(host, bare)


def test_fingerprint_before_the_configuration_makes_nothing(bare: Plugin) -> None:
    default = Path("/run/nomad-driver-exec2")
    before = set(default.iterdir())
    bare.fingerprint()
    assert set(default.iterdir()) - before <= {default / ".sockets"} and not bare.state_dir.exists()


def test_refused_config_leaves_the_former_one(host: AgentHost, bare: Plugin) -> None:
    bare.set_config(bare.config)
    with refused("unveil_paths"):
        bare.set_config({**bare.config, "unveil_paths": ["bad"]})
    started_with(host, bare)


def test_set_config_again_changes_it(host: AgentHost, bare: Plugin) -> None:
    bare.set_config({**bare.config, "unveil_defaults": False})
    first = host.task(bare, host.program("access"), ["readdir", "/usr/bin"])
    first.run()
    assert first.lines() == ["readdir\t/usr/bin\tENOENT"]
    bare.set_config({**bare.config, "unveil_defaults": True})
    second = host.task(bare, host.program("access"), ["readdir", "/usr/bin"])
    second.run()
    assert second.lines() == ["readdir\t/usr/bin\tok"]


def test_state_dir_is_roots_alone(host: AgentHost, launch: Launch) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["pause="]).start()
    assert plugin.state_dir.stat().st_mode & 0o7777 == 0o700
    for entry in plugin.state_dir.iterdir():
        assert entry.stat().st_uid == 0
        assert entry.stat().st_mode & 0o077 == 0
    task.stop()


def test_no_secret_in_the_state_dir(host: AgentHost, launch: Launch) -> None:
    plugin = launch()
    task = host.task(plugin, host.program("act"), ["out=up", "pause="], env={"PASSWORD": "correct-horse"}).start()
    task.stdout.wait_for("up")
    for directory, _, names in os.walk(plugin.state_dir):
        for path in (Path(directory, name) for name in names):
            if path.is_file():
                assert b"correct-horse" not in path.read_bytes()
    command_lines = [Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
                     for pid in (task.executor_pid, plugin.pid)]
    assert not any(b"correct-horse" in text for text in command_lines)
    task.stop()


def test_executor_elsewhere(host: AgentHost, launch: Launch, tmp_path: Path) -> None:
    import shutil

    from agent.plugin import default_binary

    copy = tmp_path / "another-executor"
    shutil.copy(default_binary().with_name("nomad-driver-exec2-executor"), copy)
    copy.chmod(0o755)
    plugin = launch({"executor_path": str(copy)})
    task = host.task(plugin, host.program("act"), ["out=up", "pause="]).start()
    assert os.readlink(f"/proc/{task.executor_pid}/exe") == str(copy)
    assert processes.is_alive(task.pid)
    task.stop()
