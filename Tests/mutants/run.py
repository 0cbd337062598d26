#!/usr/bin/python3
"""Removes each protection from the sources, one at a time, and runs the tests that must fail then.

The patches are the `*.toml` files beside this: each replaces one piece of text by another. A copy of the sources is
built with the patch in it and its tests are run. A patch whose tests still pass has survived: nothing tests that
protection. Prints a table and exits with 1 if one has survived or could not be tried.

  Tests/mutants/run.py [--check] [NAME…]     all patches, or those whose name contains one of the words
      --check    only checks that every patch applies at exactly one place
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TREE = PROJECT / ".build" / "mutants"
# A mutant may make a test hang, which counts as caught.
TEST_SECONDS = 300
# All of their tests, on the sources as they are.
ALL_TESTS_SECONDS = 1800
BUILD_SECONDS = 900


@dataclass(frozen=True)
class Mutant:
    """One protection removed."""

    area: str
    name: str
    # The name of a file anywhere below Sources, after directories where the name is not unique.
    file: str
    old: str
    new: str
    # For pytest, in Tests/conformance.
    tests: tuple[str, ...]

    def path(self, root: pathlib.Path) -> pathlib.Path:
        found = sorted((root / "Sources").rglob(self.file))
        if len(found) != 1:
            raise ValueError(f"{len(found)} files are named {self.file}")
        return found[0]

    def applied(self, root: pathlib.Path) -> tuple[pathlib.Path, str, str]:
        """The file, its text, and its text with the patch in it."""
        path = self.path(root)
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{path.relative_to(root)} has the text to be replaced {text.count(self.old)} times")
        return path, text, text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    result = []
    for file in sorted(PROJECT.glob("Tests/mutants/*.toml")):
        for entry in tomllib.loads(file.read_text())["mutant"]:
            result.append(Mutant(
                area=file.stem, name=entry["name"], file=entry["file"], old=entry["old"], new=entry["new"],
                tests=tuple(entry["tests"])))
    return result


def problems(chosen: list[Mutant]) -> list[str]:
    """Patches that do not apply, and tests that do not exist."""
    found = []
    for mutant in chosen:
        try:
            mutant.applied(PROJECT)
        except ValueError as error:
            found.append(f"{mutant.area}: {mutant.name}: {error}")
        for test in mutant.tests:
            file, _, function = test.partition("::")
            path = PROJECT / "Tests" / "conformance" / file
            if not path.exists() or f"def {function.partition('[')[0]}(" not in path.read_text():
                found.append(f"{mutant.area}: {mutant.name}: there is no test {test}")
    names = [mutant.name for mutant in chosen]
    return found + [f"two mutants are named {name!r}" for name in sorted(set(names)) if names.count(name) > 1]


def tolerant(package: bytes) -> bytes:
    """Package.swift for a build in which warnings are none: what a patch takes out may have been all that used a name."""
    return package.replace(b'"-warnings-as-errors"', b'"-suppress-warnings"').replace(b'"-Werror"', b'"-w"')


def prepare() -> None:
    """A copy of the sources as git would commit them, with its own build."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, check=True,
        stdout=subprocess.PIPE).stdout
    wanted = {name.decode() for name in listed.split(b"\0") if name}
    for name in sorted(wanted):
        source, target = PROJECT / name, TREE / name
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink():
                target.symlink_to(source.readlink())
            continue
        if not source.is_file():
            continue
        content = source.read_bytes()
        if name == "Package.swift":
            content = tolerant(content)
        if target.exists() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        shutil.copymode(source, target)
    for directory in ("Sources", "Tests"):
        for path in (TREE / directory).rglob("*"):
            if path.is_file() and str(path.relative_to(TREE)) not in wanted:
                path.unlink()
    venv = TREE / ".build" / "venv"
    venv.parent.mkdir(exist_ok=True)
    if not venv.is_symlink():
        venv.symlink_to(PROJECT / ".build" / "venv")


def build() -> str:
    """Why the copy cannot be built, or ""."""
    done = subprocess.run(
        ["swift", "build", "-c", "release"], cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=BUILD_SECONDS, check=False)
    return "" if done.returncode == 0 else "\n".join(line for line in done.stdout.splitlines() if "error" in line)[-1500:]


@dataclass(frozen=True)
class Tested:
    """What pytest said."""

    # pytest's exit status; None at the time limit.
    status: int | None
    output: str

    def failed(self) -> list[str]:
        """Names of the tests that failed, without the values of a parametrised one's parameters."""
        return [line.split(" ")[1].partition("[")[0] for line in self.output.splitlines()
                if line.startswith(("FAILED ", "ERROR "))]


def test(tests: tuple[str, ...], seconds: float = TEST_SECONDS, *options: str) -> Tested:
    command = [str(PROJECT / ".build" / "venv" / "bin" / "python"), "-m", "pytest", "-q", "-rfE", *options, *tests]
    # A file, because what a test leaves running would keep a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=TREE / "Tests" / "conformance", env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        status: int | None = None
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return Tested(status, output.read())


def outcome(mutant: Mutant) -> str:
    """caught, survived, or why it could not be tried."""
    path, text, changed = mutant.applied(TREE)
    try:
        path.write_text(changed)
        if error := build():
            return f"does not compile: {error}"
        tested = test(mutant.tests, TEST_SECONDS, "-x")
    finally:
        path.write_text(text)
    known = {0: "SURVIVED", 1: f"caught by {', '.join(tested.failed())}", None: "caught: the test hung"}
    return known.get(tested.status, f"could not be tried: pytest ended with {tested.status}\n{tested.output[-1500:]}")


def failing(chosen: list[Mutant]) -> set[str] | None:
    """Tests that fail on the sources as they are, after pytest's words about each; None where pytest itself failed."""
    every = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
    tested = test(every, ALL_TESTS_SECONDS)
    if tested.status == 0:
        return set()
    print(tested.output, file=sys.stderr)
    print(f"the tests do not pass on the sources as they are (pytest: {tested.status})", file=sys.stderr, flush=True)
    return set(tested.failed()) if tested.status == 1 else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    chosen = [mutant for mutant in mutants()
              if not options.names or any(word in f"{mutant.area}: {mutant.name}" for word in options.names)]
    if found := problems(chosen):
        print("\n".join(found), file=sys.stderr)
        print(f"\n{len(chosen) - len(found)} passed, {len(found)} failed")
        return 1
    if options.check:
        print(f"every patch applies\n\n{len(chosen)} passed, 0 failed")
        return 0
    prepare()
    if error := build():
        print(f"the sources do not build as they are:\n{error}", file=sys.stderr)
        return 1
    if (broken := failing(chosen)) is None:
        return 1
    failed = 0
    for mutant in chosen:
        began = time.monotonic()
        # Who is caught by a test that fails anyway, is not known.
        useless = sorted({test.partition("[")[0] for test in mutant.tests} & broken)
        result = f"not tried: {', '.join(useless)} fails without it" if useless else outcome(mutant)
        failed += not result.startswith("caught")
        print(f"{mutant.area:10} {mutant.name:72} {result}  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"\n{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
