"""`run --trace`: what the sandbox denies to a command, told with the rule that would allow it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Iterator

import pytest

from agent import cgroups
from agent.file_systems import DeadFileSystem
from agent.messages import REPOSITORY
from agent.timing import scaled, wait_until
from command_line import PROGRAM, SLOW, complaint, environment, nothing_is_left, run, start, wait_for  # noqa: F401
from tracing import denials, options, rules, titles

TRY = "import os, socket, sys\ndef attempt(call):\n    try: call()\n    except OSError as error: print(error.errno)\n"


@pytest.fixture
def site() -> Iterator[Path]:
    """A directory of the host that no rule unveils, and that everybody may use."""
    site = Path(f"/srv/exec2-trace-{os.getpid()}")
    site.mkdir()
    site.chmod(0o777)
    yield site
    shutil.rmtree(site)


def python(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return run("--trace", "-e", "LC_ALL=C", "-e", "PYTHONCOERCECLOCALE=0", *words, "--", "/usr/bin/python3", "-S", "-c", TRY + text)


# Paths


def test_each_path_once_with_its_rule(site: Path) -> None:
    (site / "file").touch()
    result = python(f"""
for _ in range(3):
    attempt(lambda: open("{site}/file"))
    attempt(lambda: os.stat("{site}/file"))
    attempt(lambda: open("{site}/missing"))
    attempt(lambda: open("/etc/passwd"))
    attempt(lambda: os.listdir("/etc"))
""")
    assert result.returncode == 0 and result.stdout == "2\n2\n2\n13\n13\n" * 3
    assert titles(result.stderr) == [f"r:{site}/file", "r:/etc/passwd", "r:/etc"]
    first = denials(result.stderr)[0]
    assert first.comm == "python3" and first.call == "openat" and first.reason == "not unveiled (ENOENT)"
    assert "3 denied: 3 for want of a rule" in result.stderr and " system calls of 1 thread in " in result.stderr


@pytest.mark.parametrize("call,rule", [
    ("open('{0}/file', 'r+')", "rw:{0}/file"), ("open('{0}/file', 'a')", "w:{0}/file"), ("open('{0}/new', 'w')", "wc:{0}"),
    ("os.open('{0}/new', os.O_RDWR | os.O_CREAT)", "rwc:{0}"), ("os.open('{0}', os.O_RDWR | os.O_TMPFILE)", "rwc:{0}"),
    ("os.stat('{0}')", "r:{0}"), ("os.access('{0}/file', os.W_OK) or open('/dev/null/x')", "w:{0}/file"),
    ("os.readlink('{0}/link')", "r:{0}/link"), ("os.chdir('{0}')", "r:{0}"), ("os.listdir('{0}')", "r:{0}"),
    ("os.mkdir('{0}/new')", "c:{0}"), ("os.unlink('{0}/file')", "c:{0}"), ("os.rmdir('{0}/directory')", "c:{0}"),
    ("os.rename('{0}/file', '{0}/other')", "c:{0}"), ("os.symlink('x', '{0}/new')", "c:{0}"),
    ("os.mkfifo('{0}/new')", "c:{0}"), ("os.truncate('{0}/file', 0)", "w:{0}/file"), ("os.chmod('{0}/file', 0)", "w:{0}/file"),
    ("os.utime('{0}/file')", "w:{0}/file"), ("os.execv('{0}/program', ['x'])", "rx:{0}/program"),
    ("socket.socket(socket.AF_UNIX).connect('{0}/socket')", "w:{0}/socket"),
    ("socket.socket(socket.AF_UNIX).bind('{0}/new')", "c:{0}"),
    ("(os.chdir('/tmp'), open('../srv/./{1}/file'))", "r:{0}/file"),
    ("os.stat('../../srv/{1}/file', dir_fd=os.open('/usr/lib', os.O_PATH))", "r:{0}/file"),
])
@pytest.mark.parametrize("user", ["nomad-91000", "root"])
def test_modes(site: Path, user: str, call: str, rule: str) -> None:
    (site / "file").touch()
    (site / "file").chmod(0o666)
    (site / "directory").mkdir()
    (site / "link").symlink_to("file")
    shutil.copy("/bin/true", site / "program")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{site}/socket")
        (site / "socket").chmod(0o777)
        result = python(f"attempt(lambda: {call.format(site, site.name)})", "--user", user)
    assert result.returncode == 0, result.stderr
    assert rule.format(site) in titles(result.stderr), result.stderr


def test_a_mode_that_a_rule_lacks(site: Path) -> None:
    (site / "file").touch()
    (site / "file").chmod(0o666)
    shutil.copy("/bin/true", site / "program")
    text = f"attempt(lambda: open('{site}/file', 'w'))\nattempt(lambda: os.mkdir('{site}/x'))\nattempt(lambda: os.execv('{site}/program', ['x']))"
    result = python(text, "--unveil", f"r:{site}")
    assert result.stdout == "30\n30\n13\n"
    assert titles(result.stderr) == [f"w:{site}/file", f"c:{site}", f"rx:{site}/program"]
    result = python(text, "--unveil", f"rw:{site}", "--user", "root")
    assert titles(result.stderr) == [f"c:{site}", f"rx:{site}/program"], result.stderr
    assert "the rule lacks a mode (EACCES)" in result.stderr


def test_what_no_rule_can_help(site: Path) -> None:
    """What the host lacks as well is not told at all; what file permissions deny is told as such."""
    (site / "secret").touch()
    (site / "secret").chmod(0o600)
    text = f"for path in ('/nonexistent/x', '/etc/nonexistent', '{site}/none', '{site}/secret'): attempt(lambda: open(path))"
    result = python(text)
    assert titles(result.stderr) == [f"file permissions of {site}/secret"]
    assert "mode 0600, owner 0" in result.stderr and "1 by file permissions" in result.stderr
    assert titles(python(text, "--user", "root").stderr) == [f"r:{site}/secret"]
    assert titles(python(text, "--unveil", f"r:{site}").stderr) == [f"file permissions of {site}/secret"]


def test_symlinks(site: Path) -> None:
    """The rule is for what can be seen to be missing."""
    (site / "target").touch()
    (site / "link").symlink_to("target")
    (site / "shown").mkdir()
    (site / "shown" / "out").symlink_to("../target")
    result = python(f"attempt(lambda: open('{site}/link'))\nattempt(lambda: open('{site}/shown/out'))", "--unveil", f"r:{site}/shown")
    assert titles(result.stderr) == [f"r:{site}/link", f"r:{site}/target"]
    assert f"asked for {site}/shown/out" in result.stderr
    again = python(f"open('{site}/link')\nopen('{site}/shown/out')", "--unveil", f"r:{site}/shown", "--unveil", f"r:{site}/link", "--unveil",
                   f"r:{site}/target")
    assert again.returncode == 0 and titles(again.stderr) == []


def test_the_commands_own_directories_are_not_denied() -> None:
    result = python("for name in ('local', 'tmp', '/tmp', '/dev/shm', '/proc/self', '/dev/pts'): attempt(lambda: open(name + '/missing'))",
                    "--private-tmp")
    assert result.stdout == "2\n" * 6 and titles(result.stderr) == []
    marker = Path(f"/tmp/exec2-trace-{os.getpid()}")
    marker.touch()
    try:
        assert titles(python(f"attempt(lambda: open('{marker}'))", "--private-tmp").stderr) == []
    finally:
        marker.unlink()


def test_proc() -> None:
    result = python("attempt(lambda: open('/proc/self/oom_score_adj', 'w'))\nattempt(lambda: open('/proc/sys/vm/swappiness', 'w'))")
    assert titles(result.stderr) == ["w:/proc/self/oom_score_adj"]
    text = "open('/proc/self/oom_score_adj', 'w').write('5')"
    assert python(text, "--unveil", "w:/proc/self/oom_score_adj").returncode == 0


@pytest.mark.parametrize("way", ["/proc/..", "/proc/self/../..", "/proc/self/root", "/proc/self/cwd/root", "/proc/self/fd/9", "/proc/thread-self/root"])
def test_a_path_that_leads_out_of_proc_is_named_by_where_it_leads(site: Path, way: str) -> None:
    (site / "file").touch()
    (site / "file").chmod(0o666)
    result = python(f"""
os.symlink("/", "root")
os.dup2(os.open("/", os.O_PATH), 9)
for name in ("{site}/file", "/etc/passwd"): attempt(lambda: open("{way}" + name))
for name in ("/usr/bin/x", "/home/x"): attempt(lambda: open("{way}" + name, "w"))
""", "--suggest", "--user", "root")
    assert titles(result.stderr) == [f"r:{site}/file", "r:/etc/passwd", "wc:/usr/bin", "wc:/home"]
    assert rules(result.stderr) == ["r:/etc/passwd"] + [f"r:{site}/file"]
    assert '# left out: "rwc:/usr/bin",  # gives the whole of /usr/bin, writing outside' in result.stderr


def test_what_a_rule_would_give_away_is_said(site: Path) -> None:
    """A program that looks for passwords gets no rule for them unless a person wants that."""
    (site / "file").touch()
    result = python(f"for path in ('/etc/shadow', '{site}/file'): attempt(lambda: open(path))", "--suggest", "--user", "root")
    assert result.stdout == "2\n2\n"
    suggested = {line.split('"')[1]: line.partition("# ")[2] for line in result.stderr.splitlines() if line.startswith('  "r:')}
    assert suggested["r:/etc/shadow"] == "gives what may hold keys or passwords" and suggested[f"r:{site}/file"] == ""


def test_what_a_link_of_proc_leads_to_is_not_followed_on_the_host(site: Path) -> None:
    """By a path of the task's with the tracer's rights."""
    (site / "directory").mkdir(mode=0o700)
    (site / "directory" / "file").touch()
    result = python(f"""
os.symlink("{site}/directory/file", "link")
os.symlink("{site}/directory", "way")
for path in ("link", "way/file"): attempt(lambda: os.stat("/proc/self/cwd/" + path))
""")
    assert titles(result.stderr) == [f"file permissions of {site}/directory/file"]


def test_a_command_that_is_not_found(site: Path) -> None:
    shutil.copy("/bin/true", site / "program")
    (site / "script").write_text(f"#! {site}/program\n")
    (site / "script").chmod(0o755)
    result = run("--trace", "--suggest", str(site / "program"))
    assert result.returncode == 127 and titles(result.stderr) == [f"rx:{site}/program"]
    assert run("--trace", *options(result.stderr), str(site / "program")).returncode == 0
    # What runs a script is missing.
    result = run("--trace", "--unveil", f"rx:{site}/script", str(site / "script"))
    assert result.returncode == 127 and titles(result.stderr) == [f"rx:{site}/program"]
    assert f"asked for {site}/script" in result.stderr


def test_names_that_a_task_chooses(site: Path) -> None:
    """They cannot make a line of their own, nor speak to the terminal."""
    names = ["a\\nb", 'q"${x}%{y}\\\\', "\\x1b[31mred", "a b", "c'd", "\\xff\\xfe"]
    text = f"import ctypes\nctypes.CDLL(None).prctl(15, b'x\\x1b\\n', 0, 0, 0)\nfor name in {[name.encode().decode('unicode_escape') for name in names[:5]]!r}:\n"
    text += f"    open(os.path.join({str(site)!r}, 'made', name), 'w')\n"
    made = site / "made"
    made.mkdir()
    made.chmod(0o777)
    assert python(text, "--unveil", f"rwc:{site}").returncode == 0
    (made / os.fsdecode(b"\xff\xfe")).touch()
    read = f"import ctypes\nctypes.CDLL(None).prctl(15, b'x\\x1b\\n', 0, 0, 0)\nfor name in {sorted(os.listdir(os.fsencode(made)))!r}:\n"
    read += f"    attempt(lambda: open(b'{made}/' + name))\n"
    result = python(read, "--suggest")
    assert result.stdout == "2\n" * 6
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stderr)
    found = denials(result.stderr)
    assert len(found) == 6 and all(denial.comm == '"x\\u001b\\\\n"' for denial in found), result.stderr
    assert rules(result.stderr) == [f"r:{made}"]


@pytest.mark.fuse
def test_a_file_system_that_does_not_answer(site: Path) -> None:
    """The command does not wait for the look at it, and the run ends."""
    (site / "before").touch()
    text = f"""
import time
attempt(lambda: open("{site}/before"))
began = time.monotonic()
for index in range(100): attempt(lambda: open(f"{site}/dead/file{{index}}"))
print(time.monotonic() - began < 5)
"""
    with DeadFileSystem(site / "dead"):
        began = time.monotonic()
        result = python(text)
        assert time.monotonic() - began < scaled(20)
    assert result.returncode == 0 and result.stdout == "2\n" * 101 + "True\n"
    assert titles(result.stderr) == [f"r:{site}/before"]
    assert f'the file system of "{site}/dead/file0" does not answer' in result.stderr


def test_what_is_looked_at_after_the_commands_end_is_what_it_had(site: Path) -> None:
    shutil.copy("/bin/true", site / "program")
    (site / "script").write_text(f"#! {site}/program\n")
    (site / "script").chmod(0o755)
    with DeadFileSystem(site / "dead"):
        command = start("--trace", "--unveil", f"rx:{site}/script", "sh", "-c", f"cat {site}/dead/file; {site}/script; echo end")
        wait_for("end", command)
        time.sleep(0.5)
    _, text = command.communicate(timeout=scaled(20))
    assert titles(text) == [f"rx:{site}/program"]


# A page that nobody fills in: what reads it waits.
STUCK = """
import ctypes, mmap, platform, struct, threading, time
libc = ctypes.CDLL(None, use_errno=True)
number = libc.syscall({"x86_64": 323, "aarch64": 282}[platform.machine()], os.O_CLOEXEC)
assert number >= 0, ctypes.get_errno()
page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
for request, words in ((0xC018AA3F, (0xAA, 0, 0)), (0xC020AA00, (address, 4096, 1, 0))):
    buffer = ctypes.create_string_buffer(struct.pack(f"{len(words)}Q", *words))
    assert libc.ioctl(number, ctypes.c_ulong(request), buffer) == 0, ctypes.get_errno()
threading.Thread(target=lambda: (sys.stdin.readline(), libc.open(ctypes.c_void_p(address), 0)), daemon=True).start()
print("up", flush=True)
while True:
    time.sleep(0.1)
    print("runs", flush=True)
    try: open("/etc/passwd")
    except OSError: pass
"""


def test_memory_that_does_not_answer_holds_the_task_for_seconds_at_most() -> None:
    command = start("--user", "root", "--cap-add", "sys_ptrace", "--no-seccomp", "--", "/usr/bin/python3", "-S", "-c", TRY + STUCK,
                    stdin=subprocess.PIPE)
    try:
        wait_for("up", command)
        trace = subprocess.Popen([PROGRAM, "trace", "--suggest", str(command.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert trace.stdout is not None and "r:/etc/passwd" in trace.stdout.readline()
        assert command.stdin is not None
        command.stdin.write("\n")
        command.stdin.flush()
        try:
            output, complaints = trace.communicate(timeout=scaled(60))
        finally:
            trace.kill()
        assert trace.returncode == 1 and "memory that does not answer" in complaints and rules(output) == ["r:/etc/passwd"]
        assert command.stdout is not None
        for _ in range(50):
            wait_for("runs", command)
    finally:
        command.terminate()
        command.communicate(timeout=scaled(20))


# Ports, sockets, system calls


SOCKETS = """
def unix(path): socket.socket(socket.AF_UNIX).connect(path)
attempt(lambda: unix("\\0exec2-trace"))
attempt(lambda: socket.socket(38, 5, 0))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt(lambda: socket.socket().bind(("127.0.0.1", 80)))
attempt(lambda: os.setgroups([5]))
attempt(lambda: os.chroot("/tmp"))
attempt(lambda: os.nice(-5))
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    if libc.syscall(*words) < 0: raise OSError(ctypes.get_errno(), "")
attempt(lambda: call(425, 1, 0))
attempt(lambda: call(480))
import threading
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
"""


def test_sockets_and_calls() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0exec2-trace")
        server.listen()
        result = python(SOCKETS, "--suggest")
    assert result.stdout.endswith("thread\n")
    # clone3(2), which every program tries before clone(2), is not among them.
    assert titles(result.stderr) == [
        "abstract_sockets = true", 'syscalls = ["sockets"]', 'cap_add = ["net_raw"]', 'cap_add = ["net_bind_service"]',
        'cap_add = ["setgid"]', 'cap_add = ["sys_chroot"]', 'cap_add = ["sys_nice"]', 'syscalls = ["io_uring"]',
        'syscalls = ["newer"]']
    assert 'cap_add = ["net_raw", "net_bind_service", "setgid", "sys_chroot", "sys_nice"]\n' in result.stderr
    assert 'syscalls = ["sockets", "io_uring", "newer"]\n' in result.stderr and "abstract_sockets = true\n" in result.stderr


@pytest.mark.landlock(minimum=4)
def test_ports() -> None:
    text = "attempt(lambda: socket.create_connection(('127.0.0.1', 4646)))\nattempt(lambda: socket.socket().bind(('', 8081)))"
    result = python(text, "--tcp-connect", "80", "--tcp-bind", "none", "--suggest")
    assert result.stdout == "13\n13\n"
    assert titles(result.stderr) == ["tcp_connect = [4646]", "tcp_bind = [8081]"]
    assert options(result.stderr) == ["--tcp-connect", "4646", "--tcp-bind", "8081"]
    # Without rules for ports nothing is denied: nobody listens.
    assert titles(python(text).stderr) == []


# What the command sees


@pytest.mark.parametrize("script,status", [
    ("exit 7", 7), ("kill -9 $$", 137), ("kill -USR1 $$", 138), ("trap 'exit 3' TERM; kill -TERM $$; exit 4", 3),
    ("(kill -11 $BASHPID); exit $(($? - 100))", 39)])
def test_the_end_is_the_commands(script: str, status: int) -> None:
    result = run("--trace", "bash", "-c", script)
    assert result.returncode == status and result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("trace: ")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def test_a_stopped_process_stays_stopped() -> None:
    script = ("sleep 300 & child=$!; kill -STOP $child; while ! grep -q ') [Tt]' /proc/$child/stat; do :; done; echo $child; read line; "
              "kill -CONT $child; kill -TERM $child; wait $child; echo $?")
    with start("--trace", "bash", "-c", script, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline().strip().isdigit()
        time.sleep(0.5)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "143\n"
        assert process.wait(scaled(20)) == 0


def test_job_control() -> None:
    script = "set -m; sleep 300 & kill -STOP %1; sleep 0.3; jobs; kill -CONT %1; sleep 0.1; jobs; kill %1; wait %1; echo $?"
    traced, plain = run("--trace", "bash", "-c", script), run("bash", "-c", script)
    assert traced.stdout == plain.stdout and "Stopped" in plain.stdout and plain.stdout.endswith("143\n")


def test_signals_to_run_reach_the_command() -> None:
    process = start("--trace", "sh", "-c", "trap 'echo got; exit 5' USR1; echo up; while :; do sleep 0.1; done")
    wait_for("up", process)
    process.send_signal(signal.SIGUSR1)
    wait_for("got", process)
    assert process.wait(scaled(20)) == 5


def test_run_that_is_killed_takes_the_command_with_it() -> None:
    process = start("--trace", "--kill-timeout", "1", "sh", "-c", "echo $$; exec sleep 300 exec2-leftover-mark")
    assert process.stdout is not None and process.stdout.readline()
    process.kill()
    process.wait(scaled(10))
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    wait_until(lambda: not Path(f"/run/nomad-driver-exec2-run-{process.pid}").exists(), 5, "the run's end")
    for path in [*Path("/run").glob(f"nomad-driver-exec2-run-{process.pid}-*"), *Path("/var/tmp").glob(f"nomad-driver-exec2-run-{process.pid}-*")]:
        wait_until(lambda: not alive(path), 20, "the Executor's end")
        shutil.rmtree(path, ignore_errors=True)
    for cgroup in Path("/sys/fs/cgroup").rglob(f"nomad-driver-exec2-run-{process.pid}-*"):
        # The last process leaves it a moment after its mounts are gone.
        wait_until(lambda: not cgroups.populated(cgroup), 20, "the cgroup empty")
        for directory in sorted([cgroup, *cgroup.rglob("*")], reverse=True):
            if directory.is_dir():
                directory.rmdir()


def alive(directory: Path) -> bool:
    """Whether a process of this run is left."""
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            if directory.name in path.read_text(encoding="utf-8", errors="replace"):
                return True
        except OSError:
            continue
    return False


def test_many_processes_and_threads(site: Path) -> None:
    """Each process and each thread of its own asks for a file of its own."""
    for index in range(100):
        (site / str(index)).touch()
    text = f"""
import threading
def ask(index):
    for _ in range(20): attempt(lambda: os.stat(f"{site}/{{index}}"))
children = []
for process in range(10):
    pid = os.fork()
    if pid == 0:
        threads = [threading.Thread(target=ask, args=(process * 10 + index,)) for index in range(10)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        os._exit(process)
    children.append(pid)
assert sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children) == list(range(10))
"""
    result = python(text, "--suggest")
    assert result.returncode == 0, result.stderr
    # Python counts the processors as well.
    found = [title for title in titles(result.stderr) if "/sys/" not in title]
    assert sorted(found) == sorted(f"r:{site}/{index}" for index in range(100))
    assert rules(result.stderr)[0] == f"r:{site}" and rules(result.stderr, "unveil_paths") == rules(result.stderr)
    assert int(re.search(r"calls of (\d+) threads", result.stderr)[1]) >= 111  # type: ignore[index]


def test_an_inner_tracer_is_told() -> None:
    result = run("--trace", "strace", "-o", "/dev/null", "true")
    assert result.returncode != 0 and "ptrace" in titles(result.stderr)


# Wrong use


def test_wrong_use() -> None:
    result = run("--suggest", "true")
    assert result.returncode == 125 and "--suggest tells what a trace has shown: add --trace" in complaint(result)
    assert "--trace" in complaint(run("--trace=yes", "true"))


# Programs: one try with what is suggested


def on(layer: Path, paths: list[str], *words: str) -> list[str]:
    """The command on a host whose directories have what those of `layer` have as well."""
    mounts = " && ".join(f"mount -t overlay overlay -o lowerdir={layer}{path}:{path} {path}" for path in paths)
    return ["unshare", "-m", "sh", "-ec", mounts + ' && exec "$@"', "sh", *words]


def test_git(tmp_path: Path) -> None:
    """It reads the host's configuration with the rule."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "gitconfig").write_text("[user]\n\tname = of the host\n", encoding="utf-8")

    def git(*rules: str) -> subprocess.CompletedProcess[str]:
        words = on(tmp_path, ["/etc"], PROGRAM, "run", *rules, "git", "config", "user.name")
        return subprocess.run(words, capture_output=True, text=True, timeout=60 * SLOW, env=environment(), check=False)

    failing = git("--trace", "--suggest")
    assert failing.stdout == "" and "r:/etc/gitconfig" in titles(failing.stderr)
    assert git(*options(failing.stderr)).stdout == "of the host\n"


def test_java() -> None:
    """Every path that strace lists, as a task's, is listed."""
    traced = run("--trace", "--suggest", "--user", "root", "java", "-version")
    assert traced.returncode == 0
    told = {re.sub(r"^[rwxc]+:", "", title) for title in titles(traced.stderr)}
    told |= set(re.findall(r"asked for (\S+)", traced.stderr))
    strace = run("--user", "root", "strace", "-f", "-qq", "-e", "trace=%file", "-Z", "java", "-version")
    asked = re.findall(r'"(/[^"]*)"[^\n]* = -1 (?:ENOENT|EACCES|EROFS)', strace.stderr)
    denied = {path for path in asked if os.path.lexists(path) and not path.startswith("/proc/")}
    assert denied and denied <= told, denied - told
    again = run("--trace", *options(traced.stderr), "--user", "root", "java", "-version")
    assert again.returncode == 0 and titles(again.stderr) == []


NGINX = """
daemon off; pid local/nginx.pid; error_log /dev/stderr;
events {{}}
http {{
    access_log /dev/stdout; include /etc/nginx/mime.types;
    client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi; uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
    server {{ listen 127.0.0.1:{port}; root local; }}
}}
"""


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.mark.parametrize("user", ["nomad-91000", "root"])
def test_nginx(tmp_path: Path, user: str) -> None:
    """On a host that has it and its /etc/nginx. As root it looks its users up, too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    debian = REPOSITORY / ".build" / "debian"
    configuration = ("user root;" if user == "root" else "") + NGINX.format(port=port)
    script = 'printf %s "$CONFIGURATION" > local/nginx.conf; exec nginx -p . -c local/nginx.conf'

    def words(*rules: str) -> list[str]:
        return on(debian, ["/etc", "/usr/sbin"], PROGRAM, "run", "--user", user, *rules, "-e", f"CONFIGURATION={configuration}", "--",
                  "sh", "-c", script)

    failing = subprocess.run(words("--trace", "--suggest"), capture_output=True, text=True, timeout=60 * SLOW, env=environment(), check=False)
    assert failing.returncode == 1 and "r:/etc/nginx" in rules(failing.stderr), failing.stderr
    with subprocess.Popen(words(*options(failing.stderr)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()) as process:
        try:
            wait_until(lambda: answers(port) or process.poll() is not None, 20, "nginx answers")
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(scaled(20))
