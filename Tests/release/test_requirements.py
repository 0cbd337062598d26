"""What the programs need of a distribution: the versions of symbols that its shared libraries must define."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import command

# The newest version in each family of versions that every supported distribution has. RHEL 9 and Amazon Linux 2023
# have the oldest: glibc 2.34, and the libstdc++ and libgcc_s of GCC 11.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0)}


def needed_versions(program: Path) -> set[str]:
    """The names of versions that the loader looks for in the libraries before it starts the program."""
    said = command("readelf", "--version-info", "--wide", program)
    _, _, needs = said.partition("Version needs section")
    return set(re.findall(r"Name: (\S+) +Flags:", needs))


def newer_symbols(program: Path) -> list[str]:
    """The symbols of a program, each with its version, that an old distribution lacks."""
    said = command("readelf", "--dyn-syms", "--wide", program)
    return [symbol for symbol, version in re.findall(r" UND +(\S+@(\S+))", said) if is_newer(version)]


def is_newer(version: str) -> bool:
    family, _, number = version.partition("_")
    assert family in NEWEST and re.fullmatch(r"[0-9.]+", number), f"{version} is of no known family of versions"
    return tuple(map(int, number.split("."))) > NEWEST[family]


def test_no_symbol_is_newer_than_the_oldest_distribution(release: Path) -> None:
    """Without exec2_hypotf, Swift's library asks for hypotf of glibc 2.35."""
    driver = release / "nomad-driver-exec2"
    assert newer_symbols(driver) == []
    versions = needed_versions(driver)
    assert {"GLIBC_2.34", "GLIBCXX_3.4.29"} <= versions
    assert [version for version in versions if is_newer(version)] == []


def test_executor_needs_no_library(release: Path) -> None:
    said = command("readelf", "--program-headers", "--wide", release / "nomad-driver-exec2-executor")
    assert "LOAD" in said and "INTERP" not in said and "DYNAMIC" not in said


@pytest.mark.parametrize("version, newer", [
    ("GLIBC_2.34", False), ("GLIBC_2.35", True), ("GLIBC_2.4", False), ("GLIBC_2.2.5", False), ("GLIBCXX_3.4.30", True),
    ("CXXABI_1.3.13", False), ("CXXABI_1.3.14", True), ("GCC_3.3", False)])
def test_versions_are_compared_as_numbers(version: str, newer: bool) -> None:
    assert is_newer(version) == newer


def test_unknown_version_is_refused() -> None:
    """Such as GLIBC_ABI_DT_RELR, which glibc 2.36 has brought for packed relocations."""
    with pytest.raises(AssertionError, match="no known family"):
        is_newer("GLIBC_ABI_DT_RELR")
