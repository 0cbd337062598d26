"""HCL and configurations, read as the agent does: with HashiCorp's own library and the plugin's schema.

Tests/hcl does that, one process for the whole session.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import subprocess
import threading
from typing import Any

import msgpack
from google.protobuf import json_format

from agent.messages import BUILD, REPOSITORY

SOURCES = REPOSITORY / "Tests" / "hcl"
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(REPOSITORY / ".build" / "go-cache"),
      "CGO_ENABLED": "0", "GOFLAGS": ""}


class FailedValidation(Exception):
    """The agent refuses a configuration by the plugin's schema, and does not send it to the plugin. The text is the one
    that the operator reads."""


def built() -> str:
    """The path of Tests/hcl's program, compiled when it is missing or older than its sources."""
    program = BUILD / "programs" / "hcl"
    newest = max(file.stat().st_mtime for file in SOURCES.glob("*.go"))
    if not program.exists() or program.stat().st_mtime < newest:
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["go", "build", "-o", str(fresh), "."], cwd=SOURCES, env={**os.environ, **GO}, check=True)
        fresh.rename(program)
    return str(program)


class _Reader:
    """The running program; calls come from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen([built()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stdin, stdout = self._process.stdin, self._process.stdout
            assert stdin is not None and stdout is not None
            stdin.write(line)
            stdin.flush()
            answer = stdout.readline()
        assert answer, "Tests/hcl has ended: its stderr says why"
        return dict(json.loads(answer))


_reader = _Reader()


def read(text: str) -> Any:
    """The blocks of an HCL text; ValueError if it is not HCL or uses a feature that is not supported here."""
    answer = _reader.ask({"Text": text})
    if answer["Errors"]:
        raise ValueError("; ".join(answer["Errors"]))
    return answer["Value"]


def packed(spec: Any, config: Any, variables: dict[str, str] | None = None) -> bytes:
    """The values of a config block as the agent's MessagePack; strings may refer to `variables`.

    FailedValidation if the schema, an hclspec message, does not allow it."""
    request = {"Spec": json.loads(_as_json(spec.SerializeToString(deterministic=True))), "Config": config,
               "Variables": variables}
    answer = _reader.ask(request)
    if answer["Errors"]:
        raise FailedValidation("failed to parse config: " + "; ".join(answer["Errors"]))
    return base64.b64decode(answer["Packed"])


@functools.lru_cache
def _as_json(spec: bytes) -> str:
    from agent import messages

    return json_format.MessageToJson(messages.hclspec.Spec.FromString(spec), preserving_proto_field_name=True)


def unchecked(config: dict[str, Any]) -> bytes:
    """The configuration as MessagePack without the schema, which the agent never sends."""
    return msgpack.packb(config)


def literal(value: Any) -> Any:
    """The same values with HCL's references and directives in strings escaped."""
    if isinstance(value, str):
        return re.sub(r"([$%])\{", r"\1\1{", value)
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, dict):
        return {literal(key): literal(item) for key, item in value.items()}
    return value
