"""The fingerprint: attributes, health and its remedies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Callable

import pytest

from agent import Plugin, cgroups, messages
from agent.landlock import abi
from agent.plugin import default_binary
from agent.timing import scaled

State = messages.driver.FingerprintResponse


def value(attribute: Any) -> Any:
    return getattr(attribute, attribute.WhichOneof("value"))


@pytest.mark.controllers
def test_healthy(plugin: Plugin) -> None:
    given = plugin.fingerprint()
    assert given.health == State.HEALTHY, given.health_description
    assert given.health_description
    assert given.err == ""


@pytest.mark.controllers
@pytest.mark.parametrize("defaults, by_task", [(True, False), (False, True)])
def test_attributes(launch: Callable[..., Plugin], defaults: bool, by_task: bool) -> None:
    plugin = launch({"unveil_defaults": defaults, "unveil_by_task": by_task})
    given = {key: value(attribute) for key, attribute in plugin.fingerprint().attributes.items()}
    version = plugin.base.PluginInfo(messages.base.PluginInfoRequest(), timeout=scaled(10)).plugin_version
    assert given["driver.exec2.unveil.defaults"] is defaults
    assert given["driver.exec2.unveil.tasks"] is by_task
    assert given["driver.exec2.version"] == version
    assert given["driver.exec2.landlock.abi"] == abi()


def test_missing_controllers_have_a_text(plugin: Plugin) -> None:
    """On a host without controllers the driver says so, with the remedy; on one
    with them it does not."""
    given = plugin.fingerprint()
    complains = "cgroup" in given.health_description and given.health != State.HEALTHY
    assert complains != cgroups.has_controllers(), given.health_description


def test_two_streams_at_once(plugin: Plugin) -> None:
    streams = [plugin.driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(30)) for _ in range(5)]
    answers = [next(iter(stream)) for stream in streams]
    for stream in streams:
        stream.cancel()
    assert all(answer == answers[0] for answer in answers)


def test_executor_gone_and_back(launch: Callable[..., Plugin], tmp_path: Path) -> None:
    """The open stream gets a change: the Executor disappears and returns."""
    copy = tmp_path / "executor"
    shutil.copy(default_binary().with_name("nomad-driver-exec2-executor"), copy)
    copy.chmod(0o755)
    plugin = launch({"executor_path": str(copy)})
    stream = plugin.driver.Fingerprint(messages.driver.FingerprintRequest(), timeout=scaled(200))
    answers = iter(stream)
    first = next(answers)
    assert str(copy) not in first.health_description or first.health == State.HEALTHY
    kept = tmp_path / "kept"
    copy.rename(kept)
    for answer in answers:
        if answer.health != State.HEALTHY and str(copy) in answer.health_description:
            break
    kept.rename(copy)
    for answer in answers:
        if answer.health == first.health and answer.health_description == first.health_description:
            break
    else:
        raise AssertionError("the stream ended before the Executor was seen again")
    stream.cancel()
