#!/usr/bin/python3
"""The benchmark: the costs of a start, a stop, a supervisor and the Driver, compared with other programs.

  bench.py [--short] [--directory DIRECTORY]

Runs as root on an idle machine, prints one table and writes results.json, results.txt and the plots to DIRECTORY
(default: bench/). The compared programs take turns, so that other load affects all of them equally. --short measures a
tenth of it, to see that it runs, and writes files only with --directory.

docs/performance.md says what each compared program does and does not do.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from typing import Any

sys.dont_write_bytecode = True

import flat  # noqa: E402
import peers  # noqa: E402
import plots  # noqa: E402
import recovery  # noqa: E402
import starts  # noqa: E402
import stats  # noqa: E402
import table  # noqa: E402
import thousands  # noqa: E402
from peers import CGROUP  # noqa: E402
from subject import Subject, Tasks  # noqa: E402
from supervisors import SHIM, Supervisors  # noqa: E402
from table import THIS  # noqa: E402
from tools import Results, Spawner, built, memory  # noqa: E402

from agent import AgentHost, cgroups, mounts  # noqa: E402
from agent.plugin import agent_environment, default_binary  # noqa: E402

PROJECT = pathlib.Path(__file__).resolve().parents[2]
RATES = {1: 450, 64: 900}  # tasks started and ended a second, at least


class Bench:
    def __init__(self, short: bool):
        self.scale = 10 if short else 1
        self.results = Results()
        self.host = AgentHost()
        self.directory = self.host.root / "bench"
        self.directory.mkdir()
        self.program = self.host.programs / "moment"
        shutil.copy(built("moment"), self.program)
        self.program.chmod(0o755)
        # Below /run as on a host, so in memory.
        self.state = self.host.root / "state"
        self.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(self.state)], check=True)
        # As with systemd: what is mounted in it appears in copies of this mount as well.
        mounts.bind(self.host.alloc_mounts, self.host.alloc_mounts)
        subprocess.run(["mount", "--make-shared", str(self.host.alloc_mounts)], check=True)
        self.cgroup2 = cgroups.mount_point()
        self.had_containerd = pathlib.Path("/run/containerd").exists()
        self.spawner = Spawner(self.cgroup2, agent_environment())
        self.seconds: dict[str, float] = {}

    def close(self) -> list[str]:
        self.spawner.close()
        for plugin in self.host.plugins:
            plugin.end()
        subprocess.run(["umount", str(self.state)], check=True)
        faults = self.host.clean_tasks()
        mounts.unmount(self.host.alloc_mounts)
        for directory, _, _ in sorted(os.walk(self.cgroup2 / CGROUP), key=lambda entry: -len(entry[0])):
            os.rmdir(directory)
        if not self.had_containerd:
            shutil.rmtree("/run/containerd", ignore_errors=True)
        return faults + self.host.close()

    def few(self, count: int) -> int:
        return max(3, count // self.scale)

    def run(self) -> None:
        for phase in (self.starts, self.before, self.handshake, self.crowd, self.growth, self.throughput,
                      self.memory_of_peers, self.statistics, self.recovery, self.thousands):
            began = time.monotonic()
            print(f"bench: {phase.__doc__.split(chr(10))[0].rstrip('.')} …", file=sys.stderr, flush=True)
            phase()
            self.seconds[phase.__name__] = round(time.monotonic() - began, 1)

    def starts(self) -> None:
        """Starts, the compared programs in turn."""
        starts.add(self, self.few(200))

    # The Driver

    def handshake(self) -> None:
        """Driver: start to handshake."""
        driver = default_binary()
        values = []
        for _ in range(self.few(50)):
            ran = self.spawner.until_line([driver])
            if not ran.output:
                raise RuntimeError("the Driver has given no handshake line")
            values.append((ran.output - ran.spawned) / 1e6)
        self.results.add("driver", "exec → handshake line", THIS, "ms", values, goal=10)
        for program in (driver, driver.parent / "nomad-driver-exec2-executor"):
            stripped = self.directory / "stripped"
            subprocess.run(["strip", "-o", str(stripped), str(program)], check=True)
            self.results.add("driver", "size on disk, stripped", program.name, "KiB", [stripped.stat().st_size / 1024])

    def crowd(self) -> None:
        """1, 100 and 1000 running tasks: memory of the Driver and of the Executors."""
        with Tasks(self) as tasks:
            idle = memory(tasks.plugin.pid)
            self.results.add("driver", "RSS, idle", THIS, "KiB", [idle["RSS"]], goal=16 * 1024)
            for count in self.counts():
                tasks.grow_to(count)
                with_them = memory(tasks.plugin.pid)
                each = [memory(pid) for pid in tasks.executors()]
                for kind in ("RSS", "PSS", "private"):
                    goal = {"RSS": 1024 if count == 1 else None, "PSS": 100 if count == 100 else None}.get(kind)
                    self.results.add(
                        "memory", f"supervisor, {kind}, {count} tasks", f"{THIS} (Executor)", "KiB",
                        [facts[kind] for facts in each], goal=goal)
                if count > 1:
                    self.results.add(
                        "driver", f"RSS a task, {count} tasks", THIS, "KiB", [(with_them["RSS"] - idle["RSS"]) / count],
                        goal=16)

    def growth(self) -> None:
        """1 to 1000 running tasks: further starts and ends, and the memory of a task."""
        counts = [100, 250, 500, 1000] if self.scale == 1 else [25, 100]
        flat.add_growth(self, counts, rounds=2, each=self.few(50))

    def before(self) -> None:
        """One task, beside what it was before tasks had roots of their own."""
        flat.add_before(self, self.few(200))

    def memory_of_peers(self) -> None:
        """Memory of other supervisors."""
        Supervisors(
            self.results, self.counts(), program=self.program, programs=self.host.programs, directory=self.directory,
            cgroup2=self.cgroup2, cgroup=CGROUP).measure()

    def counts(self) -> list[int]:
        return [1, 100, 1000] if self.scale == 1 else [1, 100]

    def throughput(self) -> None:
        """Tasks started and ended per second."""
        each, rounds = self.few(128), self.few(5)
        subject = Subject(self, standby=True)
        levels = (1, 2, 4, 8, 16, 32, 64)
        rates: dict[int, list[float]] = {level: [] for level in levels}
        for _ in range(rounds):
            for level in levels:
                rates[level].append(subject.rate(each, level))
        subject.close()
        for level, values in rates.items():
            self.results.add(
                "throughput", f"tasks started and ended, {level} at a time", THIS, "1/s", values, minimum=RATES.get(level))

    def statistics(self) -> None:
        """Statistics of 1000 tasks once a second."""
        count = self.counts()[-1]
        figures = stats.measure(self.host, count, max(3, 10 / self.scale))
        note = stats.missing(figures)
        self.results.add(
            "driver", f"CPU of {count} statistics streams, 1 s", THIS, "% of a core", [figures["driver_cpu_percent"]],
            goal=figures["goal_cpu_percent"], note=note)
        if note:
            self.results.rows[-1]["missed"] = True

    def recovery(self) -> None:
        """Recovery of 1000 tasks."""
        count = self.counts()[-1]
        totals, calls = [], []
        for _ in range(3 if self.scale == 1 else 1):
            figures = recovery.measure(self.host, count)
            self.host.clean_tasks()
            totals.append(figures["recovered"][0] * 1000)
            calls += [seconds * 1000 for seconds in figures["recovered"][1]]
        self.results.add("driver", f"recovery of {count} tasks, all at once", THIS, "ms", totals, goal=count)
        self.results.add("driver", f"of these, one RecoverTask among {count}", THIS, "ms", calls)

    def thousands(self) -> None:
        """5000 tasks: start, end, statistics, recovery."""
        few, many = (1000, 5000) if self.scale == 1 else (20, 100)
        thousands.add(self, few, many)


def facts() -> dict[str, Any]:
    """Facts about the machine and the peers."""
    models = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return {
        "kernel": platform.release(), "machine": platform.machine(), "processor": models[0] if models else "",
        "processors": os.cpu_count(), "load_before": os.getloadavg()[0],
        "versions": {name: peers.version(name) for name in ("bwrap", "crun", "runc", "conmon", "tini", "unshare", str(SHIM))
                     if shutil.which(name)},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--directory", type=pathlib.Path)
    options = parser.parse_args()
    machine = facts()
    machine["versions"] = {pathlib.Path(name).name: said for name, said in machine["versions"].items()}
    bench = Bench(options.short)
    try:
        bench.run()
    finally:
        faults = bench.close()
    results = {"machine": machine, "seconds": bench.seconds, "rows": bench.results.rows}
    said = table.text(results)
    print(said)
    directory = options.directory or (None if options.short else PROJECT / "bench")
    if directory:
        directory.mkdir(exist_ok=True)
        (directory / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        (directory / "results.txt").write_text(said + "\n")
        plots.write(results, directory)
        print(f"written to {directory}")
    for fault in faults:
        print(f"left over: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
