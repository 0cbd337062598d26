"""A name service that hangs, which one plugin alone asks: nothing of the host's is changed."""

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
    """Users whose names begin with "slow-" or "slowgroups-" are looked up for as long as the test likes
    (Tests/programs/hanging_names.c)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._module()
        self.configuration = folder / "nsswitch.conf"
        self.configuration.write_text("passwd: files exec2test\ngroup: files exec2test\n", encoding="ascii")
        os.mkfifo(folder / "gate", 0o600)
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
        """A plugin that asks the module. `more`: other files that it alone sees, and where."""
        return host.launch(
            config, binds=[(self.configuration, CONFIGURATION), *more],
            environment={"LD_LIBRARY_PATH": str(self._library), "EXEC2_NAMES": str(self.folder)}, **options)

    def asked(self) -> list[str]:
        """Whom the module was asked about: these lookups hang, or have."""
        path = self.folder / "asked"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []

    def answer(self) -> None:
        """From now on every question is answered, those that hang too."""
        if self._gate is None:
            # For reading too: it waits for no reader then.
            self._gate = os.open(self.folder / "gate", os.O_RDWR)

    def close(self) -> None:
        self.answer()
        assert self._gate is not None
        os.close(self._gate)
