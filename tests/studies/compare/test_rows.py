"""The maps that are compared: which stages, what they cost, and what draws none."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from helpers import nets
from segtrace.activation import predicted
from segtrace.attribution.aggregate import aggregate
from segtrace.attribution.flow import Status
from segtrace.causal.faithfulness.comparison import CONTROL
from segtrace.causal.faithfulness.masking import brightness
from segtrace.data.probes import Probes
from segtrace.explainers.explainer import OutOfTimeError
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.studies.compare.numbers import numbers
from segtrace.studies.compare.rows import (
    DECODER,
    IMAGE,
    PREDICTION,
    RANDOM,
    controls,
    of_explainer,
    of_rules,
    spent,
    telling,
    together,
    untrained,
)
from segtrace.tracking.explained import Network, Settings, settled, targets_of

X, TRUTH = nets.images(2, 32).float(), nets.labels(2, 32)


def network_of(activation="softmax", seed=0):
    net = nets.stirred(lambda: nets.basic_unet(4), seed).float()
    probes = Probes(X, TRUTH, ("p", "q"), (3, 4), torch.ones(2, 2).double(), "val", phantom=False)
    organs = {"a": 1, "b": 2, "c": 3, "d": 4} if activation == "sigmoid" else {"a": 1, "b": 2}
    settings = Settings(["seg_grad_cam", "grad_pam"], activation=activation)
    return settled(Network(net, None, probes, organs, settings))


@pytest.fixture(scope="module")
def traced():
    network = network_of()
    return network, *of_rules(network, None)


def test_the_rules_are_taken_at_the_bottleneck_the_last_stage_and_the_decoder_in_one(traced):
    network, flow, rows = traced
    places = ("enc5", "dec4", DECODER)
    assert [one.name for one in rows] == [
        f"{rule} at {place}" for rule in ("Seg-Grad-CAM", "Grad-PAM") for place in places
    ]
    merged = aggregate(flow, [name for name in flow.stages if name.startswith("dec")], "max")
    torch.testing.assert_close(rows[2].maps[0], merged.map[0], equal_nan=True)
    assert rows[1].locality.shape == (2, 2)
    assert rows[2].locality is None
    assert {one.passes for one in rows} == {1.0}
    assert all(one.seconds > 0 for one in rows)
    assert telling(flow.stages) == ["enc5", "dec4"]  # not the merged one
    named = of_rules(network, ["enc2"])[1]
    assert [one.name for one in named][:2] == ["Seg-Grad-CAM at enc2", f"Seg-Grad-CAM at {DECODER}"]


def test_stages_of_a_network_in_no_table_are_all_taken():
    assert telling(["enc1", "enc2", "dec1", "dec2", "head"]) == ["enc2", "dec2"]
    assert telling(["down", "up"]) == ["down", "up"]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_controls_are_random_pixels_the_ct_and_what_the_network_predicts(activation):
    network = network_of(activation)
    flow, _ = of_rules(network, ["enc2"])
    random, image, found = controls(flow, network, 2, 0)
    assert [one.name for one in (random, image, found)] == [RANDOM, IMAGE, PREDICTION]
    assert {one.kind for one in (random, image, found)} == {CONTROL}
    assert len(random.maps) == 2
    assert not torch.equal(*random.maps)
    assert torch.equal(image.maps[0][1], brightness(X))
    logits = network.net(X).detach()
    for o in range(len(flow.organs)):
        whole = logits[:, o] > 0
        if activation == "softmax":
            whole = predicted(logits) == o + 1
        assert torch.equal(found.maps[0][o].bool(), whole)
        assert ((found.status[o] == Status.DEAD) == ~whole.flatten(1).any(1))[
            flow.region_px[o] > 0
        ].all()


def test_an_explainer_s_maps_come_with_what_they_cost_and_leave_no_hook(traced):
    network = traced[0]
    targets = targets_of(network.probes, network.channels, network.settings)
    (row,) = of_explainer(Rise(masks=10), network, targets, 1)
    assert (row.name, row.kind, row.maps[0].shape) == ("RISE", "explainer", (2, 2, 32, 32))
    assert 11 <= row.passes <= 14  # a pass a mask, one for the logits, and what was timed
    assert not network.net._forward_pre_hooks
    with pytest.raises(ZeroDivisionError), spent(network.net):
        _ = 1 / 0
    assert not network.net._forward_pre_hooks


def test_what_draws_no_map_or_is_not_done_is_left_out_with_a_word(traced, capsys):
    network = traced[0]

    class Late:
        title, max_seconds = "Late", 1.0

        def explain(self, *_):
            raise OutOfTimeError("Late: 1 s are over")

    class Mapless(Late):
        title = "Mapless"

        def explain(self, *_):
            return SimpleNamespace(flow=None)

    assert [*of_explainer(Late(), network, {}, 1), *of_explainer(Mapless(), network, {}, 1)] == []
    said = capsys.readouterr().out
    assert "Late: 1 s are over" in said
    assert "Mapless draws no map" in said


def test_every_row_is_measured_alone_and_random_maps_as_their_mean(traced):
    """Equal to a comparison of that row and no other."""
    network, flow, rows = traced
    some = [rows[4], *untrained(rows[:1]), *controls(flow, network, 2, 0)]
    joined, of = together(flow, some)
    assert of == [0, 1, 2, 2, 3, 4]
    assert len(joined.sites) == 6
    both = numbers(network, flow, some, ["black", "blur"], 3, 0)
    assert both["row"].values.tolist() == [one.name for one in some]
    assert some[1].name == "Seg-Grad-CAM at enc5, untrained"
    for one in some:
        draws = [replace(one, name=str(d), maps=(own,)) for d, own in enumerate(one.maps)]
        alone = numbers(network, flow, draws, ["black", "blur"], 3, 0).mean("row", skipna=False)
        for name in both:
            ours, theirs = both[name].sel(row=one.name), alone[name]
            torch.testing.assert_close(
                torch.tensor(ours.values), torch.tensor(theirs.values), equal_nan=True
            )
    known = both["deletion_blur"].sel(row="Grad-PAM at dec4").notnull()
    assert known.any()
    assert both["locality"].sel(row=IMAGE).isnull().all()
