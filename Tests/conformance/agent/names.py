"""A name service that hangs, for one plugin only: the host's configuration is not changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from agent.messages import BUILD
from agent.programs import SOURCES

if TYPE_CHECKING:
    from agent.host import AgentHost
    from agent.plugin import Plugin

CONFIGURATION = Path("/etc/nsswitch.conf")


class HangingNames:
    """Lookups of users whose names begin with "slow-" or "slowgroups-" hang until `answer`
    (Tests/programs/hanging_names.c)."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._module()
        self.configuration = directory / "nsswitch.conf"
        self.configuration.write_text("passwd: files exec2test\ngroup: files exec2test\n", encoding="ascii")
        os.mkfifo(directory / "gate", 0o600)
        self._gate: int | None = None

    def _module(self) -> None:
        built = BUILD / "programs" / "libnss_exec2test.so.2"
        source = SOURCES / "hanging_names.c"
        if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
            built.parent.mkdir(parents=True, exist_ok=True)
            fresh = built.with_suffix(f".{os.getpid()}")
            subprocess.run(
                [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
                 "-o", str(fresh), str(source)], check=True)
            fresh.rename(built)
        self._library = built.parent

    def launch(
        self, host: "AgentHost", config: dict[str, Any] | None = None, more: Sequence[tuple[Path, Path]] = (), **options: Any,
    ) -> "Plugin":
        """Launches a plugin that uses the module. `more`: other files that it alone sees, and where."""
        return host.launch(
            config, binds=[(self.configuration, CONFIGURATION), *more],
            environment={"LD_LIBRARY_PATH": str(self._library), "EXEC2_NAMES": str(self.directory)}, **options)

    def asked(self) -> list[str]:
        """The users that were looked up: these lookups hang or have hung."""
        path = self.directory / "asked"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def answer(self) -> None:
        """From now on every lookup is answered, the hanging ones too."""
        if self._gate is None:
            # Also for reading, so that the open does not wait for a reader.
            self._gate = os.open(self.directory / "gate", os.O_RDWR)

    def close(self) -> None:
        self.answer()
        assert self._gate is not None
        os.close(self._gate)
