"""The previous release: both programs, built from the sources of the last commit whose pipe protocol had a
lower version.

The sources are in Tests/earlier, an archive for each such version (.ci/keep-earlier made it of the
commit): a shallow clone has them too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.messages import REPOSITORY

_PROTOCOL = "Sources/Shared/Protocol/PipeProtocol.swift"
PROGRAMS = ("nomad-driver-exec2", "nomad-driver-exec2-executor")


@dataclass(frozen=True)
class Earlier:
    """Where the two programs are, and the maximum protocol version that they speak."""

    protocol: int
    directory: Path


def maximum_version(source: str) -> int:
    """The maximum version of PipeProtocol in a source text; earlier sources name it `greatest`."""
    found = re.search(r"static let (?:greatest|maximum)(?:Version)?: UInt32 = (\d+)", source)
    if found is None:
        raise AssertionError(f"{_PROTOCOL} names no maximum version")
    return int(found.group(1))


def current_protocol() -> int:
    return maximum_version((REPOSITORY / _PROTOCOL).read_text())


def archive_of(protocol: int) -> Path:
    """The sources of that version."""
    archive = REPOSITORY / "Tests" / "earlier" / f"protocol-{protocol}.tar.xz"
    if not archive.exists():
        raise AssertionError(
            f"{archive.relative_to(REPOSITORY)} is missing: before raising the pipe protocol's version, keep the sources of "
            "the present one with '.ci/keep-earlier'. Whether an Executor of an earlier release works with this "
            "driver cannot be tested")
    return archive


def built(protocol: int) -> Earlier:
    """Both programs of that version; built once for each archive."""
    archive = archive_of(protocol)
    directory = REPOSITORY / ".build" / "earlier" / f"protocol-{protocol}"
    if all((directory / name).exists() and (directory / name).stat().st_mtime > archive.stat().st_mtime for name in PROGRAMS):
        return Earlier(protocol, directory)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="source-", dir=directory.parent) as source:
        subprocess.run(["tar", "-x", "-J", "-f", str(archive), "-C", source], check=True)
        assert maximum_version((Path(source) / _PROTOCOL).read_text()) == protocol, f"{archive} has another version's sources"
        for name in PROGRAMS:
            build = subprocess.run(
                ["swift", "build", "-c", "release", "--product", name], cwd=source, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if build.returncode != 0:
                raise AssertionError(f"cannot build {name} of {archive.name}:\n{build.stdout[-4000:]}")
        for name in PROGRAMS:
            fresh = directory / f"{name}.{os.getpid()}"
            shutil.copy(Path(source) / ".build" / "release" / name, fresh)
            fresh.rename(directory / name)
    return Earlier(protocol, directory)
