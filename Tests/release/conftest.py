"""The release's files and packages, and Debian roots without anything else to try them in.

The session has a mount namespace of its own: whatever it mounts goes with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests" / "conformance"))

from agent import AgentHost, Plugin, earlier  # noqa: E402
from bare_root import BareRoot  # noqa: E402

_CLONE_NEWNS = 0x20000


def pytest_configure() -> None:
    """Ended from outside, as at a time limit, the session takes away what it has made, as on Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise pytest.UsageError(f"these tests need root: unshare: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


# What files are dated with, also where a commit comes in between two runs.
EPOCH = {"SOURCE_DATE_EPOCH": "1780000000"}


def command(*words: str | Path, **environment: str) -> str:
    """Runs a command of the project's and answers its output."""
    done = subprocess.run(
        list(map(str, words)), cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's release files are."""
    return tmp_path_factory.mktemp("release-files")


@pytest.fixture(scope="session")
def release(output: Path) -> Path:
    """The directory that the release's archive is made of."""
    command(".ci/release", "--output", output, **EPOCH)
    [directory] = [path for path in output.iterdir() if path.is_dir()]
    return directory


MAINTAINER = {"DEBFULLNAME": "The maintainers", "DEBEMAIL": "maintainers@example.org"}


@pytest.fixture(scope="session")
def package(release: Path, output: Path) -> Path:
    """The Debian package of this release."""
    command(".ci/package", "--output", output, **MAINTAINER, **EPOCH)
    [file] = output.glob("*.deb")
    return file


@pytest.fixture(scope="session")
def package_before(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """A package of a lower version with the programs of the release before."""
    output = tmp_path_factory.mktemp("release-before")
    before = earlier.built(earlier.current_protocol() - 1)
    command(".ci/package", "--programs", before.directory, "--version", "0.0.1-1", "--output", output, **MAINTAINER)
    [file] = output.glob("*.deb")
    return file


@pytest.fixture(scope="session")
def bare_archive() -> Path:
    archive = REPOSITORY / ".build" / "bare-root.tar"
    command(".ci/bare-root", archive)
    return archive


@pytest.fixture
def host() -> Iterator[AgentHost]:
    agent = AgentHost(with_controllers=False)
    yield agent
    faults = agent.close()
    assert not faults, "\n".join(faults)


@pytest.fixture
def root(bare_archive: Path, host: AgentHost) -> Iterator[BareRoot]:
    """A bare Debian in which the agent's directories are where the agent has them."""
    bare = BareRoot(bare_archive, host)
    yield bare
    faults = host.clean_tasks()
    for plugin in host.plugins:
        plugin.end()
        faults += plugin.violations
    host.plugins.clear()
    bare.close()
    assert not faults, "\n".join(faults)


Launch = Callable[..., Plugin]
