"""The files of `make release`, and that the programs run on a Debian without the build's packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from agent import AgentHost, ExitResult
from bare_root import BareRoot
from conftest import EPOCH, MAINTAINER, REPOSITORY, bare_root, command

DRIVER, EXECUTOR = "nomad-driver-exec2", "nomad-driver-exec2-executor"
SHARED_LIBRARIES = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2",
                    "ld-linux-aarch64.so.1"}
MIB = 1 << 20


def test_checksums(release: Path, output: Path) -> None:
    listed = {line.split()[1] for line in (output / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in output.iterdir() if path.is_file()} - {"SHA256SUMS"}
    suffixes = sorted(re.sub(r".*_amd64|.*_arm64|.*_64|.*\.aarch64", "", name) for name in listed)
    assert suffixes == ["-symbols.tar.xz", ".deb", ".rpm", ".spdx.json", ".tar.xz"]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=output, check=True)


def test_archive(release: Path, output: Path) -> None:
    with tarfile.open(output / f"{release.name}.tar.xz") as archive:
        members = {member.name: member for member in archive}
    for name in (DRIVER, EXECUTOR):
        assert members[f"{release.name}/{name}"].mode == 0o755
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "docs/nomad-driver-exec2.8", "examples/plugin.hcl"):
        assert members[f"{release.name}/{name}"].mode == 0o644
    assert all(member.uid == member.gid == 0 for member in members.values())
    assert all(member.isfile() or member.isdir() for member in members.values())


def test_same_programs_make_the_same_files(release: Path, output: Path, tmp_path: Path) -> None:
    """At another time, in a longer path and with another umask. 'make reproducible' builds the programs twice too."""
    again = tmp_path / "in a longer path"
    command("sh", "-c", 'umask 077 && exec .ci/release --output "$1"', "sh", again, **MAINTAINER, **EPOCH)
    names = sorted(path.name for path in output.iterdir() if path.is_file())
    assert names == sorted(path.name for path in again.iterdir() if path.is_file())
    assert len(names) == 6
    assert [name for name in names if (again / name).read_bytes() != (output / name).read_bytes()] == []


def test_install_document(release: Path, output: Path, package: Path, rpm_package: Path) -> None:
    """docs/install.md has five lines for each distribution, and names files that are published and installed."""
    text = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    for heading, file in (("RHEL 9, ", rpm_package), ("Amazon Linux 2023\n", rpm_package), ("Ubuntu 22.04 and", package)):
        recipe = text.partition(f"\n## {heading}")[2].partition("```shell\n")[2].partition("```")[0]
        assert len(recipe.splitlines()) == 5, heading
        assert file.name in recipe.replace("VERSION-", f"{driver_version()}-"), heading
    named = set(re.findall(r"nomad-driver-exec2_VERSION_linux_amd64[.\w]+", text))
    assert {name.replace("VERSION", driver_version()) for name in named} <= {path.name for path in output.iterdir()}
    installed = set(re.findall(r"/usr/share/doc/\S+\.\w+", text))
    assert len(installed) == 2
    assert installed <= set(command("rpm", "-qp", "--list", rpm_package).split())
    assert {f".{path}" for path in installed} <= set(command("dpkg-deb", "--contents", package).split())


def driver_version() -> str:
    version = re.search(r'driverVersion = "(.*)"', (REPOSITORY / "Sources/Shared/Version.swift").read_text())
    assert version
    return version.group(1)


def test_programs(release: Path) -> None:
    """Stripped, hardened, without a library path of the building machine, and not larger than documented."""
    for name, maximum in ((DRIVER, 14 * MIB + MIB // 2), (EXECUTOR, MIB)):
        program = release / name
        assert program.stat().st_size <= maximum
        assert ".symtab" not in command("readelf", "-SW", program)
        assert str(REPOSITORY).encode() not in program.read_bytes()
    dynamic = command("readelf", "-dW", release / DRIVER)
    assert set(re.findall(r"NEEDED.*\[(.*)\]", dynamic)) <= SHARED_LIBRARIES
    assert "PATH" not in dynamic
    assert "BIND_NOW" in dynamic and "PIE" in dynamic
    segments = command("readelf", "-lW", release / DRIVER)
    assert "GNU_RELRO" in segments and re.search(r"GNU_STACK.* RW ", segments)
    assert "NEEDED" not in command("readelf", "-dW", release / EXECUTOR)


def test_symbols(release: Path, output: Path) -> None:
    """A debugger finds the functions of a stripped program in the archive of symbols."""
    with tarfile.open(output / f"{release.name}-symbols.tar.xz") as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
    assert {member.mode for member in members.values()} == {0o644}
    assert members.keys() == {f"{DRIVER}.debug", f"{EXECUTOR}.debug"}
    for name in (DRIVER, EXECUTOR):
        assert f"{name}.debug\0".encode() in (release / name).read_bytes()


def unpack(root: BareRoot, release: Path, output: Path) -> str:
    """Unpacks the archive as the README says; the driver's path."""
    directory = root.inside("/opt/nomad/plugins")
    directory.mkdir(parents=True)
    with tarfile.open(output / f"{release.name}.tar.xz") as archive:
        archive.extractall(root.inside("/opt"))
    for name in (DRIVER, EXECUTOR):
        shutil.move(root.inside("/opt") / release.name / name, directory / name)
    return f"/opt/nomad/plugins/{DRIVER}"


@pytest.mark.parametrize("archive, glibc", [("bare_archive", "2.36"), ("trixie_archive", "2.41")])
def test_bare_debian(archive: str, glibc: str, host: AgentHost, release: Path, output: Path,
                     request: pytest.FixtureRequest) -> None:
    """Debian 12 with what every Debian has, and Debian 13's libraries with a shell."""
    with bare_root(request.getfixturevalue(archive), host) as root:
        program = unpack(root, release, output)
        assert f"version {glibc}" in root.run(next(root.inside("/lib64").glob("ld-linux-*.so.*")).relative_to(root.path), "--version")
        installed = [path.name for path in root.inside("/usr").rglob("*.so*")]
        assert "libstdc++.so.6" in installed
        assert not [name for name in installed if re.match("libswift|libgrpc|libprotobuf|libabsl", name)]
        runs(root, program, host)


def runs(root: BareRoot, program: str, host: AgentHost) -> None:
    """Commands of a user's, and a task of an agent's."""
    assert driver_version() in root.run(program, "--version")
    assert "Usage:" in root.run(program, "--help")

    # The other checks depend on this machine's kernel.
    checks = root.run(program, "check", status=None)
    assert re.search(rf"^ok +Executor +{program}-executor$", checks, re.MULTILINE), checks
    assert re.search(r"^ok +root ", checks, re.MULTILINE), checks

    assert root.run(program, "run", "sh", "-c", "echo from the sandbox; exit 3", status=3) == "from the sandbox\n"
    assert "Permission denied" in root.run(program, "run", "cat", "/etc/passwd", status=1)
    # Through the root's own NSS.
    assert root.run(program, "run", "--user", "games", "id", "-u").strip() == "5"

    plugin = root.launch(program)
    task = host.task(plugin, host.program("act"), ["out=up", "exit=7"])
    assert task.run() == ExitResult(7)
    assert task.lines() == ["up"]
