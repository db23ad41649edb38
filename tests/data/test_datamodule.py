import hashlib
import multiprocessing
import os
import shutil
import warnings
from dataclasses import replace
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from segtrace.data.datamodule import CaseDataModule
from segtrace.data.modules import PhantomData
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sources import NiftiSource, RawSource
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError
from segtrace.planted.data import PlantedData

ORGANS = ["liver", "spleen", "right_kidney", "left_kidney"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def build(tiny_raw, tiny_split, cache):
    def build(**options):
        defaults = {"organs": ORGANS, "size": 48, "split": tiny_split, "cache_dir": cache}
        return CaseDataModule(RawSource(str(tiny_raw)), **(defaults | options))

    return build


def fingerprint(batch):
    digest = hashlib.sha256(batch["image"].numpy().tobytes() + batch["label"].numpy().tobytes())
    return digest.hexdigest(), batch["case"], batch["slice"].tolist()


def epoch_of(data, epoch):
    data.set_epoch(epoch)
    return [fingerprint(batch) for batch in data.train_dataloader()]


def drawn(batches):
    return [pair for _, cases, slices in batches for pair in zip(cases, slices, strict=True)]


def test_a_batch_is_what_the_network_and_the_loss_take(build):
    batch = next(iter(build(batch_size=5).train_dataloader()))
    assert set(batch) == {"image", "label", "case", "slice"}
    assert batch["image"].shape == batch["label"].shape == (5, 1, 48, 48)
    assert batch["image"].dtype == torch.float32
    assert batch["label"].dtype == torch.uint8
    assert batch["image"].min() >= 0
    assert batch["image"].max() <= 1
    assert len(batch["case"]) == 5
    assert set(batch["case"]) <= {"0005", "0006"}


def test_one_epoch_is_every_slice_once_organ_free_ones_included(build):
    data = build()
    seen = drawn(epoch_of(data, 0))
    assert sorted(seen) == [(case, i) for case in ("0005", "0006") for i in range(8)]
    assert any(not case.areas[i].any() for case in data.cases("train") for i in range(8))


def test_the_order_and_the_augmentation_depend_on_seed_and_epoch_alone(build):
    first = epoch_of(build(), 3)
    torch.manual_seed(99)
    np.random.seed(99)
    assert epoch_of(build(), 3) == first
    assert epoch_of(build(), 4) != first
    assert epoch_of(build(seed=1), 3) != first


def test_the_same_slice_changes_from_epoch_to_epoch(build):
    data = build(batch_size=1)
    pictures = {hash_ for epoch in range(4) for hash_, cases, slices in epoch_of(data, epoch)
                if (cases, slices) == (["0005"], [4])}  # fmt: skip
    assert len(pictures) == 4


def test_workers_change_nothing(build):
    for epoch in (0, 1):
        alone = epoch_of(build(num_workers=0, batch_size=3), epoch)
        assert epoch_of(build(num_workers=2, batch_size=3), epoch) == alone


def test_the_loader_leaves_the_global_random_state_alone(build):
    before = torch.get_rng_state()
    epoch_of(build(), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_augmentation_only_the_order_changes(build):
    data = build(augment=False, batch_size=1)
    assert sorted(epoch_of(data, 0)) == sorted(epoch_of(data, 1))
    assert epoch_of(data, 0) != epoch_of(data, 1)


def test_a_shorter_epoch_is_the_beginning_of_the_permutation(build):
    whole, short = build(batch_size=3), build(batch_size=3, steps_per_epoch=2)
    assert epoch_of(short, 5) == epoch_of(whole, 5)[:2]


def test_a_longer_epoch_goes_on_with_another_permutation(build):
    data = build(batch_size=8, steps_per_epoch=5)
    batches = epoch_of(data, 0)
    seen = drawn(batches)
    assert len(batches) == len(data.train_dataloader()) == 5
    assert sorted(seen[:16]) == sorted(seen[16:32])
    assert seen[:16] != seen[16:32]
    singly = epoch_of(build(batch_size=1, steps_per_epoch=32), 0)
    assert len({picture for picture, *_ in singly}) == 32


def test_validation_and_test_slices_come_whole_and_in_order(build):
    data = build(batch_size=3)
    data.setup("fit")
    for loader, case in ((data.val_dataloader(), "0027"), (data.test_dataloader(), "0001")):
        batches = [fingerprint(batch) for batch in loader]
        assert drawn(batches) == [(case, i) for i in range(8)]
        assert batches == [fingerprint(batch) for batch in loader]


@pytest.mark.parametrize(("options", "least"), [
    ({"batch_size": 3}, 1), ({"batch_size": 8}, 8), ({"batch_size": 6}, 4),
    ({"batch_size": 6, "steps_per_epoch": 4}, 6), ({"batch_size": 99}, 16),
])  # fmt: skip
def test_the_smallest_batch_is_known_before_training(build, options, least):
    data = build(**options)
    assert data.smallest_batch == least
    assert min(len(batch["case"]) for batch in data.train_dataloader()) == least


def test_steps_per_epoch_must_be_positive(build):
    for options in ({"steps_per_epoch": 0}, {"batch_size": 0}, {"num_workers": -1}, {"seed": -1}):
        with pytest.raises(InputError, match=next(iter(options))):
            build(**options)


def test_processes_are_counted_or_left_to_the_device(build):
    with pytest.raises(InputError, match=r"data\.num_workers='many'; give a whole number, or auto"):
        build(num_workers="many")


def test_a_window_has_two_ends(build):
    with pytest.raises(InputError, match=r"data.window=\[0, 1, 2\]; give \[low, high\] in HU"):
        build(window=[0, 1, 2])


def test_without_a_split_the_cases_and_the_remedy_are_shown(build):
    with pytest.raises(InputError, match=r"0001, 0005, 0006, 0027; give e.g. 'data.split=\{train"):
        build(split=None).cases("train")


def test_an_unknown_organ_fails_before_any_work(build, tmp_path):
    with pytest.raises(InputError, match=r"no organ 'livr'.*did you mean liver"):
        build(organs=["livr"], cache_dir=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_organs_and_preprocessing_are_plain_and_enough_for_a_new_image(build, tiny_raw):
    data = build(size=40, window=[-200, 300])
    assert data.organs == {"liver": 1, "spleen": 2, "right_kidney": 3, "left_kidney": 4}
    volume = replace(RawSource(str(tiny_raw)).load("0027"), label=None)
    images, _ = Preprocessing.from_plain(data.preprocessing).images(volume)
    batch = next(iter(data.val_dataloader()))
    assert np.array_equal(batch["image"][:, 0].numpy(), images)


def test_probes_show_every_organ_unaugmented(build):
    data = build()
    probes = data.probes(n=3)
    assert probes.split == "val"
    assert set(probes.cases) == {"0027"}
    assert not probes.phantom
    assert probes.sides_known  # an affine says so
    assert data.val_dataloader().dataset.sides_known
    assert probes.spacing.tolist() == [[pytest.approx(5 * 64 / 48)] * 2] * len(probes)
    assert {1, 2, 3, 4} <= set(probes.labels.unique().tolist())
    (case,) = data.cases("val")
    for row, index in enumerate(probes.slices):
        assert np.array_equal(probes.images[row, 0].numpy(), case.image(index))
        assert np.array_equal(probes.labels[row].numpy(), case.label(index))
    areas = case.areas[list(probes.slices)]
    assert (areas.max(axis=0) == case.areas.max(axis=0)).all()


def test_probes_say_what_is_known_of_their_cases(build, tiny_raw, tiny_split, tmp_path):
    probes = build().probes(n=3)
    assert probes.sides_known
    assert probes.hounsfield_known
    assert probes.findings == ()
    root = shutil.copytree(tiny_raw, tmp_path / "copy")
    path = root / "img" / "img0027.nii.gz"
    file = nibabel.load(path)
    shifted = nibabel.Nifti1Image(file.get_fdata() + 1024, file.affine)
    shifted.set_qform(file.affine @ np.diag([-1, 1, 1, 1]), 1)
    shifted.to_filename(path)
    data = CaseDataModule(
        RawSource(str(root)), ORGANS, 48, split=tiny_split, cache_dir=str(tmp_path / "cache")
    )
    with pytest.warns(UserWarning, match=r"case 0027: ") as caught:
        probes = data.probes(n=3)
    assert [str(warning.message) for warning in caught] == list(probes.findings)
    assert len(probes.findings) == 2
    assert not probes.sides_known
    assert not probes.hounsfield_known
    again = data.read_probes(probes.to_plain(embed=False))
    assert (again.sides_known, again.hounsfield_known) == (False, False)
    assert data.probes(n=3, from_="train").sides_known
    assert data.spread(1, "test").hounsfield_known
    both = CaseDataModule(
        RawSource(str(root)), ORGANS, 48, split={"train": ["0005"], "val": ["0006", "0027"]},
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    with pytest.warns(UserWarning, match=r"case 0027: "):
        probes = both.spread(1, "val")
    assert set(probes.cases) == {"0006", "0027"}
    assert not probes.sides_known
    assert not probes.hounsfield_known


def test_generated_images_say_neither_sides_nor_hu(tmp_path):
    planted = PlantedData("far", planted_cases=(1, 1, 1), cache_dir=str(tmp_path)).probes()
    assert not planted.sides_known
    assert not planted.hounsfield_known
    phantom = PhantomData(
        str(tmp_path / "phantom"), phantom_shape=(24, 24, 12), phantom_cases=2, organs=["liver"],
        cache_dir=str(tmp_path), split={"train": ["0001"], "val": ["0002"]},
    ).probes()  # fmt: skip
    assert phantom.sides_known
    assert phantom.hounsfield_known


def test_probes_may_come_from_training_and_say_so(build):
    probes = build().probes(n=8, from_="train")
    assert probes.split == "train"
    assert set(probes.cases) <= {"0005", "0006"}
    with pytest.raises(InputError, match=r"no part of the split 'trian'.*did you mean train"):
        build().probes(from_="trian")


def test_the_volume_of_a_whole_case_is_that_of_its_label_file(build, tiny_raw):
    data = build()
    (name,) = data.split["val"]
    known = data.whole_cases([name, "another"], "val")[name]
    label = nibabel.load(tiny_raw / "label" / f"label{name}.nii.gz")
    voxel_ml = abs(np.linalg.det(label.affine[:3, :3])) / 1000
    values = np.asarray(label.dataobj)
    for organ, ml in known["truth_ml"].items():
        source = (values == data.source.numbering[organ]).sum() * voxel_ml
        assert ml == pytest.approx(source, rel=0.15, abs=0.5)  # counted on a coarser grid
    assert max(known["truth_ml"].values()) > 1


def test_probes_saved_without_images_are_found_again(build):
    probes = build().probes(n=4)
    plain = probes.to_plain(embed=False)
    again = build().read_probes(plain)
    assert again.hash == probes.hash
    assert all(map(torch.equal, again.originals, probes.originals))
    with pytest.raises(InputError, match=r"differ from those the network was watched on"):
        build(window=(-100.0, 300.0)).read_probes(plain)
    with pytest.raises(InputError, match=r"no slice 99 of case 0027 among the val cases"):
        build().read_probes(plain | {"slices": [99, *plain["slices"][1:]]})


def test_a_gpu_is_fed_by_processes_from_pinned_memory(build, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(9), raising=False)
    data = build()
    for device, devices, workers in (("cuda", 1, 8), ("cuda", 3, 2), ("cpu", 1, 0)):
        strategy = SimpleNamespace(root_device=torch.device(device))
        data.trainer = SimpleNamespace(strategy=strategy, num_devices=devices, current_epoch=0)
        loader = data.train_dataloader()
        assert data.train_dataloader() is loader  # its processes stay
        assert loader.num_workers == workers
        assert loader.persistent_workers == (workers > 0)
        assert loader.pin_memory == (device == "cuda")
    data.trainer = None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert data.val_dataloader().num_workers == 8
    assert not data.val_dataloader().persistent_workers  # nobody would end them


class Recorder(LightningModule):
    """Records what it is fed; its weight depends on all of it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen, self.helpers = {}, set()

    def training_step(self, batch, _):
        self.helpers |= {process.pid for process in multiprocessing.active_children()}
        self.seen.setdefault(self.current_epoch, []).append(fingerprint(batch))
        return (self.weight * batch["image"]).square().mean()

    def configure_optimizers(self):
        assert (
            self.trainer.estimated_stepping_batches
        )  # Lightning then makes the loader before it restores the epoch
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data, folder, epochs, checkpoint=None, reload=0):
    module = Recorder()
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, callbacks=[keep],
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        reload_dataloaders_every_n_epochs=reload, num_sanity_val_steps=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return module


@pytest.mark.parametrize(("workers", "reload"), [(0, 0), (2, 0), (2, 1)])
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(build, tmp_path, workers, reload):
    options = {"num_workers": workers, "batch_size": 6, "steps_per_epoch": 4}
    before = {process.pid for process in multiprocessing.active_children()}
    whole = fit(build(**options), tmp_path / "whole", 4, reload=reload)
    assert len(whole.helpers - before) == workers  # which stay from epoch to epoch
    assert {epoch: len(batches) for epoch, batches in whole.seen.items()} == dict.fromkeys(
        range(4), 4
    )
    for epoch, batches in whole.seen.items():
        assert batches == epoch_of(build(**options), epoch)
    for last in (0, 2):
        checkpoint = tmp_path / "whole" / f"epoch={last}.ckpt"
        resumed = fit(build(**options), tmp_path / f"resumed{last}", 4, checkpoint, reload)
        assert resumed.seen == {e: whole.seen[e] for e in range(last + 1, 4)}
        assert torch.equal(resumed.weight, whole.weight)


def as_input(original, size=224):
    """The network's input, made anew from a slice's HU."""
    grey = ((original.float() + 125) / 400).clamp(0, 1)[None, None]
    return torch.nn.functional.interpolate(
        grey, (size, size), mode="bilinear", align_corners=False, antialias=True
    )[0]


@pytest.mark.parametrize(("case", "grid"), [("9001", (122, 122)), ("9002", (512, 512))])
@pytest.mark.parametrize("layout", ["raw", "transunet"])
def test_originals_are_the_files_hu_where_the_network_sees_them(ct_root, cache, layout, case, grid):
    source = RawSource(str(ct_root))
    other = {"9001": "9002", "9002": "9001"}[case]
    if layout == "transunet":
        source = TransUNetSource(str(ct_root / "transunet"))
    split = {"train": [other], "val": [case]}
    probes = CaseDataModule(source, split=split, cache_dir=cache).probes(3)
    for image, original in zip(probes.images, probes.originals, strict=True):
        assert original.dtype == torch.int16
        assert tuple(original.shape) == grid  # 9001 is 122 x 101, padded
        torch.testing.assert_close(as_input(original), image, atol=0.5 / 400 + 1e-5, rtol=0)
    lowest = min(int(original.min()) for original in probes.originals)
    assert (lowest < -1000) == (layout == "raw" or case == "9001")  # air, or what pads


@pytest.mark.parametrize("case", [9001, "img9001"])
def test_a_real_scan_trains_and_gives_probes(ct_root, cache, case):
    data = CaseDataModule(
        RawSource(str(ct_root)), split={"train": [case], "val": [9002]}, cache_dir=cache
    )
    probes = data.probes(8, "train")
    assert set(probes.labels.unique().tolist()) == set(range(9))
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (8, 1, 224, 224)


def test_the_sample_of_training_slices_depends_on_the_seed_alone(build):
    data = build()
    data.set_epoch(3)
    one, again, other = data.sample(4), build(batch_size=3).sample(4), build(seed=1).sample(4)
    assert one.shape == (4, 1, 48, 48)
    assert one.dtype == torch.float32
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    everything = torch.cat([torch.from_numpy(case.image(i))[None, None]
                            for case in data.cases("train") for i in range(len(case))])  # fmt: skip
    assert torch.equal(data.sample(1000), everything)  # unaugmented, all where there are fewer
    assert all(any(torch.equal(slice_, known) for known in everything) for slice_ in one)


def test_every_case_of_a_part_has_its_say(tiny_raw, tmp_path):
    data = CaseDataModule(
        RawSource(str(tiny_raw)), cache_dir=str(tmp_path), size=64, organs=["spleen", "liver"],
        split={"train": ["0005"], "val": ["0001", "0027", "0006"]},
    )  # fmt: skip
    found = data.spread(2, "val")
    assert found.split == "val"
    assert list(dict.fromkeys(found.cases)) == ["0001", "0027", "0006"]
    assert all(1 <= found.cases.count(case) <= 2 for case in found.cases)
    assert all((labels > 0).any() for labels in found.labels)
    with pytest.raises(InputError, match=r"no test cases; say probes\.from=val"):
        data.spread(2, "test")


def test_an_organ_in_no_case_is_told_before_the_training(tiny_raw, tiny_split, cache):
    source = NiftiSource(str(tiny_raw), {"liver": 6, "spleen": 200}, other="background")
    data = CaseDataModule(source, "all", 48, split=tiny_split, cache_dir=cache)
    data.gather("train", "val", "test")  # as with test=true; it is told all the same
    with pytest.warns(UserWarning, match="no (train|val) case holds spleen, so") as found:
        data.setup("fit")
    assert [str(one.message).split(":")[0] for one in found] == [
        "no train case holds spleen, so nothing is learned of that",
        "no val case holds spleen, so that has no Dice",
    ]
    data.setup("fit")  # told once; a warning would be an error here
    CaseDataModule(source, "all", 48, split=tiny_split, cache_dir=cache).setup("validate")
    CaseDataModule(source, ["liver"], 48, split=tiny_split, cache_dir=cache).setup("fit")


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [
        ("num_workers", 0, 256),
        ("batch_size", 1, 65536),
        ("steps_per_epoch", 1, 1000000),
        ("seed", 0, 2**32 - 1),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(build, option, least, most):
    for value in (least, most):
        build(**{option: value})
    for value in (least - 1, most + 1):
        words = f"data.{option}={value}; give {least} or more, and {most} at most"
        with pytest.raises(InputError, match=words):
            build(**{option: value})
