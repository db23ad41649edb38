"""TransUNet's recipe to the letter: changed at the files' own size, then made small by splines."""

import json

import numpy as np
import pytest
import torch

from helpers.slow_augment import small, transunet
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.labels import BTCV
from segtrace.data.preprocessing import CUBIC, LINEAR, Preprocessing, labels_of
from segtrace.data.sources import RawSource
from segtrace.errors import InputError

ORGANS = ["liver", "spleen", "aorta"]
SEED, SIZE = 3, 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def build(tiny_raw, tiny_split, cache):
    def build(**options):
        own = {"organs": ORGANS, "size": SIZE, "split": tiny_split, "cache_dir": str(cache),
               "augment": "transunet", "seed": SEED}  # fmt: skip
        return CaseDataModule(RawSource(str(tiny_raw)), **(own | options))

    return build


def own_slices(tiny_raw, case):
    """(image, channels) of a case as its files have it, windowed as TransUNet's are."""
    volume = RawSource(str(tiny_raw)).load(case)
    image = (volume.image.clip(-125, 275) + np.float32(125)) / np.float32(400)
    label = sum((volume.label == BTCV[o]) * (c + 1) for c, o in enumerate(ORGANS))
    return image, label.astype(np.uint8)


def test_every_slice_that_is_trained_on_is_theirs_to_the_bit(build, tiny_raw):
    cases = {case: own_slices(tiny_raw, case) for case in ("0005", "0006")}
    slices = build().train_dataloader().dataset
    beyond = 0
    for draw in [(epoch, 0, index) for epoch in (0, 7) for index in range(len(slices))]:
        found = slices[draw]
        own = [planes[found["slice"]] for planes in cases[found["case"]]]
        image, label = (transunet(plane, (SEED, *draw)) for plane in own)
        np.testing.assert_array_equal(found["image"][0], small(image, SIZE, order=3))
        np.testing.assert_array_equal(found["label"][0], small(label, SIZE, order=0))
        beyond += found["image"].min() < 0
    assert beyond  # nothing clips what overshoots


def test_what_is_watched_and_validated_is_made_small_alike_and_not_changed(build, tiny_raw):
    data = build()
    image, label = own_slices(tiny_raw, "0027")
    for batch in data.val_dataloader():
        for row, index in enumerate(batch["slice"]):
            np.testing.assert_array_equal(batch["image"][row, 0], small(image[index], SIZE, 3))
            np.testing.assert_array_equal(batch["label"][row, 0], small(label[index], SIZE, 0))
    for part in ("val", "train"):
        probes = data.probes(2, part)
        for n, (case, index) in enumerate(zip(probes.cases, probes.slices, strict=True)):
            own = own_slices(tiny_raw, case)
            np.testing.assert_array_equal(probes.images[n, 0], small(own[0][index], SIZE, 3))
            np.testing.assert_array_equal(probes.labels[n], small(own[1][index], SIZE, 0))
    drawn = {plane.numpy().tobytes() for plane in data.sample(99)[:, 0]}
    every = [plane for case in ("0005", "0006") for plane in own_slices(tiny_raw, case)[0]]
    assert drawn == {small(plane, SIZE, 3).tobytes() for plane in every}


def test_what_a_checkpoint_says_makes_the_same_slices_of_a_file(build, tiny_raw):
    data = build()
    known = Preprocessing.from_plain(json.loads(json.dumps(data.preprocessing)))
    assert known.resizing == CUBIC
    volume = RawSource(str(tiny_raw)).load("0027")
    images, geometry = known.images(volume)
    (case,) = data.cases("val")
    np.testing.assert_array_equal(images, [case.image(i) for i in range(len(case))])
    labels = labels_of(volume, BTCV, known, geometry)
    np.testing.assert_array_equal(labels, [case.label(i) for i in range(len(case))])
    assert case.geometry == geometry


def test_only_the_training_cases_are_kept_at_their_own_size(build):
    data = build()
    shapes = {part: np.load(data.cases(part)[0].folder / "image.npy").shape
              for part in ("train", "val")}  # fmt: skip
    assert shapes == {"train": (8, 64, 64), "val": (8, SIZE, SIZE)}
    areas = [[(case.label(i) == c).sum() for c in (1, 2, 3)]
             for case in data.cases("train") for i in range(len(case))]  # fmt: skip
    assert np.concatenate([case.areas for case in data.cases("train")]).tolist() == areas


def test_batches_depend_on_seed_and_epoch_alone(build):
    def epoch_of(data, epoch):
        data.set_epoch(epoch)
        return torch.cat([batch["image"] for batch in data.train_dataloader()])

    first = epoch_of(build(batch_size=3), 1)
    assert torch.equal(first, epoch_of(build(batch_size=3, num_workers=2), 1))
    assert not torch.equal(first, epoch_of(build(batch_size=3), 2))


@pytest.mark.parametrize(
    ("options", "resizing"),
    [({"augment": "transunet", "resizing": "linear"}, LINEAR),
     ({"augment": "anatomical"}, LINEAR),
     ({"augment": "anatomical", "resizing": "cubic"}, CUBIC)],
)  # fmt: skip
def test_resizing_is_of_the_recipe_unless_it_is_said(build, options, resizing):
    data = build(**options)
    assert Preprocessing.from_plain(data.preprocessing).resizing == resizing
    (batch,) = data.val_dataloader()
    assert (batch["image"].min() < 0) == (resizing == CUBIC)
    assert np.load(data.cases("train")[0].folder / "image.npy").shape == (8, SIZE, SIZE)


def test_what_was_prepared_before_there_were_splines_is_still_found(build, cache, monkeypatch):
    data = build(augment="none")
    before = {case.folder for case in data.cases("val")}
    settings = {"window": (-125.0, 275.0), "size": SIZE, "organs": data.organs}
    monkeypatch.setattr(Preprocessing, "kept_by", lambda _: settings)
    assert {case.folder for case in build(augment="none").cases("val")} == before


def test_a_checkpoint_of_another_resizing_is_refused():
    plain = Preprocessing((-125.0, 275.0), 32, {"liver": 1}).to_plain()
    assert Preprocessing.from_plain(plain).resizing == LINEAR
    with pytest.raises(InputError, match=r"slices resized by 'lanczos'.*segtrace that wrote it"):
        Preprocessing.from_plain(plain | {"resizing": "lanczos"})
    with pytest.raises(InputError, match=r"no resizing \(data.resizing\)"):
        Preprocessing((-125.0, 275.0), 32, {"liver": 1}, "cubicc")
