"""What is explained of given slices, and against what it is measured."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from helpers import invented
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.data.probes import Probes
from segtrace.labelled import tensor
from segtrace.report.tables import save_table
from segtrace.tracking.explained import (
    Network,
    Settings,
    explain_probes,
    of_failures,
    scene,
    settled,
)
from segtrace.tracking.leaks import LeakMeter, Leaks

STAGES = {"enc1": "deep", "head": "last"}
CHANNELS = {"organ": 1}


class LeftHalf(nn.Module):
    """Calls every pixel of the left half the organ, whatever the image."""

    def __init__(self):
        super().__init__()
        self.deep, self.last = nn.Identity(), nn.Identity()

    def forward(self, x):
        x = self.deep(x)
        organ = torch.ones_like(x)
        organ[..., :8] = 1e3
        return self.last(torch.cat([5 + 0 * x, organ + 0 * x], 1))


def probes(labelled=True):
    """Two slices with an organ of 4 x 6 and of 4 x 3 pixels at the right."""
    labels = torch.zeros(2, 16, 16, dtype=torch.uint8)
    labels[0, 2:6, 9:15] = labels[1, 8:12, 12:15] = 1
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    spacing = torch.full((2, 2), torch.nan, dtype=torch.float64)
    return Probes(images, labels if labelled else None, ("a", "b"), (3, 4), spacing, "val", False)


def explained(shown=None, **settings):
    return explain_probes(LeftHalf().eval(), STAGES, shown or probes(), CHANNELS,
                          Settings(**({"rules": ["grad_pam"]} | settings)))  # fmt: skip


@pytest.mark.parametrize("region", ["gt", "pred"])
def test_maps_are_measured_on_the_truth_and_not_on_the_prediction(region):
    found = explained(region=region)
    assert (found.record.flow.prediction == 1).float().mean((0, 1)).tolist() == [1] * 8 + [0] * 8
    areas = found.measures["area"][0, 0, 0].values.tolist()
    assert areas == pytest.approx([24 / 256, 12 / 256])
    # The map of the head under the prediction lies on the left half: nothing of it on the organ.
    mass = found.measures["mass"][1, 0, 0]
    assert (mass == 0).all() if region == "pred" else (mass == 1).all()


def test_without_a_truth_they_are_measured_on_the_prediction():
    found = explained(probes(labelled=False), region="pred")
    assert found.measures["area"][0, 0, 0].values.tolist() == [0.5, 0.5]
    assert found.measures["mass"][1, 0, 0].values.tolist() == [1, 1]


def test_a_region_of_the_truth_needs_one():
    with pytest.raises(InputError, match="region fn needs labels, which these slices lack"):
        explained(probes(labelled=False), region="fn")


def test_what_the_network_got_wrong_is_explained_where_a_truth_says_so():
    settings = Settings(rules=["grad_pam"], measures="all", aggregate="max")
    wrong = of_failures(probes(), settings)
    assert [one.region for one in wrong] == ["fp", "fn"]
    assert {(one.measures, one.aggregate) for one in wrong} == {("leading", None)}
    assert of_failures(probes(labelled=False), settings) == []
    assert of_failures(probes(), replace(settings, region="fp")) == []


def test_a_scene_says_of_its_slices_what_is_known_of_them():
    shown = replace(probes(), split="train", phantom=True, sides_known=True)
    place = scene(shown, CHANNELS)
    assert (place.training, place.phantom, place.sides_known) == (True, True, True)
    place = scene(probes(), CHANNELS)
    assert (place.training, place.phantom, place.sides_known) == (False, False, False)
    assert place.cases == ("a", "b")
    assert place.slices == (3, 4)


def test_measures_csv_is_written_as_ever(tmp_path):
    save_table(tmp_path / "measures.csv", invented.explained(3, 0.5, 0.25).rows()[:2])
    same = "0.5,-2.40823996520067,4.343330909353833e-13,0.0625"
    assert (tmp_path / "measures.csv").read_text() == (
        "epoch,case,slice,organ,rule,stage,status,region,region_px,score,mass,gain,ceiling,ceiling_max,outside,outside_uniform,"
        "area,"
        "kappa,magnitude,gradient,score_per_px,max,positive_fraction\n"
        "3,a,0,left,grad_pam,dec1,ok,gt,16,1.0,0.3984375,0.35833333333333334,1.0,1.0,nan,nan,0.0625,"
        f"{same},0.02490234375,1.0\n"
        f"3,a,0,left,grad_pam,head,ok,gt,16,1.0,1.0,1.0,1.0,1.0,nan,nan,0.0625,{same},0.0625,1.0\n"
    )


def test_a_notebook_finds_every_number_by_its_names():
    found = invented.explained(3, 0.5).measures
    one = found["gain"].sel(site="dec1", rule="grad_pam", organ="left")
    assert one.dims == ("slice",)
    assert one["case"].values.tolist() == ["a", "a", "b", "b"]
    assert (found["epoch"].item(), found["region"].item()) == (3, "gt")
    assert one.groupby("case").mean().values.tolist() == pytest.approx([0.5, 0.5])


class LeftHalfAlone(LeftHalf):
    """The same with the organ's channel alone, below 0 elsewhere."""

    def forward(self, x):
        return super().forward(x)[:, 1:] - 5


@pytest.mark.parametrize("organs", [{"organ": 1}, {"organ": Organ(0, 1)}])
def test_of_one_channel_the_activation_is_known_before_anything_is_asked_of_it(organs):
    given = Network(LeftHalfAlone().eval(), STAGES, probes(), organs, Settings(rules=["grad_pam"]))
    known = settled(given)
    assert known.settings.activation == "sigmoid"
    assert known.channels == {"organ": Organ(0, 1)}
    assert settled(known) == known
    found = explain_probes(*given)
    assert found.record.flow.prediction.float().mean((0, 1, 2)).tolist() == [1] * 8 + [0] * 8
    assert LeakMeter().of_centred(known) is None  # its one logit shares nothing
    leaks = Leaks(found.record, LeakMeter().of(found.record), None, None)
    assert "centred" not in leaks.text("grad_pam")


def test_both_halves_of_an_organ_are_those_of_its_own_number():
    given = Network(LeftHalfAlone().eval(), STAGES, probes(), {"organ": Organ(0, 1)},
                    Settings(rules=["grad_pam"], measures="all"))  # fmt: skip
    two = explained(measures="all").measures["locality"]
    one = explain_probes(*given).measures["locality"]
    torch.testing.assert_close(tensor(one), tensor(two), rtol=0, atol=0, equal_nan=True)
