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
from conftest import EPOCH, REPOSITORY, command

DRIVER, EXECUTOR = "nomad-driver-exec2", "nomad-driver-exec2-executor"
SHARED_LIBRARIES = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2",
                    "ld-linux-aarch64.so.1"}
MIB = 1 << 20


def test_checksums(release: Path, package: Path, output: Path) -> None:
    listed = {line.split()[1] for line in (output / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in output.iterdir() if path.is_file()} - {"SHA256SUMS"}
    assert package.name in listed and len(listed) == 3
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


def test_same_sources_make_the_same_archive(release: Path, output: Path, tmp_path: Path) -> None:
    command(".ci/release", "--output", tmp_path, **EPOCH)
    name = f"{release.name}.tar.xz"
    assert (tmp_path / name).read_bytes() == (output / name).read_bytes()


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
        names = {Path(member.name).name for member in archive if member.isfile()}
    assert names == {f"{DRIVER}.debug", f"{EXECUTOR}.debug"}
    for name in (DRIVER, EXECUTOR):
        assert f"{name}.debug\0".encode() in (release / name).read_bytes()


@pytest.fixture
def unpacked(root: BareRoot, release: Path, output: Path) -> BareRoot:
    """The archive, unpacked as the README says."""
    directory = root.inside("/opt/nomad/plugins")
    directory.mkdir(parents=True)
    with tarfile.open(output / f"{release.name}.tar.xz") as archive:
        archive.extractall(root.inside("/opt"))
    for name in (DRIVER, EXECUTOR):
        shutil.move(root.inside("/opt") / release.name / name, directory / name)
    return root


def test_bare_debian(unpacked: BareRoot, host: AgentHost) -> None:
    installed = unpacked.run("dpkg-query", "-W", "-f", "${Package}\n").split()
    assert "libc6" in installed
    assert not [name for name in installed if re.match("swift|libswift|libgrpc|libprotobuf|libabsl", name)]
    program = f"/opt/nomad/plugins/{DRIVER}"
    version = re.search(r'driverVersion = "(.*)"', (REPOSITORY / "Sources/Shared/Version.swift").read_text())
    assert version and version.group(1) in unpacked.run(program, "--version")
    assert "Usage:" in unpacked.run(program, "--help")

    # The other checks depend on this machine's kernel.
    checks = unpacked.run(program, "check", status=None)
    assert re.search(rf"^ok +Executor +{program}-executor$", checks, re.MULTILINE), checks
    assert re.search(r"^ok +root ", checks, re.MULTILINE), checks

    assert unpacked.run(program, "run", "sh", "-c", "echo from the sandbox; exit 3", status=3) == "from the sandbox\n"
    assert "Permission denied" in unpacked.run(program, "run", "cat", "/etc/passwd", status=1)
    # Through the root's own NSS.
    assert unpacked.run(program, "run", "--user", "games", "id", "-u").strip() == "5"

    plugin = unpacked.launch(program)
    task = host.task(plugin, host.program("act"), ["out=up", "exit=7"])
    assert task.run() == ExitResult(7)
    assert task.lines() == ["up"]
