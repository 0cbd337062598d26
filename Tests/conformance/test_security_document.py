"""docs/security.md: what it says is tested. Each attack names tests that exist, run in a stage of `make test` and say what
was seen without the protection, and each limit names a test that shows it."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import pytest

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
TEXT = (PROJECT / "docs" / "security.md").read_text()
# Landlock's version on the kernel of a stage in the virtual machine (Tests/vm/run --kernel), and on Debian 12's 6.12.
LANDLOCK_OF = {"": 6, "linux-image-cloud-amd64": 2, "linux-image-cloud-amd64/testing": 10}
# "Seen <without what>: <what happened>.", or "Not seen <without what>: <why it could not be tried>."
SEEN = re.compile(r"\bSeen\s+[^:]{2,}?:\s+\S[^.]{5,}|\bNot seen\s+[^:]{4,}?:\s+\S[^.]{25,}")

# Rows whose own tests are not a patch's, and the patch that takes their protection out all the same (Tests/mutants).
PATCHES = {
    "log pipe or its directory swapped for a symlink": "a log may be reached through a symlink",
    "log pipe replaced while": "a log may be reached through a symlink",
    "mounts:": "the Landlock ruleset is not enforced",
    "hard links and moves out of the rules": "the Landlock ruleset is not enforced",
    "other paths to the same file": "the Landlock ruleset is not enforced",
    "`cgroup.procs`": "the Landlock ruleset is not enforced",
    "fork bomb, threads": "a stop kills the main process's group alone",
    "a device in place of a log": "a log may be any file",
}
# Rows whose protection no patch of this project's sources takes out by itself.
WITHOUT_PATCH = {
    "Executor: signals": "the kernel drops signals to a PID 1 without handlers, and the Executor has none",
    "Executor: its priority": "the kernel asks for the Executor's capabilities; the test itself shows what happens with sys_nice",
    "Executor: its pipes and the launch request": "Landlock, and the capabilities that a root task lacks, each close them alone: "
    "it takes three patches at once",
    "calls that need an administrator's capability": "the permitted and the bounding set each keep them from root alone: it takes "
    "two patches at once",
    "other tasks, the state directory and sockets": "no line gives a task the host's root; rules above them have rows of their own",
    "a task's directory swapped for a symlink": "the Executor, which clones it, and the child, which opens its rule, each refuse a "
    "symlink: it takes two patches at once",
    "other tasks of the same user": "a /proc shows the PID namespace of the process that mounts it: no line mounts another",
    "device nodes": "Landlock, and the missing capability mknod, each deny it alone: it takes three patches at once",
    "unix sockets of the host": "needs Landlock 9: mutants run under the host's kernel; without the right the option shows it",
    "UDP past the rules": "needs Landlock 10: mutants run under the host's kernel; the tests themselves show it without the option",
    "terminals, TIOCSTI": "the agent of the tests has no terminal to inherit: only test_signals notices a task without its own session",
    "symlinks, FIFOs and devices in a volume, for commands": "commands get the ruleset and the namespace of their task: no line opens "
    "a path for them",
    "memory exhaustion": "needs controllers of cgroup v2, which the host that runs the mutants may lack",
}


class Row(NamedTuple):
    """An attack, and what tests it."""

    attack: str
    # File, and function or "" for all of the file.
    tests: list[tuple[str, str]]


def part(heading: str) -> str:
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", text)


def table() -> list[Row]:
    rows = [line.strip("| ").rsplit(" | ", 1) for line in part("Attacks and their tests").splitlines() if line.startswith("| ")]
    return [Row(attack, named(tests)) for attack, tests in rows[1:]]


def bullets() -> list[str]:
    return [" ".join(text.split()) for text in part("What is not closed").split("\n- ")[1:]]


ROWS, LIMITS = table(), bullets()
NAMED = sorted({test for row in ROWS for test in row.tests} | {test for limit in LIMITS for test in named(limit)})


@cache
def parsed(file: str) -> ast.Module:
    return ast.parse((HERE / file).read_text())


def functions(file: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in parsed(file).body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def of_row(prefix: str) -> list[Row]:
    return [row for row in ROWS if row.attack.startswith(prefix)]


# Where tests run


RECORDER = """
import json, sys, pytest
class Recorder:
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        found = {}
        for item in items:
            marks = {mark.name: mark.kwargs for mark in item.iter_markers() if mark.name != "parametrize"}
            found.setdefault(item.nodeid.split("[")[0], []).append(marks)
        with open(sys.argv[1], "w") as file:
            json.dump(found, file, default=str)
sys.exit(pytest.main(["--collect-only", "-q", *sys.argv[2:]], plugins=[Recorder()]))
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Each test that pytest finds, with the marks of each of its parameter sets, whatever this host lacks."""
    found = tmp_path_factory.mktemp("collected") / "tests.json"
    files = sorted({file for file, _ in NAMED})
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, str(found), *files], cwd=HERE, capture_output=True, text=True, timeout=300)
    # 5: all of them are left out on this host.
    assert done.returncode in (0, 5), done.stdout + done.stderr
    tests: dict[str, list[dict[str, Any]]] = json.loads(found.read_text())
    return tests


class Run(NamedTuple):
    """A stage of Tests/run-all that runs pytest here."""

    name: str
    files: set[str]
    marks: list[str]
    landlock: int
    is_machine: bool

    def runs(self, test: str, marks: dict[str, Any], host_has_controllers: bool) -> bool:
        if test.partition("::")[0] not in self.files:
            return False
        for term in self.marks:
            if (term.removeprefix("not ") in marks) == term.startswith("not "):
                return False
        if "controllers" in marks and not self.is_machine and not host_has_controllers:
            return False
        bounds = marks.get("landlock", {})
        return bounds.get("minimum", 1) <= self.landlock <= bounds.get("maximum", self.landlock)


def run_all() -> Any:
    """Tests/run-all, which has no suffix, as a module."""
    path = str(PROJECT / "Tests" / "run-all")
    sys.path.insert(0, str(PROJECT / "Tests"))
    try:
        loader = importlib.machinery.SourceFileLoader("run_all", path)
        spec = importlib.util.spec_from_loader("run_all", loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # dataclasses look their module up.
        sys.modules["run_all"] = module
        loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(PROJECT / "Tests"))


def runs(module: Any, own_landlock: int) -> Iterator[Run]:
    for stage in module.conformance():
        command = stage.command
        if "pytest" not in command:
            continue
        kernel = command[command.index("--kernel") + 1] if "--kernel" in command else ""
        is_machine = command[0].endswith("vm/run")
        arguments = command[command.index("pytest") + 1:]
        marks = arguments[arguments.index("-m") + 1].split(" and ") if "-m" in arguments else []
        paths = [Path(word) for word in arguments if word.startswith(str(HERE))]
        files = {file.name for path in paths for file in (path.glob("test_*.py") if path.is_dir() else [path])}
        yield Run(stage.name, files, marks, LANDLOCK_OF[kernel] if is_machine else own_landlock, is_machine)


def test_every_named_test_runs_in_a_stage(collected: dict[str, list[dict[str, Any]]]) -> None:
    """A test that pytest does not find, or that every stage leaves out, tests nothing."""
    from agent import cgroups, landlock

    stages = list(runs(run_all(), landlock.abi()))
    assert {"under Linux 6.1", "under the newest Linux"} <= {stage.name for stage in stages}
    lost = []
    for file, name in NAMED:
        tests = {test: marks for test, marks in collected.items() if test == f"{file}::{name}" or (not name and test.startswith(f"{file}::"))}
        if not tests:
            lost.append(f"{file}::{name} is not collected")
        lost += [f"{test} runs in no stage" for test, cases in tests.items()
                 if not any(stage.runs(test, marks, cgroups.has_controllers()) for stage in stages for marks in cases)]
    assert lost == []


# What the document names


def test_every_attack_is_named() -> None:
    """No test of an attack is left out of the table."""
    files = [*sorted(HERE.glob("test_attack_*.py")), HERE / "test_bombs.py"]
    in_table = {test for row in ROWS for test in row.tests}
    left_out = [f"{file.name}::{name}" for file in files for name in functions(file.name) if (file.name, name) not in in_table]
    assert len(ROWS) > 40
    assert left_out == []


def test_every_limit_is_shown() -> None:
    """Each bullet of "What is not closed" names a test, or says why there is none."""
    assert len(LIMITS) > 12
    missing = [limit[:60] for limit in LIMITS if not re.search(r"Tests?: `test_|No test: \S.{20,}", limit)]
    assert missing == []
    own = {name for file, name in NAMED if file == "test_not_closed.py"}
    assert own == set(functions("test_not_closed.py")), "test_not_closed.py is for what the document names"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.attack[:50])
def test_what_was_seen_without_the_protection(row: Row) -> None:
    """In the test's docstring, or for tests without one in the head of their file."""
    assert row.tests, row.attack
    silent = []
    for file, name in row.tests:
        head = ast.get_docstring(parsed(file)) or ""
        text = (ast.get_docstring(functions(file)[name]) or "") if name else head
        if not SEEN.search(text):
            silent.append(f"{file}::{name}")
    assert silent == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.attack[:50])
def test_a_patch_takes_the_protection_out(row: Row) -> None:
    """One of Tests/mutants; where there is none, this file says why."""
    mutants = [mutant for file in sorted(PROJECT.glob("Tests/mutants/*.toml")) for mutant in tomllib.loads(file.read_text())["mutant"]]
    caught = {test.partition("[")[0] for mutant in mutants for test in mutant["tests"]}
    has_own = any(f"{file}::{name}" in caught or (not name and any(test.startswith(f"{file}::") for test in caught))
                  for file, name in row.tests)
    others = [patch for prefix, patch in PATCHES.items() if row.attack.startswith(prefix)]
    reasons = [reason for prefix, reason in WITHOUT_PATCH.items() if row.attack.startswith(prefix)]
    assert has_own + len(others) + len(reasons) == 1, (row.attack, has_own, others, reasons)
    assert {patch for patch in others} <= {mutant["name"] for mutant in mutants}


def test_nothing_is_excused_that_is_not_there() -> None:
    assert [prefix for prefix in [*PATCHES, *WITHOUT_PATCH] if len(of_row(prefix)) != 1] == []


def test_every_link_leads_somewhere() -> None:
    """Links to a section of this document, or to a file beside it."""
    parts = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, part_ = target.partition("#")
        if file.startswith("http"):
            continue
        assert not file or (PROJECT / "docs" / file).exists(), target
        assert file or part_ in parts, target
