"""A Debian kernel for the guest: fetched with apt-get, unpacked, never installed."""

from __future__ import annotations

import fcntl
import lzma
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass

# In bookworm-security; 6.12 has Landlock ABI 6.
DEFAULT_PACKAGE = "linux-image-6.12-cloud-amd64"

PROJECT = pathlib.Path(__file__).resolve().parents[2]

# What the initramfs loads to reach the root file system, in order of dependence. What the kernel
# has built in is not among its module files and is left out.
BOOT_MODULES = [
    "virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "virtio_console", "fuse", "virtiofs", "overlay",
]


class KernelError(Exception):
    """The kernel cannot be had; the text says why and what would help."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel."""

    image: pathlib.Path
    modules: pathlib.Path  # what /lib/modules/<release> is in the guest
    boot_modules: list[pathlib.Path]  # uncompressed, in the order in which to load them


def fetch(package: str) -> Kernel:
    """Return the kernel of a Debian package (an image or the meta-package that depends on one)."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", package):
        raise KernelError(f"--kernel {package}: not a package's name")
    cache = pathlib.Path(os.environ.get("EXEC2_VM_CACHE") or PROJECT / ".build" / "vm")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / package
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            scratch = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=cache))
            try:
                scratch.chmod(0o755)
                _unpack(package, scratch)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    (modules,) = (folder / "package" / "lib" / "modules").iterdir()
    return Kernel(
        image=folder / "kernel",
        modules=modules,
        boot_modules=sorted((folder / "boot-modules").iterdir()),
    )


def _unpack(package: str, folder: pathlib.Path) -> None:
    _download(package, folder)
    (archive,) = folder.glob("*.deb")
    _call(["dpkg-deb", "-x", str(archive), str(folder / "package")])
    archive.unlink()

    (image,) = (folder / "package" / "boot").glob("vmlinuz-*")
    (folder / "kernel").write_bytes(_uncompressed(image.read_bytes()))
    _collect_boot_modules(folder)


def _download(package: str, folder: pathlib.Path) -> None:
    depends = subprocess.run(["apt-cache", "depends", package],
                             capture_output=True, text=True, check=False).stdout
    if not depends:
        _call(["apt-get", "-qq", "update"])
        depends = _call(["apt-cache", "depends", package])
    image = re.search(r"^ *Depends: (linux-image-\S+)", depends, re.MULTILINE)
    # The sandbox user of apt cannot write to our folder.
    _call(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download",
           image.group(1) if image else package], cwd=folder)


def _uncompressed(image: bytes) -> bytes:
    """The ELF kernel within a bzImage: under emulation it starts 1.5 s sooner than one that unpacks
    itself. Offsets are those of Linux' boot protocol (Documentation/arch/x86/boot.rst)."""
    setup_sectors = image[0x1F1]
    (offset, length) = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length - 4]  # the last 4 bytes are the uncompressed size
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        elf = subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=False).stdout
    elif payload.startswith(b"\xfd7zXZ\x00"):
        elf = lzma.decompress(payload)
    else:
        return image
    return elf if elf.startswith(b"\x7fELF") else image


def _collect_boot_modules(folder: pathlib.Path) -> None:
    (folder / "boot-modules").mkdir()
    for position, name in enumerate(BOOT_MODULES):
        for found in (folder / "package" / "lib" / "modules").rglob(f"{name}.ko*"):
            content = found.read_bytes()
            if found.suffix == ".xz":
                content = lzma.decompress(content)
            (folder / "boot-modules" / f"{position:02}-{name}.ko").write_bytes(content)


def _call(command: list[str], cwd: pathlib.Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise KernelError(f"{command[0]} is missing: the guest's kernel is a Debian package") from error
    if done.returncode != 0:
        raise KernelError(f"'{' '.join(command)}' failed:\n{done.stderr}The guest's kernel comes from "
                          "Debian 12: are bookworm and bookworm-security among apt's sources?")
    return done.stdout
