"""docs/security.md names a test for each attack: all named tests exist, and every attack test is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "security.md").read_text()
NAMED = set(re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", TEXT))


def names_in(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_named_test_exists() -> None:
    missing = [f"{file}::{name}" for file, name in sorted(NAMED)
               if not (HERE / file).exists() or (name and name not in names_in(HERE / file))]
    assert len(NAMED) > 40
    assert missing == []


def test_every_attack_is_named() -> None:
    files = [*sorted(HERE.glob("test_attack_*.py")), HERE / "test_bombs.py"]
    left_out = [f"{file.name}::{name}" for file in files for name in sorted(names_in(file)) if (file.name, name) not in NAMED]
    assert left_out == []


def test_every_attack_says_what_was_seen() -> None:
    """Each docstring says what was seen on a build without the protection."""
    for file in sorted(HERE.glob("test_attack_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert "Seen" in (ast.get_docstring(node) or ""), f"{file.name}::{node.name}"


def test_every_link_leads_somewhere() -> None:
    """Links to a section of this document, or to a file beside it."""
    parts = {re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines() if line.startswith("#")}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, part = target.partition("#")
        if file.startswith("http"):
            continue
        assert not file or (HERE.parents[1] / "docs" / file).exists(), target
        assert file or part in parts, target
