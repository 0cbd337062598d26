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

# Of a job with several tasks, each is named.
_EXPECTATIONS = re.compile(
    r"^# (?:It|Task (\S+)) prints(?: nothing\.\n|:\n((?:#(?:   .*)?\n)*))# It exits with (\d+)\.$", re.MULTILINE)
_ANSWERS = re.compile(r'^# To "(.*)" at port (\w+) it answers "(.*)"\.$', re.MULTILINE)

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
    # Of a `lifecycle` block: "prestart", "poststart" or "poststop"; the main task has none.
    hook: str | None
    # Lines, in which * stands for text that differs between runs.
    prints: list[str] = field(default_factory=list)
    exits_with: int = 0
    # A request, the label of a port, and the last line of the answer.
    answers: list[tuple[str, str, str]] = field(default_factory=list)


def read(path: Path) -> Any:
    """The blocks of an HCL file; ValueError if it is not HCL."""
    try:
        return hcl.read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not HCL: {error}") from error


def tasks(path: Path) -> list[JobTask]:
    """The tasks of a job file. Its head comment says what each task prints and how it ends, and what the main one answers."""
    document = read(path)
    assert set(document) == {"job"}, f"{path} is not a job file: {sorted(document)}"
    found = []
    for _, job in labelled(document, "job"):
        for _, group in labelled(job, "group"):
            found += [_task(path, job, group, name, task) for name, task in labelled(group, "task")]
    text = path.read_text(encoding="utf-8")
    expected = {name or found[0].name: (lines, code) for name, lines, code in _EXPECTATIONS.findall(text)}
    names = [task.name for task in found]
    assert sorted(expected) == sorted(names), f"{path} has the tasks {names}, and its head describes {list(expected)}"
    for task in found:
        lines, code = expected[task.name]
        task.prints.extend(line[4:] for line in lines.splitlines())
        object.__setattr__(task, "exits_with", int(code))
    mains = [task for task in found if task.hook is None]
    assert len(mains) == 1, f"{path} has {len(mains)} main tasks"
    mains[0].answers.extend((request, port, answer) for request, port, answer in _ANSWERS.findall(text))
    assert len(mains[0].answers) == text.count("it answers"), f"{path}: not all that its head says of answers is understood"
    return found


# What a task block may have. `service`, `logs` and the like mean nothing to a driver.
_KNOWN = {"driver", "user", "config", "env", "template", "resources", "kill_signal", "kill_timeout", "volume_mount",
          "service", "lifecycle"}


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
                 for block in task.get("volume_mount", [])],
        hook=_hook(task))


def _hook(task: Any) -> str | None:
    block = _block(task, "lifecycle")
    assert not block.get("sidecar", False), "nothing here tests sidecars"
    return block.get("hook")


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
