"""Files of the task's own in the place of the host's: task options private_tmp, user_files and shm_size."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, ExitResult, Plugin, Task
from agent.exec import output
from agent.expect import refused, result
from agent.restart import recover, successor
from agent.volumes import add_volume

Launch = Callable[..., Plugin]
Own = Callable[..., Task]
users = pytest.mark.parametrize("user", ["nomad-80000", "nobody", "root"])


@pytest.fixture
def in_tmp() -> Iterator[Path]:
    """A directory of the host's /tmp that everybody may read, with a file in it."""
    with tempfile.TemporaryDirectory(prefix="exec2-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o777)
        (directory / "file").write_text("of the host\n")
        yield directory


# private_tmp


@users
def test_private_tmp(own: Own, in_tmp: Path, user: str) -> None:
    script = f"test -e {in_tmp} || echo none; ls -A /tmp; echo one > /tmp/new; cat $TMPDIR/new; echo two > $TMPDIR/new; cat /tmp/new"
    task = own(script, user=user, config={"private_tmp": True})
    assert result(task) == "none\none\ntwo\n"
    assert not Path("/tmp/new").exists()
    assert (task.directory / "tmp" / "new").read_text() == "two\n"


@users
def test_without_private_tmp_it_is_the_hosts(own: Own, in_tmp: Path, user: str) -> None:
    for config in ({}, {"private_tmp": False}):
        assert result(own(f"cat {in_tmp}/file", user=user, config=config)) == "of the host\n"


def test_a_program_in_private_tmp_runs(own: Own) -> None:
    """As libraries that programs unpack there are loaded."""
    task = own("cp /bin/echo /tmp/program && /tmp/program ran", config={"private_tmp": True})
    assert result(task) == "ran\n"


def test_a_link_in_private_tmp_leads_no_rule_out(own: Own, in_tmp: Path) -> None:
    """A program makes it for its next start."""
    task = own("true", unveil=[f"rwc:{in_tmp}/etc"], config={"private_tmp": True})
    (task.directory / "tmp" / in_tmp.name).symlink_to("/")
    with refused(f"cannot unveil {in_tmp}/etc: Invalid cross-device link", "leads out"):
        task.start()


@users
def test_rules_below_private_tmp_are_for_the_tasks_files(launch: Launch, own: Own, host: AgentHost, in_tmp: Path, user: str) -> None:
    """Of the operator's, those that do not exist there are left out."""
    plugin = launch({"unveil_paths": [host.programs_rule, f"rw:{in_tmp}", f"r:{in_tmp}/file"], "unveil_by_task": True})
    script = f"test -e {in_tmp} || echo none; cat /tmp/file"
    for rules in ([], ["r:/tmp"], ["rwc:/tmp/"], ["r:/tmp/./file"]):
        task = own(script, plugin=plugin, user=user, unveil=rules, config={"private_tmp": True})
        (task.directory / "tmp" / "file").write_text("of the task\n")
        (task.directory / "tmp" / "file").chmod(0o644)
        assert result(task) == "none\nof the task\n", rules
    with refused(f"cannot unveil {in_tmp}/other: No such file or directory", "task option unveil"):
        own("true", plugin=plugin, user=user, unveil=[f"r:{in_tmp}/other"], config={"private_tmp": True}).start()


@pytest.mark.parametrize("rule", ["r:/", "rwc:/tmp/../tmp", "r:{link}"])
def test_the_hosts_tmp_by_another_way(own: Own, in_tmp: Path, places: Path, rule: str) -> None:
    link = places / "link"
    link.symlink_to("/tmp")
    task = own(f"test -e {in_tmp} || echo none; test -e {link}/{in_tmp.name} || echo none; ls -A /tmp",
               user="root", unveil=[rule.format(link=link)], config={"private_tmp": True})
    assert result(task) == "none\nnone\n"


@users
def test_volumes_below_private_tmp(own: Own, volume: Path, user: str) -> None:
    """Their places are made in the task's directory, and not on the host."""
    task = own("cat /tmp/deep/in/it/file; echo; ls /tmp; test -e $TMPDIR/deep/in/it/file || echo none",
               user=user, config={"private_tmp": True})
    add_volume(task, volume, "/tmp/deep/in/it")
    assert result(task) == "of the volume\ndeep\nnone\n"
    assert (task.directory / "tmp" / "deep" / "in" / "it").is_dir()
    assert not Path("/tmp/deep").exists()


@users
def test_a_volume_at_tmp_takes_its_place(own: Own, volume: Path, in_tmp: Path, user: str) -> None:
    task = own(f"cat /tmp/file; echo; test -e {in_tmp} || echo none", user=user, config={"private_tmp": True})
    add_volume(task, volume, "/tmp")
    assert result(task) == "of the volume\nnone\n"


def test_rename_out_of_private_tmp(own: Own) -> None:
    """EXDEV, after which mv copies. Documented."""
    program = "import os\ntry: os.rename('/tmp/a', 'local/a')\nexcept OSError as error: print(os.strerror(error.errno))\n"
    task = own(f"echo x > /tmp/a; python3 -c \"{program}\"; mv $TMPDIR/a local/a; cat local/a; echo y > /tmp/b; mv /tmp/b local/b; cat local/b",
               config={"private_tmp": True})
    assert result(task) == "Invalid cross-device link\nx\ny\n"


@users
def test_a_command_has_the_same_tmp(own: Own, in_tmp: Path, user: str) -> None:
    task = own("echo x > /tmp/file; echo up; exec sleep 300", user=user, config={"private_tmp": True, "user_files": True}).start()
    task.stdout.wait_for("up")
    said = output(task, "sh", "-c", f"cat /tmp/file; test -e {in_tmp} || echo none; echo y > /tmp/new; cat $TMPDIR/new; whoami")
    assert said == f"x\nnone\ny\n{user}\n"
    task.stop()


def test_a_command_after_a_recovery(launch: Launch, own: Own) -> None:
    plugin = launch()
    task = own("echo x > /tmp/file; echo up; exec sleep 300", plugin=plugin, config={"private_tmp": True, "user_files": True}).start()
    task.stdout.wait_for("up")
    plugin.kill()
    recover(successor(launch, plugin), task)
    assert output(task, "sh", "-c", "cat /tmp/file; whoami") == "x\nnomad-80000\n"
    task.stop()


@users
def test_a_client_whose_directories_are_in_tmp(monkeypatch: pytest.MonkeyPatch, binary: Any, user: str) -> None:
    """As `nomad agent -dev` has them."""
    monkeypatch.setenv("EXEC2_CONFORMANCE_DIR", "/tmp")
    host = AgentHost()
    try:
        plugin = host.launch()
        script = "echo x > local/file; cat $NOMAD_TASK_DIR/file; echo y > /tmp/file; cat $TMPDIR/file; ls /tmp"
        for _ in range(2):
            task = host.task(plugin, "sh", ["-c", script], user=user, config={"private_tmp": True})
            assert result(task) == f"x\ny\n{host.root.name}\nfile\n"
        other = host.task(plugin, "true", user=user, config={"private_tmp": True})
        (other.directory / "tmp" / host.root.name).symlink_to(other.directory / "local")
        with refused("cannot create in the task's root", "Too many levels of symbolic links"):
            other.start()
    finally:
        faults = host.close()
    assert not faults


def test_without_defaults(launch: Launch, host: AgentHost, in_tmp: Path) -> None:
    """Asked for by themselves, they are there."""
    program = host.program("act")
    plugin = launch({"unveil_defaults": False, "unveil_paths": [host.programs_rule, "rx:/usr", "rx:/lib", "rx:/lib64", "rx:/bin"]})
    script = f"echo x > /tmp/a && cat /tmp/a; test -e {in_tmp} || echo none; whoami; echo y > /dev/shm/b && cat /dev/shm/b"
    task = host.task(plugin, "/usr/bin/sh", ["-c", script], config={"private_tmp": True, "user_files": True, "shm_size": "1m"})
    assert result(task) == "x\nnone\nnomad-80000\ny\n"
    assert host.task(plugin, program, ["exit=5"]).run() == ExitResult(5)


# user_files


@users
def test_user_files(own: Own, user: str) -> None:
    script = "whoami; id -un; echo ~; echo $HOME; cat /etc/passwd; echo; cat /etc/group; test -w /etc/passwd || echo read-only"
    lines = result(own(script, user=user, config={"user_files": True})).splitlines()
    uid, home = (80000, "/nonexistent") if user.startswith("nomad-") else (pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_dir)
    assert lines[:4] == [user, user, home, home]
    passwd, group = "\n".join(lines[4:]).split("\n\n")
    own_line = f"{user}:x:{uid}:{uid}:{user}:{home}:/bin/sh"
    root_line = "root:x:0:0:root:/root:/usr/sbin/nologin"
    assert passwd.splitlines() == ([own_line] if uid == 0 else [root_line, own_line])
    name = {"nobody": grp.getgrgid(65534).gr_name}.get(user, user)
    assert group.splitlines() == [*(["root:x:0:"] if uid else []), f"{name}:x:{uid}:", "read-only"]


def test_user_files_have_every_group(own: Own) -> None:
    """Of a user with supplementary groups, where this host has one."""
    user = next((entry for entry in pwd.getpwall() if entry.pw_uid and any(entry.pw_name in group.gr_mem for group in grp.getgrall())), None)
    made = user is None
    if made:
        assert os.system("useradd --system --groups adm,tty exec2-grouped") == 0
        user = pwd.getpwnam("exec2-grouped")
    assert user is not None
    try:
        gids = os.getgrouplist(user.pw_name, user.pw_gid)
        said = result(own("id", user=user.pw_name, config={"user_files": True}))
        names = ",".join(f"{gid}({grp.getgrgid(gid).gr_name})" for gid in gids)
        assert said.strip() == f"uid={user.pw_uid}({user.pw_name}) gid={user.pw_gid}({grp.getgrgid(user.pw_gid).gr_name}) groups={names}"
    finally:
        if made:
            os.system("userdel exec2-grouped")


@users
def test_without_user_files_they_are_denied(own: Own, user: str) -> None:
    for config in ({}, {"user_files": False}):
        task = own("cat /etc/passwd; cat /etc/group", user=user, config=config)
        assert task.run().exit_code != 0
        assert "cat: /etc/passwd: Permission denied" in task.stderr.text and "cat: /etc/group: Permission denied" in task.stderr.text


@users
def test_user_files_over_those_that_are_unveiled(launch: Launch, own: Own, host: AgentHost, user: str) -> None:
    plugin = launch({"unveil_paths": [host.programs_rule, "r:/etc"]})
    lines = result(own("cat /etc/passwd", plugin=plugin, user=user, config={"user_files": True})).splitlines()
    assert 1 <= len(lines) <= 2
    assert result(own("cat /etc/passwd", plugin=plugin, user=user)) == Path("/etc/passwd").read_text()


def test_a_volume_in_the_place_of_user_files(own: Own, volume: Path) -> None:
    task = own("cat /etc/passwd; echo; cat /etc/group | wc -l", config={"user_files": True})
    add_volume(task, volume / "file", "/etc/passwd", readonly=True)
    assert result(task) == "of the volume\n2\n"


@users
def test_git_knows_the_author(own: Own, user: str) -> None:
    """Seen without the files: `unable to look up current user in the passwd file`."""
    assert shutil.which("git")
    script = "export HOME=$PWD/local; cd local && git init -q . && git -c user.email=a@example.com commit -q --allow-empty -m m && git log --format=%an"
    assert result(own(script, user=user, config={"user_files": True})) == f"{user}\n"


# shm_size


@users
@pytest.mark.parametrize("size, megabytes", [("1m", 1), ("200m", 200), (128 << 20, 128), ("131072K", 128), ("1g", 1024)])
def test_shm_size(own: Own, user: str, size: Any, megabytes: int) -> None:
    task = own("df -m --output=size /dev/shm | tail -n 1", user=user, config={"shm_size": size})
    assert result(task).strip() == str(megabytes)


def test_shm_size_bounds(own: Own) -> None:
    task = own("head -c 90000000 /dev/zero > /dev/shm/a && echo fits; rm /dev/shm/a; head -c 110000000 /dev/zero > /dev/shm/b || echo full",
               config={"shm_size": "100m"})
    assert result(task) == "fits\nfull\n"
    assert "No space left on device" in task.stderr.text
