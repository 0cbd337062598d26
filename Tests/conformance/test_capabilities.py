"""allow_caps, cap_add and cap_drop, seen from inside the task."""

from __future__ import annotations

import os
import stat
import subprocess
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, hcl
from agent.expect import refused
from agent.plugin import default_binary

Launch = Callable[..., Plugin]

NAMES = """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore""".split()
# What a root task has without any option; see docs/security.md.
ROOTS = set("chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot setfcap".split())


def names(mask: str) -> set[str]:
    """The capabilities of a set in hexadecimal."""
    return {name for number, name in enumerate(NAMES) if int(mask, 16) >> number & 1}


def own() -> set[str]:
    """The capabilities that processes of this host can have."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    return names(line.split()[1])


@pytest.fixture(scope="module")
def generous(host: AgentHost, binary: Path) -> Iterator[Plugin]:
    """A plugin whose operator allows everything."""
    plugin = host.launch({"allow_caps": ["all"]})
    yield plugin
    faults = host.clean_tasks() + host.leftovers(plugin)
    plugin.end()
    host.plugins.remove(plugin)
    assert not faults, "\n".join(faults)


def sets(host: AgentHost, plugin: Plugin, user: str, verbs: tuple[str, ...] = (), **config: Any) -> list[set[str]]:
    """Effective, permitted, inheritable, bounding and ambient set of a task."""
    task = host.task(plugin, host.program("confined"), [*verbs, "caps="], user=user, config=config)
    assert task.run() == ExitResult(0), task.stderr.text
    return [names(mask) for mask in task.line("caps").split()]


@pytest.mark.parametrize("user", ["nomad-80000", "nobody"])
def test_none_without_the_option(host: AgentHost, generous: Plugin, user: str) -> None:
    assert sets(host, generous, user) == [set()] * 5


@pytest.mark.parametrize("verbs", [(), ("exec=",)], ids=["at once", "after another execve"])
@pytest.mark.parametrize("spelling", ["net_bind_service", "CAP_NET_BIND_SERVICE", "Net_Bind_Service"])
def test_added_ones_are_all_that_there_are(host: AgentHost, generous: Plugin, spelling: str, verbs: tuple[str, ...]) -> None:
    added = {"net_bind_service", "ipc_lock"}
    assert sets(host, generous, "nomad-80000", verbs, cap_add=[spelling, "ipc_lock", "ipc_lock"]) == [added] * 5


def test_a_named_user_gets_them_too(host: AgentHost, generous: Plugin) -> None:
    assert sets(host, generous, "nobody", cap_add=["kill"]) == [{"kill"}] * 5


def test_root_has_what_the_docs_say(host: AgentHost, generous: Plugin) -> None:
    left = ROOTS & own()
    assert sets(host, generous, "root") == [left, left, set(), left, set()]


def test_root_loses_what_is_dropped(host: AgentHost, generous: Plugin) -> None:
    left = (ROOTS & own()) - {"chown", "setpcap"}
    assert sets(host, generous, "root", cap_drop=["CAP_CHOWN", "setpcap", "sys_admin"]) == [left, left, set(), left, set()]
    assert sets(host, generous, "root", cap_drop=["ALL"]) == [set()] * 5


def test_root_gets_what_is_added(host: AgentHost, generous: Plugin) -> None:
    all_of_it = (ROOTS & own()) | {"net_raw"}
    assert sets(host, generous, "root", cap_add=["net_raw"]) == [all_of_it, all_of_it, {"net_raw"}, all_of_it, {"net_raw"}]
    assert sets(host, generous, "root", cap_add=["net_raw"], cap_drop=["all"]) == [{"net_raw"}] * 5


def test_all_is_what_the_agent_has(host: AgentHost, generous: Plugin) -> None:
    assert sets(host, generous, "nomad-80000", cap_add=["all"], cap_drop=["sys_admin"]) == [own() - {"sys_admin"}] * 5


def test_dropped_capabilities_are_missed(host: AgentHost, generous: Plugin) -> None:
    """Root without dac_override is subject to the modes of another user's files."""
    results = {}
    for name, drop in (("kept", []), ("dropped", ["dac_override"])):
        task = host.task(generous, host.program("access"), user="root")
        place = task.local / "secret"
        place.write_text("x")
        place.chmod(0)
        os.chown(place, 80001, 80001)
        task.set_config({"command": str(host.program("access")), "args": ["read", str(place)], "cap_drop": drop})
        task.run()
        results[name] = task.lines()[0].split("\t")[2]
    assert results == {"kept": "ok", "dropped": "EACCES"}


# A port below 1024


@pytest.fixture
def namespace() -> Iterator[Path]:
    """A network namespace in which ports below 1024 are privileged."""
    name = f"exec2-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=1024"], check=True)
    yield Path("/run/netns") / name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.parametrize("config, outcome", [({}, "EACCES"), ({"cap_add": ["net_bind_service"]}, "ok"), ({"cap_add": ["kill"]}, "EACCES")])
def test_an_unprivileged_user_binds_port_80(
    host: AgentHost, generous: Plugin, namespace: Path, config: dict[str, Any], outcome: str,
) -> None:
    task = host.task(generous, host.program("confined"), ["exec=", "bind=80", "bind6=443", "bind=1024"], config=config,
                     network=str(namespace))
    assert task.run() == ExitResult(0)
    assert (task.line("bind80"), task.line("bind6-443"), task.line("bind1024")) == (outcome, outcome, "ok")


# Refusals


@pytest.mark.parametrize("allowed, wanted, shown", [
    ([], ["net_raw"], "net_raw"), (["net_raw"], ["CAP_NET_RAW", "CAP_SYS_ADMIN"], "sys_admin"), (["net_raw"], ["all"], "all"),
    (NAMES, ["all"], "all")], ids=["none allowed", "another allowed", "all", "all by name"])
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_what_the_operator_does_not_allow(
    launch: Launch, host: AgentHost, allowed: list[str], wanted: list[str], shown: str, user: str,
) -> None:
    """Seen without the check: the task was started."""
    plugin = launch({"allow_caps": allowed})
    task = host.task(plugin, host.program("confined"), ["out=ran"], config={"cap_add": wanted}, user=user)
    with refused("cap_add", f'"{shown}"', "allow_caps", "operator"):
        task.start()
    assert task.stdout.text == ""


def test_only_root_may_add_what_root_has(launch: Launch, host: AgentHost) -> None:
    plugin = launch()
    assert sets(host, plugin, "root", cap_add=["chown"], cap_drop=["all"]) == [{"chown"}] * 5
    with refused("cap_add", "chown", "allow_caps"):
        host.task(plugin, host.program("confined"), ["out=ran"], config={"cap_add": ["chown"]}).start()


@pytest.mark.parametrize("option", ["cap_add", "cap_drop"])
@pytest.mark.parametrize("value, shown", [
    ("chown", "chown"), ([7], "7"), (["fly"], "fly"), (["chown", "cap_cap_chown"], "cap_cap_chown"), ([""], '""'), ({"chown": True}, "chown")])
def test_wrong_value(host: AgentHost, generous: Plugin, option: str, value: Any, shown: str) -> None:
    task = host.task(generous, host.program("confined"), ["out=ran"])
    task.set_config(hcl.unchecked({**task.config, option: value}))
    with refused(option, shown):
        task.start()
    assert task.stdout.text == ""


@pytest.mark.parametrize("name", ["kill", "all"])
def test_added_and_dropped(host: AgentHost, generous: Plugin, name: str) -> None:
    with refused("cap_add", name, "cap_drop"):
        host.task(generous, host.program("confined"), [], config={"cap_add": [name], "cap_drop": [name]}).start()


@pytest.mark.parametrize("value, shown", [("all", "all"), (["net raw"], "net raw"), ([5], "5")])
def test_wrong_plugin_value(launch: Launch, value: Any, shown: str) -> None:
    plugin = launch(configure=False)
    with refused("allow_caps", shown):
        plugin.set_config(hcl.unchecked({**plugin.config, "allow_caps": value}))


# Agents with other capabilities


def behind_setpriv(directory: Path, option: str) -> Path:
    """A program that becomes the driver with an option of setpriv's."""
    wrapper = directory / "nomad-driver-exec2"
    wrapper.write_text(f"#!/bin/sh\nexec setpriv {option} '{default_binary()}' \"$@\"\n")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return wrapper


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_what_the_agent_passes_on(launch: Launch, host: AgentHost, tmp_path: Path, user: str) -> None:
    """Programs of root's get what their process may inherit, even where its bounding set lacks it; some containers let
    theirs inherit much (CVE-2022-24769). Seen without the step: a root task had sys_time, and was allowed to inherit it."""
    plugin = launch(binary=behind_setpriv(tmp_path, "--inh-caps=+sys_time,+kill"))
    left = ROOTS & own() if user == "root" else set()
    assert sets(host, plugin, user) == [left, left, set(), left, set()]


def test_what_the_agent_lacks(launch: Launch, host: AgentHost, tmp_path: Path) -> None:
    """As in a container: by name it is an error; from "all", and from root's default, it is left out."""
    plugin = launch({"allow_caps": ["all"]}, binary=behind_setpriv(tmp_path, "--bounding-set=-sys_time,-chown"))
    task = host.task(plugin, host.program("confined"), ["out=ran"], config={"cap_add": ["sys_time"]})
    with refused("sys_time", "cap_add", "agent"):
        task.start()
    assert task.stdout.text == ""
    assert sets(host, plugin, "nomad-80000", cap_add=["all"])[0] == own() - {"sys_time", "chown"}
    assert sets(host, plugin, "root")[0] == (ROOTS & own()) - {"chown"}
