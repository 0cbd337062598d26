"""`run`: the command's root directory, which has only what is unveiled, and the options for its own files there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from command_line import nothing_is_left, run  # noqa: F401

users = pytest.mark.parametrize("user", ["nomad-81234", "nobody", "root"])


@pytest.fixture
def site() -> Iterator[Path]:
    """A directory of the host, with a file in it, that everybody may write to."""
    with tempfile.TemporaryDirectory(prefix="exec2-", dir="/srv") as name:
        directory = Path(name)
        (directory / "file").write_text("of the host\n", encoding="utf-8")
        for path in (directory, directory / "file"):
            path.chmod(0o777)
        yield directory


@users
def test_what_is_not_unveiled_does_not_exist(site: Path, user: str) -> None:
    assert "No such file or directory" in run("--user", user, "stat", str(site)).stderr
    assert "Permission denied" in run("--user", user, "ls", "/").stderr
    assert "No such file or directory" in run("--user", user, "stat", "/var/lib").stderr


@users
def test_modes(site: Path, user: str) -> None:
    script = f"cat {site}/file; echo x > {site}/file; echo x > {site}/new; cat {site}/new"
    reading = run("--user", user, "--unveil", f"r:{site}", "sh", "-c", script)
    assert reading.stdout == "of the host\n"
    assert f"cannot create {site}/file: Read-only file system" in reading.stderr
    assert f"cannot create {site}/new: Read-only file system" in reading.stderr
    writing = run("--user", user, "--unveil", f"rw:{site}", "sh", "-c", script)
    assert writing.stdout == "of the host\n" and f"cannot create {site}/new: Permission denied" in writing.stderr
    assert (site / "file").read_text(encoding="utf-8") == "x\n" and not (site / "new").exists()
    assert run("--user", user, "--unveil", f"rwc:{site}", "sh", "-c", script).stdout == "x\nx\n"
    assert (site / "new").read_text(encoding="utf-8") == "x\n"


@users
def test_the_working_directory_takes_files(user: str) -> None:
    result = run("--user", user, "sh", "-c", "echo x > output.txt; mv output.txt local/moved; cat local/moved; ls -A")
    assert (result.stdout, result.stderr) == ("x\nalloc\nlocal\nsecrets\ntmp\n", "")


@pytest.mark.parametrize("rule", ["file", "./file", ".//./file", "../{name}/file", "../../srv/{name}/file"])
def test_a_relative_rule_begins_here(site: Path, rule: str) -> None:
    """Whatever it leaves by `..` need not be in the command's root."""
    result = run("--unveil", "r:" + rule.format(name=site.name), "cat", f"{site}/file", cwd=site)
    assert (result.stdout, result.stderr) == ("of the host\n", "")


def test_a_rule_above_the_runs_own_directories(site: Path) -> None:
    """Hides neither them nor anything of the user's."""
    script = "echo x > local/file && cat $NOMAD_TASK_DIR/file; ls /var/tmp/${NOMAD_TASK_DIR#/var/tmp/}; cat $1/file"
    for rules in (["r:/"], ["rwc:/"], ["r:/var/tmp", f"r:{site}"]):
        words = [word for rule in rules for word in ("--unveil", rule)]
        result = run("--user", "root", *words, "sh", "-c", script, "sh", str(site))
        assert (result.stdout, result.stderr) == ("x\nfile\nof the host\n", ""), rules


@pytest.mark.parametrize("rules", [["r:/"], ["rwc:/"], ["rwc:/srv", "rwc:/var/tmp"]])
def test_the_pipes_of_a_run_are_hidden(rules: list[str]) -> None:
    """By whatever is unveiled above them: those for logs, and those for the Executor."""
    with tempfile.TemporaryDirectory(prefix="exec2-", dir="/srv") as state:
        script = ("directory=${NOMAD_TASK_DIR%/run-task/local}; ls -A $directory; ls -d $1/*; ls -A $1/${directory##*/}; "
                  "ls -A $directory/logs || echo none")
        words = [word for rule in rules for word in ("--unveil", rule)]
        result = run("--user", "root", "--state-dir", state, *words, "sh", "-c", script, "sh", state)
        lines = result.stdout.splitlines()
        assert lines[1].startswith(f"{state}/nomad-driver-exec2-run-"), result
        assert [lines[0], *lines[2:]] == ["run-task", "none"]


@users
def test_private_tmp(user: str) -> None:
    with tempfile.TemporaryDirectory(prefix="exec2-", dir="/tmp") as name:
        script = f"test -e {name} && echo seen; ls -A /tmp; echo x > /tmp/file; cat $TMPDIR/file tmp/file"
        assert run("--user", user, "--private-tmp", "sh", "-c", script).stdout == "x\nx\n"
        assert run("--user", user, "test", "-e", name).returncode == 0
    assert not Path("/tmp/file").exists()


@users
def test_user_files(user: str) -> None:
    result = run("--user", user, "--user-files", "sh", "-c", "whoami; id -gn; wc -l < /etc/passwd")
    group = {"nobody": "nogroup"}.get(user, user)
    assert (result.stdout, result.stderr) == (f"{user}\n{group}\n{1 if user == 'root' else 2}\n", "")
    assert run("--user", user, "cat", "/etc/passwd").returncode == 1


@users
def test_shm_size(user: str) -> None:
    for words, size in (([], 64), (["--shm-size", "256m"], 256), (["--shm-size", str(5 << 20)], 5)):
        result = run("--user", user, *words, "sh", "-c", "df -m --output=size /dev/shm | tail -n 1; echo x > /dev/shm/file")
        assert (result.stdout.strip(), result.stderr) == (str(size), ""), words


def test_no_defaults_with_options(site: Path) -> None:
    needed = [word for path in ("/bin", "/usr/bin", "/lib", "/lib64", "/usr/lib") if Path(path).exists()
              for word in ("--unveil", f"rx:{path}")]
    script = "echo x > /tmp/file && cat /tmp/file; whoami; echo y > /dev/shm/file && cat /dev/shm/file; cat < /dev/null"
    result = run("--no-defaults", *needed, "--user", "nobody", "--private-tmp", "--user-files", "--shm-size", "1m", "sh", "-c", script)
    assert result.stdout == "x\nnobody\ny\n"
    assert "cannot open /dev/null: No such file" in result.stderr
    assert not os.path.exists("/tmp/file")


@users
@pytest.mark.parametrize("options", [["--unveil", "r:{0}"], ["--volume", "{0}:/data:ro"]], ids=["unveil", "volume"])
def test_what_stands_beside_its_directories(user: str, options: list[str]) -> None:
    """They are in /var/tmp. Seen where the directory that they are in was hidden: nothing of /var/tmp could be shown."""
    with tempfile.TemporaryDirectory(prefix="exec2-", dir="/var/tmp") as name:
        site = Path(name)
        site.chmod(0o755)
        (site / "file").write_text("shown\n", encoding="utf-8")
        words = [word.format(site) for word in options]
        result = run("--user", user, *words, "sh", "-c", f"cat {site if '--unveil' in options else '/data'}/file")
        assert (result.stdout, result.stderr) == ("shown\n", "")


@users
def test_no_working_directory_by_a_descriptor(user: str) -> None:
    """As of a task. Seen while the Executor's descriptors were open at that step: the command was in the host's mounts."""
    for number in range(4, 16):
        result = run("--user", user, "--work-dir", f"/proc/self/fd/{number}", "true")
        assert f"cannot change to the working directory /proc/self/fd/{number}: No such file or directory" in result.stderr
