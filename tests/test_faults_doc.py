"""Every message that docs/faults.md shows is said by the code, and asserted by a test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import segtrace

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "faults.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what")
]
SHORT = 12
"""Letters of a part between two dots that tell nothing."""
PARTS = sorted(
    {
        part.strip(" :;,.()")
        for row in ROWS
        for message in re.findall(r"`([^`]+)`", row[1])
        if " " in message
        for part in re.split("…", message)
        if len(part.strip(" :;,.()")) >= SHORT
    }
)


@cache
def texts(folder: Path) -> str:
    """All that stands in quotes in the Python files of a folder, regular expressions as read."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                values = [v.value if isinstance(v, ast.Constant) else "…" for v in node.values]
                found.append("".join(map(str, values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return re.sub(r"\\([.()])", r"\1", "\n".join(found))


def test_the_tables_have_three_columns_each():
    assert len(ROWS) > 20
    assert {len(row) for row in ROWS} == {3}
    assert len(PARTS) > 20


@pytest.mark.parametrize("part", PARTS)
def test_a_message_is_said_and_asserted(part):
    said, asserted = texts(Path(segtrace.__file__).parent), texts(ROOT / "tests")
    assert (part in said, part in asserted) == (True, True)
