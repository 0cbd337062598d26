"""What `make arm64` runs: both programs and the unit tests are built here for arm64, and run in an emulated machine of that
processor, with the core of the conformance tests."""

from __future__ import annotations

import counting
from stage import BUILD, PROJECT, SLOWNESS_OF_GUEST, Stage

BASE = BUILD / "arm64"
PRODUCTS = BASE / "build" / "aarch64-unknown-linux-gnu"
REPORTS = BUILD / "reports"
SWIFT_LIBRARIES = "/usr/libexec/swift/lib/swift/linux"

# Of the conformance tests, those whose outcome may depend on the processor, on a page's size or on what was compiled: the launch
# and its confinement, signals, stop, recovery, commands in tasks, traces, the filter of system calls and what is read of /proc.
CORE = """
    base client handshake fingerprint exit exit_record lifecycle tasks environment task_config work_dir
    capabilities ulimit users pipes cgroup stats
    unveil_modes landlock_options own_root own_root_details attack_sandbox seccomp
    signals signal_to stop standby recovery recovery_again recovery_damaged recovery_gone reattach
    exec exec_command exec_confinement exec_place exec_terminal run trace trace_task
    """.split()
# These need programs that the guest has not.
LEFT_OUT = ["test_trace.py::test_java", "test_trace.py::test_nginx"]
# Debian has no kernel with pages of 64 KiB; these are of 16.
LARGE_PAGES = "linux-image-arm64-16k/trixie"
CORE_OF_PAGES = "base unveil_modes signals seccomp exec stats stop recovery".split()


def arm64_stages() -> list[Stage]:
    build = Stage("build for arm64", ["Tests/arm64/build"], minutes=60, as_root=True)
    return [
        build, units("unit tests on arm64"), conformance("conformance on arm64", CORE, 120),
        units("unit tests, 16 KiB pages", "--kernel", LARGE_PAGES),
        conformance("conformance, 16 KiB pages", CORE_OF_PAGES, 60, "--kernel", LARGE_PAGES)]


def units(name: str, *options: str) -> Stage:
    """Swift Testing writes its report itself, as `swift test` has it do."""
    report = REPORTS / f"{name.replace(' ', '-').replace(',', '')}.xml"
    stage = Stage(
        name, [str(PRODUCTS / "debug" / "nomad-driver-exec2PackageTests.xctest"), "--testing-library", "swift-testing",
               # One test's limit of time is not for all others that run at once.
               "--no-parallel", "--xunit-output", str(report)], minutes=30, report=report, as_root=True)
    return in_arm64_machine(stage, "--share", str(REPORTS), "--env", f"LD_LIBRARY_PATH={SWIFT_LIBRARIES}",
                            "--env", f"EXEC2_SLOW={SLOWNESS_OF_GUEST}", *options)


def conformance(name: str, core: list[str], minutes: float, *options: str) -> Stage:
    files = [str(PROJECT / "Tests" / "conformance" / f"test_{file}.py") for file in core]
    stage = Stage(
        name, ["/usr/bin/python3", "-m", "pytest", "-m", "not systemd",
               *(f"--deselect={test}" for test in LEFT_OUT), *files], minutes, counting.pytest, as_root=True)
    environment = {
        "EXEC2_SLOW": str(SLOWNESS_OF_GUEST), "EXEC2_CONFORMANCE_BUILD": str(BASE / "conformance"),
        "EXEC2_PLUGIN": str(PRODUCTS / "release" / "nomad-driver-exec2"), "PYTHONPATH": str(BASE / "python"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return in_arm64_machine(
        stage, *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")), *options)


def in_arm64_machine(stage: Stage, *options: str) -> Stage:
    stage.command = [
        "nice", "-n", "10", "Tests/vm/run", "--arch", "arm64", "--root", str(BASE / "root"), "--view", str(PROJECT),
        "--mem", "3072", "--timeout", f"{stage.minutes * 60 - 30:.0f}", "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        *options, "--", *stage.command,
    ]
    return stage
