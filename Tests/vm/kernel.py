"""A Debian kernel for the guest: fetched with apt-get, unpacked, never installed."""

from __future__ import annotations

import fcntl
import gzip
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass

import archive
from architecture import AMD64, Architecture

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# The modules that the initramfs loads to reach the root file system, in order of dependence, unless they are built into
# the kernel.
BOOT_MODULES = [
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "virtio_console", "fuse", "virtiofs", "overlay",
]


class KernelError(Exception):
    """The kernel cannot be fetched; the text says why, with the remedy."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel."""

    image: pathlib.Path
    modules: pathlib.Path  # /lib/modules/<release> in the guest
    boot_modules: list[pathlib.Path]  # uncompressed, in the order in which to load them


def fetch(name: str, minimum: str = "", architecture: Architecture = AMD64) -> Kernel:
    """Return the kernel of a Debian package (an image or the metapackage that depends on one): PACKAGE of this
    machine's sources, or the newest PACKAGE of another suite, or for another architecture, as PACKAGE/SUITE."""
    parts = re.fullmatch(r"([a-z0-9][a-z0-9.+-]*)(?:/([a-z]+(?:-[a-z]+)*))?", name)
    if parts is None:
        raise KernelError(f"--kernel {name}: neither a package's name nor PACKAGE/SUITE")
    package, suite = parts.groups()
    cache = pathlib.Path(os.environ.get("EXEC2_VM_CACHE") or PROJECT / ".build" / "vm").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            kernel = _of_suite(package, suite, cache, architecture) if suite else _of_this_machine(package, cache)
        except archive.ArchiveError as error:
            raise KernelError(f"--kernel {name}: {error}") from error
    release = kernel.modules.name
    if _version(release) < _version(minimum):
        raise KernelError(f"--kernel {name} is Linux {release}, but {minimum} or newer is required")
    return kernel


def _version(release: str) -> tuple[int, ...]:
    """The first two numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def _of_this_machine(package: str, cache: pathlib.Path) -> Kernel:
    """A fetched kernel is kept, so that a boot needs no network."""
    directory = cache / package
    if not directory.exists():
        _unpack(archive.THIS_MACHINE, archive.THIS_MACHINE.kernel_packages(package), directory)
    return _kernel(directory)


def _of_suite(package: str, suite: str, cache: pathlib.Path, architecture: Architecture) -> Kernel:
    source = archive.of_suite(suite, cache / f"suite-{suite}-{architecture.debian}", architecture.debian)
    packages = source.kernel_packages(package)
    images = [name for name in packages if name.startswith("linux-image-")]
    if not images:
        raise KernelError(f"--kernel {package}/{suite}: not a kernel's image, nor does it depend on one")
    directory = cache / images[-1]
    if not directory.exists():
        _unpack(source, packages, directory)
    return _kernel(directory)


def _kernel(directory: pathlib.Path) -> Kernel:
    return Kernel(
        image=directory / "kernel",
        modules=_modules(directory / "package"),
        boot_modules=sorted((directory / "boot-modules").iterdir()),
    )


def _modules(package: pathlib.Path) -> pathlib.Path:
    return _only(package, "lib/modules/*", "usr/lib/modules/*")


def _only(package: pathlib.Path, *patterns: str) -> pathlib.Path:
    """The one file of the packages that matches a pattern."""
    found = [path for pattern in patterns for path in package.glob(pattern)]
    if len(found) != 1:
        raise KernelError(f"the kernel's packages have {len(found)} of {' and '.join(patterns)} and not one: "
                          "Debian's layout of them has changed, and Tests/vm/kernel.py has to follow")
    return found[0]


def _unpack(source: archive.Archive, packages: list[str], directory: pathlib.Path) -> None:
    """Makes the directory atomically."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=directory.parent))
    try:
        scratch.chmod(0o755)
        source.download(packages, scratch)
        for file in scratch.glob("*.deb"):
            archive.call("dpkg-deb", "-x", str(file), str(scratch / "package"))
            file.unlink()
        image = _only(scratch / "package", "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
        (scratch / "kernel").write_bytes(_uncompressed(image.read_bytes()))
        _collect_boot_modules(_modules(scratch / "package"), scratch / "boot-modules")
        scratch.rename(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _uncompressed(image: bytes) -> bytes:
    """The kernel for qemu's loader."""
    if image[4:8] == b"zimg":
        return _unpacked_zboot(image)
    # Linux for arm64 (Documentation/arch/arm64/booting.rst), which is not compressed.
    return image if image[56:60] == b"ARMd" else _unpacked_bzimage(image)


def _unpacked_zboot(image: bytes) -> bytes:
    """The kernel within a program for EFI that unpacks it (drivers/firmware/efi/libstub/zboot-header.S)."""
    offset, length = struct.unpack_from("<II", image, 8)
    payload, method = image[offset : offset + length], image[24:32].rstrip(b"\0").decode(errors="replace")
    if method.startswith("zstd"):
        return _unzstd(payload)
    if method.startswith("gzip"):
        return gzip.decompress(payload)
    raise KernelError(f"the kernel is compressed with {method}, which Tests/vm/kernel.py does not know")


def _unpacked_bzimage(image: bytes) -> bytes:
    """The ELF kernel within a bzImage: under emulation it starts 1.5 s sooner than one that unpacks
    itself. Offsets are those of Linux' boot protocol (Documentation/arch/x86/boot.rst)."""
    setup_sectors = image[0x1F1]
    (offset, length) = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length - 4]  # the last 4 bytes are the uncompressed size
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        elf = _unzstd(payload)
    elif payload.startswith(b"\xfd7zXZ\x00"):
        elf = lzma.decompress(payload)
    else:
        return image
    return elf if elf.startswith(b"\x7fELF") else image


def _collect_boot_modules(modules: pathlib.Path, directory: pathlib.Path) -> None:
    directory.mkdir()
    builtin = (modules / "modules.builtin").read_text(encoding="ascii")
    for position, name in enumerate(BOOT_MODULES):
        found = list(modules.rglob(f"{name}.ko*"))
        if not found and f"/{name}.ko\n" not in builtin:
            raise KernelError(f"Linux {modules.name} has {name} neither built in nor as a module: "
                              "the guest cannot reach its files")
        for file in found:
            (directory / f"{position:02}-{name}.ko").write_bytes(_module(file))


def _module(file: pathlib.Path) -> bytes:
    """The module uncompressed, since not every kernel's loader can decompress it."""
    content = file.read_bytes()
    if file.suffix == ".xz":
        return lzma.decompress(content)
    return _unzstd(content) if file.suffix == ".zst" else content


def _unzstd(content: bytes) -> bytes:
    done = subprocess.run(["zstd", "-dc"], input=content, capture_output=True, check=False)
    if done.returncode != 0:
        raise KernelError(f"'zstd -dc' of a part of the kernel failed: {done.stderr.decode(errors='replace')}")
    return done.stdout
