"""What `run --trace` and `trace` print, read."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

LINE = re.compile(r'^(?:trace: )?denied  (?P<title>.*?)  +(?P<comm>"(?:[^"\\]|\\.)*"|\S+)\[(?P<pid>\d+)\] (?P<call>[\w ]+): (?P<reason>.*)$')


@dataclass(frozen=True)
class Denial:
    title: str
    comm: str
    pid: int
    call: str
    reason: str


def denials(text: str) -> list[Denial]:
    """In the order in which they were told, without what the C library looks for on this machine before main."""
    found = []
    for line in text.splitlines():
        match = LINE.match(line.rstrip("\r"))
        if match and "locale" not in line and "sitecustomize" not in line:
            found.append(Denial(match["title"], match["comm"], int(match["pid"]), match["call"], match["reason"]))
    return found


def titles(text: str) -> list[str]:
    return [denial.title for denial in denials(text)]


def rules(text: str, option: str = "unveil") -> list[str]:
    """Of a list of HCL."""
    match = re.search(rf"^{option} = \[\n(.*?)^\]$", text, re.MULTILINE | re.DOTALL)
    if not match:
        return []
    return [rule for rule in re.findall(r'^  "(.*)",', match[1], re.MULTILINE)]


def options(text: str) -> list[str]:
    """The options of `run` that are suggested."""
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line == "# Or for run:":
            return shlex.split(lines[index + 1].removeprefix("# "))
    return []
