"""The program without an agent: run, check, --help and --version, as a person uses them."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

SLOW = float(os.environ.get("EXEC2_SLOW", "1"))
PROGRAM = os.environ.get(
    "EXEC2_PLUGIN", str(Path(__file__).resolve().parents[2] / ".build" / "release" / "nomad-driver-exec2"))


def mount_point() -> Path:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    raise AssertionError("cgroup v2 is not mounted")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_")}


def tool(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    settings: dict[str, object] = {
        "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "timeout": 60 * SLOW, "env": environment()}
    settings.update(options)
    return subprocess.run([PROGRAM, *words], check=False, **settings)  # type: ignore[call-overload]


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return tool("run", *words, **options)


def start(*words: str, **options: object) -> subprocess.Popen[str]:
    settings: dict[str, object] = {
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
        "env": environment()}
    settings.update(options)
    return subprocess.Popen([PROGRAM, "run", *words], **settings)  # type: ignore[call-overload]


def wait_for(text: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == text + "\n", (line, process.stderr.read() if process.stderr and not line else "")


def leftovers() -> set[str]:
    """What runs of the tool have and must not leave: folders, cgroups and processes."""
    found = {str(path) for parent in ("/run", "/var/tmp", str(mount_point()))
             for path in Path(parent).glob("nomad-driver-exec2-run-*")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"exec2-leftover-mark" in words:
            found.add(path.parent.name)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = leftovers()
    yield
    # What a run elsewhere on this machine has for the moment goes away by itself.
    until = time.monotonic() + 5 * SLOW
    while not leftovers() <= before and time.monotonic() < until:
        time.sleep(0.1)
    assert leftovers() <= before


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr, which is all there is."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nomad-driver-exec2: "), result.stderr
    assert result.stdout == ""
    return lines[0].removeprefix("nomad-driver-exec2: ")


# Help, version and what is no command


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help(words: list[str]) -> None:
    result = tool(*words)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: nomad-driver-exec2 ")
    for word in ("run", "exec", "check", "tasks", "completion", "--version", "plugin_dir"):
        assert word in result.stdout


def test_help_of_run_names_every_option() -> None:
    result = tool("run", "--help")
    assert (result.returncode, result.stderr) == (0, "")
    for option in ("unveil", "no-defaults", "user", "memory", "memory-max", "cpu", "network-namespace", "env",
                   "volume", "work-dir", "oom-score-adj", "kill-timeout", "executor", "state-dir"):
        assert f" --{option}" in result.stdout
    assert tool("check", "--help").stdout.startswith("Usage: nomad-driver-exec2 check")


@pytest.mark.parametrize("words", [[], ["run"], ["exec"], ["check"], ["tasks"], ["completion"]])
def test_help_fits_a_terminal(words: list[str]) -> None:
    assert max(map(len, tool(*words, "--help").stdout.splitlines())) <= 82


def test_version() -> None:
    result = tool("--version")
    assert re.fullmatch(r"nomad-driver-exec2 \d+\.\d+\.\d+\S*\n", result.stdout)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("words,named", [
    (["frobnicate"], '"frobnicate"'), (["--frob"], '"--frob"'), (["-x"], '"-x"'), (["check", "extra"], '"extra"'),
    (["check", "--frob"], '"--frob"'), (["tasks", "--frob"], '"--frob"'), (["completion", "ksh"], '"ksh"'),
    (["completion"], "bash, zsh, fish"), (["completion", "zsh", "extra"], '"extra"'), (["check", "--executor"], "--executor"),
])
def test_unknown_words_are_named(words: list[str], named: str) -> None:
    result = tool(*words)
    assert result.returncode == 2
    assert named in complaint(result)
    command = f"{words[0]} " if words[0] in ("check", "tasks", "completion") else ""
    assert result.stderr.endswith(f"; see nomad-driver-exec2 {command}--help\n")


# The command and its end


@pytest.mark.parametrize("script,status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137),
                                           ("kill -USR1 $$", 138), ("kill -TERM $$", 143)])
def test_exit_status_is_the_commands(script: str, status: int) -> None:
    result = run("sh", "-c", script)
    assert (result.returncode, result.stdout, result.stderr) == (status, "", "")


def test_arguments_and_options_of_the_command_stay_its_own() -> None:
    result = run("--oom-score-adj", "7", "sh", "-c", 'cat /proc/self/oom_score_adj; printf "<%s>" "$@"', "sh",
                 "--user", "two words", "", "--help", "-h", "--", "ü")
    assert result.stdout.endswith("<--user><two words><><--help><-h><--><ü>"), result
    assert run("--", "printf", "%s", "--help").stdout == "--help"


def test_command_not_found() -> None:
    for command in ("no-such-command", "/nonexistent/command", "./command"):
        # A checkout below a folder that is private to root would deny instead.
        result = run(command, cwd="/tmp")
        assert result.returncode == 127
        assert "not found" in complaint(result)
        assert command.removeprefix(".") in result.stderr


def test_command_not_executable() -> None:
    result = run("/etc/hosts")
    assert result.returncode == 126
    assert "/etc/hosts: Permission denied" in complaint(result)


def test_output_is_complete_and_in_order() -> None:
    """100 MB on one stream while the other is used as well, and the last bytes just before the exit."""
    script = "i=0; while [ $i -lt 10 ]; do head -c 10000000 /dev/zero | tr '\\0' $i; echo $i >&2; i=$((i+1)); done"
    result = run("sh", "-c", script + "; printf last", text=False, timeout=120 * SLOW)
    assert result.returncode == 0
    wanted = b"".join(str(digit).encode() * 10_000_000 for digit in range(10)) + b"last"
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(wanted).digest()
    assert result.stderr == "".join(f"{digit}\n" for digit in range(10)).encode()


def test_last_bytes_come_before_the_end() -> None:
    for _ in range(20):
        assert run("sh", "-c", "printf out; printf err >&2; kill -9 $$").stdout == "out"


def test_output_comes_live() -> None:
    process = start("sh", "-c", "echo first; sleep 60")
    wait_for("first", process)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 143


def test_stdin_is_empty() -> None:
    result = run("cat", stdin=None, input="not for the command")
    assert (result.returncode, result.stdout) == (0, "")


def test_reader_that_leaves_ends_the_command() -> None:
    process = start("yes")
    wait_for("y", process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(30 * SLOW) == 128 + signal.SIGPIPE


def test_full_disk_is_reported() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run(
            [PROGRAM, "run", "sh", "-c", "echo x; sleep 60"], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=30 * SLOW, check=False, env=environment())
    assert result.returncode == 125
    assert "No space left on device" in result.stderr


def test_closed_streams_do_no_harm() -> None:
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        assert subprocess.run(["sh", "-c", f'"$0" run sh -c "echo x; echo y >&2; exit 3" {closed}', PROGRAM],
                              check=False, capture_output=True, timeout=30 * SLOW, env=environment()).returncode == 3


# The sandbox


def test_default_user_has_no_account() -> None:
    result = run("id", "-u")
    assert 90_000 <= int(result.stdout) <= 99_999
    assert run("--user", "nomad-81234", "id", "-u").stdout == "81234\n"
    assert run("--user", "nobody", "id", "-u").stdout == "65534\n"


def test_environment_is_what_is_said(tmp_path: Path) -> None:
    result = run("--env", "A=1", "--env", "EMPTY=", "--env", "B=x=y", "-e", "HERE", "env",
                 env={**environment(), "HERE": "taken over", "NOT": "this"}, cwd=tmp_path)
    found = dict(line.split("=", 1) for line in result.stdout.splitlines())
    user = found["USER"]
    folder = found["NOMAD_TASK_DIR"].removesuffix("/local")
    assert found == {
        "A": "1", "EMPTY": "", "B": "x=y", "HERE": "taken over", "USER": user, "HOME": "/nonexistent",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": folder + "/tmp",
        "NOMAD_TASK_DIR": folder + "/local", "NOMAD_SECRETS_DIR": folder + "/secrets",
        "NOMAD_ALLOC_DIR": folder + "/alloc"}


def test_own_folders_take_files_and_programs() -> None:
    script = ("for folder in local secrets tmp alloc; do printf '#!/bin/sh\\necho %s' $folder > $folder/program; "
              "chmod +x $folder/program; $folder/program; done; pwd; stat -c %a secrets")
    result = run("sh", "-c", script)
    lines = result.stdout.splitlines()
    assert lines[:4] == ["local", "secrets", "tmp", "alloc"], result
    assert lines[5] == "700"
    assert not Path(lines[4]).exists()


def test_folders_of_any_form_are_removed(tmp_path: Path) -> None:
    """Deeper than a path can be long, with odd names, with links that lead out."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    script = (
        "import os, sys\n"
        "os.chdir('local')\n"
        "os.symlink(sys.argv[1], 'link')\n"
        "for name in (b'1', b'2', b'new\\nline', b'\\xff'):\n"
        "    os.mkdir(name)\n"
        "    os.mkdir(name + b'/inner')\n"
        "    open(name + b'/inner/file', 'w').close()\n"
        "    os.symlink(sys.argv[1], name + b'/inner/link')\n"
        "for _ in range(1000):\n"
        "    os.mkdir('folder')\n"
        "    os.chdir('folder')\n"
        "    open('file', 'w').close()\n"
        "print('ok')\n")
    result = run("/usr/bin/python3", "-c", script, str(outside))
    assert (result.returncode, result.stdout, result.stderr) == (0, "ok\n", "")
    assert (outside / "file").exists()


@pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])
def test_passwd_is_denied_unless_unveiled(user: str) -> None:
    result = run("--user", user, "cat", "/etc/passwd")
    assert result.returncode == 1
    assert result.stdout == "" and "Permission denied" in result.stderr
    allowed = run("--user", user, "--unveil", "r:/etc/passwd", "cat", "/etc/passwd")
    assert allowed.stdout == Path("/etc/passwd").read_text(encoding="utf-8")


def test_relative_paths_begin_here() -> None:
    site = Path(f"/tmp/exec2-cli-{os.getpid()}")
    site.mkdir(mode=0o755)
    try:
        (site / "script").write_text("#!/bin/sh\necho from the script\n", encoding="utf-8")
        (site / "script").chmod(0o755)
        denied = run("./script", cwd=site)
        assert denied.returncode == 126
        allowed = run("--unveil", "rx:script", "./script", cwd=site)
        assert (allowed.returncode, allowed.stdout) == (0, "from the script\n")
        assert run("--work-dir", ".", "pwd", cwd=site).stdout == f"{site}\n"
    finally:
        (site / "script").unlink()
        site.rmdir()


def test_volumes() -> None:
    site = Path(f"/var/tmp/exec2-cli-{os.getpid()}")
    site.mkdir(mode=0o755)
    site.chmod(0o777)
    try:
        (site / "file").write_text("of the host\n", encoding="utf-8")
        assert run("cat", "file", cwd=site).returncode == 1
        assert run("--volume", ".:data:ro", "cat", "data/file", cwd=site).stdout == "of the host\n"
        assert "Read-only" in run("--volume", ".:data:ro", "touch", "data/new", cwd=site).stderr
        assert run("--volume", f"{site}:/srv", "touch", "/srv/new").returncode == 0
        assert sorted(path.name for path in site.iterdir()) == ["file", "new"]
    finally:
        for path in site.iterdir():
            path.unlink()
        site.rmdir()


def test_no_defaults_leaves_nothing() -> None:
    assert run("--no-defaults", "true").returncode == 126
    needed = [word for path in ("/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib") if Path(path).exists()
              for word in ("--unveil", f"rx:{path}")]
    assert run("--no-defaults", *needed, "true").returncode == 0
    assert run("--no-defaults", *needed, "touch", "local/file").returncode == 1


def test_processes_of_the_host_are_not_seen() -> None:
    result = run("--unveil", "r:/proc", "sh", "-c", "cat /proc/[0-9]*/comm")
    assert set(result.stdout.splitlines()) <= {"exec2-executor", "sh", "cat"}, result


def test_network_namespace() -> None:
    name = f"exec2-cli-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        script = ["--unveil", "r:/proc", "readlink", "/proc/self/ns/net"]
        number = os.stat(f"/run/netns/{name}").st_ino
        assert run(*script).stdout.strip() == os.readlink("/proc/self/ns/net") != f"net:[{number}]"
        for namespace in (name, f"/run/netns/{name}"):
            assert run("--network-namespace", namespace, *script).stdout.strip() == f"net:[{number}]"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


# Stop


TRAP = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_signal_goes_to_the_command(name: str) -> None:
    process = start("sh", "-c", TRAP.format(name))
    wait_for("ready", process)
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(30 * SLOW) == 5
    assert process.stdout is not None and process.stdout.read() == f"got {name}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ignored_signal_ends_in_a_kill_at_the_timeout(number: int) -> None:
    process = start("--kill-timeout", "1", "sh", "-c", "trap '' INT TERM; echo ready; sleep 60 & wait; sleep 60")
    wait_for("ready", process)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30 * SLOW) == 137
    assert 0.9 < time.monotonic() - began < 1 + 5 * SLOW


def test_second_signal_kills_at_once() -> None:
    process = start("--kill-timeout", "600", "sh", "-c", "trap 'echo got' INT; echo ready; while :; do sleep 0.05; done")
    wait_for("ready", process)
    process.send_signal(signal.SIGINT)
    wait_for("got", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30 * SLOW) == 137


def test_signal_at_any_moment_ends_it() -> None:
    """Also while the command is only being started."""
    for step in range(20):
        process = start("--kill-timeout", "2", "sleep", "60")
        time.sleep(step * 0.002 * SLOW)
        process.send_signal(signal.SIGTERM)
        # Before its handling is set up, the signal ends the tool itself, which then has nothing yet.
        assert process.wait(30 * SLOW) in (143, -signal.SIGTERM)


def test_ignored_signals_stay_ignored() -> None:
    """As nohup and the background jobs of a shell want it."""
    process = start("sh", "-c", TRAP.format("TERM"),
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN) and None)
    wait_for("ready", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3 * SLOW)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 5


def test_children_that_left_the_group_end_too() -> None:
    """nothing_is_left looks for them by their mark."""
    before = leftovers()
    process = start("sh", "-c", "setsid sh -c 'sleep 600; :' exec2-leftover-mark & "
                                "setsid sh -c 'trap \"\" TERM; echo ready; sleep 600; :' exec2-leftover-mark & wait")
    wait_for("ready", process)
    until = time.monotonic() + 10 * SLOW
    while len([name for name in leftovers() - before if name.isdigit()]) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    marked = [name for name in leftovers() - before if name.isdigit()]
    assert len(marked) >= 2, marked
    process.send_signal(signal.SIGTERM)
    assert process.wait(30 * SLOW) == 143
    assert not any(Path("/proc", name).exists() for name in marked)


def test_many_at_once() -> None:
    processes = [start("sh", "-c", f"echo {number}; exit {number}") for number in range(30)]
    for number, process in enumerate(processes):
        out, err = process.communicate(timeout=120 * SLOW)
        assert (process.returncode, out, err) == (number, f"{number}\n", "")


# Errors


@pytest.mark.parametrize("words,named", [
    ([], ["no command"]),
    (["--frob", "true"], ['"--frob"']),
    (["-q", "true"], ['"-q"']),
    (["--mem", "5", "true"], ["--memory", "--memory-max"]),
    (["--memory"], ["--memory needs a value"]),
    (["--no-defaults=1", "true"], ["--no-defaults", "no value"]),
    (["--memory", "lots", "true"], ["--memory", '"lots"', "whole number"]),
    (["--memory", "-1", "true"], ["--memory", '"-1"']),
    (["--memory", "64", "--memory-max", "32", "true"], ["--memory-max 32", "--memory 64"]),
    (["--cpu", "1.5", "true"], ["--cpu", '"1.5"']),
    (["--kill-timeout", "soon", "true"], ["--kill-timeout", '"soon"']),
    (["--oom-score-adj", "1001", "true"], ["--oom-score-adj", "1001", "1000"]),
    (["--unveil", "/etc", "true"], ["--unveil", '"/etc"', "no colon"]),
    (["--unveil", "rz:/etc", "true"], ["--unveil", '"rz:/etc"', '"z" is not a mode']),
    (["--unveil", "r:/nonexistent", "true"], ["--unveil", "/nonexistent", "No such file"]),
    (["--env", "=x", "true"], ['--env "=x"']),
    (["--env", "NOT_SET_HERE", "true"], ["NOT_SET_HERE"]),
    (["--env", "HOME=/", "true"], ["HOME", "run sets itself"]),
    (["--user", "no-such-user", "true"], ['"no-such-user"']),
    (["--user", "nomad-1", "true"], ['"nomad-1"', "1000"]),
    (["--user", "", "true"], ["--user is empty"]),
    (["--network-namespace", "no-such", "true"], ["/run/netns/no-such", "No such file"]),
    (["--network-namespace", "/etc/hosts", "true"], ["/etc/hosts", "no network namespace"]),
    (["--volume", "/nonexistent:data", "true"], ["/nonexistent", "No such file"]),
    (["--volume", "/etc:/nonexistent", "true"], ["/nonexistent", "make it on this host"]),
    (["--work-dir", "/nonexistent", "true"], ["/nonexistent", "No such file"]),
    (["--work-dir", "/root", "true"], ["/root", "Permission denied"]),
    (["--executor", "/nonexistent", "true"], ["/nonexistent", "--executor"]),
    (["--executor", "/bin/false", "true"], ["Executor"]),
    (["--state-dir", "/nonexistent", "true"], ["--state-dir", "/nonexistent"]),
    (["--state-dir", "/etc/hosts", "true"], ["--state-dir", "/etc/hosts"]),
    ([""], ["no command"]),
])
def test_errors_of_the_tool_itself(words: list[str], named: list[str]) -> None:
    result = run(*words)
    assert result.returncode == 125
    sentence = complaint(result)
    for part in named:
        assert part in sentence


def test_run_without_root_says_so() -> None:
    copy = Path(f"/tmp/exec2-cli-{os.getpid()}-program")
    copy.write_bytes(Path(PROGRAM).read_bytes())
    try:
        copy.chmod(0o755)
        result = subprocess.run([str(copy), "run", "true"], user=65534, group=65534, extra_groups=[], check=False,
                                capture_output=True, text=True, env={}, cwd="/", timeout=30 * SLOW)
        assert result.returncode == 125
        assert "root" in complaint(result)
        report = subprocess.run([str(copy), "check"], user=65534, group=65534, extra_groups=[], check=False,
                                capture_output=True, text=True, env={}, cwd="/", timeout=30 * SLOW)
        assert report.returncode == 1
        assert re.search(r"^FAIL  root +the driver runs as uid 65534", report.stdout, re.MULTILINE)
        assert re.search(r"^FAIL  Executor ", report.stdout, re.MULTILINE)
    finally:
        copy.unlink()


# Limits


def controllers() -> set[str]:
    return set((mount_point() / "cgroup.controllers").read_text(encoding="ascii").split())


def test_limits_without_controller_are_said_not_to_be_enforced() -> None:
    result = run("--memory", "64", "--memory-max", "128", "--cpu", "500", "echo", "works")
    assert (result.returncode, result.stdout) == (0, "works\n")
    wanted = [option for option, controller in (
        ("--memory 64", "memory"), ("--memory-max 128", "memory"), ("--cpu 500", "cpu"))
        if controller not in controllers()]
    lines = result.stderr.splitlines()
    assert len(lines) == len(wanted)
    for line, option in zip(lines, wanted, strict=True):
        assert line.startswith(f"nomad-driver-exec2: {option} is not enforced: ") and str(mount_point()) in line


def test_command_is_in_a_cgroup_of_its_own_and_the_executor_is_not() -> None:
    process = start("sh", "-c", "echo ready; sleep 60; :")
    wait_for("ready", process)
    try:
        folders = list(mount_point().glob(f"nomad-driver-exec2-run-{process.pid}-*"))
        assert len(folders) == 1
        inside = (folders[0] / "run" / "task" / "cgroup.procs").read_text(encoding="ascii").split()
        executors = (folders[0] / "exec2-executors.scope" / "cgroup.procs").read_text(encoding="ascii").split()
        names = [Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() for pid in inside]
        assert "sh" in names and "exec2-executor" not in names
        assert [Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() for pid in executors] == [
            "exec2-executor"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30 * SLOW)


@pytest.mark.controllers
def test_memory_limit_is_enforced() -> None:
    process = start("--memory", "64", "--memory-max", "128", "sh", "-c", "echo ready; sleep 60")
    wait_for("ready", process)
    try:
        task, = mount_point().glob(f"nomad-driver-exec2-run-{process.pid}-*/run/task")
        assert (task / "memory.max").read_text(encoding="ascii") == f"{128 << 20}\n"
        assert (task / "memory.low").read_text(encoding="ascii") == f"{64 << 20}\n"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30 * SLOW)
    result = run("--memory", "32", "/usr/bin/python3", "-c", "print(len(b'x' * (256 << 20)))")
    assert (result.returncode, result.stdout) == (137, "")
    assert "the limit is 32 MB (memory.max), the most that was used is 32 MB" in complaint(result)


@pytest.mark.controllers
def test_cpu_limit_is_enforced() -> None:
    process = start("--cpu", "100", "sh", "-c", "echo ready; sleep 60")
    wait_for("ready", process)
    try:
        task, = mount_point().glob(f"nomad-driver-exec2-run-{process.pid}-*/run/task")
        quota, period = (task / "cpu.max").read_text(encoding="ascii").split()
        assert 1000 <= int(quota) < int(period)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30 * SLOW)


# check


def test_check_agrees_with_this_host() -> None:
    result = tool("check")
    assert result.stderr == ""
    lines = dict(re.findall(r"^(?:ok  |FAIL)  (.+?)  +(.+)$", result.stdout, re.MULTILINE))
    marks = dict(re.findall(r"^(?:(?P<mark>ok|FAIL) +)(.+?)  ", result.stdout, re.MULTILINE))
    assert set(lines) == {
        "root", "kernel", "cgroup v2", "cgroup controller cpu", "cgroup controller memory", "cgroup controller pids",
        "cgroup controller cpuset", "Landlock", "Executor"}
    assert os.uname().release in lines["kernel"]
    assert str(mount_point()) in lines["cgroup v2"]
    for controller in ("cpu", "memory", "pids", "cpuset"):
        ok = re.search(rf"^ok    cgroup controller {controller} ", result.stdout, re.MULTILINE) is not None
        assert ok == (controller in controllers()), marks
    missing = {"cpu", "memory", "pids", "cpuset"} - controllers()
    assert result.returncode == (1 if missing else 0)
    assert ("      -> hand the controllers to cgroup v2" in result.stdout) == bool(missing)
    columns = {match.start(2) - match.start() for match in re.finditer(
        r"^(?:ok  |FAIL)  (.+?)  +(.+)$", result.stdout, re.MULTILINE)}
    assert len(columns) == 1


def test_check_names_a_missing_executor_and_the_remedy() -> None:
    result = tool("check", "--executor", "/nonexistent/executor")
    assert result.returncode == 1
    assert re.search(r"^FAIL  Executor +.*/nonexistent/executor.*\n      -> install .+executor_path", result.stdout,
                     re.MULTILINE)


def test_check_is_coloured_on_a_terminal_only() -> None:
    assert "\x1b" not in tool("check").stdout
    primary, secondary = pty.openpty()
    try:
        variables = {name: value for name, value in environment().items() if name != "NO_COLOR"}
        subprocess.run([PROGRAM, "check"], stdin=subprocess.DEVNULL, stdout=secondary, check=False, env=variables,
                       timeout=30 * SLOW)
        shown = os.read(primary, 65536)
    finally:
        os.close(primary)
        os.close(secondary)
    assert b"\x1b[32mok" in shown
