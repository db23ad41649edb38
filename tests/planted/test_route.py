import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import DynUNet

from helpers.changed import changed
from segtrace.planted.network import PlantedNetwork
from segtrace.planted.route import planted_route
from segtrace.planted.source import PlantedSource


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The route of a network that has learned nothing."""
    torch.manual_seed(0)
    net = DynUNet(
        2, 1, 3, [3] * 6, strides=[1] + [2] * 5, upsample_kernel_size=[2] * 5, filters=[4] * 6,
        norm_name="batch",
    )  # fmt: skip
    source = PlantedSource("far", seed=0, cases=(1, 2, 1), slices=4)
    path = tmp_path_factory.mktemp("run") / "epoch_001.ckpt"
    channels = {"disc_a": 1, "disc_b": 2}
    return planted_route(PlantedNetwork(net.eval(), None, channels, source, 1, path))


def test_without_the_deep_path_the_class_is_right_on_exactly_half_of_the_discs(found):
    """Whatever the weights: twins look the same to what is left, and one of two is right."""
    assert found.accuracy("up_3") == 0.5
    assert found.accuracy("up_4") == 0.5


def test_every_edge_is_cut_and_divided(found):
    rows = {row["edge"]: row for row in found.rows()}
    assert list(rows) == [f"{kind}_{i}" for i in range(1, 6) for kind in ("skip", "up")]
    assert rows["up_1"]["source"] == "enc6"
    assert rows["skip_5"]["source"] == "enc1"
    for edge, row in rows.items():
        lost = found.necessity.dice_lost.sel(site=edge).mean("organ")
        assert row["dice_lost"] == pytest.approx(float(lost.mean()))
        assert (row["cases"], math.isnan(row["dice_lost_low"])) == (2, True)


def test_rows_hold_the_interval_over_cases(found):
    cases = ("a", "a", "b", "b", "c", "c", "d", "d")
    whole, lost = found.necessity.data["whole_dice"].values, np.array([2, 4, 1, 1, 6, 8, 5, 5]) / 10
    dice = np.broadcast_to(whole - lost, found.necessity.data["dice"].shape).copy()
    own = torch.tensor([0.3, 0.1, 0.7, 0.5]).double()  # means of the cases
    known = replace(found, necessity=changed(found.necessity, case=cases, dice=dice))
    half = 3.182446 * own.std().item() / 2  # t of 3 degrees of freedom
    for row in known.rows():
        ends = (row["dice_lost"], row["dice_lost_low"], row["dice_lost_high"])
        assert ends == pytest.approx((0.4, 0.4 - half, 0.4 + half), abs=1e-6)


def test_there_is_a_sentence_for_each_class(found):
    one, other = found.sentences()
    assert "disc a " in one
    assert "disc b " in other
