"""The release's files and packages, and minimal Debian roots to try them in.

The session has a mount namespace of its own, so that its mounts end with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests" / "conformance"))

from agent import AgentHost, Plugin, earlier  # noqa: E402
import other_debian  # noqa: E402
from bare_root import BareRoot  # noqa: E402

_CLONE_NEWNS = 0x20000


def pytest_configure() -> None:
    """SIGTERM, as at a time limit, lets the session clean up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise pytest.UsageError(f"these tests need root: unshare: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


# The date of files, so that a commit between two runs does not change it.
EPOCH = {"SOURCE_DATE_EPOCH": "1780000000"}


def command(*words: str | Path, **environment: str) -> str:
    """Runs a command of the project and returns its output."""
    done = subprocess.run(
        list(map(str, words)), cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the session's release files."""
    return tmp_path_factory.mktemp("release-files")


MAINTAINER = {"DEBFULLNAME": "The maintainers", "DEBEMAIL": "maintainers@example.org"}


@pytest.fixture(scope="session")
def release(output: Path) -> Path:
    """The directory that the release's archive is made of."""
    command(".ci/release", "--output", output, **MAINTAINER, **EPOCH)
    [directory] = [path for path in output.iterdir() if path.is_dir()]
    return directory


@pytest.fixture(scope="session")
def package(release: Path, output: Path) -> Path:
    """The Debian package of this release."""
    [file] = output.glob("*.deb")
    return file


@pytest.fixture(scope="session")
def rpm_package(release: Path, output: Path) -> Path:
    """The RPM package of this release."""
    [file] = output.glob("*.rpm")
    return file


@pytest.fixture(scope="session")
def packages_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with packages of a lower version, with the programs of the previous release."""
    output = tmp_path_factory.mktemp("release-before")
    before = earlier.built(earlier.current_protocol() - 1)
    for script in (".ci/package-deb", ".ci/package-rpm"):
        command(script, "--programs", before.directory, "--version", "0.0.1", "--output", output, **MAINTAINER)
    return output


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


@pytest.fixture(scope="session")
def trixie_archive() -> Path:
    """A root with Debian 13's libraries."""
    archive = REPOSITORY / ".build" / "trixie-root.tar"
    other_debian.make("trixie", archive)
    return archive


@pytest.fixture
def root(bare_archive: Path, host: AgentHost) -> Iterator[BareRoot]:
    """A bare Debian with the agent's directories at the same paths."""
    with bare_root(bare_archive, host) as bare:
        yield bare


@contextmanager
def bare_root(archive: Path, host: AgentHost) -> Iterator[BareRoot]:
    bare = BareRoot(archive, host)
    try:
        yield bare
    finally:
        faults = host.clean_tasks()
        for plugin in host.plugins:
            plugin.end()
            faults += plugin.violations
        host.plugins.clear()
        bare.close()
    assert not faults, "\n".join(faults)


Launch = Callable[..., Plugin]
