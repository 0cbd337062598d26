"""One call after another fails, each once, and nothing is ever half.

The calls of a task's life are counted first, in the Driver and in the Executor, between clone and execve
too. Then the life is lived once for each of them, with that call failing: each step has an error that says
why, or the failure was harmless; nothing is left, nothing hangs, the Driver lives on and the next task runs.

Run by its name (`make faults`, a stage of `make test`): it needs the build with faults in it. EXEC2_FAULTS_LONG
fails each call with several errors, and every round of every loop; without it long loops are sampled.

What it found before it was mended: a folder that a destroy left and denied, an exit status lost to one failed
fsync, a missing descriptor or a passing shortage of memory, a task said to have died by SIGSEGV when memory failed
in its Executor, an Executor said to have been killed that had left.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

import grpc
import pytest

from agent import AgentHost, ExitResult, Plugin, Task, processes
from agent.faults import DRIVER, EXECUTOR, FUNCTIONS, Fault, Faults, faulty_binary
from agent.host import state_folders
from agent.messages import REPOSITORY
from agent.plugin import HandshakeError
from agent.restart import recover_soon
from agent.timing import wait_until

LONG = bool(os.environ.get("EXEC2_FAULTS_LONG"))
# Most rounds of one loop that are failed in the short walk.
ROUNDS = 16

# What each function fails with: the likely reason first; the others in the long walk.
OPEN = (errno.EMFILE, errno.ENOMEM, errno.EIO)
SPACE = (errno.ENOSPC, errno.EIO, errno.ENOMEM)
MEMORY = (errno.ENOMEM,)
ERRORS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(["open", "openat", "openat2", "opendir", "fdopendir"], OPEN),
    **dict.fromkeys(["dup2", "dup3", "pipe2", "fcntl", "eventfd", "epoll_create1", "signalfd", "timerfd_create",
                     "memfd_create", "pidfd_open", "fsopen", "fsmount"], (errno.EMFILE, errno.ENOMEM)),
    **dict.fromkeys(["write", "pwrite", "mkdir", "mkfifo", "rename", "renameat", "fallocate", "ftruncate", "symlink"],
                    SPACE),
    **dict.fromkeys(["mmap", "malloc", "calloc", "posix_memalign", "mount", "open_tree", "move_mount", "mount_setattr",
                     "landlock_create_ruleset", "landlock_add_rule", "setgroups", "close_range", "chdir", "seccomp"],
                    MEMORY),
    "clone3": (errno.EAGAIN, errno.ENOMEM, errno.ENOSPC),
    "execve": (errno.ENOMEM, errno.EIO, errno.EACCES),
    "epoll_ctl": (errno.ENOSPC, errno.ENOMEM),
    "pthread_create": (errno.EAGAIN,),
    "kill": (errno.EPERM,),
    "pidfd_send_signal": (errno.EPERM,),
    **dict.fromkeys(["setresuid", "setresgid"], (errno.EAGAIN, errno.EPERM)),
    **dict.fromkeys(["prctl", "capset", "setsid", "prlimit64", "setns", "unshare"], (errno.EPERM, errno.ENOMEM)),
}
OTHERS = (errno.EIO, errno.ENOMEM)
# What the kernel cannot refuse when it is called rightly, or answers about others than the caller: a
# failure would be an invented one.
CANNOT_FAIL = {
    "gettid", "getpid", "umask", "sigaction", "rt_sigaction", "lseek", "timerfd_settime", "wait4", "waitid", "waitpid",
    "uname", "poll", "epoll_wait", "futex",
}
# Swift's runtime and gRPC end a process that has no memory, whoever asked: what that does to tasks, which is
# nothing, is told by test_no_memory_in_the_driver.
ENDS_A_DRIVER = {"malloc", "calloc", "posix_memalign"}
# What a signal may interrupt (signal(7)).
INTERRUPTIBLE = {
    "open", "openat", "openat2", "read", "write", "pread", "pwrite", "fallocate", "ftruncate", "flock", "wait4",
    "waitid", "waitpid", "poll", "epoll_wait",
}
# Between clone and execve every signal is blocked, so that only what goes by name counts.
STOPPED = ExitResult(130, 2)
INOTIFY = "anon_inode:inotify"


@dataclass
class Life:
    """What each step of a task's life came to: None where it went well."""

    steps: dict[str, grpc.RpcError | None] = field(default_factory=dict)
    result: ExitResult | None = None
    error: str = ""

    def do(self, name: str, call: Callable[[], object]) -> bool:
        try:
            call()
            self.steps[name] = None
        except grpc.RpcError as failure:
            self.steps[name] = failure
        return self.steps[name] is None

    @property
    def went_well(self) -> bool:
        return not any(self.steps.values()) and self.result == STOPPED and not self.error

    def __str__(self) -> str:
        told = [f"{name}: {error.code().name} {error.details()!r}" for name, error in self.steps.items() if error]
        return "; ".join([*told, f"{self.result} {self.error!r}"])


class Walk:
    """One Driver in which calls fail, with two tasks: one that suffers, and the next."""

    def __init__(self, host: AgentHost):
        self.host = host
        self.faults = Faults(host.root / f"faults-{time.monotonic_ns()}")
        self.state_dir = str(host.make_state_dir())
        self.plugin = self.launch()
        self.task = host.task(self.plugin, host.program("act"), ["pause="])
        self.next = host.task(self.plugin, host.program("act"), ["exit=0"])
        self.settle()

    def launch(self) -> Plugin:
        return self.host.launch(
            # One Executor at a time, so that each call has its number.
            {"state_dir": self.state_dir, "standby_executor": False}, binary=faulty_binary(), environment=self.faults.environment)

    def settle(self) -> None:
        """A first life, so that what is made once is there; what stays open then is the measure."""
        for task in (self.task, self.next):
            task.plugin = self.plugin
        assert self.next.run() == ExitResult(0)
        self.next.destroy()
        # The watch of log readers is made with the first task that still runs when it is to be watched.
        self.task.start()
        wait_until(lambda: INOTIFY in processes.descriptors(self.plugin.pid).values(), 10, "log readers are watched")
        self.task.stop(1)
        self.task.wait()
        self.task.destroy()
        self.threads = processes.status(self.plugin.pid, "Threads")
        self.descriptors = len(processes.descriptors(self.plugin.pid))
        self.mounts = self.own_mounts()

    def own_mounts(self) -> list[str]:
        """The mounts below this session's folder; others' come and go."""
        return sorted(line.split()[1] for line in open("/proc/mounts") if str(self.host.root) in line)

    def live(self) -> Life:
        """StartTask, SignalTask, StopTask, WaitTask, DestroyTask."""
        life = Life()
        if life.do("StartTask", self.task.start):
            self.go_on(life)
        return life

    def go_on(self, life: Life) -> None:
        waiting = self.task.wait_soon()
        life.do("SignalTask", lambda: self.task.signal("SIGCONT"))
        life.do("StopTask", lambda: self.task.stop(1))

        def wait() -> None:
            answer = waiting.result()
            life.result = ExitResult(answer.result.exit_code, answer.result.signal, answer.result.oom_killed)
            life.error = answer.err

        life.do("WaitTask", wait)
        if not life.do("DestroyTask", self.task.destroy):
            # The client may ask again, and what failed once goes well then.
            self.task.destroy()

    def left(self) -> list[str]:
        """What there is more than before."""
        found = []
        now = processes.descriptors(self.plugin.pid)
        if len(now) > self.descriptors:
            found.append(f"{len(now)} descriptors instead of {self.descriptors}: {now}")
        if self.plugin.executors():
            found.append(f"processes {self.plugin.executors()}")
        if state_folders(self.plugin):
            found.append(f"state folders {state_folders(self.plugin)}")
        if self.own_mounts() != self.mounts:
            found.append("mounts")
        populated = (self.task.scope / "cgroup.events").read_text()
        if "populated 0" not in populated or any(path.is_dir() for path in self.task.scope.iterdir()):
            found.append("the task's cgroup is not empty")
        return found

    def faults_of(self, counts: dict[tuple[int, int], int], *, interrupted: bool = False) -> list[Fault]:
        """The calls that are to fail, one after another."""
        found = []
        for (role, slot), count in sorted(counts.items()):
            name = self.faults.name(slot)
            function = name.split()[-1]
            if interrupted:
                if slot < FUNCTIONS or function not in INTERRUPTIBLE:
                    continue
                errors: tuple[int, ...] = (errno.EINTR,)
            else:
                if function in CANNOT_FAIL or (role == DRIVER and function in ENDS_A_DRIVER):
                    continue
                errors = ERRORS.get(function, OTHERS)[:None if LONG else 1]
            step = 1 if LONG else max(1, count // ROUNDS)
            rounds = sorted({*range(1, count + 1, step), count})
            found += [Fault(role, slot, name, nth, error) for nth in rounds for error in errors]
        return found


def wrong(fault: Fault, life: Life) -> str | None:
    """Why the outcome is no good one, or None."""
    function = fault.name.split()[-1]
    for step, error in life.steps.items():
        if error is None:
            continue
        text = error.details() or ""
        if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return f"{step} gave no answer of its own"
        # Told by the call before, or by what the failure led to.
        consequence = "is not running" in text or "ended before it had started" in text
        if os.strerror(fault.error) not in text and not consequence:
            return f"{step} does not say why"
        if "cannot" not in text and not consequence:
            return f"{step} does not say at which stage"
    if life.steps["StartTask"] or life.result is None:
        return None if life.steps["StartTask"] or life.steps["WaitTask"] else "no result"
    if life.result == STOPPED:
        return f"a right result with an error: {life.error}" if life.error else None
    if function == "execve":
        return None if life.result.exit_code == 126 else "not the exit code of a program that cannot be run"
    if life.error:
        if life.result != ExitResult(137, 9):
            return "an unknown end has a made-up result"
        by_executor = fault.role == EXECUTOR and "(Executor, pid" in life.error
        # The stop could not be asked for, and so the Executor was killed.
        by_stop = function == "write" and "was killed" in life.error
        told = os.strerror(fault.error) in life.error or by_executor or by_stop
        return None if told else "an end is lost, and not for the reason that is given"
    # Killed in the end, since it could not be told to stop.
    stops = function in ("kill", "pidfd_send_signal", "write")
    return None if stops and life.result == ExitResult(137, 9) else "a result that is not the task's"


@pytest.fixture
def walk(host: AgentHost) -> Iterator[Walk]:
    yield Walk(host)


def check(walk: Walk, fault: Fault, live: Callable[[], Life], judge: Callable[[Fault, Life], str | None]) -> list[str]:
    """One life with one failing call."""
    began = time.monotonic()
    walk.faults.fail(fault)
    life = live()
    walk.faults.stop()
    seconds = time.monotonic() - began
    problems = []
    if not walk.plugin.is_running:
        problems.append(f"the Driver has ended: {walk.plugin.violations[:3]}")
        walk.plugin.end()
        walk.plugin = walk.launch()
        walk.settle()
        return [f"{fault}: {problem}" for problem in problems]
    if (problem := judge(fault, life)) is not None:
        problems.append(problem)
    if seconds > 15:
        problems.append(f"took {seconds:.0f} s")
    try:
        wait_until(lambda: not walk.left(), 5, "nothing left")
    except AssertionError:
        problems.append(f"left: {walk.left()}")
        clear(walk)
    try:
        assert walk.next.run() == ExitResult(0)
        walk.next.destroy()
    except (grpc.RpcError, AssertionError) as error:
        problems.append(f"the next task: {error}")
    return [f"{fault}: {problem} [{life}]" for problem in problems]


def clear(walk: Walk) -> None:
    """Takes away what a failed life has left, so that the next one is judged by itself."""
    for process in walk.plugin.executors():
        os.kill(process.pid, 9)
    for name in state_folders(walk.plugin):
        shutil.rmtree(walk.plugin.state_dir / name, ignore_errors=True)
    walk.descriptors = max(walk.descriptors, len(processes.descriptors(walk.plugin.pid)))


def count_of(walk: Walk, live: Callable[[], Life]) -> dict[tuple[int, int], int]:
    """How often each function is called in a life in which nothing fails: in the longest of three."""
    most: dict[tuple[int, int], int] = {}
    for _ in range(3):
        walk.faults.count()
        life = live()
        walk.faults.stop()
        assert life.went_well, str(life)
        for key, count in walk.faults.counts().items():
            most[key] = max(most.get(key, 0), count)
    return most


def report(walked: list[Fault], problems: list[str], least: int = 50) -> None:
    print(f"{len(walked)} calls failed, one at a time")
    assert len(walked) >= least
    assert not problems, f"{len(problems)} of {len(walked)}:\n" + "\n".join(problems)


@pytest.mark.parametrize("role", [DRIVER, EXECUTOR], ids=["driver", "executor"])
def test_every_call_of_a_life_fails_once(walk: Walk, role: int) -> None:
    faults = [fault for fault in walk.faults_of(count_of(walk, walk.live)) if fault.role == role]
    report(faults, [problem for fault in faults for problem in check(walk, fault, walk.live, wrong)])


def test_every_interrupted_call_of_a_life_goes_well(walk: Walk) -> None:
    """EINTR is nobody's failure."""

    def judge(_fault: Fault, life: Life) -> str | None:
        return None if life.went_well else "did not go on"

    faults = walk.faults_of(count_of(walk, walk.live), interrupted=True)
    report(faults, [problem for fault in faults for problem in check(walk, fault, walk.live, judge)], least=40)


def test_every_call_of_a_recovery_fails_once(host: AgentHost, walk: Walk) -> None:
    """The Driver is killed while the task runs; the next one's calls fail from RecoverTask on."""
    killed: list[Plugin] = []

    def prepare() -> None:
        walk.task.start()
        walk.plugin.kill()
        killed.append(walk.plugin)
        walk.plugin = walk.launch()
        walk.task.plugin = walk.next.plugin = walk.plugin
        walk.descriptors = len(processes.descriptors(walk.plugin.pid)) + 3

    def recover() -> Life:
        life = Life({"StartTask": None})
        if not life.do("RecoverTask", lambda: recover_soon(walk.plugin, walk.task).result()):
            walk.faults.stop()
            recover_soon(walk.plugin, walk.task).result()
        walk.go_on(life)
        old = killed.pop()
        wait_until(lambda: not old.executors(), 10, "the earlier Driver's Executor gone")
        old.end()
        host.plugins.remove(old)
        return life

    counts: dict[tuple[int, int], int] = {}
    for _ in range(2):
        prepare()
        walk.faults.count()
        life = recover()
        walk.faults.stop()
        assert life.went_well, str(life)
        for key, count in walk.faults.counts().items():
            counts[key] = max(counts.get(key, 0), count)
    faults = [fault for fault in walk.faults_of(counts) if fault.role == DRIVER]
    problems = []
    for fault in faults:
        prepare()
        problems += check(walk, fault, recover, wrong)
    report(faults, problems)


def test_every_call_of_a_driver_that_starts_fails_once(host: AgentHost) -> None:
    """It serves, or it ends with its reason in the log; it never hangs and never dies by a signal."""
    control = Faults(host.root / "faults-of-a-start")

    def begin() -> str | None:
        try:
            plugin = host.launch({}, binary=faulty_binary(), environment=control.environment)
        except HandshakeError as error:
            return None if "cannot" in str(error) and "exit 1" in str(error) else f"no reason given: {error}"
        except grpc.RpcError as error:
            # A connection whose other end cannot be looked at is refused, and the log says so.
            plugin = host.plugins.pop()
            plugin.end()
            told = f"{error.details()} {[entry['@message'] for entry in plugin.log if entry['@level'] != 'info']}"
            return None if "cannot" in told or "refused" in told else f"no reason given: {told}"
        plugin.end()
        host.plugins.remove(plugin)
        return f"{plugin.violations}" if plugin.violations else None

    control.count()
    assert begin() is None
    control.stop()
    walk = Walk.__new__(Walk)
    walk.faults = control
    faults = walk.faults_of(control.counts())
    problems = []
    for fault in faults:
        control.fail(fault)
        problem = begin()
        control.stop()
        if problem:
            problems.append(f"{fault}: {problem}")
    report(faults, problems, least=25)


def test_no_memory_in_the_driver(host: AgentHost, walk: Walk) -> None:
    """A Driver without memory ends at once; its tasks do not, and the next Driver has them."""
    counts = count_of(walk, walk.live)
    slot = next(slot for role, slot in counts if role == DRIVER and walk.faults.name(slot) == "calloc")
    other = host.task(walk.plugin, host.program("act"), ["pause="])
    other.start()
    walk.faults.fail(Fault(DRIVER, slot, "calloc", 1, errno.ENOMEM))
    with pytest.raises(grpc.RpcError):
        walk.task.start()
    walk.faults.stop()
    walk.plugin.wait_exit()
    walk.plugin.violations.clear()
    walk.plugin = walk.launch()
    recover_soon(walk.plugin, other).result()
    other.stop()
    assert other.wait() == STOPPED
    other.destroy()
    walk.settle()


def test_nothing_of_it_is_in_an_ordinary_build() -> None:
    """Neither the layer's functions nor the name of its variable."""
    programs = ("nomad-driver-exec2", "nomad-driver-exec2-executor")
    for name in programs:
        faulty = faulty_binary().parent / name
        ordinary = REPOSITORY / ".build" / "release" / name
        for program, is_there in ((faulty, True), (ordinary, False)):
            symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
            assert ("__wrap_openat" in symbols) == is_there, program
            assert ("exec2_fault" in symbols) == is_there, program
            assert (b"EXEC2_FAULT_CONTROL" in program.read_bytes()) == is_there, program
