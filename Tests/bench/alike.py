"""Whether a task of the bare contender is confined as one of the driver's: a contender that does less would be faster, and no
goal would be worth anything."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from bare import Bare, Plan, forget

from agent import Task
from agent.timing import wait_until

# Of proc_pid_status(5). NSpid and its like differ in the numbers, and agree in how many there are.
SAME = re.compile(
    "(Umask|Uid|Gid|Groups|Threads|Sig(Pnd|Blk|Ign|Cgt)|ShdPnd|Cap.*|NoNewPrivs|Seccomp.*|Speculation.*|"
    "Cpus_allowed|Mems_allowed_list)$")
COUNTED = re.compile("NS(tgid|pid|pgid|sid)$")
NAMESPACES = ("mnt", "pid", "ipc", "net", "user", "uts", "cgroup", "time")
DENIED = [
    "/", "/proc/1/comm", "/proc/1/environ", "/proc/keys", "/proc/kmsg", "/proc/timer_list", "/proc/directories", "/proc/empty",
    "/dev", "/dev/mem", "/etc", "/etc/passwd", "/etc/shadow", "/run", "/root", "/usr", "/sys", "/sys/fs/cgroup", "/var", "/home",
]
CALLS = ("keyctl", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "mount", "fsopen", "open_tree", "setns", "clone3", "syslog")

# One way to launch a task: it gets a program and its arguments, and returns the task once that has ended.
Run = Callable[[Path, Sequence[str]], Task]


def process(task: Task) -> dict[str, str]:
    """What the kernel says of the only process of a task that sleeps."""
    pids = (task.scope / "cgroup.procs").read_text().split()
    if len(pids) != 1:
        raise RuntimeError(f"{task.scope} has {len(pids)} processes instead of that of the task")
    directory = Path("/proc") / pids[0]
    # In sigtimedwait(2) it blocks another set of signals than before.
    wait_until(lambda: "\nState:\tS" in (directory / "status").read_text(), 5, "a task that sleeps")
    facts = {}
    for line in (directory / "status").read_text().splitlines():
        name, _, value = line.partition(":\t")
        if SAME.match(name):
            facts[name] = value
        elif COUNTED.match(name):
            facts[name] = f"{len(value.split())} numbers"
    for name in ("mountinfo", "cgroup", "oom_score_adj", "limits"):
        facts[name] = (directory / name).read_text()
    mounts = [" ".join(line.split()[3:]) for line in facts.pop("mountinfo").splitlines()]
    facts.update((f"mount {mount}", f"{mounts.count(mount)} times") for mount in mounts)
    # Programs take the first or the last of these for the whole hierarchy.
    facts["mounts of cgroup v2"] = " ".join(mount.split()[1] for mount in mounts if " - cgroup2 " in mount)
    facts["cwd"] = os.readlink(directory / "cwd")
    for name in NAMESPACES:
        shared = os.readlink(directory / "ns" / name) == os.readlink(f"/proc/self/ns/{name}")
        facts[f"namespace {name}"] = "the host's" if shared else "its own"
    for descriptor in sorted(os.listdir(directory / "fd")):
        facts[f"descriptor {descriptor}"] = " ".join(
            line for line in (directory / "fdinfo" / descriptor).read_text().splitlines() if line.startswith("flags"))
    return {name.replace(task.alloc_id, "ID"): value.replace(task.alloc_id, "ID") for name, value in facts.items()}


def attempts(paths: Sequence[str]) -> list[str]:
    """Arguments of Tests/programs/access.c, which begins in the task's directory."""
    own = [".", "local", "secrets", "tmp", "alloc", "alloc/logs"]
    arguments = []
    for path in [*paths, *DENIED, *own]:
        arguments += ["read", path, "readdir", path, "mkdir", f"{path}/exec2-alike", "rmdir", f"{path}/exec2-alike"]
        # A write to a regular file would change the host's if it were not denied.
        if path.startswith("/dev/") or path in own:
            arguments += ["write", path, "ioctl", path]
    for path in ("/bin/true", "/etc/hosts", "/tmp"):
        arguments += ["exec", path]
    return arguments


def outcomes(run: Run, bare: Bare) -> dict[str, str]:
    """What a task may do with paths, and with system calls."""
    host = bare.host
    paths = [rule.path for rule in bare.reference.request.unveil if bare.reference.task.alloc_id not in rule.path]
    tasks = [
        run(host.program("access"), attempts(paths)),
        run(host.program("confined"), ["caps=", "limits=", *(f"call={name}" for name in CALLS)]),
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        # Abstract (unix(7)).
        listener.bind(f"\0{host.root.name}")
        listener.listen()
        tasks.append(run(host.program("act"), [f"socket={host.root.name}"]))
    facts = {"abstract socket": tasks.pop().stdout.text}
    for task in tasks:
        for number, line in enumerate(task.stdout.text.splitlines()):
            name, separator, outcome = line.rpartition("\t")
            facts[name if separator else f"line {number}"] = outcome.replace(task.alloc_id, "ID")
    return facts


def differences(bare: Bare, change: Callable[[Plan], Plan] = lambda plan: plan) -> list[str]:
    """What differs between a task of the bare contender and the driver's; empty if they are confined alike.

    `change` makes another plan for the contender, by which the tests see that a difference is found."""
    host, reference = bare.host, bare.reference

    def by_driver(program: Path, arguments: Sequence[str]) -> Task:
        task = host.task(bare.plugin, program, arguments)
        task.run()
        task.destroy()
        forget(host, task)
        return task

    def by_bare(program: Path, arguments: Sequence[str]) -> Task:
        task = host.task(bare.plugin, program, arguments)
        bare.make_ready(change(list(reference.plan(task, str(program), arguments))))
        bare.launch()
        bare.ended()
        task.stdout.wait_end()
        forget(host, task)
        return task

    program, *arguments = reference.request.arguments
    sleeping = host.task(bare.plugin, program)
    bare.make_ready(change(list(reference.plan(sleeping, program, arguments))))
    bare.launch()
    wait_until(lambda: sleeping.stdout.received > 0, 5, "the contender's task")
    ours = process(sleeping)
    os.kill(int((sleeping.scope / "cgroup.procs").read_text()), signal.SIGTERM)
    bare.ended()
    forget(host, sleeping)
    theirs = process(reference.task)
    ours.update(outcomes(by_bare, bare))
    theirs.update(outcomes(by_driver, bare))
    return [f"{name}: {ours.get(name)!r} instead of {theirs.get(name)!r}"
            for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
