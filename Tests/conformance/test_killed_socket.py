"""The next driver removes the socket directory of a killed one, and nothing else.

Before, each killed driver left a directory for ever.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from agent import AgentHost, Plugin
from agent.plugin import HandshakeError
from agent.restart import recover
from agent.timing import scaled
from command_line import tool

Launch = Callable[..., Plugin]
DEFAULT = Path("/run/nomad-driver-exec2/.sockets")


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


def test_a_killed_drivers_socket_is_removed(launch: Launch, places: list[Path]) -> None:
    place = places[0]
    living, killed = (launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)}) for _ in range(2))
    killed.kill()
    left = Path(killed.address).parent
    assert left.parent == place and sorted(os.listdir(left)) == ["driver.sock", "lock"]
    third = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)})
    assert sorted(os.listdir(place)) == sorted(Path(plugin.address).parent.name for plugin in (living, third))
    living.ping()
    for plugin in (living, third):
        plugin.end()
    assert os.listdir(place) == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same place", "another place"])
def test_it_is_removed_from_the_default_place(launch: Launch, places: list[Path], elsewhere: bool) -> None:
    """Other plugins of this host may be there at the same time."""
    living, killed = launch(), launch()
    killed.kill()
    left = Path(killed.address).parent
    assert left.parent == DEFAULT and left.exists()
    launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(places[0])} if elsewhere else {})
    assert not left.exists()
    living.ping()


def test_those_of_earlier_releases_are_removed(launch: Launch, places: list[Path]) -> None:
    """They made theirs below TMPDIR or /tmp."""
    left = [forge(place, f"nomad-exec2-{os.getpid() % 1_000_000:06}") for place in (places[0], Path("/tmp"))]
    launch(environment={"TMPDIR": str(places[0])})
    assert [path for path in left if path.exists()] == []


def test_plugins_that_start_while_others_sweep(launch: Launch, places: list[Path]) -> None:
    """Each start sweeps; no plugin loses its directory, and those of all that were killed are removed."""
    environment = {"PLUGIN_UNIX_SOCKET_DIR": str(places[0])}

    def start(number: int) -> tuple[Plugin, bool]:
        plugin = launch(environment=environment, configure=False)
        if number % 2:
            plugin.kill()
        return plugin, not number % 2

    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(start, range(16)))
    last = launch(environment=environment, configure=False)
    living = [plugin for plugin, lives in started if lives] + [last]
    for plugin in living:
        plugin.ping()
    assert sorted(os.listdir(places[0])) == sorted(Path(plugin.address).parent.name for plugin in living)


def test_sockets_are_no_tasks_state(launch: Launch, host: AgentHost) -> None:
    """state_dir is by default the directory that sockets are below: sweeps of tasks and the tool leave them alone."""
    state = host.make_state_dir()
    sockets = state / ".sockets"
    sockets.mkdir(parents=True)
    state.chmod(0o700)
    options: dict[str, Any] = {
        "config": {"state_dir": str(state), "orphan_grace": 1}, "environment": {"PLUGIN_UNIX_SOCKET_DIR": str(sockets)}}
    first = launch(**options)
    task = host.paused(first)
    shown = tool("check", "--state-dir", str(state), "--json").stdout
    assert f"{state} has 1 task\"" in shown, shown
    assert [entry["id"] for entry in json.loads(tool("tasks", "--state-dir", str(state), "--json").stdout)] == [task.id]
    first.kill()
    second = launch(**options)
    recover(second, task)
    assert [path.name for path in sockets.iterdir()] == [Path(second.address).parent.name]
    # The second sweep, after orphan_grace.
    time.sleep(scaled(2))
    second.ping()
    task.stop(timeout=0)
    task.destroy()
    assert [name for name in os.listdir(state) if not name.startswith(".new")] == [".sockets"]
    for plugin in (first, second):
        assert [entry for entry in plugin.log if "state directory" in entry["@message"]] == []


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
    plugin = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)})
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
        launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place), "LD_PRELOAD": str(dying), "EXEC2_DIES_IN": function})
    [path] = place.iterdir()
    assert os.listdir(path) == left
    # It may be that of a driver that is just starting.
    launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)}).end()
    assert list(place.iterdir()) == [path]
    minutes_ago = time.time() - 120
    os.utime(path, (minutes_ago, minutes_ago))
    plugin = launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(place)})
    assert [entry.name for entry in place.iterdir()] == [Path(plugin.address).parent.name]


def test_an_old_lock_that_is_held_is_left_alone(launch: Launch, places: list[Path]) -> None:
    """Of a driver that was stopped while it started."""
    path = places[0] / "nomad-exec2-aB3dEf"
    path.mkdir(0o700)
    with (path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.utime(path, (0, 0))
        launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(places[0])}).end()
        assert os.listdir(path) == ["lock"]
    launch(environment={"PLUGIN_UNIX_SOCKET_DIR": str(places[0])}).end()
    assert list(places[0].iterdir()) == []
