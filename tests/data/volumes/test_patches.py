from collections import Counter

import numpy as np
import pytest
import torch

from segtrace.data.augment import Augmentation
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.sampling import EpochSampler, Loader
from segtrace.data.sources import RawSource
from segtrace.data.volumes.patches import Patches, patch
from segtrace.data.volumes.windows import windows
from segtrace.errors import InputError

ORGANS = ["liver", "spleen", "left_kidney"]


@pytest.fixture
def build(tiny_raw, tiny_split, tmp_path):
    def build(**options):
        fixed = {"organs": ORGANS, "split": tiny_split, "cache_dir": str(tmp_path / "cache")}
        return CaseDataModule(RawSource(str(tiny_raw)), **{**fixed, **options})

    return build


@pytest.fixture
def cases(build):
    return build(patch=[16, 16, 4]).cases("train")


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in ("image", "label"))


def test_a_patch_is_a_function_of_seed_epoch_and_index_whatever_loads_it(cases):
    patches = Patches(cases, (4, 16, 16), 0.5, 3, Augmentation())
    for epoch in (0, 2):
        draws = [*EpochSampler(len(cases), 3, lambda epoch=epoch: epoch, draws=6)]
        by_hand = [patches[draw] for draw in draws]
        for workers in (0, 2):
            sampler = EpochSampler(len(cases), 3, lambda epoch=epoch: epoch, draws=6)
            loader = Loader(patches, 1, sampler=sampler, num_workers=workers)
            batches = [{k: v[0] for k, v in batch.items()} for batch in loader]
            assert all(map(same, batches, by_hand))
    assert not same(patches[0, 0, 1], patches[1, 0, 1])
    assert not same(patches[0, 0, 1], patches[0, 1, 1])
    assert same(patches[1], patches[1])
    other = Patches(cases, (4, 16, 16), 0.5, 4, Augmentation())
    assert not same(patches[0, 0, 1], other[0, 0, 1])


def test_a_share_of_the_patches_lies_around_organs_each_as_often(cases):
    roi = (3, 5, 5)
    around = Patches(cases, roi, 1.0)
    middles = Counter(int(around[0, turn, 0]["label"][0, 1, 2, 2]) for turn in range(600))
    # Where a volume ends, an organ's voxel cannot lie in the middle.
    assert sum(middles[organ] for organ in (1, 2, 3)) > 400
    assert all(middles[organ] + middles[0] > 130 for organ in (1, 2, 3))
    assert max(middles[1], middles[2], middles[3]) < 2 * min(middles[1], middles[2], middles[3])
    anywhere = Patches(cases, roi, 0.0)
    seen = [int(anywhere[0, turn, 0]["label"][0, 1, 2, 2]) > 0 for turn in range(600)]
    _, label = cases[0].region(*[slice(None)] * 3)
    assert abs(np.mean(seen) - (label > 0).mean()) < 0.08


def test_a_patch_is_what_the_volume_holds_there(cases):
    image, label = cases[0].region(*[slice(None)] * 3)
    for start in windows(cases[0].shape, (4, 16, 16), 0.5)[::7]:
        z, y, x = start
        found = patch(cases[0], start, (4, 16, 16))
        place = np.s_[z : z + 4, y : y + 16, x : x + 16]
        assert np.array_equal(found[0], image[place])
        assert np.array_equal(found[1], label[place])
    whole = patch(cases[0], (0, 0, 0), (10, 70, 64))
    assert np.array_equal(whole[0][1:9, 3:67], image)
    assert whole[0].sum() == pytest.approx(image.sum(), rel=1e-5)


def test_volumes_are_cached_by_their_spacing_and_not_by_their_patch(build):
    folders = {
        spacing: {case.folder for case in build(spacing=spacing, patch=patch).cases("val")}
        for spacing, patch in ((None, [8, 8, 8]), ((10.0, 10.0, 12.0), [8, 8, 8]))
    }
    assert len(set.union(*folders.values())) == 2
    again = build(patch=[32, 32, 8], overlap=0.1).cases("val")
    assert {case.folder for case in again} == folders[None]
    coarse = build(spacing=[10, 10, 12], patch=[8, 8, 8]).cases("val")[0]
    assert coarse.shape == (4, 32, 32)
    assert coarse.voxel_ml == pytest.approx(1.2)
    assert {case.folder for case in build(size=64).cases("val")}.isdisjoint(folders[None])


def test_whole_volumes_have_the_patch_that_holds_them_all(build):
    data = build(spacing=[5, 5, 6])
    assert data.preprocessing["patch"] == [64, 64, 16]
    probes = data.probes()
    assert probes.images.shape == (1, 1, 16, 64, 64)
    assert (probes.cases, probes.slices, probes.axcodes) == (("0027",), (0,), "SPL")
    again = data.read_probes(probes.to_plain(embed=False))
    assert again.hash == probes.hash


def test_watched_is_of_each_case_the_patch_with_most_organs(build):
    data = build(patch=[32, 32, 4])
    probes = data.probes(from_="train")
    assert probes.cases == ("0005", "0006")
    for name, index, label, affines in zip(
        probes.cases, probes.slices, probes.labels, probes.affines, strict=True
    ):
        case = next(case for case in data.cases("train") if case.name == name)
        counts = []
        for start in windows(case.shape, (4, 32, 32), 0.5):
            _, there = patch(case, start, (4, 32, 32))
            counts.append(len(np.unique(there)) - 1)
        assert counts[index] == max(counts) == len(label.unique()) - 1
        # A voxel of the patch lies where the file has it.
        start = windows(case.shape, (4, 32, 32), 0.5)[index]
        volume = data.source.load(name)
        place = np.argwhere(label.numpy() > 0)[0]
        mm = affines[0].numpy() @ [*place, 1]
        stored = np.rint(np.linalg.inv(affines[1].numpy()) @ mm).astype(int)[:3]
        marker = np.zeros(volume.grid.shape, bool)
        marker[tuple(stored)] = True
        assert np.argwhere(volume.grid.to_slices(marker)).tolist() == [(place + start).tolist()]


def test_batches_of_volumes(build):
    data = build(patch=[16, 32, 8], spacing=[10, 5, 6], num_workers=0, steps_per_epoch=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 1, 8, 32, 16)
    assert batch["label"].shape == (2, 1, 8, 32, 16)
    assert len(data.train_dataloader()) == 3
    (whole,) = data.val_dataloader()
    assert whole["image"].shape == (1, 1, 8, 64, 32)
    assert data.sample(5).shape == (2, 1, 8, 32, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": [16, 16, 8], "augment": "transunet"}, "augment=transunet is of slices alone"),
        ({"spacing": [2, 2, 2], "resizing": "cubic"}, "resizing=cubic is of slices alone"),
        ({"patch": [16, 16]}, r"data.patch=\[16, 16\]; give three whole numbers of voxels"),
        ({"patch": [16, 16, 0]}, r"data.patch=\[16, 16, 0\]; give three whole numbers of voxels"),
        ({"patch": [4096, 4096, 4096]}, "of together 134217728 at most"),
        ({"spacing": [1, 1, 0]}, r"data.spacing=\[1.0, 1.0, 0.0\]; give three sizes in mm"),
        ({"patch": [8, 8, 8], "foreground": 2}, "data.foreground=2; give a share"),
        ({"patch": [8, 8, 8], "overlap": 1.0}, "data.overlap=1.0; give a share"),
        ({"foreground": 2}, "data.foreground=2 is of volumes alone, .*; leave it out"),
        ({"overlap": 0.25}, "data.overlap=0.25 is of volumes alone, .*; leave it out"),
    ],
)
def test_what_does_not_fit_volumes_is_refused_in_a_line(build, options, message):
    with pytest.raises(InputError, match=message):
        build(**options)
