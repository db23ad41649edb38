"""The forms that docs/data.md has a line for, made of the same cases, are the same arrays."""

import shutil

import numpy as np
import pytest

from helpers.forms import FORMS, make, published_sizes
from helpers.forms.of_raw import BTCV, EIGHT
from segtrace.data.layouts.finding import find_source
from segtrace.data.sources import RawSource
from segtrace.data.splits.choosing import chosen_split
from segtrace.data.transunet import TransUNetSource

SOURCES = {"synapse": RawSource, "synapse_transunet": TransUNetSource, "nifti": find_source}


@pytest.fixture(scope="module")
def two(tiny_raw, tmp_path_factory):
    """A training and a test case of the published names."""
    root = tmp_path_factory.mktemp("two") / "Training"
    for case in ("0001", "0005"):
        for kind in ("img", "label"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(tiny_raw / kind / f"{kind}{case}.nii.gz", root / kind)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_as_the_raw_folder_it_was_made_of(two, tmp_path, form):
    if form == "transunet_without_lists":
        two = published_sizes(two, tmp_path / "sized", pixels=8)
    kind, *options = make(form, two, tmp_path / "made")
    given = dict(option.removeprefix("data.").split("=", 1) for option in options)
    split, fold = given.pop("split", None), given.pop("fold", None)
    source, raw = SOURCES[kind.removeprefix("data=")](**given), RawSource(str(two))
    assert {*EIGHT} <= source.numbering.keys()
    assert [name[-4:] for name in source.cases()] == [*raw.cases()]
    for mine, theirs in zip(source.cases(), raw.cases(), strict=True):
        volume, other = source.load(mine), raw.load(theirs)
        image, truth = other.image, other.label
        if volume.windowed:
            image = (image.clip(-125, 275) + 125) / 400
        if form == "cascade":  # lies upside down, as its makers left it
            image, truth = image[:, ::-1, ::-1], truth[:, ::-1, ::-1]
        assert np.allclose(volume.image, image, rtol=0, atol=1e-6)
        for organ in BTCV.keys() & source.numbering.keys():
            mask = volume.label == source.numbering[organ]
            assert np.array_equal(mask, truth == BTCV[organ]), organ
    if fold is not None or source.split():
        parts = chosen_split(source, split, fold)
        assert {*parts["train"], *parts["val"]} == {*source.cases()}
