"""`run`: what the command sees and may do, and its limits."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from command_line import (  # noqa: F401
    SLOW, complaint, controllers, environment, mount_point, nothing_is_left, run, start, wait_for)


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
    directory = found["NOMAD_TASK_DIR"].removesuffix("/local")
    assert found == {
        "A": "1", "EMPTY": "", "B": "x=y", "HERE": "taken over", "USER": user, "HOME": "/nonexistent",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": directory + "/tmp",
        "NOMAD_TASK_DIR": directory + "/local", "NOMAD_SECRETS_DIR": directory + "/secrets",
        "NOMAD_ALLOC_DIR": directory + "/alloc"}


def test_home() -> None:
    """Given, or taken over; the command's account has it too."""
    script = "echo $HOME; awk -F: '$3 > 0 { print $6 }' /etc/passwd"
    assert run("--env", "HOME=/srv/home", "--user-files", "sh", "-c", script).stdout == "/srv/home\n/srv/home\n"
    taken = run("--env", "HOME", "--user", "nobody", "sh", "-c", "echo $HOME", env={**environment(), "HOME": "/of/mine"})
    assert taken.stdout == "/of/mine\n"


def test_own_directories_take_files_and_programs() -> None:
    script = ("for directory in local secrets tmp alloc; do printf '#!/bin/sh\\necho %s' $directory > $directory/program; "
              "chmod +x $directory/program; $directory/program; done; pwd; stat -c %a secrets")
    result = run("sh", "-c", script)
    lines = result.stdout.splitlines()
    assert lines[:4] == ["local", "secrets", "tmp", "alloc"], result
    assert lines[5] == "700"
    assert not Path(lines[4]).exists()


def test_directories_of_any_form_are_removed(tmp_path: Path) -> None:
    """Deeper than a path may be long, with odd names, with symlinks that lead out."""
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
        "    os.mkdir('directory')\n"
        "    os.chdir('directory')\n"
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
        # In the command's root, whatever the host has.
        assert run("--volume", f"{site}:/nowhere/deep:ro", "cat", "/nowhere/deep/file").stdout == "of the host\n"
        assert not Path("/nowhere").exists()
        assert sorted(path.name for path in site.iterdir()) == ["file", "new"]
    finally:
        for path in site.iterdir():
            path.unlink()
        site.rmdir()


def test_no_defaults_leaves_nothing() -> None:
    for command in ("true", "/bin/true"):
        nothing = run("--no-defaults", command)
        assert nothing.returncode == 127 and f"cannot run {command}" in complaint(nothing)
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


# Limits


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
        directories = list(mount_point().glob(f"nomad-driver-exec2-run-{process.pid}-*"))
        assert len(directories) == 1
        inside = (directories[0] / "run" / "task" / "cgroup.procs").read_text(encoding="ascii").split()
        executors = (directories[0] / "exec2-executors.scope" / "cgroup.procs").read_text(encoding="ascii").split()
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
