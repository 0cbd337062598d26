"""The system call filter: what it denies, which options allow more, and that ordinary programs work."""

from __future__ import annotations

import errno
import platform
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task, hcl
from agent.expect import refused

Make = Callable[..., Task]
Launch = Callable[..., Plugin]

INTEL = platform.machine() == "x86_64"
NAMESPACES = {"NEWUSER": 0x10000000, "NEWNS": 0x20000, "NEWNET": 0x40000000, "NEWPID": 0x20000000, "NEWTIME": 0x80}

# Denied calls by group; see docs/security.md.
GROUPS = {
    "accounting": ["acct"], "bpf": ["bpf"], "clock": ["settimeofday", "clock_settime"], "handles": ["open_by_handle_at"],
    "hostname": ["sethostname", "setdomainname"], "io_uring": ["io_uring_setup", "io_uring_enter", "io_uring_register"],
    "kernel_log": ["syslog"], "keyrings": ["keyctl", "add_key", "request_key"],
    "modules": ["init_module", "finit_module", "delete_module"],
    "mounts": ["mount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree", "open_tree_attr",
               "mount_setattr"],
    "namespaces": ["setns", "clone3"], "perf": ["perf_event_open"], "quota": ["quotactl", "quotactl_fd"],
    "restart": ["reboot", "kexec_load", "kexec_file_load"], "swap": ["swapon", "swapoff"], "terminal": ["vhangup"],
    "userfaultfd": ["userfaultfd"], "obsolete": ["lookup_dcookie"],
    **({"io_ports": ["iopl", "ioperm"]} if INTEL else {}),
}
ABSENT = {"io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "lookup_dcookie"}
CALLS = [call for calls in GROUPS.values() for call in calls]
# Calls that without the filter have another result than EPERM for an unprivileged user: they show the filter from inside.
# For the others the kernel itself returns EPERM, or the result depends on its sysctls.
TELLING = ["keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "settimeofday",
           "clock_settime", "setns", "clone3", "quotactl_fd", "fsconfig"]


@pytest.fixture(scope="module")
def plugins(host: AgentHost, binary: Path) -> Iterator[dict[str, Plugin]]:
    """One with the filter, one without it, and one whose operator allows jobs everything."""
    launched = {
        "filtering": host.launch(), "open": host.launch({"seccomp": False}),
        "generous": host.launch({"allow_syscalls": [*GROUPS, "vsock", "sockets", "newer"], "allow_caps": ["all"]}),
    }
    yield launched
    faults = host.clean_tasks()
    for plugin in launched.values():
        faults += host.leftovers(plugin)
        plugin.end()
        host.plugins.remove(plugin)
    assert not faults, "\n".join(faults)


def outcomes(host: AgentHost, plugin: Plugin, calls: list[str], user: str = "nomad-80000", verbs: tuple[str, ...] = (), **config: Any) -> dict[str, str]:
    task = host.task(plugin, host.program("confined"), [*verbs, *(f"call={call}" for call in calls)], user=user, config=config)
    assert task.run() == ExitResult(0), task.stderr.text
    return {call: task.line(call) for call in calls}


def state(host: AgentHost, plugin: Plugin, **options: Any) -> str:
    """The task's field Seccomp in /proc/<pid>/status: 2 means a filter."""
    task = host.task(plugin, host.program("act"), ["out=up", "pause="], **options).start()
    task.stdout.wait_for("up")
    lines = Path(f"/proc/{task.pid}/status").read_text().splitlines()
    task.stop()
    return next(line.split()[1] for line in lines if line.startswith("Seccomp:"))


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_denied_calls(host: AgentHost, plugins: dict[str, Plugin], user: str) -> None:
    """Seen without the filter: keyctl, add_key, request_key, clone3 and others went on to check their arguments."""
    found = outcomes(host, plugins["filtering"], CALLS, user)
    assert found == {call: "ENOSYS" if call in ABSENT else "EPERM" for call in CALLS}
    assert state(host, plugins["filtering"], user=user) == "2"


def test_children_and_other_programs_too(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """Seen without the filter: ENOKEY, the kernel's own answer."""
    assert outcomes(host, plugins["filtering"], ["keyctl"], verbs=("exec=", "exec=")) == {"keyctl": "EPERM"}


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_the_operator_turns_it_off(host: AgentHost, plugins: dict[str, Plugin], user: str) -> None:
    closed = outcomes(host, plugins["filtering"], TELLING, user)
    found = outcomes(host, plugins["open"], TELLING, user)
    assert [call for call in TELLING if found[call] == closed[call]] == []
    assert state(host, plugins["open"], user=user) == "0"


def test_the_kernel_is_as_open_as_this_test_thinks(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """Without the filter user namespaces can be made here, so that it is the filter that denies them."""
    assert Path("/proc/sys/user/max_user_namespaces").read_text().strip() != "0", "this host allows no user namespaces"
    task = host.task(plugins["open"], host.program("confined"), [f"newns={NAMESPACES['NEWUSER']}", f"unshare={NAMESPACES['NEWUSER']}"])
    task.run()
    assert (task.line("newns"), task.line("unshare")) == ("ok", "ok")


@pytest.mark.parametrize("name", NAMESPACES)
@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_namespaces(host: AgentHost, plugins: dict[str, Plugin], name: str, user: str) -> None:
    """Seen without the filter: a dynamic user and root made user namespaces."""
    verbs = [f"unshare={NAMESPACES[name]}"] + ([f"newns={NAMESPACES[name]}"] if name != "NEWTIME" else [])
    task = host.task(plugins["filtering"], host.program("confined"), verbs, user=user)
    task.run()
    assert task.line("unshare") == "EPERM"
    assert name == "NEWTIME" or task.line("newns") == "EPERM"


def test_unshare_without_a_namespace(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """CLONE_FILES makes no namespace."""
    task = host.task(plugins["filtering"], host.program("confined"), ["unshare=0x400", "newns=0"])
    task.run()
    assert (task.line("unshare"), task.line("newns")) == ("ok", "ok")


def test_vsock(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    task = host.task(plugins["filtering"], host.program("confined"), ["family=40", "family=1", "family=2", "family=10"])
    task.run()
    assert [task.line(f"family{number}") for number in (40, 1, 2, 10)] == ["EAFNOSUPPORT", "ok", "ok", "ok"]


# AX25, X25, KEY, PPPOX, RDS, CAN, TIPC, BLUETOOTH, RXRPC, IEEE802154, ALG, NFC, KCM, QIPCRTR, SMC, XDP and MCTP.
FAMILIES = [3, 9, 15, 24, 21, 29, 30, 31, 33, 36, 38, 39, 41, 42, 43, 44, 45]
STREAM, DATAGRAM, RAW, SEQPACKET = 1, 2, 3, 5
# USERSOCK, XFRM, AUDIT, CONNECTOR, NETFILTER and CRYPTO.
PROTOCOLS = [2, 6, 9, 11, 12, 21]
OPEN_PROTOCOLS = {0: "ROUTE", 4: "SOCK_DIAG", 7: "SELINUX", 15: "KOBJECT_UEVENT", 16: "GENERIC"}


def sockets(host: AgentHost, plugin: Plugin, *wanted: tuple[int, int, int], user: str = "nomad-80000", **config: Any) -> list[str]:
    """The outcomes of making sockets of (family, type, protocol) in a task."""
    words = [":".join(map(str, each)) for each in wanted]
    task = host.task(plugin, host.program("confined"), [f"socket={word}" for word in words], user=user, config=config)
    assert task.run() == ExitResult(0), task.stderr.text
    return [task.line(f"socket{word}") for word in words]


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_families_that_no_ordinary_program_needs(host: AgentHost, plugins: dict[str, Plugin], user: str) -> None:
    """Whether or not the kernel has them. Seen without the rule: the kernel's own errors, EPERM for AF_XDP if it is built
    in; on kernels with the modules an audit made sockets of AF_ALG (CVE-2026-31431) and others of these as a dynamic user."""
    wanted = [(family, kind, 0) for family in FAMILIES for kind in (STREAM, DATAGRAM, RAW, SEQPACKET)]
    assert sockets(host, plugins["filtering"], *wanted, user=user) == ["EAFNOSUPPORT"] * len(wanted)
    # SMC also exists as a protocol of stream sockets of inet and inet6.
    smc = [(2, STREAM, 256), (10, STREAM, 256)]
    assert sockets(host, plugins["filtering"], *smc, user=user) == ["EPROTONOSUPPORT"] * 2


@pytest.mark.parametrize("family", [30, 38, 9999])
def test_pairs_of_other_families(host: AgentHost, plugins: dict[str, Plugin], family: int) -> None:
    """Not seen without the rule: the kernels of the tests have none of these families, and answer as the filter does."""
    task = host.task(plugins["filtering"], host.program("confined"), [f"pair={family}", "pair=1"])
    task.run()
    assert (task.line(f"pair{family}"), task.line("pair1")) == ("EAFNOSUPPORT", "ok")


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_netlink_protocols(host: AgentHost, plugins: dict[str, Plugin], user: str) -> None:
    """Seen without the rule: a dynamic user made USERSOCK, XFRM, AUDIT, CONNECTOR and NETFILTER."""
    closed = [(16, RAW, number) for number in PROTOCOLS]
    assert sockets(host, plugins["filtering"], *closed, user=user) == ["EPROTONOSUPPORT"] * len(PROTOCOLS)
    assert sockets(host, plugins["open"], (16, RAW, 2), user=user) == ["ok"]
    allowed = [(16, RAW, number) for number in OPEN_PROTOCOLS]
    assert sockets(host, plugins["filtering"], *allowed, user=user) == sockets(host, plugins["open"], *allowed, user=user)


def test_ordinary_families(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    wanted = [(1, STREAM, 0), (1, SEQPACKET, 0), (2, STREAM, 0), (2, DATAGRAM, 17), (10, STREAM, 6), (16, RAW, 0)]
    assert sockets(host, plugins["filtering"], *wanted) == ["ok"] * len(wanted)


def own_socket(family: int, kind: int) -> str:
    """The outcome in this process, which has the agent's capabilities."""
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def test_capabilities_open_packet_and_netlink(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    generous = plugins["generous"]
    wanted = [(17, RAW, 0), (16, RAW, 12), (16, RAW, 9)]
    free = sockets(host, plugins["open"], *wanted[1:])
    assert sockets(host, generous, *wanted) == ["EAFNOSUPPORT", "EPROTONOSUPPORT", "EPROTONOSUPPORT"]
    assert sockets(host, generous, *wanted, cap_add=["net_raw"])[0] == own_socket(17, RAW)
    assert sockets(host, generous, *wanted, cap_add=["net_admin"])[1] == free[0]
    assert sockets(host, generous, *wanted, cap_add=["audit_write"])[2] == free[1]


def test_groups_open_sockets(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    closed = [(16, RAW, 2), *((family, STREAM, 0) for family in FAMILIES)]
    assert sockets(host, plugins["generous"], *closed, syscalls=["sockets"]) == sockets(host, plugins["open"], *closed)
    free = sockets(host, plugins["open"], (40, STREAM, 0))
    assert sockets(host, plugins["generous"], (40, STREAM, 0), syscalls=["vsock"]) == free
    assert sockets(host, plugins["generous"], (40, STREAM, 0), syscalls=["sockets"]) == ["EAFNOSUPPORT"]


# Opening


@pytest.mark.parametrize("group", [group for group, calls in GROUPS.items() if set(calls) & set(TELLING)])
def test_a_job_opens_a_group(host: AgentHost, plugins: dict[str, Plugin], group: str) -> None:
    telling = [call for call in TELLING if call in GROUPS[group]]
    others = [call for call in TELLING if call not in telling]
    found = outcomes(host, plugins["generous"], TELLING, syscalls=[group])
    free = outcomes(host, plugins["open"], TELLING)
    closed = outcomes(host, plugins["filtering"], TELLING)
    assert {call: found[call] for call in telling} == {call: free[call] for call in telling}
    assert {call: found[call] for call in others} == {call: closed[call] for call in others}


def test_allowed_is_not_opened(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    assert outcomes(host, plugins["generous"], TELLING) == outcomes(host, plugins["filtering"], TELLING)


def test_a_capability_opens_its_calls(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """The arguments are wrong: a call that passes the filter fails with that error and has no effect."""
    calls = ["settimeofday", "clock_settime", "sethostname"]
    assert outcomes(host, plugins["generous"], calls, cap_add=["chown"]) == dict.fromkeys(calls, "EPERM")
    found = outcomes(host, plugins["generous"], calls, cap_add=["sys_time"])
    assert found["sethostname"] == "EPERM" and "EPERM" not in (found["settimeofday"], found["clock_settime"])
    assert outcomes(host, plugins["generous"], ["sethostname", "keyctl"], cap_add=["sys_admin"]) == {"sethostname": "EINVAL", "keyctl": "EPERM"}


@pytest.mark.parametrize("allowed", [[], ["bpf"]])
def test_what_the_operator_does_not_allow(launch: Launch, host: AgentHost, allowed: list[str]) -> None:
    plugin = launch({"allow_syscalls": allowed})
    task = host.task(plugin, host.program("confined"), ["out=ran"], config={"syscalls": ["bpf", "io_uring"]})
    with refused("syscalls", "io_uring" if allowed else "bpf", "allow_syscalls", "operator"):
        task.start()
    assert task.stdout.text == ""


@pytest.mark.parametrize("value, shown", [("io_uring", "io_uring"), (["everything"], "everything"), ([1], "1"), (["BPF"], "BPF"), ([""], '""')], ids=repr)
def test_wrong_value(host: AgentHost, plugins: dict[str, Plugin], value: Any, shown: str) -> None:
    task = host.task(plugins["generous"], host.program("confined"), ["out=ran"])
    task.set_config(hcl.unchecked({**task.config, "syscalls": value}))
    with refused("syscalls", shown):
        task.start()


@pytest.mark.parametrize("option, value, shown", [
    ("seccomp", "off", "off"), ("seccomp", 0, "0"), ("allow_syscalls", "bpf", "bpf"), ("allow_syscalls", ["all"], "all")])
def test_wrong_plugin_value(launch: Launch, option: str, value: Any, shown: str) -> None:
    plugin = launch(configure=False)
    with refused(option, shown):
        plugin.set_config(hcl.unchecked({**plugin.config, option: value}))


# Other numbers for the same calls


@pytest.mark.x86_64
def test_32_bit_programs_are_ended(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """Their system call numbers differ: the filter kills them at their first call. Seen without the check of the
    architecture: the program ran to its end."""
    verbs = ["foreign=", "out=after"]
    assert host.task(plugins["filtering"], host.program("confined"), verbs).run() == ExitResult(128 + 31, 31)
    free = host.task(plugins["open"], host.program("confined"), verbs)
    result = free.run()
    # A kernel without 32-bit calls has no int 0x80.
    assert result == ExitResult(0) and free.lines() == ["foreign ok", "after"] or result.signal == 11


# mov r0, #7; mov r7, #1; svc #0: exit(7), for 32-bit ARM.
ARM_PROGRAM = struct.pack(
    "<16sHHIIIIIHHHHHH8I3I", b"\x7fELF\x01\x01\x01", 2, 40, 1, 0x10054, 52, 0, 0x5000000, 52, 32, 1, 0, 0, 0,
    1, 0, 0x10000, 0x10000, 96, 96, 5, 0x10000, 0xE3A00007, 0xE3A07001, 0xEF000000)


@pytest.mark.aarch64
def test_32_bit_arm_programs_are_ended(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """As above. Many processors, and kernels without CONFIG_COMPAT, run no such program at all."""
    program = host.programs / "arm"
    program.write_bytes(ARM_PROGRAM)
    program.chmod(0o755)
    try:
        runs = subprocess.run([program], check=False).returncode == 7
    except OSError as error:
        assert error.errno == errno.ENOEXEC
        runs = False
    for name, result in (("filtering", ExitResult(128 + 31, 31)), ("open", ExitResult(7))):
        task = host.task(plugins[name], program)
        if runs:
            assert task.run() == result
        else:
            assert task.run() == ExitResult(126) and "neither a program nor a script" in task.stderr.text


@pytest.mark.x86_64
def test_x32_is_not_there(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    """Not seen without the rule: the kernels of the tests have no x32 ABI, and answer as the filter does."""
    task = host.task(plugins["filtering"], host.program("confined"), ["x32="])
    task.run()
    assert task.line("x32") == "ENOSYS"


# Ordinary programs


@pytest.mark.parametrize("user", ["nomad-80000", "root"])
def test_threads_and_children(host: AgentHost, plugins: dict[str, Plugin], user: str) -> None:
    """libc falls back to clone if clone3 is denied."""
    task = host.task(plugins["filtering"], host.program("confined"), ["threads=20", "forks=5", "exit=0"], user=user)
    assert task.run() == ExitResult(0)
    assert (task.line("threads"), task.line("forks")) == ("20 ok", "5 ok")


PYTHON = """
import asyncio, concurrent.futures, json, multiprocessing, os, socket, ssl, sqlite3, subprocess, tempfile, threading, time
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert list(pool.map(lambda n: n * n, range(20)))[-1] == 361
assert subprocess.run(["sh", "-c", "echo out; exit 3"], capture_output=True).returncode == 3
child = multiprocessing.get_context("fork").Process(target=os.getpid)
child.start(); child.join(); assert child.exitcode == 0
async def serve():
    server = await asyncio.start_server(lambda r, w: (w.write(b"hello"), w.close()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"hello"
    server.close()
asyncio.run(serve())
with tempfile.TemporaryDirectory() as directory:
    database = sqlite3.connect(directory + "/x"); database.execute("create table t (a)"); database.commit()
ssl.create_default_context(); time.clock_gettime(time.CLOCK_REALTIME); os.sched_getaffinity(0); os.urandom(8)
print("done")
"""


def test_python(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    task = host.task(plugins["filtering"], "/usr/bin/python3", ["-c", PYTHON])
    assert task.run(60) == ExitResult(0), task.stderr.text
    assert task.lines() == ["done"]


def test_bash(host: AgentHost, plugins: dict[str, Plugin]) -> None:
    script = "set -e; (sleep 0.1 & wait); x=$(echo a | tr a b); test $x = b; echo sub | { read -r y; echo $y; }; trap 'echo trap' USR1; kill -USR1 $$; ulimit -n 64; umask 077"
    task = host.task(plugins["filtering"], "/bin/bash", ["-c", script])
    assert task.run() == ExitResult(0), task.stderr.text
    assert task.lines() == ["sub", "trap"]


@pytest.mark.parametrize("config", [
    pytest.param({}, id="plain"),
    pytest.param({"tcp_bind": [0], "tcp_connect": None}, id="with port rules", marks=pytest.mark.landlock(minimum=4)),
])
def test_go(host: AgentHost, plugins: dict[str, Plugin], config: dict[str, Any]) -> None:
    """Go makes threads with clone, children with pidfds and clone3 if possible, and from 1.24 on tries MPTCP first."""
    task = host.task(plugins["filtering"], host.program("ordinary"), config=config)
    assert task.run(60) == ExitResult(0), task.stderr.text
    assert task.lines() == ["hello child"]
