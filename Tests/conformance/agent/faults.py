"""Fault injection: the build in which any call of the two programs can be made to fail
(Sources/CFaults), and the file with which a test selects the call."""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from agent.messages import REPOSITORY

DRIVER, EXECUTOR = 0, 1
ROLES = ("Driver", "Executor")
FUNCTIONS, SLOTS, NAME_SIZE = 512, 640, 24
HEADER = struct.Struct("<8I")
SIZE = HEADER.size + SLOTS * NAME_SIZE + 2 * SLOTS * 4


def faulty_binary() -> Path:
    """The plugin with fault injection, with its Executor beside it."""
    path = REPOSITORY / ".build" / "faults" / "release" / "nomad-driver-exec2"
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no plugin at {path}: FAULTS=1 swift build -c release --scratch-path .build/faults")
    return path.resolve()


def _system_calls() -> dict[int, str]:
    """The names of system calls by their numbers, as the kernel's headers have them."""
    machine = "64" if os.uname().machine == "x86_64" else ""
    for header in (f"/usr/include/x86_64-linux-gnu/asm/unistd_{machine}.h", "/usr/include/asm-generic/unistd.h"):
        if os.path.exists(header):
            found = re.findall(r"#define __NR_(\w+)\s+(\d+)", Path(header).read_text())
            return {int(number): name for name, number in found}
    return {}


@dataclass(frozen=True)
class Fault:
    """The nth call of one function in one of the two programs. `name` is libc's function, or
    "system call X" for calls by number: those between clone and execve, and those without a libc function."""

    role: int
    slot: int
    name: str
    nth: int
    error: int

    def __str__(self) -> str:
        return f"{ROLES[self.role]}: {self.name} #{self.nth} fails with {errno.errorcode[self.error]}"


class Faults:
    """The control file; the layout is that of `struct control` in Sources/CFaults/faults.c."""

    def __init__(self, path: Path):
        self.path = path
        path.write_bytes(bytes(SIZE))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)
        self._numbers = _system_calls()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a plugin that uses this file."""
        return {"EXEC2_FAULT_CONTROL": str(self.path)}

    def count(self) -> None:
        """Counts calls from here on; none fails."""
        self._arm(0, 0, 0, 0, 0)

    def fail(self, fault: Fault, *, lasting: bool = False) -> None:
        """Counts calls from here on, and makes one fail; with `lasting` all later ones too."""
        self._arm(fault.role, fault.slot, fault.nth, fault.error, int(lasting))

    def stop(self) -> int:
        """Stops counting and failing; returns how many calls have failed."""
        self._memory[0:4] = b"\0\0\0\0"
        return HEADER.unpack_from(self._memory)[6]

    def counts(self) -> dict[tuple[int, int], int]:
        """How often each function has been called, by program and slot."""
        start = HEADER.size + SLOTS * NAME_SIZE
        numbers = struct.unpack_from(f"<{2 * SLOTS}I", self._memory, start)
        return {divmod(index, SLOTS): count for index, count in enumerate(numbers) if count}

    def name(self, slot: int) -> str:
        """The function of a slot."""
        if slot < FUNCTIONS:
            return f"system call {self._numbers.get(slot, slot)}"
        start = HEADER.size + slot * NAME_SIZE
        return self._memory[start:start + NAME_SIZE].rstrip(b"\0").decode()

    def _arm(self, role: int, slot: int, nth: int, error: int, lasting: int) -> None:
        self._memory[0:4] = b"\0\0\0\0"
        start = HEADER.size + SLOTS * NAME_SIZE
        self._memory[start:] = bytes(2 * SLOTS * 4)
        self._memory[4:HEADER.size] = struct.pack("<3Ii3I", role, slot, nth, error, lasting, 0, 0)
        self._memory[0:4] = b"\1\0\0\0"
