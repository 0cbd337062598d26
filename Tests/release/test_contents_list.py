"""The list of what is in the programs, in SPDX's form."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from spdx_tools.spdx.model import Document, RelationshipType
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from conftest import EPOCH, REPOSITORY, command


@pytest.fixture
def document(release: Path, output: Path) -> Document:
    return parse_file(str(output / f"{release.name}.spdx.json"))


def test_it_is_valid(document: Document) -> None:
    assert [message.validation_message for message in validate_full_spdx_document(document, "SPDX-2.3")] == []
    assert document.creation_info.created.timestamp() == int(EPOCH["SOURCE_DATE_EPOCH"])


def test_it_is_about_these_programs(document: Document, release: Path) -> None:
    listed = {file.name: {sum.algorithm.name: sum.value for sum in file.checksums}["SHA256"] for file in document.files}
    assert listed == {f"./{name}": hashlib.sha256((release / name).read_bytes()).hexdigest()
                      for name in ("nomad-driver-exec2", "nomad-driver-exec2-executor")}


def test_it_has_every_library_that_is_linked(document: Document) -> None:
    manifest = (REPOSITORY / "Package.swift").read_text(encoding="utf-8")
    archives = re.search(r'let grpcArchives.*?\[\n(.*?)\]\.flatMap', manifest, re.DOTALL)
    assert archives
    names = {f"lib{name}.a" for name in re.findall(r'"(\w+)"', archives.group(1))} | set(re.findall(r"-l:(lib[\w-]+\.a)", manifest))
    assert {"libgrpc_unsecure.a", "libprotobuf-c.a"} <= names and len(names) > 40
    paths = [path for name in names for path in Path("/usr/lib").glob(f"*-linux-gnu/{name}")]
    assert len(paths) == len(names)
    packages = {line.partition(":")[0] for line in command("dpkg", "-S", *paths).splitlines()}

    static = [each for each in document.relationships if each.relationship_type == RelationshipType.STATIC_LINK]
    linked = {each.related_spdx_element_id for each in static if each.spdx_element_id == "SPDXRef-File-nomad-driver-exec2"}
    locators = [reference.locator for package in document.packages if package.spdx_id in linked
                for reference in package.external_references]
    for package in packages:
        version = command("dpkg-query", "-W", "-f", "${Version}\n", package).splitlines()[0]
        assert any(locator.startswith(f"pkg:deb/debian/{package}@{version}?") for locator in locators), package
    assert any(package.name == "Swift" and re.fullmatch(r"6[0-9.]*", package.version) for package in document.packages)
