"""dnf in a bare root, and packages that stand for a distribution and for HashiCorp's driver."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from bare_root import LINK, BareRoot
from conftest import command
from test_requirements import is_newer

# Libraries whose versions of symbols a driver's package asks for.
LIBRARIES = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"]


def build(directory: Path, name: str, version: str, spec: str) -> Path:
    """Builds a package; `spec` is everything after the first tags."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "package.spec"
        file.write_text(
            f"%global __os_install_post %{{nil}}\nName: {name}\nVersion: {version}\nRelease: 1\nSummary: For a test\n"
            f"License: MPL-2.0\n{spec}")
        command("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {scratch}/rpm", "--define", f"_dbpath {scratch}/db",
                "--define", f"_rpmdir {directory}", "--define", "_rpmfilename %{NAME}-%{VERSION}.rpm", file)
    return directory / f"{name}-{version}.rpm"


def distribution(directory: Path, root: BareRoot, version: str = "9") -> Path:
    """A package that provides what the libraries of a root provide; as version 9, except for what RHEL 9 does not have."""
    provides = ["rtld(GNU_HASH)", "/bin/sh"]
    for name in LIBRARIES:
        for library in {path.resolve() for path in root.inside("/usr").rglob(name)}:
            found = subprocess.run(["/usr/lib/rpm/elfdeps", "--provides", library], stdout=subprocess.PIPE, text=True, check=True)
            for each in found.stdout.split():
                symbols = re.search(r"\(((?:GLIBC|GLIBCXX|CXXABI|GCC)_[0-9.]+)\)", each)
                if "()" in each or symbols and (version != "9" or not is_newer(symbols.group(1))):
                    provides.append(each)
    assert "libc.so.6(GLIBC_2.34)(64bit)" in provides
    assert ("libc.so.6(GLIBC_2.35)(64bit)" in provides) == (version != "9")
    tags = "".join(f"Provides: {each}\n" for each in sorted(set(provides)))
    return build(directory, "distribution", version, f"""{tags}
%description
What a distribution provides.
%install
mkdir -p %{{buildroot}}/usr/share/licenses
%files
%dir /usr/share/licenses
""")


def original(directory: Path) -> Path:
    """A package like HashiCorp's: a program in /usr/bin, and scripts that make and remove the link in the plugin directory."""
    return build(directory, "nomad-driver-exec2", "0.1.2", f"""
%description
Stands for the original.
%install
mkdir -p %{{buildroot}}/usr/bin
printf '#!/bin/sh\\necho the original\\n' >%{{buildroot}}/usr/bin/nomad-driver-exec2
%post
mkdir -p {Path(LINK).parent}
ln -s /usr/bin/nomad-driver-exec2 {LINK}
%postun
rm {LINK}
%files
%attr(0755, root, root) /usr/bin/nomad-driver-exec2
""")


def dnf(root: BareRoot, *words: str | Path, status: int = 0) -> str:
    """dnf with the root's own database, and without any repository."""
    done = subprocess.run(
        ["dnf", "--assumeyes", f"--installroot={root.path}", "--disablerepo=*", "--noplugins", "--releasever=9",
         *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, f"dnf {words} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def rpm(root: BareRoot, *words: str, status: int = 0) -> str:
    """rpm's answers about the packages of the root."""
    done = subprocess.run(["rpm", f"--root={root.path}", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == status, f"rpm {words} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
