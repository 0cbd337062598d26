"""Job files: their tasks as the agent gives them to the plugin.

HashiCorp's library reads the HCL (agent.hcl), as far as the examples need it: literals, heredocs and references to
the task's environment and ports. Anything else in a file is an error here and never
ignored, so that every example is tested.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from agent import hcl

_EXPECTATIONS = re.compile(r"^# It prints:\n((?:#(?:   .*)?\n)*)# It exits with (\d+)\.$", re.MULTILINE)

Variables = Callable[[str], str]


@dataclass(frozen=True)
class Template:
    """A `template` block."""

    destination: str
    data: str
    mode: int
    change_signal: str | None

    def rendered(self, env: dict[str, str]) -> str:
        """The text of the file; `{{ env "NAME" }}` is all that is supported of the template language."""
        text = re.sub(r'\{\{ env "([A-Za-z0-9_]+)" \}\}', lambda found: env[found.group(1)], self.data)
        assert "{{" not in text, f"a template of {self.destination} uses what is not supported here: {text}"
        return text


@dataclass(frozen=True)
class VolumeMount:
    """A `volume_mount` block, with the source of the group's volume that it names."""

    source: str
    destination: str
    read_only: bool


@dataclass(frozen=True)
class JobTask:
    """A task of a job file. Strings are as in the file: `interpolated` replaces their references."""

    file: Path
    job_type: str
    name: str
    config: dict[str, Any]
    env: dict[str, str]
    user: str | None
    kill_signal: str
    kill_timeout: float
    cpu: int
    memory: int
    memory_max: int
    ports: list[str]
    templates: list[Template]
    volumes: list[VolumeMount]
    # Lines, in which * stands for text that differs between runs.
    prints: list[str] = field(default_factory=list)
    exits_with: int = 0


def read(path: Path) -> Any:
    """The blocks of an HCL file; ValueError if it is not HCL."""
    try:
        return hcl.read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not HCL: {error}") from error


def tasks(path: Path) -> list[JobTask]:
    """The tasks of a job file. Its head comment says what its task prints and how it ends."""
    document = read(path)
    assert set(document) == {"job"}, f"{path} is not a job file: {sorted(document)}"
    found = []
    for _, job in labelled(document, "job"):
        for _, group in labelled(job, "group"):
            found += [_task(path, job, group, name, task) for name, task in labelled(group, "task")]
    expected = _EXPECTATIONS.findall(path.read_text(encoding="utf-8"))
    assert len(found) == len(expected) == 1, f"{path} has {len(found)} tasks, and its head describes {len(expected)}"
    lines, code = expected[0]
    found[0].prints.extend(line[4:] for line in lines.splitlines())
    object.__setattr__(found[0], "exits_with", int(code))
    return found


# What a task block may have. `service`, `logs` and the like mean nothing to a driver.
_KNOWN = {"driver", "user", "config", "env", "template", "resources", "kill_signal", "kill_timeout", "volume_mount",
          "service"}


def _task(path: Path, job: Any, group: Any, name: str, task: Any) -> JobTask:
    unknown = set(task) - _KNOWN
    assert not unknown, f"{path}: nothing here tests {unknown} of a task"
    assert task["driver"] == "exec2", f"{path}: driver {task['driver']}"
    [config] = task["config"]
    resources = _block(task, "resources")
    sources = {label: volume["source"] for label, volume in labelled(group, "volume")}
    return JobTask(
        file=path, job_type=job.get("type", "service"), name=name, config=config, env=_block(task, "env"),
        user=task.get("user"), kill_signal=task.get("kill_signal", ""),
        kill_timeout=_seconds(task.get("kill_timeout", "5s")),
        cpu=resources.get("cpu", 100), memory=resources.get("memory", 300), memory_max=resources.get("memory_max", 0),
        ports=[label for label, _ in labelled(_block(group, "network"), "port")],
        templates=[_template(block) for block in task.get("template", [])],
        volumes=[VolumeMount(sources[block["volume"]], block["destination"], block.get("read_only", False))
                 for block in task.get("volume_mount", [])])


def _template(block: Any) -> Template:
    signal = block.get("change_signal")
    assert (block.get("change_mode", "restart") == "signal") == (signal is not None), block
    return Template(block["destination"], block["data"], int(block.get("perms", "644"), 8), signal)


def interpolated(value: Any, variables: Variables) -> Any:
    """`value` with `${NAME}` replaced, in strings of lists and maps too."""
    if isinstance(value, str):
        text = re.sub(r"\$\{([A-Za-z0-9_]+)\}", lambda found: variables(found.group(1)), value)
        assert "${" not in text, f"{value!r} refers to what is not supported here"
        return text
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: interpolated(item, variables) for key, item in value.items()}
    return value


def labelled(body: Any, kind: str) -> list[tuple[str, Any]]:
    """The blocks of that kind in a body, each with its label."""
    return [pair for block in body.get(kind, []) for pair in block.items()]


def _block(body: Any, kind: str) -> Any:
    blocks = body.get(kind, [])
    if isinstance(blocks, dict):  # a map that is set
        return blocks
    assert len(blocks) <= 1, f"{len(blocks)} blocks of {kind}"
    return blocks[0] if blocks else {}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(ms|s|m)", text)
    assert found, f"{text!r} is not a duration that is supported here"
    return int(found.group(1)) * {"ms": 0.001, "s": 1, "m": 60}[found.group(2)]
