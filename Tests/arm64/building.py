"""Builds for arm64 on this machine: the programs and the unit tests with Debian's compiler, in a root of its own, and the programs
that the conformance tests run as tasks."""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import subprocess

from roots import BASE, COMPILER, PROJECT, ROOT, SWIFT, SYSROOT

TRIPLE = "aarch64-unknown-linux-gnu"
SCRATCH = BASE / "build"
RELEASE = SCRATCH / TRIPLE / "release"
TESTS = SCRATCH / TRIPLE / "debug" / "nomad-driver-exec2PackageTests.xctest"
# Messages and programs of the conformance tests, and what the guest's Python lacks.
CONFORMANCE = BASE / "conformance"
PACKAGES = BASE / "python"
SDKS = BASE / "sdks"

# Runs a command in the compiler's root, with the project at its own path there. The mounts end with the process.
ENTER = """\
mkdir -p "$1$2" && mount --bind "$2" "$1$2" && mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" &&
mount -t tmpfs -o mode=1777 tmp "$1/tmp" && root=$1 project=$2 && shift 2 &&
exec chroot "$root" /usr/bin/env -i HOME=/tmp LANG=C.UTF-8 PATH="/SWIFT/bin:/usr/bin:/bin" \\
    bash -c 'cd "$0" && exec "$@"' "$project" "$@"
""".replace("SWIFT", SWIFT)

# Packages of PyPI that the tests themselves import; the others of requirements.txt are for linting and releases.
IMPORTED = ["grpcio", "grpcio-tools", "msgpack", "protobuf", "pytest"]


class BuildError(Exception):
    """Something does not build; what ran has said why."""


def programs() -> None:
    """The Driver, with Swift's library linked into it as in a release, and the Executor, for which Embedded Swift's library
    is elsewhere."""
    _write_sdk()
    _swift("build", "-c", "release", "--product", "nomad-driver-exec2-executor")
    _swift("build", "-c", "release", "--product", "nomad-driver-exec2", "--static-swift-stdlib")


def unit_tests() -> None:
    _write_sdk()
    _swift("build", "--build-tests")


def python_packages() -> None:
    """In the versions of the tests on this machine, for the Python of the guest."""
    versions = dict(line.split("==") for line in
                    (PROJECT / "Tests/conformance/requirements.txt").read_text(encoding="ascii").split())
    wanted = [f"{name}=={versions[name]}" for name in IMPORTED]
    interpreter = next((ROOT / "usr/bin").glob("python3.*[0-9]")).name.removeprefix("python")
    stamp = PACKAGES / "installed"
    content = " ".join([interpreter, *wanted])
    if stamp.exists() and stamp.read_text(encoding="ascii") == content:
        return
    subprocess.run(["rm", "-rf", str(PACKAGES)], check=True)
    platforms = [word for name in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
                 for word in ("--platform", f"{name}_aarch64")]
    _call([str(PROJECT / ".build/venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
           "--target", str(PACKAGES), *platforms, "--python-version", interpreter, "--implementation", "cp",
           "--only-binary=:all:", *wanted])
    # As Debian's packages do when they are installed: root's Python would try to do it in each task. Bytecode is the same on
    # every processor.
    library = ROOT / "usr/lib" / f"python{interpreter}"
    _call(_entered("python3", "-m", "compileall", "-q", "-s", str(ROOT), "-p", "/", str(library)))
    stamp.write_text(content, encoding="ascii")


def tasks() -> None:
    """The programs that the conformance tests run as tasks, and the messages of the protocol."""
    compiler = BASE / "cc"
    clang = pathlib.Path(_output(["sh", "-c", 'readlink -f "$(command -v swift)"'])).parent / "clang"
    compiler.write_text(f'#!/bin/sh\nexec {shlex.quote(str(clang))} --target=aarch64-linux-gnu '
                        f'--sysroot={shlex.quote(str(SYSROOT))} -fuse-ld=lld "$@"\n', encoding="utf-8")
    compiler.chmod(0o755)
    _call([str(PROJECT / ".build/venv/bin/python"), "-c",
           "from agent import hcl\nfrom agent.programs import NAMES, built\nhcl.built()\nfor name in NAMES: built(name)"],
          cwd=PROJECT / "Tests" / "conformance",
          environment={"CC": str(compiler), "GOARCH": "arm64", "EXEC2_CONFORMANCE_BUILD": str(CONFORMANCE),
                       "PYTHONDONTWRITEBYTECODE": "1"})


def compiler_version() -> str:
    return _output(_entered("swift", "--version")).splitlines()[0]


def _write_sdk() -> None:
    """What SwiftPM calls a Swift SDK: where headers and libraries of the other processor are."""
    bundle = SDKS / "arm64.artifactbundle"
    (bundle / "arm64").mkdir(parents=True, exist_ok=True)

    def write(name: str, content: object) -> None:
        (bundle / name).write_text(json.dumps(content), encoding="utf-8")

    write("info.json", {
        "schemaVersion": "1.0",
        "artifacts": {"arm64": {"type": "swiftSDK", "version": "1", "variants": [{"path": "arm64"}]}}})
    write("arm64/swift-sdk.json", {
        "schemaVersion": "4.0",
        "targetTriples": {TRIPLE: {
            "sdkRootPath": str(SYSROOT), "swiftResourcesPath": str(SYSROOT / "usr/lib/swift"),
            "swiftStaticResourcesPath": str(SYSROOT / "usr/lib/swift_static"), "toolsetPaths": ["toolset.json"]}}})
    write("arm64/toolset.json", {"schemaVersion": "1.0", "swiftCompiler": {"extraCLIOptions": ["-use-ld=lld"]}})


def _swift(command: str, *arguments: str) -> None:
    words = ["swift", command, *arguments, "--scratch-path", str(SCRATCH), "--swift-sdks-path", str(SDKS), "--swift-sdk", "arm64"]
    log = BASE / "build.log"
    with open(log, "wb") as output:
        status = subprocess.run(["nice", "-n", "10", *_entered(*words)], stdout=output, stderr=subprocess.STDOUT,
                                check=False).returncode
    if status != 0:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in text if "error:" in line] or text[-40:]
        raise BuildError("\n".join([f"'{' '.join(words)}' ended with status {status}; all of its output is in {log}:", *errors[:40]]))


def _entered(*command: str) -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(COMPILER), str(PROJECT), *command]


def _call(command: list[str], cwd: pathlib.Path = PROJECT, environment: dict[str, str] | None = None) -> None:
    status = subprocess.run(command, cwd=cwd, env={**os.environ, **(environment or {})}, check=False).returncode
    if status != 0:
        raise BuildError(f"'{' '.join(command)}' ended with status {status}")


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"'{' '.join(command)}' ended with status {done.returncode}: {done.stderr}")
    return done.stdout.strip()
