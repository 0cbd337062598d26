"""The Debian package: its content, and that tasks survive everything that dpkg does with it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path

import pytest

from agent import AgentHost, ExitResult, processes
from agent.restart import recover
from bare_root import LINK, STATE, BareRoot
from conftest import REPOSITORY, command
from installed import DOC, DRIVER, EXECUTOR, NAME, end, is_from, paused, upgrade_while_tasks_run


def test_lintian_has_nothing_to_say(package: Path) -> None:
    """Except for the tags in .ci/debian/lintian-overrides."""
    said = command("lintian", "--allow-root", "--fail-on", "error,warning,info", "--display-info", package)
    assert [line for line in said.splitlines() if line[:3] in ("E: ", "W: ", "I: ")] == []


def test_contents(package: Path) -> None:
    paths = set()
    for line in command("dpkg-deb", "--contents", package).splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        assert owner == "root/root"
        assert mode[5] != "w" and mode[8] != "w" or mode[0] == "l"
        paths.add(path.removeprefix("."))
    assert f"{LINK} -> {DRIVER}" in paths
    expected = {DRIVER, EXECUTOR, "/usr/share/man/man8/nomad-driver-exec2.8.gz"}
    expected |= {f"{DOC}/{name}" for name in ("copyright", "changelog.gz", "changelog.Debian.gz", "README.Debian", "README.md")}
    expected |= {"/usr/share/bash-completion/completions/nomad-driver-exec2",
                 "/usr/share/zsh/vendor-completions/_nomad-driver-exec2",
                 "/usr/share/fish/vendor_completions.d/nomad-driver-exec2.fish"}
    expected |= {f"{DOC}/docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")}
    expected |= {f"{DOC}/examples/{path.relative_to(REPOSITORY / 'examples')}"
                 for path in (REPOSITORY / "examples").rglob("*") if path.is_file()}
    assert expected <= paths
    # The installation of an example configures no agent.
    assert not [path for path in paths if path.startswith("/etc")]


def test_version_is_the_drivers(package: Path) -> None:
    found = re.search(r'driverVersion = "(.*)"', (REPOSITORY / "Sources/Shared/Version.swift").read_text())
    assert found
    assert command("dpkg-deb", "--field", package, "Version").strip() == found.group(1).replace("-", "~") + "-1"


def test_installation(root: BareRoot, host: AgentHost, package: Path) -> None:
    before = root.files()
    root.dpkg("--install", package)
    assert root.run("dpkg", "--verify", NAME) == ""
    checks = root.run(DRIVER, "check", status=None)
    assert re.search(rf"^ok +Executor +{EXECUTOR}$", checks, re.MULTILINE), checks
    plugin = root.launch()
    task = paused(host, plugin)
    assert is_from(plugin.pid, root.inside(DRIVER))
    assert is_from(task.executor_pid, root.inside(EXECUTOR))
    end(task)
    plugin.end()
    root.dpkg("--purge", NAME)
    assert root.files() - before == set()


def test_reinstallation_disturbs_no_task(root: BareRoot, host: AgentHost, package: Path) -> None:
    root.dpkg("--install", package)
    plugin = root.launch()
    task = paused(host, plugin)
    pid, executor = task.pid, task.executor_pid
    root.dpkg("--install", package)
    assert not is_from(executor, root.inside(EXECUTOR)), "the file was replaced, not overwritten"
    assert plugin.is_running and task.pid == pid
    other = paused(host, plugin)
    end(task, other)
    # The standby Executor may be one of the old file; the next is of the new one.
    another = paused(host, plugin)
    assert is_from(another.executor_pid, root.inside(EXECUTOR))
    end(another)


def test_upgrade_disturbs_no_task(root: BareRoot, host: AgentHost, packages_before: Path, package: Path) -> None:
    """From the programs of the previous release to these; an agent's restart then starts the new driver."""
    [package_before] = packages_before.glob("*.deb")
    root.dpkg("--install", package_before)

    def upgrade() -> None:
        answer = root.dpkg("--install", package)
        assert "0.0.1-1" in answer, answer
        assert root.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", NAME).strip() == "ii"

    upgrade_while_tasks_run(root, host, upgrade)


def test_what_runs_outlives_removal_and_purge(root: BareRoot, host: AgentHost, package: Path) -> None:
    before = root.files()
    root.dpkg("--install", package)
    plugin = root.launch()
    task, ended = paused(host, plugin), host.task(plugin, host.program("act"), ["exit=5"])
    assert ended.run() == ExitResult(5)
    pid = task.pid
    plugin.kill()

    root.dpkg("--remove", NAME)
    assert not root.inside(DRIVER).exists() and not os.path.lexists(root.inside(LINK))
    answer = root.dpkg("--purge", NAME)
    assert processes.is_alive(pid)
    [kept] = root.inside(STATE).iterdir()
    assert kept.name.startswith(task.alloc_id) and f"{STATE}/{kept.name}" in answer
    ended.was_started = False  # its state is removed, as it must be

    root.dpkg("--install", package)
    again = root.launch()
    recover(again, task)
    assert task.pid == pid
    end(task)
    again.end()
    root.dpkg("--purge", NAME)
    assert root.files() - before == set()


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A package like HashiCorp's: a program in /usr/bin, and maintainer scripts that make and
    remove the link in the plugin directory."""
    tree = tmp_path / "original"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/nomad-driver-exec2").write_text("#!/bin/sh\necho the original\n")
    (tree / "usr/bin/nomad-driver-exec2").chmod(0o755)
    (tree / "DEBIAN/control").write_text(
        "Package: nomad-driver-exec2\nVersion: 0.1.2-1\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@localhost>\nDescription: stands for the original\n")
    for name, text in (("postinst", f"mkdir -p {os.path.dirname(LINK)}\nln -s /usr/bin/nomad-driver-exec2 {LINK}\n"),
                       ("postrm", f"rm {LINK}\n")):
        (tree / "DEBIAN" / name).write_text("#!/bin/sh\n" + text)
        (tree / "DEBIAN" / name).chmod(0o755)
    file = tmp_path / "original.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(file)], check=True, stdout=subprocess.DEVNULL)
    return file


def test_it_takes_the_originals_place_and_gives_it_back(root: BareRoot, original: Path, package: Path) -> None:
    root.dpkg("--install", original)
    assert root.run(LINK) == "the original\n"
    root.dpkg("--install", package)
    packages = root.run("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n").splitlines()
    assert f"installed {NAME}" in packages and "installed nomad-driver-exec2" not in packages
    assert "Usage:" in root.run(LINK, "--help")
    assert not root.inside("/usr/bin/nomad-driver-exec2").exists()
    root.dpkg("--purge", NAME)
    assert not os.path.lexists(root.inside(LINK))
    root.dpkg("--install", original)
    assert root.run(LINK) == "the original\n"


def test_manual_page(package: Path, tmp_path: Path) -> None:
    """Both formatters accept the page, and it is the repository's."""
    page = REPOSITORY / "docs" / "nomad-driver-exec2.8"
    # This machine does not have the referenced pages.
    said = subprocess.run(["mandoc", "-Tlint", str(page)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert [line for line in said.stdout.splitlines() if "mandoc.db" not in line and "referenced manual" not in line] == []
    man = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)]
    said = subprocess.run(man, env={**os.environ, "MANROFFSEQ": "", "LC_ALL": "C.UTF-8"}, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=True)
    assert said.stderr == ""
    subprocess.run(["dpkg-deb", "--extract", str(package), str(tmp_path)], check=True)
    packed = tmp_path / "usr/share/man/man8/nomad-driver-exec2.8.gz"
    assert gzip.decompress(packed.read_bytes()) == page.read_bytes()
