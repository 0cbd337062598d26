"""The lines that a plugin writes to stderr: hclog's JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_LEVELS = {"trace", "debug", "info", "warn", "error"}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def parse(line: str) -> dict[str, Any]:
    """The entry of one line; ValueError says what keeps the agent from taking it
    as one."""
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    for key in ("@level", "@message", "@module", "@timestamp"):
        if not isinstance(entry.get(key), str):
            raise ValueError(f"no {key}")
    if entry["@level"] not in _LEVELS:
        raise ValueError("unknown level")
    if not _TIMESTAMP.fullmatch(entry["@timestamp"]):
        raise ValueError("timestamp")
    return entry
