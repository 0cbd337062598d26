"""The RPM package: its content, and that tasks survive everything that dnf does with it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import rpm_tools
from agent import AgentHost, processes
from agent.restart import recover
from bare_root import LINK, STATE, BareRoot
from conftest import REPOSITORY, command
from installed import DOC, DRIVER, EXECUTOR, NAME, end, is_from, paused, upgrade_while_tasks_run
from rpm_tools import dnf, rpm
from test_requirements import is_newer


@pytest.fixture
def root(root: BareRoot, tmp_path: Path) -> BareRoot:
    """A root whose package database has what RHEL 9 provides, and no package of the driver."""
    dnf(root, "install", rpm_tools.distribution(tmp_path, root))
    return root


def test_rpmlint_has_nothing_to_say(rpm_package: Path) -> None:
    """Except for what .ci/rpm/rpmlint.toml lists."""
    said = command("rpmlint", "--config", ".ci/rpm/rpmlint.toml", rpm_package)
    assert "1 packages and 0 specfiles checked; 0 errors, 0 warnings" in said, said


def test_both_packages_have_the_same_files(rpm_package: Path, package: Path, tmp_path: Path) -> None:
    """But for what Debian and RHEL keep in other places."""
    trees = tmp_path / "rpm", tmp_path / "deb"
    for tree in trees:
        tree.mkdir()
    payload = subprocess.run(["rpm2cpio", rpm_package], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["cpio", "-idm", "--quiet"], input=payload, cwd=trees[0], check=True)
    subprocess.run(["dpkg-deb", "--extract", package, trees[1]], check=True)
    other = {f"./usr/share/doc/{NAME}/{name}" for name in (
        "copyright", "changelog.gz", "changelog.Debian.gz", "README.Debian", "README.rpm", "CHANGELOG.md")}
    found = []
    for tree in trees:
        files = {f"./{path.relative_to(tree)}": path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()}
        found.append({name.replace("vendor-completions", "site-functions"): (path.read_bytes(), path.stat().st_mode)
                      for name, path in files.items() if name not in other and "/lintian/" not in name and "/licenses/" not in name})
    assert found[0] == found[1]
    assert {f".{path}" for path in (DRIVER, EXECUTOR, f"{DOC}/README.md")} <= found[0].keys()
    listed = command("rpm", "-qp", "--list", rpm_package).splitlines()
    assert LINK in listed
    assert {f"/usr/share/licenses/{NAME}/{name}" for name in ("LICENSE", "Apache-2.0", "LGPL-2.1", "copyright")} <= set(listed)
    assert not [path for path in listed if path.startswith("/etc")]


def test_requires_nothing_that_rhel_9_lacks(rpm_package: Path) -> None:
    versions = re.findall(r"\((GLIBC|GLIBCXX|CXXABI|GCC)(_[0-9.]+)\)", command("rpm", "-qp", "--requires", rpm_package))
    assert ("GLIBC", "_2.34") in versions
    assert [version for version in versions if is_newer("".join(version))] == []


def test_version_is_the_drivers(rpm_package: Path) -> None:
    found = re.search(r'driverVersion = "(.*)"', (REPOSITORY / "Sources/Shared/Version.swift").read_text())
    assert found
    assert command("rpm", "-qp", "--queryformat", "%{version}-%{release}", rpm_package) == found.group(1).replace("-", "~") + "-1"


def test_installation(root: BareRoot, host: AgentHost, rpm_package: Path) -> None:
    before = root.files()
    dnf(root, "install", rpm_package)
    assert rpm(root, "--verify", NAME) == ""
    assert rpm(root, "-qf", LINK).strip() == rpm(root, "-q", NAME).strip()
    assert root.inside("/opt/nomad/data").stat().st_mode & 0o777 == 0o700
    checks = root.run(DRIVER, "check", status=None)
    assert re.search(rf"^ok +Executor +{EXECUTOR}$", checks, re.MULTILINE), checks
    plugin = root.launch()
    task = paused(host, plugin)
    assert is_from(plugin.pid, root.inside(DRIVER))
    assert is_from(task.executor_pid, root.inside(EXECUTOR))
    end(task)
    plugin.end()
    dnf(root, "remove", NAME)
    assert {path for path in root.files() - before if not path.startswith("run/nomad-driver-exec2")} == set()


def test_directories_of_nomads_package_stay_as_they_are(root: BareRoot, rpm_package: Path) -> None:
    """HashiCorp's package gives them to its user nomad."""
    data = root.inside("/opt/nomad/data")
    (data / "client").mkdir(parents=True)
    os.chown(data, 123, 124)
    dnf(root, "install", rpm_package)
    dnf(root, "remove", NAME)
    now = data.stat()
    assert (now.st_uid, now.st_gid, now.st_mode & 0o777) == (123, 124, 0o755)
    assert os.listdir(data) == ["client"]


def test_reinstallation_disturbs_no_task(root: BareRoot, host: AgentHost, rpm_package: Path) -> None:
    dnf(root, "install", rpm_package)
    plugin = root.launch()
    task = paused(host, plugin)
    pid, executor = task.pid, task.executor_pid
    dnf(root, "reinstall", rpm_package)
    assert os.path.lexists(root.inside(LINK))
    assert not is_from(executor, root.inside(EXECUTOR)), "the file was replaced, not overwritten"
    assert plugin.is_running and task.pid == pid
    other = paused(host, plugin)
    end(task, other)
    # The standby Executor may be one of the old file; the next is of the new one.
    another = paused(host, plugin)
    assert is_from(another.executor_pid, root.inside(EXECUTOR))
    end(another)


def test_upgrade_disturbs_no_task(root: BareRoot, host: AgentHost, packages_before: Path, rpm_package: Path,
                                  tmp_path: Path) -> None:
    """From the programs of the previous release to these; an agent's restart then starts the new driver."""
    [before] = packages_before.glob("*.rpm")
    # Releases before this one were not for RHEL 9.
    dnf(root, "upgrade", rpm_tools.distribution(tmp_path, root, "10"))
    dnf(root, "install", before)

    def upgrade() -> None:
        dnf(root, "upgrade", rpm_package)
        assert rpm(root, "-q", NAME).splitlines() == [rpm_package.stem]

    upgrade_while_tasks_run(root, host, upgrade)


def test_what_runs_outlives_removal(root: BareRoot, host: AgentHost, rpm_package: Path) -> None:
    dnf(root, "install", rpm_package)
    plugin = root.launch()
    task = paused(host, plugin)
    pid = task.pid
    plugin.kill()
    dnf(root, "remove", NAME)
    assert not root.inside(DRIVER).exists() and not os.path.lexists(root.inside("/opt/nomad"))
    assert processes.is_alive(pid)
    assert [path for path in root.inside(STATE).iterdir() if path.name.startswith(task.alloc_id)]

    dnf(root, "install", rpm_package)
    again = root.launch()
    recover(again, task)
    assert task.pid == pid
    end(task)


def test_it_takes_the_originals_place_and_gives_it_back(root: BareRoot, rpm_package: Path, tmp_path: Path) -> None:
    original = rpm_tools.original(tmp_path)
    dnf(root, "install", original)
    assert root.run(LINK) == "the original\n"
    assert "conflict" in dnf(root, "install", rpm_package, status=1)
    assert root.run(LINK) == "the original\n"
    dnf(root, "install", "--allowerasing", rpm_package)
    assert "not installed" in rpm(root, "-q", "nomad-driver-exec2", status=1)
    assert "Usage:" in root.run(LINK, "--help")
    assert not root.inside("/usr/bin/nomad-driver-exec2").exists()
    dnf(root, "remove", NAME)
    assert not os.path.lexists(root.inside(LINK))
    dnf(root, "install", original)
    assert root.run(LINK) == "the original\n"
