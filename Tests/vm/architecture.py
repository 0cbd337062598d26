"""The processors that a guest can have."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Architecture:
    """A processor, and the machine around it."""

    debian: str
    processor: str  # as uname(2) tells it
    default_kernel: str
    console: str
    program: str
    program_package: str
    emulated: list[str]  # arguments of the program's, like the following
    accelerated: list[str] = field(default_factory=list)


AMD64 = Architecture(
    debian="amd64", processor="x86_64",
    # In bookworm-security; 6.12 has Landlock ABI 6.
    default_kernel="linux-image-6.12-cloud-amd64",
    console="ttyS0", program="qemu-system-x86_64", program_package="qemu-system-x86",
    emulated=[
        "-M", "q35",
        # One thread for all virtual CPUs: with more, the kernel sometimes panics early.
        "-accel", "tcg,thread=single",
        # Five-level page tables only slow the emulation.
        "-cpu", "max,la57=off",
    ],
    accelerated=["-M", "q35", "-accel", "kvm", "-cpu", "host"])

ARM64 = Architecture(
    debian="arm64", processor="aarch64",
    # The same Linux: Debian 12's archive proper has none for arm64.
    default_kernel="linux-image-cloud-arm64/trixie",
    console="ttyAMA0", program="qemu-system-aarch64", program_package="qemu-system-arm",
    # Of the processors of today's clouds, the one that has the least of what is slow to emulate.
    emulated=["-M", "virt,gic-version=3", "-accel", "tcg,thread=multi", "-cpu", "neoverse-n1"])

ARCHITECTURES = {architecture.debian: architecture for architecture in (AMD64, ARM64)}
