import numpy as np
import pytest

from segtrace import InputError
from segtrace.planted.data import PlantedData
from segtrace.planted.images.tasks import plant
from segtrace.planted.source import PlantedSource


@pytest.fixture
def source():
    return PlantedSource("shortcut", seed=3, cases=(4, 2, 1), slices=4)


def test_the_parts_share_no_case(source):
    assert source.split() == {
        "train": ("000", "001", "002", "003"),
        "val": ("004", "005"),
        "test": ("006",),
    }
    assert source.cases() == tuple(f"{number:03d}" for number in range(7))


@pytest.mark.parametrize(
    ("case", "tag"), [("003", "agreeing"), ("004", "absent"), ("006", "contrary")]
)
def test_the_tag_depends_on_the_part(source, case, tag):
    volume = source.load(case)
    for index in range(4):
        planted = plant("shortcut", 3, int(case), index, tag)
        np.testing.assert_array_equal(volume.image[index], planted.image)
        np.testing.assert_array_equal(volume.label[index], planted.label)


def test_the_settings_make_the_source_again(source):
    again = PlantedSource.from_settings(source.settings())
    assert again.settings() == source.settings()
    np.testing.assert_array_equal(again.load("005").image, source.load("005").image)


def test_settings_of_another_generator_are_refused(source):
    with pytest.raises(InputError, match="planted evidence of generator 0; this segtrace has"):
        PlantedSource.from_settings(source.settings() | {"generator": 0})


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"cases": (1, 1)}, {"cases": (1, 0, 1)}, {"slices": 3}]
)
def test_sizes_that_leave_nothing_to_judge_are_refused(options):
    with pytest.raises(InputError, match="give a seed from 0, three numbers of cases from 1"):
        PlantedSource("far", **options)


def test_the_data_module_hands_out_the_generators_own_pixels(tmp_path):
    """Neither resized nor augmented: a mark lies where it is known to lie."""
    data = PlantedData(
        "near", planted_seed=1, planted_cases=(2, 1, 1), planted_slices=4, cache_dir=str(tmp_path)
    )
    assert data.organs == {"disc_a": 1, "disc_b": 2}
    seen = 0
    for loader in (data.train_dataloader(), data.val_dataloader()):
        for batch in loader:
            for row, (case, index) in enumerate(zip(batch["case"], batch["slice"], strict=True)):
                planted = plant("near", 1, int(case), int(index))
                np.testing.assert_array_equal(batch["image"][row, 0], planted.image)
                np.testing.assert_array_equal(batch["label"][row, 0], planted.label)
                seen += 1
    assert seen == 12


def test_both_classes_come_equally_often(tmp_path):
    data = PlantedData("far", planted_cases=(2, 1, 1), cache_dir=str(tmp_path))
    areas = np.concatenate([case.areas for case in data.cases("train")])
    np.testing.assert_array_equal((areas > 0).sum(0), [16, 16])
    np.testing.assert_array_equal(areas[::2, 0], areas[1::2, 1])


def test_probes_of_generated_images_say_so(tmp_path):
    probes = PlantedData("far", planted_cases=(1, 1, 1), cache_dir=str(tmp_path)).probes()
    assert probes.phantom
    assert not probes.sides_known  # a disc has none


@pytest.mark.parametrize(
    "settings",
    [
        {"cases": [10**9, 1, 1]},
        {"slices": 10**8},
        {"seed": "0"},
        {"cases": "abc"},
        {"cases": [1.0, 1, 1]},
    ],
)
def test_settings_out_of_a_file_that_ask_for_too_much_are_refused(source, settings):
    with pytest.raises(InputError, match="whole numbers are needed, and at most 200000 images"):
        PlantedSource.from_settings(source.settings() | settings)
