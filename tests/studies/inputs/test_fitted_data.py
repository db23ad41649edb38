"""Another data set for a network of before: fewer organs, other numbers, other spelling."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.lines import said
from helpers.raw_layout import AFFINES, write_case
from segtrace import InputError
from segtrace.data.preprocessing import Preprocessing
from segtrace.studies.inputs.fitted_data import FittedData, common
from segtrace.tracking.explained import Settings

pytestmark = pytest.mark.filterwarnings("ignore:.*only 2 different values.*")
WANTED = Preprocessing((-100.0, 200.0), 32, {"aorta": 1, "left_kidney": 2, "liver": 3})


@pytest.fixture
def node(tmp_path):
    """Two cases with the liver as 17, the left kidney as 5, and a spleen that nobody asks for."""
    label = np.zeros((32, 32, 4))
    label[2:12, 4:14] = 17
    label[18:24, 20:30, 1:3] = 5
    label[26:30, 2:6] = 9
    image = np.where(label, 60, -np.arange(400, 432)[:, None, None])  # air of many values
    for case in ("a", "b"):
        write_case(tmp_path / "raw", case, image, label, AFFINES["LPS"])
    return {
        "_target_": "segtrace.data.modules.NiftiData",
        "root": str(tmp_path / "raw"),
        "labels": {"Left Kidney": 5, "LIVER": 17, "spleen": 9},
        "split": {"train": ["a"], "val": ["b"]},
        "cache_dir": str(tmp_path / "cache"),
        "organs": ["spleen"],
        "size": 224,
    }


def test_labels_come_in_the_networks_channels_size_and_window(node):
    fitted = FittedData.of(node, WANTED)
    probes = fitted.probes(2, "val")
    assert fitted.names == {"left_kidney": "Left Kidney", "liver": "LIVER"}
    assert set(probes.cases) == {"b"}
    assert probes.images.shape[1:] == (1, 32, 32)
    assert probes.images.unique().tolist() == pytest.approx([0, 160 / 300])
    both = probes.labels[1]  # a slice with both
    sizes = {channel: int((both == channel).sum()) for channel in both.unique().tolist()}
    assert sizes == {0: 32 * 32 - 160, 2: 60, 3: 100}
    assert torch.equal(fitted.spread(1, "val").labels, both[None])


def test_data_of_other_input_channels_are_refused(node):
    several = replace(WANTED, channels=2, window=((-100.0, 200.0), "zscore"))
    with pytest.raises(
        InputError, match="takes 2 input channels, and these data have 1; say which"
    ):
        FittedData.of(node, several)


def test_label_files_are_numbered_by_the_networks_names(node):
    assert FittedData.of(node, WANTED).numbering == {"left_kidney": 5, "liver": 17, "spleen": 9}


def test_organs_without_labels_are_left_out_and_named(node, capsys):
    fitted = FittedData.of(node, WANTED)
    words = "Left out, since these data have no labels of them: aorta"
    assert said(capsys.readouterr().out) == [(words, None)]
    assert fitted.facts["organs_left_out"] == ["aorta"]
    assert fitted.facts["explained_data"]["name"] == "NiftiSource"
    every = Settings(rules=["grad_pam"])
    assert fitted.settings(every, named=False).organs == ["left_kidney", "liver"]
    some = Settings(rules=["grad_pam"], organs=["aorta", "liver"])
    assert fitted.settings(some, named=False).organs == ["liver"]
    whole = Settings(rules=["grad_pam"], organs=["liver"])
    assert fitted.settings(whole, named=True) is whole


def test_an_organ_that_was_named_is_not_left_out_in_silence(node):
    fitted = FittedData.of(node, WANTED)
    message = "no labels of aorta in these data, which have Left Kidney, LIVER, spleen"
    for organs, named in ((["aorta", "liver"], True), (["aorta"], False)):
        with pytest.raises(InputError, match=message):
            fitted.settings(Settings(rules=["grad_pam"], organs=organs), named=named)


def test_no_organ_in_common_is_refused_with_both_lists(node):
    node["labels"] = {"Leber": 17, "Niere": 5, "Milz": 9}
    with pytest.raises(InputError, match=r"knows aorta, .*these data Leber, Niere, Milz: no organ"):
        FittedData.of(node, WANTED)


def test_a_part_that_the_split_lacks_is_named(node):
    with pytest.raises(InputError, match=r"no test cases; say probes.from=val"):
        FittedData.of(node, WANTED).probes(2, "test")


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (["liver"], ["Liver"], {"liver": "Liver"}),
        (["left_kidney"], ["kidney_left"], {"left_kidney": "kidney_left"}),
        (["left_kidney"], ["Left-Kidney", "kidney left"], {"left_kidney": "Left-Kidney"}),
        (["liver", "Liver"], ["Liver", "liver"], {"liver": "liver", "Liver": "Liver"}),
        (["left_kidney"], ["right_kidney", "kidney"], {}),
        (["Ösophagus"], ["ösophagus"], {"Ösophagus": "ösophagus"}),
    ],
)
def test_names_are_the_same_in_other_spelling(ours, theirs, found):
    assert common(ours, theirs) == found


def test_an_organ_out_of_a_checkpoint_is_a_name_and_nothing_to_resolve(node, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = "${oc.create:{_target_: os.mkdir, _args_: [ran]}}"
    wanted = Preprocessing((-125.0, 275.0), 64, {"liver": 1, call: 2})
    assert FittedData.of(node, wanted).missing == [call]
    with pytest.raises(InputError, match=r"the network knows \$\{oc.create:"):
        FittedData.of(node, replace(wanted, organs={call: 1}))
    assert not (tmp_path / "ran").exists()
