"""Every folder of the house says what it holds, and none is a drawer."""

from pathlib import Path

import pytest

import segtrace

SOURCE = Path(segtrace.__file__).parent
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE)


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(SOURCE)))
def test_a_package_has_a_readme_of_one_screen_that_names_its_files(folder):
    said = (folder / "README.md").read_text()
    assert said.startswith(f"# {'.'.join(folder.relative_to(SOURCE.parent).parts)}\n")
    assert len(said.splitlines()) <= 40
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    named = {line.split("`")[1] for line in said.splitlines() if line.startswith("| `")}
    assert {name for name in named if name.endswith(".py")} == files
    assert {name for name in named if name.endswith("/")} == {
        f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").exists()
    }


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(SOURCE)))
def test_no_folder_is_a_drawer(folder):
    assert len(list(folder.glob("*.py"))) <= 14
