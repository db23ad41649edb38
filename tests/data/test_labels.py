import re

import numpy as np
import pytest

from segtrace.data.labels import (
    BTCV,
    TRANSUNET,
    check_names,
    check_numbering,
    only_known,
    organ_table,
    to_channels,
    whole_numbers,
)
from segtrace.errors import InputError


def test_synapse8_has_the_channels_of_transunet():
    assert organ_table("synapse8", BTCV) == TRANSUNET


def test_btcv13_keeps_the_raw_numbers_as_channels():
    assert organ_table("btcv13", BTCV) == BTCV


def test_all_follows_the_files_own_numbers():
    assert organ_table("all", {"liver": 9, "spleen": 2}) == {"spleen": 1, "liver": 2}


def test_raw_numbers_become_the_published_nine_classes():
    # synapse.md: 8->1, 4->2, 3->3, 2->4, 6->5, 11->6, 1->7, 7->8, {5, 9, 10, 12, 13}->0
    channels = to_channels(np.arange(14), BTCV, organ_table("synapse8", BTCV), "file")
    assert channels.tolist() == [0, 7, 4, 3, 2, 0, 5, 8, 1, 0, 0, 6, 0, 0]
    assert channels.dtype == np.uint8


def test_both_numberings_reach_the_same_channels():
    organs = organ_table(["spleen", "pancreas"], BTCV)
    for name in ("spleen", "pancreas", "liver"):
        raw = to_channels(np.array([BTCV[name]]), BTCV, organs, "file")
        assert raw == to_channels(np.array([TRANSUNET[name]]), TRANSUNET, organs, "file")


def test_an_unknown_organ_is_named_with_its_nearest_match():
    with pytest.raises(InputError, match=r"no organ 'left_kidny'.*did you mean left_kidney"):
        organ_table(["left_kidny"], BTCV)


@pytest.mark.parametrize("name", ["mean", "Mean", "all", "sentences", "background"])
def test_a_name_that_stands_for_something_else_in_tables_is_no_organ(name):
    with pytest.raises(InputError, match=rf"organ '{name}': .* stands for .*, e.g. {name}_1$"):
        organ_table("all", {"liver": 1, name: 2})
    assert organ_table(["liver"], {"liver": 1, name: 2}) == {"liver": 1}
    check_names([f"{name}_1", "mean_vein"])


def test_an_organ_has_a_name():
    for name in ("", " "):
        with pytest.raises(InputError, match=rf"an organ is called '{name}'; give it a name"):
            organ_table([name], {name: 1})


def test_an_organ_the_files_cannot_tell_apart_is_refused():
    with pytest.raises(InputError, match="no organ 'spleen'; this data set has liver"):
        organ_table("synapse8", {"liver": 1, "aorta": 2, "gallbladder": 3, "left_kidney": 4,
                                 "right_kidney": 5, "pancreas": 6})  # fmt: skip


def test_an_unknown_organ_set_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="no organ set 'synapse9'; allowed are synapse8, btcv13"):
        organ_table("synapse9", BTCV)


@pytest.mark.parametrize("organs", [[], ["liver", "liver"]])
def test_an_empty_or_repeated_choice_is_refused(organs):
    with pytest.raises(InputError):
        organ_table(organs, BTCV)


@pytest.mark.parametrize(
    "value", [14, -1, 2.5, 300, 3.02, 2.98, 65536 + 6, 1e9, -1e9, np.nan, np.inf]
)
def test_a_value_outside_the_table_is_refused_with_file_and_value(value):
    label = np.array([0.0, 1.0, value])
    with pytest.raises(
        InputError, match=rf"label0001.*label value {re.escape(f'{value:g}')} is outside.*6 liver"
    ):
        to_channels(label, BTCV, organ_table("synapse8", BTCV), "label0001.nii.gz")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_scaled_value_is_the_whole_number_next_to_it(kind):
    label = np.array([0, 3.00005, 2.991, 5.9999, -0.004, 13.0097], dtype=kind)
    assert whole_numbers(label, BTCV, "file").tolist() == [0, 3, 3, 6, 0, 13]
    channels = to_channels(label, BTCV, organ_table("btcv13", BTCV), "file")
    assert channels.tolist() == [0, 3, 3, 6, 0, 13]
    assert only_known(label, {"left_kidney": 3}, "file").tolist() == [0, 3, 3, 0, 0, 0]


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", "?"])
def test_whole_numbers_of_any_type_are_themselves(kind):
    label = np.array([[0, 1, 6, 13]]).astype(kind)
    assert whole_numbers(label, BTCV, "file").tolist() == label.astype(int).tolist()


@pytest.mark.parametrize("value", [-1, 2.5, 3.02, 65536, 65536 + 6, 1e9, np.nan, -np.inf])
def test_what_is_no_label_number_is_no_background_either(value):
    label = np.array([0.0, 6.0, value])
    with pytest.raises(
        InputError, match=rf"file: label value {re.escape(f'{value:g}')} is outside.*; a label is"
    ):
        only_known(label, {"liver": 6}, "file")


def test_the_largest_number_may_be_background():
    assert only_known(np.array([65535, 6]), {"liver": 6}, "file").tolist() == [0, 6]


def test_an_image_in_place_of_the_label_is_told():
    image = np.arange(0, 3000)
    for read in (only_known, lambda *given: to_channels(given[0], {"liver": 6}, {"liver": 1}, "f")):
        with pytest.raises(InputError, match=r"it holds \d+ such values.*is it the image\?"):
            read(image, {"liver": 6}, "f")


@pytest.mark.parametrize(
    "table", [{}, {"liver": 0}, {"liver": "1"}, {"liver": True}, {"liver": 1, "spleen": 1}]
)
def test_a_users_table_with_impossible_numbers_is_refused(table):
    with pytest.raises(InputError):
        check_numbering(table)


def test_an_organ_whose_name_holds_control_codes_is_refused():
    with pytest.raises(InputError, match=r"organ 'a.x1b' holds control codes"):
        organ_table("all", {"a\x1b": 1})


@pytest.mark.parametrize("kind", ["u1", "<i2", ">i2", "f4", "f8", "<u2", ">u2", "i8"])
def test_channels_of_any_stored_type_are_those_of_a_slow_loop(kind):
    label = np.random.default_rng(0).integers(0, 14, (4, 5, 6)).astype(kind)
    organs = organ_table(["liver", "spleen", "aorta"], BTCV)
    of = {BTCV[name]: channel for name, channel in organs.items()}
    slow = [of.get(int(number), 0) for number in label.ravel()]
    for stored in (label, np.asfortranarray(label)):
        channels = to_channels(stored, BTCV, organs, "a file")
        assert channels.dtype == np.uint8
        assert channels.ravel().tolist() == slow
