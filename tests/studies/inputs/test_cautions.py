"""What must be said of images that no CT network can read."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from helpers.lines import said
from segtrace.data.files.findings import Finding
from segtrace.data.files.geometry import Grid
from segtrace.data.files.nifti import Volume
from segtrace.data.probes import Probes
from segtrace.report.captions import scene_marks
from segtrace.studies.inputs.cautions import (
    OF_A_PHANTOM,
    OTHER_VALUES,
    about_slices,
    about_volume,
    as_caution,
)
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.explained import scene

CT = np.where(np.indices((40, 40)).sum(0) < 40, -1000, 40).astype(np.int16)
MR = np.where(CT < 0, 3, 700).astype(np.int16)
NO_HU = Finding("no HU", "no CT in HU, perhaps: its values run from 3 to 700", ("hounsfield",))
NO_SIDES = Finding("sides", "nobody knows its sides", ("sides",))


@dataclass
class Watched:
    """The part of a trained that knows what the network was trained on."""

    probes: dict | None = None


def probes(labelled=True, hounsfield_known=False, findings=("case Erika: no HU",)):
    return Probes(
        images=torch.zeros(1, 1, 4, 4),
        labels=torch.zeros(1, 4, 4, dtype=torch.uint8) if labelled else None,
        cases=("Erika",),
        slices=(0,),
        spacing=torch.ones(1, 2).double(),
        split="user",
        phantom=False,
        hounsfield_known=hounsfield_known,
        findings=findings,
    )


def volume(*findings, labelled=True):
    label = np.zeros((1, 40, 40)) if labelled else None
    image = MR[None].astype(np.float32)
    known = not any("hounsfield" in finding.doubts for finding in findings)
    return Volume("Erika", image, label, Grid((40, 40, 1)), "Erika.nii", findings=findings,
                  hounsfield_known=known)  # fmt: skip


def test_slices_of_a_data_set_were_spoken_of_when_it_was_prepared(capsys):
    assert about_slices(probes(), Watched()) == ["case Erika: no HU", OTHER_VALUES]
    assert said(capsys.readouterr().out) == [(f"Caution: {OTHER_VALUES}.", None)]


def test_of_an_image_all_is_said_but_its_name_which_may_be_a_persons(capsys):
    found = about_slices(probes(labelled=False), Watched())
    assert found == ["the image: no HU", OTHER_VALUES]
    assert said(capsys.readouterr().out) == [(f"Caution: {line}.", None) for line in found]
    told = about_volume(volume(NO_HU, labelled=False), Watched())
    assert told == [f"the image: {NO_HU.words}", OTHER_VALUES]
    assert about_volume(volume(NO_HU), Watched())[0] == f"case Erika: {NO_HU.words}"


def test_ct_passes_and_other_findings_do_not_doubt_its_values(capsys):
    assert about_slices(probes(hounsfield_known=True, findings=()), Watched()) == []
    assert about_volume(volume(), Watched()) == []
    assert capsys.readouterr().out == ""
    assert about_volume(volume(NO_SIDES), Watched()) == [f"case Erika: {NO_SIDES.words}"]


@pytest.mark.parametrize(
    ("own", "cautioned"),
    [
        (None, True),
        ({}, True),
        ({"hounsfield_known": True}, True),
        ({"hounsfield_known": False}, False),
        ({"originals": [torch.from_numpy(CT)]}, True),
        ({"originals": [torch.from_numpy(MR)]}, False),
        ({"originals": [torch.from_numpy(MR)], "hounsfield_known": True}, True),
    ],
    ids=["own network", "nothing known", "HU", "no HU", "older, CT", "older, MR", "said to be HU"],
)
def test_a_network_that_was_trained_on_such_values_is_not_cautioned(own, cautioned):
    assert (OTHER_VALUES in about_slices(probes(), Watched(own))) == cautioned


@pytest.mark.parametrize(("taught", "shown"), [(True, True), (True, False), (False, False)])
def test_a_network_of_the_phantom_is_named_before_a_patients_image(taught, shown, capsys):
    own = Watched({"phantom": taught, "hounsfield_known": True})
    slices = replace(probes(hounsfield_known=True, findings=()), phantom=shown)
    expected = [OF_A_PHANTOM] if taught and not shown else []
    assert about_slices(slices, own) == expected
    assert about_volume(replace(volume(), phantom=shown), own) == expected
    found = said(capsys.readouterr().out)
    assert found == [(as_caution(line), None) for line in expected * 2]
    trained = TrainedNetwork("net", torch.nn.Identity(), None, {}, None, probes=own.probes)
    marked = "network of a phantom" in scene_marks(scene(trained.on(slices).probes, {}))
    assert marked is bool(expected)
