"""The next driver removes the socket directory of a killed one, and nothing else.

Before, each killed driver left a directory for ever.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from agent import AgentHost, Plugin
from agent.plugin import HandshakeError

Launch = Callable[..., Plugin]


@pytest.fixture
def places(host: AgentHost) -> Iterator[list[Path]]:
    """Two directories for plugins' sockets."""
    made = [host.root / name for name in ("sockets", "more-sockets")]
    for place in made:
        place.mkdir(mode=0o755)
    yield made
    for place in made:
        shutil.rmtree(place)


def forge(place: Path, name: str, mode: int = 0o700, files: tuple[str, ...] = ("lock",)) -> Path:
    """Makes a directory like a driver's, with a socket without a listener."""
    path = place / name
    path.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path / "driver.sock"))
    for file in files:
        (path / file).touch(0o600)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("variable", ["TMPDIR", "PLUGIN_UNIX_SOCKET_DIR"])
def test_a_killed_drivers_socket_is_removed(launch: Launch, places: list[Path], variable: str) -> None:
    place = places[0]
    living, killed = (launch(environment={variable: str(place)}) for _ in range(2))
    killed.kill()
    left = Path(killed.address).parent
    assert left.parent == place and sorted(os.listdir(left)) == ["driver.sock", "lock"]
    third = launch(environment={variable: str(place)})
    assert sorted(os.listdir(place)) == sorted(Path(plugin.address).parent.name for plugin in (living, third))
    living.ping()
    for plugin in (living, third):
        plugin.end()
    assert os.listdir(place) == []


def test_it_is_removed_if_the_next_uses_another_directory(launch: Launch, places: list[Path]) -> None:
    killed = launch(environment={"TMPDIR": str(places[0])})
    killed.kill()
    launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(places[1]), "TMPDIR": str(places[0])})
    assert os.listdir(places[0]) == []


def test_directories_that_may_belong_to_others_are_kept(launch: Launch, places: list[Path]) -> None:
    place = places[0]
    dead = forge(place, "nomad-exec2-aB3dEf")
    kept = [
        forge(place, "nomad-exec2-aB3dE"),
        forge(place, "nomad-exec2-aB3d.f"),
        forge(place, "another-aB3dEf"),
        # One of a release without the lock, whose driver may be running.
        forge(place, "nomad-exec2-aaaaa1", files=()),
        forge(place, "nomad-exec2-aaaaa2", files=("lock", "more")),
        forge(place, "nomad-exec2-aaaaa3", mode=0o755),
        forge(place, "nomad-exec2-aaaaa4"),
        forge(place, "nomad-exec2-aaaaa5"),
    ]
    os.chown(kept[-2], 65534, 65534)
    held = os.open(kept[-1] / "lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    # One that is being made: the lock comes before the socket.
    (place / "nomad-exec2-aaaaa6").mkdir(0o700)
    (place / "nomad-exec2-aaaaa6" / "lock").touch()
    (place / "nomad-exec2-aaaaa9").mkdir(0o700)
    elsewhere = forge(places[1], "nomad-exec2-aaaaa7")
    (place / "nomad-exec2-aaaaa8").symlink_to(elsewhere)
    plugin = launch(environment={"TMPDIR": str(place)})
    os.close(held)
    assert not dead.exists()
    left = [*kept, place / "nomad-exec2-aaaaa6", elsewhere, *(place / f"nomad-exec2-aaaaa{number}" for number in (8, 9))]
    assert [path for path in left if not path.exists()] == []
    assert all(sorted(os.listdir(path)) for path in kept)
    plugin.ping()


@pytest.fixture
def dying(host: AgentHost) -> Path:
    """A library for LD_PRELOAD: the process is killed by its first call of the function that EXEC2_DIES_IN names."""
    library = host.root / "dying.so"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-o", library,
         Path(__file__).parents[1] / "programs" / "dying.c"], check=True)
    return library


@pytest.mark.parametrize("function, left", [("chmod", []), ("bind", ["lock"])])
def test_a_driver_that_is_killed_before_it_has_a_socket(
    launch: Launch, places: list[Path], dying: Path, function: str, left: list[str],
) -> None:
    """Seen before: the directory stayed for ever."""
    place = places[0]
    with pytest.raises(HandshakeError):
        launch(environment={"TMPDIR": str(place), "LD_PRELOAD": str(dying), "EXEC2_DIES_IN": function})
    [path] = place.iterdir()
    assert os.listdir(path) == left
    # It may be that of a driver that is just starting.
    launch(environment={"TMPDIR": str(place)}).end()
    assert list(place.iterdir()) == [path]
    minutes_ago = time.time() - 120
    os.utime(path, (minutes_ago, minutes_ago))
    plugin = launch(environment={"TMPDIR": str(place)})
    assert [entry.name for entry in place.iterdir()] == [Path(plugin.address).parent.name]


def test_an_old_lock_that_is_held_is_left_alone(launch: Launch, places: list[Path]) -> None:
    """Of a driver that was stopped while it started."""
    path = places[0] / "nomad-exec2-aB3dEf"
    path.mkdir(0o700)
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(path, (0, 0))
        launch(environment={"TMPDIR": str(places[0])}).end()
        assert os.listdir(path) == ["lock"]
    launch(environment={"TMPDIR": str(places[0])}).end()
    assert list(places[0].iterdir()) == []
