"""Images of a loader are called by what is known of them."""

from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from torch.utils.data import DataLoader, Dataset, Subset

from segtrace.data.probes import Probes
from segtrace.report.captions import scene_marks
from segtrace.tracking.explained.tracing import scene
from segtrace.training.slices.naming import UNNAMED, File, with_short_names
from segtrace.training.slices.probing import probes_from

LABEL = torch.ones(2, 4, 4, dtype=torch.long)
IMAGE = torch.rand(2, 1, 4, 4)
PATHS = ["/d/a/ct.nii.gz", "/d/b/ct.nii.gz"]


def named(loader):
    probes = probes_from(loader, {"a": 1}, 8)
    return list(zip(probes.cases, probes.slices, strict=True))


@pytest.mark.parametrize(
    ("keys", "marked"),
    [
        ({"path": PATHS}, True),
        ({"name": ["p", "q"]}, True),
        ({"path": ["x/p1_slice007.npz", "x/p1_slice012.npz"]}, False),
        ({"case": ["p", "q"]}, False),
        ({"case": ["p", "q"], "slice": [3, 4]}, False),
        ({}, False),
    ],
)
def test_that_a_file_counts_as_a_case_is_said_and_marked(keys, marked, monkeypatch):
    said = []
    monkeypatch.setattr("segtrace.training.slices.probing.say_once", said.append)
    probes = probes_from([{"image": IMAGE, "label": LABEL, **keys}], {"a": 1}, 8)
    assert ("EACH FILE COUNTED AS A CASE" in probes.marks) == probes.by_file == marked
    assert bool(said) == marked
    assert Probes.from_plain(probes.to_plain()).marks == probes.marks
    shown = scene(probes, {"a": 1})
    assert ("each file counted as a case" in scene_marks(shown)) == marked


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({}, [(UNNAMED, 0), (UNNAMED, 1)]),
        ({"case": ["p", "p"]}, [("p", 0), ("p", 1)]),
        ({"name": ["p", "q/r.x"]}, [("p", 0), ("q/r.x", 0)]),
        ({"path": PATHS}, [("a_ct", 0), ("b_ct", 0)]),
        ({"path": [Path("x/p1_slice007.npz"), "x/p1_slice012.npz"]}, [("p1", 7), ("p1", 12)]),
        ({"image_meta_dict": {"filename_or_obj": PATHS}}, [("a_ct", 0), ("b_ct", 0)]),
        ({"name": ["p"], "path": [3, 4], "image_meta_dict": 1}, [(UNNAMED, 0), (UNNAMED, 1)]),
    ],
)
def test_a_batch_names_its_images(keys, names):
    assert named([{"image": IMAGE, "label": LABEL, **keys}]) == names


def test_monai_knows_the_files_of_a_tensor():
    image = MetaTensor(IMAGE, meta={"filename_or_obj": PATHS})
    assert named([(image, LABEL)]) == [("a_ct", 0), ("b_ct", 0)]


class Folder(Dataset):
    def __init__(self, attribute, listed):
        setattr(self, attribute, listed)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.full((1, 4, 4), index / 3), LABEL[0]


LISTED = ["x/p.png", "x/q.png", "x/r.png"]


@pytest.mark.parametrize(
    ("attribute", "listed"),
    [("files", LISTED), ("paths", [*map(Path, LISTED)]), ("samples", [(p, 0) for p in LISTED]),
     ("data", [{"image": p, "label": 0} for p in LISTED])],
)  # fmt: skip
def test_a_data_set_lists_its_files(attribute, listed):
    data = Folder(attribute, listed)
    assert named(DataLoader(data, 2)) == [("p", 0), ("q", 0), ("r", 0)]
    probes = probes_from(DataLoader(Subset(data, [2, 0]), 2), {"a": 1})
    values = dict(zip(probes.cases, probes.images[:, 0, 0, 0].tolist(), strict=True))
    assert values == {"p": 0.0, "r": pytest.approx(2 / 3)}


@pytest.mark.parametrize("listed", [LISTED[:2], [1, 2, 3], [torch.zeros(1)] * 3, None, [""] * 3])
def test_a_list_of_something_else_names_nothing(listed):
    assert {case for case, _ in named(DataLoader(Folder("files", listed), 2))} == {UNNAMED}


def test_several_images_of_a_file_are_not_matched_with_files():
    def patches(items):
        return IMAGE.repeat(len(items), 1, 1, 1), LABEL.repeat(len(items), 1, 1)

    loader = DataLoader(Folder("files", LISTED), 2, collate_fn=patches)
    assert {case for case, _ in named(loader)} == {UNNAMED}


def test_the_same_file_twice_is_two_images_of_it():
    assert with_short_names([(File("x/p.png"), 0), (File("x/p.png"), 1), ("p", 5)]) == [
        ("p", 0), ("p", 1), ("p", 5),
    ]  # fmt: skip
