"""What is needed to build for arm64 and to run the result, of Debian's packages, unpacked below .build/arm64 and never installed:
the compiler, what it links programs with, and the root file system of the guest."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BASE = PROJECT / ".build" / "arm64"

sys.path.insert(0, str(PROJECT / "Tests" / "vm"))

import archive  # noqa: E402

# The only suite with Swift. The compiler and the library for arm64 have the same version: of another, modules do not load.
SUITE = "sid"
SWIFT = "usr/libexec/swift"
# This machine's programs.
COMPILER = BASE / "compiler"
# Headers, archives and libraries for arm64.
SYSROOT = BASE / "sysroot"
# The guest's /.
ROOT = BASE / "root"

COMPILER_PACKAGES = ["base-files", "bash", "coreutils", "git", "python3", "swiftlang", "libc6-dev", "libstdc++-15-dev", "libgcc-15-dev"]
SYSROOT_PACKAGES = ["base-files", "libc6-dev", "libstdc++-15-dev", "libgcc-15-dev", "linux-libc-dev", "libswiftlang"]
# Of the suite that releases are built on, whose archives Package.swift names.
ARCHIVES_SUITE = "bookworm"
ARCHIVES = ["libgrpc-dev", "libabsl-dev", "libc-ares-dev", "zlib1g-dev", "libre2-dev", "libprotobuf-c-dev"]
ROOT_PACKAGES = [
    "base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils", "gawk", "grep", "sed",
    "busybox-static", "hostname", "libc-bin", "login.defs", "passwd", "mount", "util-linux", "procps", "iproute2", "python3", "media-types",
    "tar", "gzip", "curl", "libcap2-bin", "vim-tiny", "kmod", "git", "gcc", "libc6-dev", "strace", "netbase", "ca-certificates",
    "libprotobuf-c1", "libswiftlang",
    # Whose headers the unit tests compare numbers with.
    "linux-libc-dev",
]


def make() -> None:
    """Makes what is missing."""
    BASE.mkdir(parents=True, exist_ok=True)
    for directory, fill in ((COMPILER, _fill_compiler), (SYSROOT, _fill_sysroot), (ROOT, _fill_root)):
        if directory.exists():
            continue
        print(f"arm64: unpacking {directory.relative_to(PROJECT)}", flush=True)
        fresh = directory.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        fill(fresh)
        fresh.rename(directory)
    # A gigabyte that nothing needs any more.
    for packages in BASE.glob("suite-*/cache/archives"):
        shutil.rmtree(packages)


def _suite(name: str, architecture: str) -> archive.Archive:
    return archive.of_suite(name, BASE / f"suite-{name}-{architecture}", architecture)


def _fill_compiler(directory: pathlib.Path) -> None:
    _unpack(_suite(SUITE, "amd64").download_with_dependencies(COMPILER_PACKAGES), directory)


def _fill_sysroot(directory: pathlib.Path) -> None:
    suite = _suite(SUITE, "arm64")
    _unpack(suite.download_with_dependencies(SYSROOT_PACKAGES), directory)
    # The compiler for arm64, of which only the library is needed.
    (directory / "packages").mkdir()
    suite.download(["swiftlang"], directory / "packages")
    _unpack(list((directory / "packages").glob("*.deb")), directory,
            *(f"./{SWIFT}/lib/{name}" for name in ("swift", "swift_static", "clang")))
    shutil.rmtree(directory / "packages")
    # The compiler looks for its start files there when it has a root for headers and libraries.
    for name in ("swift", "swift_static"):
        (directory / "usr/lib" / name).symlink_to(f"../libexec/swift/lib/{name}")
    # Debian's package has this library's module, which XCTest's has the compiler import, and not the library, of which nothing is used.
    overlay = directory / SWIFT / "lib/swift/linux/lib_Testing_Foundation.a"
    if not overlay.exists():
        overlay.write_bytes(b"!<arch>\n")
    files = _suite(ARCHIVES_SUITE, "arm64").download_with_dependencies(ARCHIVES)
    _unpack([file for file in files if file.name.split("_")[0] in ARCHIVES], directory)


def _fill_root(directory: pathlib.Path) -> None:
    _unpack(_suite(SUITE, "arm64").download_with_dependencies(ROOT_PACKAGES), directory)
    # What the packages' scripts would do.
    for name in ("home", "media", "mnt", "opt", "srv", "usr/local/bin", "usr/local/sbin", "usr/local/lib", "var/mail"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(directory / f"usr/share/base-passwd/{name}.master", directory / "etc" / name)
    (directory / "etc/shadow").write_text("root:*:20000:0:99999:7:::\n", encoding="ascii")
    (directory / "etc/shadow").chmod(0o640)
    shutil.copy(directory / "usr/share/libc-bin/nsswitch.conf", directory / "etc/nsswitch.conf")
    (directory / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    (directory / "etc/hostname").write_text("vm\n", encoding="ascii")
    (directory / "usr/bin/awk").symlink_to("gawk")
    (directory / "usr/bin/cc").symlink_to("gcc")
    (directory / "usr/bin/vi").symlink_to("vim.tiny")
    if not (directory / "usr/bin/sh").exists():
        (directory / "usr/bin/sh").symlink_to("dash")


def _unpack(files: list[pathlib.Path], directory: pathlib.Path, *members: str) -> None:
    """Unpacks packages, or their named members. /lib and /bin stay symlinks."""
    for file in files:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as contents:
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", str(directory), *members],
                           stdin=contents.stdout, check=True)
        if contents.returncode != 0:
            raise archive.ArchiveError(f"'dpkg-deb --fsys-tarfile {file}' failed with status {contents.returncode}")
