"""Debian's archive by apt-get: what this machine's sources have, or another suite by lists of the tests' own."""

from __future__ import annotations

import pathlib
import re
import subprocess
from dataclasses import dataclass, field

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Nothing of this machine's sources, pins and hooks applies, and what is not signed is refused whatever this machine
# allows. A list that cannot be had is an error, where apt would go on with an old one.
SETTINGS = """\
Dir::Etc::SourceList "{directory}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "{directory}/lists";
Dir::State::Status "/dev/null";
Dir::Cache "{directory}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
APT::Default-Release "";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class ArchiveError(Exception):
    """Packages cannot be had; the text says why and what would help."""


@dataclass(frozen=True)
class Archive:
    """Sources of packages."""

    # What a failed command is told with.
    remedy: str
    options: list[str] = field(default_factory=list)

    def depends(self, package: str) -> str:
        """What apt-cache says that a package depends on; empty when its lists have no such package."""
        return subprocess.run(["apt-cache", *self.options, "depends", package],
                              capture_output=True, text=True, check=False).stdout

    def kernel_packages(self, package: str) -> list[str]:
        """The package and those of a kernel that it depends on: Debian 12 has all of a kernel in one, later ones
        have image, modules and lists of them apart. A metapackage comes before what it stands for."""
        found = [package]
        for name in found:
            depends = self.depends(name)
            if not depends:
                self.call("apt-get", "-qq", "update")
                depends = self.depends(name)
            if not depends:
                raise ArchiveError(f"there is no package {name}: {self.remedy}")
            needed = re.findall(r"^ *Depends: (linux-(?:image|binary|modules|base)-\S+)", depends, re.MULTILINE)
            found += [other for other in needed if other not in found]
        return found

    def download(self, packages: list[str], directory: pathlib.Path) -> None:
        # The sandbox user of apt cannot write to our directory.
        self.call("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages, cwd=directory)

    def call(self, program: str, *arguments: str, cwd: pathlib.Path | None = None) -> str:
        """Run a program of apt's and return what it says."""
        return call(program, *self.options, *arguments, cwd=cwd, remedy=self.remedy)


def call(*command: str, cwd: pathlib.Path | None = None, remedy: str = "") -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ArchiveError(f"{command[0]} is missing: the guest's kernel is a Debian package") from error
    if done.returncode != 0:
        raise ArchiveError(f"'{' '.join(command)}' failed:\n{done.stdout}{done.stderr}{remedy}")
    return done.stdout


THIS_MACHINE = Archive("The guest's kernel comes from Debian 12: are bookworm and bookworm-security among apt's sources?")


def of_suite(suite: str, directory: pathlib.Path) -> Archive:
    """Another suite of Debian's, from the mirror that this machine uses. Its package lists are brought up to date
    in the directory, and neither they nor its packages become this machine's. A suite whose signature is not by a key
    of Debian's that this machine has is refused."""
    if not KEYRING.exists():
        raise ArchiveError(f"{KEYRING} is missing, and Debian's {suite} is not used unverified: "
                           "apt-get install debian-archive-keyring")
    archive = Archive(
        f"The guest's kernel comes from Debian's {suite}, which must be on the mirror of this machine's apt and signed "
        f"by a key in {KEYRING}: where the key is newer, 'apt-get install debian-archive-keyring' brings it.",
        ["-c", str(directory / "apt.conf")])
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "apt.conf").write_text(SETTINGS.format(directory=directory), encoding="utf-8")
    (directory / "sources.list").write_text(
        f"deb [arch=amd64 signed-by={KEYRING} target=Packages lang=none pdiffs=no] {_mirror()} {suite} main\n",
        encoding="utf-8")
    archive.call("apt-get", "-qq", "update")
    return archive


def _mirror() -> str:
    """The address of Debian's archive among this machine's sources."""
    def known() -> list[str]:
        targets = THIS_MACHINE.call(
            "apt-get", "indextargets", "--format", "$(CREATED_BY)|$(ORIGIN)|$(LABEL)|$(REPO_URI)")
        return [line.removeprefix("Packages|Debian|Debian|") for line in targets.splitlines()
                if line.startswith("Packages|Debian|Debian|")]

    found = known()
    if not found:
        # Whose archive a source is, is in its package lists.
        THIS_MACHINE.call("apt-get", "-qq", "update")
        found = known()
    if not found:
        raise ArchiveError("no source of this machine's apt is Debian's archive (Origin and Label 'Debian'): "
                           "add one to /etc/apt/sources.list.d")
    return found[0]
