"""Both programs as they were: built from the sources of the last commit whose pipe protocol had a lower version, or of
the last one whose tasks had the host's root, which costs are compared with.

The sources are in Tests/earlier (.ci/keep-earlier made those of a protocol's version of the commit): a shallow clone
has them too.
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
    return Earlier(protocol, _built(archive, protocol))


def with_hosts_root() -> Path:
    """The Driver of the last commit before every task had a root of its own, beside its Executor."""
    return _built(REPOSITORY / "Tests" / "earlier" / "host-root.tar.xz", None) / PROGRAMS[0]


def _built(archive: Path, protocol: int | None) -> Path:
    """The directory with both programs. `protocol`: the version that the sources must have."""
    directory = REPOSITORY / ".build" / "earlier" / archive.name.removesuffix(".tar.xz")
    if all((directory / name).exists() and (directory / name).stat().st_mtime > archive.stat().st_mtime for name in PROGRAMS):
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="source-", dir=directory.parent) as source:
        subprocess.run(["tar", "-x", "-J", "-f", str(archive), "-C", source], check=True)
        version = maximum_version((Path(source) / _PROTOCOL).read_text())
        assert protocol in (None, version), f"{archive} has the sources of version {version}"
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
    return directory
