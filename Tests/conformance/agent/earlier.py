"""The release before: both programs, built from the last commit of this
repository's history whose pipe protocol had a lower version."""

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
    """Where the two programs are, and the greatest protocol version that they speak."""

    commit: str
    protocol: int
    folder: Path


def greatest(source: str) -> int:
    """PipeProtocol.greatest in a source text."""
    found = re.search(r"static let greatest: UInt32 = (\d+)", source)
    if found is None:
        raise AssertionError(f"{_PROTOCOL} names no greatest version")
    return int(found.group(1))


def current_protocol() -> int:
    return greatest((REPOSITORY / _PROTOCOL).read_text())


def _git(*arguments: str) -> str:
    run = subprocess.run(
        ["git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY), *arguments], text=True, capture_output=True)
    if run.returncode != 0:
        raise AssertionError(f"git {' '.join(arguments)} failed: {run.stderr.strip()}")
    return run.stdout.strip()


def _last_commit(protocol: int) -> str:
    """The parent of the commit that raised the version above `protocol`."""
    raised = ""
    for commit in _git("rev-list", "HEAD", "--", _PROTOCOL).split():
        if greatest(_git("show", f"{commit}:{_PROTOCOL}")) <= protocol:
            return _git("rev-parse", f"{raised}^") if raised else commit
        raised = commit
    shallow = _git("rev-parse", "--is-shallow-repository") == "true"
    raise AssertionError(
        f"no commit of this repository's history has the pipe protocol's version {protocol}"
        + (": this is a shallow clone; fetch the whole history (git fetch --unshallow)" if shallow else "")
        + ". Whether an Executor of an earlier release works with this driver cannot be tested")


def built(protocol: int) -> Earlier:
    """Both programs of that version; built once for each commit."""
    commit = _last_commit(protocol)
    folder = REPOSITORY / ".build" / "earlier-executor" / commit
    if all((folder / name).exists() for name in PROGRAMS):
        return Earlier(commit, protocol, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="source-", dir=folder.parent) as source:
        archive = Path(source) / "source.tar"
        _git("archive", "--output", str(archive), commit)
        subprocess.run(["tar", "-x", "-f", str(archive), "-C", source], check=True)
        for name in PROGRAMS:
            build = subprocess.run(
                ["swift", "build", "-c", "release", "--product", name], cwd=source, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if build.returncode != 0:
                raise AssertionError(f"cannot build {name} of commit {commit}:\n{build.stdout[-4000:]}")
        for name in PROGRAMS:
            fresh = folder / f"{name}.{os.getpid()}"
            shutil.copy(Path(source) / ".build" / "release" / name, fresh)
            fresh.rename(folder / name)
    return Earlier(commit, protocol, folder)
