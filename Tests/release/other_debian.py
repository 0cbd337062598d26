"""A root with the shared libraries of another Debian, and with the few programs that a try of the release needs.

The packages come from the mirror that this machine's apt uses, verified by Debian's keys, and are only unpacked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests" / "vm"))

import archive  # noqa: E402

# base-files has the links from /bin and /lib into /usr.
PACKAGES = ["base-files", "base-passwd", "coreutils", "dash", "libc6", "libstdc++6"]


def make(suite: str, file: Path) -> None:
    """Makes `file`, a tar archive of the root, unless it exists."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"exec2-{suite}-", dir="/var/tmp"))
    try:
        source = archive.of_suite(suite, scratch)
        source.call("apt-get", "-qq", "--yes", "--no-install-recommends", "--download-only", "install", *PACKAGES)
        root = scratch / "root"
        root.mkdir()
        packages = sorted((scratch / "cache" / "archives").glob("*.deb"), key=lambda path: not path.name.startswith("base-files_"))
        for package in packages:
            # Through tar, which keeps the links that base-files has brought: dpkg-deb -x would replace them.
            content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True).stdout
            subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], input=content, check=True)
        for name in ("passwd", "group"):
            shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
        made = scratch / "root.tar"
        subprocess.run(["tar", "--create", "--numeric-owner", "--directory", root, "--file", made, "."], check=True)
        shutil.move(made, file)
    finally:
        shutil.rmtree(scratch)
