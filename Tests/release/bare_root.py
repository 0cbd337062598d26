"""A Debian root with only the packages that every Debian has, and an agent that starts the plugin inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from agent import AgentHost, Plugin
from agent.timing import scaled

LINK = "/opt/nomad/data/plugins/nomad-driver-exec2"
STATE = "/run/nomad-driver-exec2"


class BareRoot:
    """A root at `path`. The agent's directory, with the mounts that the agent makes in it, has the same path inside and
    outside, and so have /proc, /sys and /dev."""

    def __init__(self, archive: Path, host: AgentHost):
        self.host = host
        self.path = Path(tempfile.mkdtemp(prefix="exec2-bare-", dir="/var/tmp"))
        self.path.chmod(0o755)
        # In memory: package managers wait for the disk after each file.
        self._mount("-t", "tmpfs", "-o", "mode=755", "exec2-bare", self.path)
        subprocess.run(["tar", "-x", "--numeric-owner", "-f", str(archive), "-C", str(self.path)], check=True)
        for name in ("proc", "sys", "dev"):
            self._mount("--rbind", "/" + name, self.path / name)
        # The agent's mounts below its directory appear in the root as well.
        self._mount("--bind", host.root, host.root)
        self._mount("--make-shared", host.root)
        inside = self.inside(host.root)
        inside.mkdir(parents=True)
        self._mount("--bind", host.root, inside)

    def inside(self, path: str | Path) -> Path:
        """The path outside of a path in the root."""
        return self.path / str(path).lstrip("/")

    def run(self, *words: str | Path, status: int | None = 0) -> str:
        """Runs a command in the root and returns its output; `status` is the required exit status."""
        done = subprocess.run(
            ["chroot", str(self.path), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=scaled(120),
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        assert status is None or done.returncode == status, f"{words} ended with {done.returncode}: {done.stdout}"
        return done.stdout

    def dpkg(self, action: str, *packages: str | Path) -> str:
        """dpkg in the root; files of packages are taken from outside."""
        names = []
        for package in packages:
            if isinstance(package, Path):
                shutil.copy(package, self.path / package.name)
                names.append("/" + package.name)
            else:
                names.append(package)
        answer = self.run("dpkg", action, *names)
        for name in names:
            if name.startswith("/"):
                self.inside(name).unlink()
        return answer

    def launch(self, program: str = LINK, **config: Any) -> Plugin:
        """Starts the plugin in the root, as an agent in it would."""
        start = self.host.root / "start-plugin"
        start.write_text(f'#!/bin/sh\nexec chroot {self.path} {program} "$@"\n')
        start.chmod(0o755)
        plugin = self.host.launch(
            {"state_dir": STATE, **config}, binary=start, environment={"PLUGIN_UNIX_SOCKET_DIR": str(self.host.root)})
        plugin.state_dir = self.inside(plugin.config["state_dir"])
        return plugin

    def files(self) -> set[str]:
        """The files of the root, without dpkg's own and without mounts."""
        left_out = {"./proc", "./sys", "./dev", "./var/lib/dpkg", "./var/lib/rpm", "./var/lib/dnf", "./var/log", "./var/cache", "./var/tmp", "./tmp"}
        found = set()
        for directory, directories, names in os.walk(self.path):
            relative = "./" + os.path.relpath(directory, self.path) if directory != str(self.path) else "."
            directories[:] = [name for name in directories if f"{relative}/{name}".replace("././", "./") not in left_out]
            found |= {os.path.normpath(f"{relative}/{name}") for name in [*names, *directories]}
        return found

    def close(self) -> None:
        subprocess.run(["umount", "--recursive", "--lazy", str(self.path)], check=True)
        subprocess.run(["umount", "--lazy", str(self.host.root)], check=True)
        shutil.rmtree(self.path)

    @staticmethod
    def _mount(*words: str | Path) -> None:
        subprocess.run(["mount", *map(str, words)], check=True)
