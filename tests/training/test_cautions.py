"""What must be said of images that no CT network can read."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from segtrace.data.geometry import Grid
from segtrace.data.nifti import Volume
from segtrace.data.probes import Probes
from segtrace.training.cautions import about_slices, about_volume

CT = np.where(np.indices((40, 40)).sum(0) < 40, -1000, 40).astype(np.int16)
MR = np.where(CT < 0, 3, 700).astype(np.int16)


@dataclass
class Watched:
    """The part of a subject that knows what the network was trained on."""

    probes: dict | None = None


def probes(*originals, cases=("a", "b"), labelled=True):
    n = len(originals)
    return Probes(
        images=torch.zeros(n, 1, 4, 4),
        labels=torch.zeros(n, 4, 4, dtype=torch.uint8) if labelled else None,
        cases=tuple(cases[:n]),
        slices=tuple(range(n)),
        spacing=torch.ones(n, 2).double(),
        split="user",
        phantom=False,
        originals=tuple(map(torch.from_numpy, originals)),
    )


def test_a_case_that_is_no_ct_is_named_and_told_in_the_terminal(capsys):
    (caution,) = about_slices(probes(CT, MR), Watched())
    assert caution.startswith("No CT in HU, as the network takes it: b, its values run from 3 to")
    assert capsys.readouterr().out == f"Caution. {caution}.\n"


def test_slices_of_a_case_are_judged_together_and_ct_passes(capsys):
    """A slice of its own may lie in the body altogether."""
    within = np.full((40, 40), 40, np.int16)
    assert about_slices(probes(within, CT, cases=("a", "a")), Watched()) == []
    assert capsys.readouterr().out == ""


def test_an_image_without_labels_is_not_named_since_its_name_may_be_a_persons():
    (caution,) = about_slices(probes(MR, cases=("Erika_Mustermann",), labelled=False), Watched())
    assert "Mustermann" not in caution
    assert "the image, its values" in caution


@pytest.mark.parametrize(
    ("trained_on", "cautions"), [(MR, 0), (CT, 1), (None, 1)], ids=["mr", "ct", "unknown"]
)
def test_a_network_that_was_trained_on_such_values_is_not_cautioned(trained_on, cautions):
    own = None if trained_on is None else {"originals": [torch.from_numpy(trained_on)]}
    assert len(about_slices(probes(MR), Watched(own))) == cautions


def test_files_without_values_of_their_own_are_not_judged():
    volume = Volume("a", MR[None].astype(np.float32), None, Grid((40, 40, 1)), "a.npz", True)
    assert about_volume(volume, Watched()) == []
    (caution,) = about_volume(Volume("a", volume.image, None, volume.grid, "a.nii"), Watched())
    assert "the image, its values" in caution
