"""What other supervisors weigh: as many of each as Executors are weighed, each with a task that waits."""

from __future__ import annotations

import os
import pathlib
import time
from typing import Callable, Sequence

import peers
from tools import Results, Spawner, memory

from agent import processes

SHIM = pathlib.Path(__file__).resolve().parents[2] / ".build" / "peers" / "usr" / "bin" / "containerd-shim-runc-v2"
# More is not started of what takes this much memory, in MiB, or this long, in seconds.
PEERS_MEMORY = 4096
PEERS_SECONDS = 90


class Supervisors:
    """Adds its rows to `results`."""

    def __init__(
        self, results: Results, counts: Sequence[int], *, program: pathlib.Path, programs: pathlib.Path,
        directory: pathlib.Path, cgroup2: pathlib.Path, cgroup: str
    ):
        """`program` waits where its first word is "wait"; `directory` and `cgroup`, below `cgroup2`, are for what is made here."""
        self._results = results
        self._counts = counts
        self._program = program
        self._programs = programs
        self._directory = directory
        self._cgroup2 = cgroup2
        self._cgroup = cgroup

    def measure(self) -> None:
        """All of them."""
        for name, start in (("tini", self._tini), ("bubblewrap", self._bubblewrap), ("conmon (with crun)", self._conmon),
                            ("containerd's shim (with runc)", self._shim)):
            program = {"conmon (with crun)": "conmon", "bubblewrap": "bwrap", "tini": "tini"}.get(name)
            if program and (reason := peers.missing(program)):
                self._results.lacks("memory", "supervisor", name, reason)
                continue
            try:
                self._grow(name, start)
            except (RuntimeError, OSError) as error:
                self._results.lacks("memory", "supervisor", name, str(error))

    def _grow(self, name: str, start: Callable[[Spawner, pathlib.Path, int], Callable[[], None] | None]) -> None:
        """Starts as many supervised tasks as are asked for, in steps; all that is not `moment` supervises."""
        spawner = Spawner(self._cgroup2)
        directory = self._directory / name.split(" ")[0].replace("'", "")
        directory.mkdir()
        ends: list[Callable[[], None]] = []
        running = 0
        began = time.monotonic()
        try:
            for count in self._counts:
                if running:
                    private = self._results.rows[-1]["median"] * count / 1024
                    seconds = (time.monotonic() - began) / running * (count - running)
                    if private > PEERS_MEMORY or (running > 1 and seconds > PEERS_SECONDS):
                        self._results.lacks(
                            "memory", f"supervisor, {count} tasks", name,
                            f"it would take {private:.0f} MiB, and {seconds:.0f} s to start them")
                        break
                while running < count:
                    end = start(spawner, directory, running)
                    ends += [end] if end else []
                    running += 1
                time.sleep(0.3)
                found = [memory(process.pid) for process in processes.descendants(spawner.pid) if process.name != "moment"]
                if len(found) < count:
                    raise RuntimeError(f"{len(found)} supervisors of {count} tasks are there")
                for kind in ("RSS", "PSS", "private"):
                    # What needs two processes a task has both.
                    total = sum(facts[kind] for facts in found) / count
                    note = f"{len(found) // count} processes a task" if len(found) >= 2 * count else ""
                    self._results.add("memory", f"supervisor, {kind}, {count} tasks", name, "KiB", [total], note=note)
        finally:
            for end in ends:
                end()
            for _ in range(100):
                left = processes.descendants(spawner.pid)
                if not left:
                    break
                for process in left:
                    try:
                        os.kill(process.pid, 9)
                    except ProcessLookupError:
                        pass
                time.sleep(0.05)
            spawner.close()

    def _waiting(self) -> list[str]:
        return [str(self._program), "wait"]

    def _tini(self, spawner: Spawner, _directory: pathlib.Path, _number: int) -> None:
        spawner.leave(["tini", "--", *self._waiting()])

    def _bubblewrap(self, spawner: Spawner, _directory: pathlib.Path, _number: int) -> None:
        spawner.leave(peers.bubblewrap(self._waiting(), self._programs))

    def _conmon(self, spawner: Spawner, directory: pathlib.Path, number: int) -> Callable[[], None]:
        name = f"conmon-{number}"
        (directory / name).mkdir()
        bundle = peers.Bundle(directory / name, self._waiting(), self._programs, f"/{self._cgroup}/{name}")
        spawner.run(bundle.conmon("crun", directory / "state", name))
        deadline = time.monotonic() + 20
        while not (bundle.directory / "pid").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("conmon has started no container within 20 s")
            time.sleep(0.002)
        if spawner.run(peers.runtime("start", "crun", directory / "state", name)).number != 0:
            raise RuntimeError("crun did not start what conmon had created")
        delete = ["crun", "--root", str(directory / "state"), "delete", "--force", name]
        return lambda: None if spawner.run(delete) else None

    def _shim(self, spawner: Spawner, directory: pathlib.Path, number: int) -> Callable[[], None]:
        if not SHIM.exists():
            raise RuntimeError(f"no {SHIM.name} in .build/peers ('.ci/install-dependencies bench')")
        if number == 0:
            self._events = peers.Events(directory)
        name = f"shim-{number}"
        (directory / name).mkdir()
        bundle = peers.Bundle(directory / name, self._waiting(), self._programs, f"/{self._cgroup}/{name}")
        return peers.Shim(spawner, SHIM, bundle, name, self._events).end
