"""Several input channels of a case: read, prepared, changed and shown to the network alike."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import torch

from segtrace.data.augment import Augmentation, transunet
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.files.nifti import Volume, channel_files, read_image
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sources import NiftiSource
from segtrace.data.views.windowing import own_window
from segtrace.errors import InputError

CASES = ("0005", "0006", "0027")
IMAGES = ["imagesTr/*_0000.nii.gz", "imagesTr/*_0001.nii.gz"]
WINDOWS = [[-125.0, 275.0], "zscore"]


@pytest.fixture(scope="module")
def root(tiny_raw, tmp_path_factory):
    """Two channels: the image, and another one that is stored in another order of axes."""
    folder = tmp_path_factory.mktemp("channels")
    (folder / "imagesTr").mkdir()
    (folder / "labelsTr").mkdir()
    for case in CASES:
        first = tiny_raw / "img" / f"img{case}.nii.gz"
        shutil.copy(first, folder / "imagesTr" / f"{case}_0000.nii.gz")
        shutil.copy(tiny_raw / "label" / f"label{case}.nii.gz", folder / "labelsTr")
        image = nibabel.load(first)
        values = np.asarray(image.dataobj)
        other = nibabel.Nifti1Image((values // 3 + 7).astype(np.int16), image.affine)
        turned = other.as_reoriented(np.array([[1, 1], [0, -1], [2, 1]]))
        turned.to_filename(folder / "imagesTr" / f"{case}_0001.nii.gz")
    return folder


@pytest.fixture
def source(root):
    return NiftiSource(str(root), "btcv", IMAGES, "labelsTr/label*.nii.gz")


@pytest.fixture
def build(source, tmp_path):
    def build(**options):
        own = {
            "organs": ["liver", "aorta"],
            "size": 32,
            "cache_dir": str(tmp_path),
            "window": WINDOWS,
            "split": {"train": ["0005", "0006"], "val": ["0027"]},
        }
        return CaseDataModule(source, **(own | options))

    return build


def test_channels_lie_on_one_grid(source):
    image, other = source.load("0005").channels
    np.testing.assert_array_equal(other, image // 3 + 7)


@pytest.mark.parametrize("resizing", ["linear", "cubic"])
def test_every_channel_is_prepared_as_it_would_be_alone(build, source, resizing):
    data = build(resizing=resizing)
    (case,) = data.cases("val")
    volume = source.load("0027")
    low, high = own_window(volume.beside[0], "zscore")
    windows = ((-125.0, 275.0), (low, high))
    for place, (channel, window) in enumerate(zip(volume.channels, windows, strict=True)):
        alone = Preprocessing(window, 32, data.organs, resizing)
        expected, _ = alone.images(Volume(
            "0027", channel, None, volume.grid, ""))  # fmt: skip
        found = np.stack([case.image(i)[place] for i in range(len(case))])
        np.testing.assert_array_equal(found, expected)


def test_batches_and_probes_have_all_channels(build):
    data = build(batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (3, 2, 32, 32)
    assert batch["label"].shape == (3, 1, 32, 32)
    assert data.sample(2).shape == (2, 2, 32, 32)
    probes = data.probes(2)
    assert probes.images.shape == (2, 2, 32, 32)
    assert probes.hounsfield_known  # the first channel's are HU
    assert len(probes.originals) == 2


@pytest.mark.parametrize("recipe", [Augmentation(), transunet], ids=["anatomical", "transunet"])
def test_channels_are_changed_alike(recipe):
    image = torch.rand(2, 24, 24) * 0.5 + 0.2
    label = torch.randint(0, 3, (24, 24), dtype=torch.uint8)
    for seed in range(8):
        both, moved = recipe(image, label, (seed,))
        for channel, found in zip(image, both, strict=True):
            alone, same = recipe(channel, label, (seed,))
            torch.testing.assert_close(found, alone)
            assert torch.equal(moved, same)


def test_a_checkpoint_says_the_windows_and_how_many_channels(build):
    data = build()
    known = Preprocessing.from_plain(json.loads(json.dumps(data.preprocessing)))
    assert known == data.view.preprocessing
    assert known.windows == ((-125.0, 275.0), "zscore")
    assert known.shown == (-125.0, 275.0)
    one = Preprocessing.from_plain({**data.preprocessing, "window": "zscore"})
    assert one.windows == ("zscore", "zscore")
    assert "channels" not in Preprocessing((0.0, 1.0), 8, {}).to_plain()


@pytest.mark.parametrize(
    ("window", "words"),
    [([[0, 1], [0, 1], [0, 1]], "3 windows for 2 input channels; give one for all"),
     ([[0, 1], "median"], "no window .*'median'"),
     ([[0, 1], [1, 0]], "give .low, high. in HU, low < high")],
)  # fmt: skip
def test_windows_that_are_not_of_the_channels_are_refused(build, window, words):
    with pytest.raises(InputError, match=words):
        build(window=window)


def test_a_new_image_is_read_with_the_channels_beside_it(root, tmp_path):
    first = root / "imagesTr" / "0005_0000.nii.gz"
    assert len(read_image(first, 2).channels) == 2
    alone = tmp_path / "a_0000.nii.gz"
    shutil.copy(first, alone)
    with pytest.raises(InputError, match=r"takes 2 channels, and a_0001.nii.gz is not beside it"):
        read_image(alone, 2)
    with pytest.raises(InputError, match=r"takes 3 channels; call their files CASE_0000.nii to"):
        channel_files(tmp_path / "a.nii", 3)
    settings = Preprocessing((-125.0, 275.0), 32, {"liver": 1}, channels=2)
    with pytest.raises(InputError, match="1 channel, and 2 are needed"):
        settings.images(read_image(first))


def test_a_channel_that_is_missing_or_elsewhere_is_named(root, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(root, own)
    other = own / "imagesTr" / "0005_0001.nii.gz"
    image = nibabel.load(other)
    nibabel.Nifti1Image(image.dataobj, image.affine + np.eye(4)).to_filename(other)
    source = NiftiSource(str(own), "btcv", IMAGES, "labelsTr/label*.nii.gz")
    with pytest.raises(InputError, match=r"0005_0001.nii.gz: the affine differs.*resample it"):
        source.load("0005")
    other.unlink()
    options = {"split": {"train": ["0005"], "val": ["0027"]}, "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(InputError, match=r"0005_0001.nii.gz: .*case 0005 needs it"):
        CaseDataModule(source, ["liver"], 32, **options).setup("fit")
