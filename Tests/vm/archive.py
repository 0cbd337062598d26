"""Packages of Debian's archive by apt-get: from this machine's sources, or from another suite with separate lists."""

from __future__ import annotations

import pathlib
import re
import subprocess
from dataclasses import dataclass, field

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# This machine's sources, pins and hooks do not apply, and unsigned packages are refused whatever this machine allows. A list
# that cannot be fetched is an error; by default apt would use an old one.
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
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
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
    """Packages cannot be fetched; the text says why, with the remedy."""


@dataclass(frozen=True)
class Archive:
    """Sources of packages."""

    # The remedy in the error of a failed command.
    remedy: str
    options: list[str] = field(default_factory=list)
    cache: pathlib.Path = pathlib.Path("/var/cache/apt")

    def depends(self, package: str) -> str:
        """The output of apt-cache depends; empty if there is no such package."""
        return subprocess.run(["apt-cache", *self.options, "depends", package],
                              capture_output=True, text=True, check=False).stdout

    def kernel_packages(self, package: str) -> list[str]:
        """The package and the kernel packages that it depends on: Debian 12 has a kernel in one package, later releases
        have image, modules and lists of them in several. A metapackage comes before its dependencies."""
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

    def download_with_dependencies(self, packages: list[str]) -> list[pathlib.Path]:
        """The files of the packages and of all that they depend on, for an empty root. Only for a suite's own archive."""
        install = ["-qq", "-y", "--no-install-recommends", "-o", "Debug::NoLocking=1", "install", *packages]
        self.call("apt-get", "--download-only", *install)
        uris = self.call("apt-get", "-o", "Dir::Cache::Archives=/nowhere", "--print-uris", *install)
        names = re.findall(r"^'\S+' (\S+\.deb) ", uris, re.MULTILINE)
        return [self.cache / "archives" / name for name in names]

    def call(self, program: str, *arguments: str, cwd: pathlib.Path | None = None) -> str:
        """Run a program of apt's and return its output."""
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


def of_suite(suite: str, directory: pathlib.Path, architecture: str = "amd64") -> Archive:
    """Another suite of Debian, or one for another architecture, from the mirror that this machine uses. Its package lists are updated in the directory,
    and neither they nor its packages are installed on this machine. A suite that is not signed by one of this machine's
    keys of Debian is refused."""
    if not KEYRING.exists():
        raise ArchiveError(f"{KEYRING} is missing, and Debian's {suite} is not used unverified: "
                           "apt-get install debian-archive-keyring")
    archive = Archive(
        f"This comes from Debian's {suite} for {architecture}, which must be on the mirror of this machine's apt and signed "
        f"by a key in {KEYRING}: where the key is newer, 'apt-get install debian-archive-keyring' brings it.",
        ["-c", str(directory / "apt.conf")], directory / "cache")
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "apt.conf").write_text(SETTINGS.format(directory=directory, architecture=architecture), encoding="utf-8")
    (directory / "sources.list").write_text(
        f"deb [arch={architecture} signed-by={KEYRING} target=Packages lang=none pdiffs=no] {_mirror()} {suite} main\n",
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
        # The package lists name a source's origin.
        THIS_MACHINE.call("apt-get", "-qq", "update")
        found = known()
    if not found:
        raise ArchiveError("no source of this machine's apt is Debian's archive (Origin and Label 'Debian'): "
                           "add one to /etc/apt/sources.list.d")
    return found[0]
