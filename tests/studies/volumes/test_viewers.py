"""What viewers are given beside NIfTI, read back as they read it."""

import ast
import shlex
from pathlib import Path

import pytest

from segtrace.report.pictures.palette import PALETTE, colour_of
from segtrace.studies.volumes.viewers import itksnap_labels, save_for_viewers, slicer_colours

CHANNELS = {"left_kidney": 2, "liver": 1, 'the "big"\n organ\'s': 13, "": 4}
NAMES = {1: "Liver", 2: "Left kidney", 4: "Label 4", 13: "The  big   organ s"}


def read_itksnap(text):
    """As ITK-SNAP does: fields by blanks, the name between two quotes."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            before, name, after = line.split('"')
            assert after == ""
            index, red, green, blue, alpha, shown, mesh = map(float, before.split())
            found[int(index)] = ((red, green, blue), (alpha, shown, mesh), name)
    return found


def read_slicer(text):
    """As 3D Slicer does: fields by blanks, `_` in a name is a space."""
    head, *lines = text.splitlines()
    assert head.startswith("# Color table file")
    found = {}
    for line in lines:
        if not line.startswith("#"):
            index, name, red, green, blue, alpha = line.split(" ")
            colour = (int(red), int(green), int(blue))
            found[int(index)] = (colour, int(alpha), name.replace("_", " "))
    return found


def test_labels_for_itk_snap_have_every_organ_and_the_clear_label():
    found = read_itksnap(itksnap_labels(CHANNELS))
    assert found.pop(0) == ((0, 0, 0), (0, 0, 0), "Clear Label")
    assert {index: name for index, (_, _, name) in found.items()} == NAMES
    assert {seen for _, seen, _ in found.values()} == {(1, 1, 1)}
    assert [found[index][0] for index in NAMES] == list(PALETTE[:4])


def test_colours_for_slicer_are_the_same():
    found = read_slicer(slicer_colours(CHANNELS))
    assert found.pop(0) == ((0, 0, 0), 0, "Background")
    assert {i: name for i, (_, _, name) in found.items()} == {
        i: " ".join(name.split()) for i, name in NAMES.items()
    }
    assert [found[index][:2] for index in NAMES] == [(colour, 255) for colour in PALETTE[:4]]


def test_no_two_of_many_organs_have_one_colour():
    assert len({colour_of(number) for number in range(24)}) == 24


@pytest.mark.parametrize("stages", [(), ("enc1", "head")])
def test_the_lines_to_type_name_files_that_are_there(stages, tmp_path):
    example = Path("maps/a rule/l'organ.nii.gz")
    save_for_viewers(tmp_path, {"liver": 1}, example, stages, ["mind this", "is it a CT?"])
    text = (tmp_path / "README.txt").read_text()
    assert "Caution: mind this.\nCaution: is it a CT?\n" in text
    assert "1 Liver" in text
    assert ("0 enc1, 1 head" in text) == bool(stages)
    there = {"IMAGE", "prediction.nii.gz", example.as_posix()}
    there |= {path.name for path in tmp_path.iterdir()}
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    typed = [word for line in lines if line.startswith(("itksnap", "fsleyes"))
             for word in shlex.split(line)]  # fmt: skip
    assert {word for word in typed if "." in word} <= there
    assert {"IMAGE", example.as_posix(), "labels_itksnap.txt"} <= set(typed)
    console = "\n".join(line for line in lines if not line.startswith(("itksnap", "fsleyes")))
    named = [node.value for node in ast.walk(ast.parse(console))
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    assert {"IMAGE", example.as_posix(), "labels_slicer.ctbl", "prediction.nii.gz"} <= set(named)
