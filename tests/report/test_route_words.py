from dataclasses import replace

import pytest
import torch

from segtrace import InputError
from segtrace.causal.necessity import Necessity
from segtrace.causal.route import Route
from segtrace.report.route_words import Branch, branches, sentence

EDGES = ("skip_1", "up_1", "skip_2", "up_2")


def found(*lost):
    places = [("enc2", "dec1"), ("enc3", "dec1"), ("enc1", "dec2"), ("dec1", "dec2")]
    return [
        Branch(name, source, stage, 0.5, loss, 0.0)
        for name, (source, stage), loss in zip(EDGES, places, lost, strict=True)
    ]


def test_the_sentence_says_where_the_organ_enters_and_what_is_not_needed():
    assert sentence("left_kidney", found(0.5, 0.0, 0.0, 0.8)) == (
        "The left kidney enters by the skip of enc2 and travels up; the bottleneck is not needed."
    )
    assert sentence("liver", found(0.2, 0.3, 0.9, 0.8)) == (
        "The liver enters by the skips of enc1 and enc2 and travels up; "
        "without the bottleneck 0.30 Dice is lost."
    )
    assert sentence("aorta", found(0.0, 0.0, 0.9, 0.0)) == (
        "The aorta enters by the skip of enc1; the bottleneck is not needed."
    )


def test_an_organ_that_enters_from_below_or_from_nowhere_is_said_to():
    assert sentence("spleen", found(0.0, 0.6, 0.0, 0.6)) == (
        "The spleen enters by no single skip; without the bottleneck 0.60 Dice is lost."
    )
    assert sentence("spleen", found(0.0, 0.02, 0.0, 0.05)) == (
        "The spleen hangs on no single edge: no cut costs more than 0.05 Dice."
    )


def test_edges_that_do_not_say_where_they_are_from_are_named_themselves():
    one, up, other, last = found(0.5, 0.0, 0.4, 0.0)
    unsaid = replace(other, source="")
    assert sentence("liver", [one, up, unsaid, last]).startswith(
        "The liver enters over enc2 and skip_2"
    )


def test_the_bottleneck_comes_over_the_last_edge_into_the_first_stage():
    """As in a nested U-Net, whose stages take in several skips."""
    first = [Branch(f"skip_1{n}", f"enc2{n}", "dec1", 0.3, 0.0, 0.0) for n in "ab"]
    deepest = Branch("up_1", "enc3", "dec1", 0.4, 0.3, 0.0)
    assert "without the bottleneck 0.30 Dice is lost" in sentence("liver", [*first, deepest])


@pytest.mark.parametrize(("lost", "needed"), [(0.0099, False), (0.01, True)])
def test_a_hundredth_of_dice_is_the_least_that_a_bottleneck_is_needed_for(lost, needed):
    words = sentence("liver", found(0.5, lost, 0.0, 0.8))
    assert ("the bottleneck is not needed" not in words) is needed


def test_what_a_cut_vertex_costs_is_no_way_in_and_hides_none():
    """Behind dec2 comes a stage with one edge alone: every path runs through it, all is lost."""
    vertex = Branch("up_3", "dec2", "dec3", 1.0, 0.95, 0.0)
    told = sentence("aorta", [*found(0.0, 0.0, 0.9, 0.0), vertex])
    assert told.startswith("The aorta enters by the skip of enc1")
    assert told.endswith("; the bottleneck is not needed.")
    assert "dec" not in told
    below = sentence("spleen", [*found(0.0, 0.6, 0.0, 0.6), vertex])
    assert below.startswith("The spleen enters by no single skip; ")


def test_three_ways_in_are_listed_and_what_is_not_found_has_none():
    three = [*found(0.2, 0.0, 0.3, 0.8), Branch("skip_3", "enc0", "dec3", 0.5, 0.4, 0.0)]
    assert "by the skips of enc0, enc1 and enc2 and travels up" in sentence("liver", three)
    assert sentence("liver", three, 0.04) == (
        "The liver is not found (Dice 0.04): cutting can take nothing away and says nothing."
    )


def tables(sites=EDGES):
    route = Route.from_plain({
        "edges": EDGES,
        "stages": ("dec1", "dec1", "dec2", "dec2"),
        "sources": ("enc2", "enc3", "enc1", "dec1"),
        "organs": ("a", "b"),
        "part": torch.tensor([[1.0], [3.0], [2.0], [2.2]])[:, None].expand(4, 2, 1).double(),
        "change": torch.full((4, 2, 1), 4.0).double(),
    })  # fmt: skip
    one = torch.ones(1, 1).double()
    dice = torch.linspace(0, 0.9, len(sites)).double()[:, None, None]
    vertex = torch.tensor([site == "up_2" for site in sites])
    necessity = Necessity.from_plain({
        "sites": tuple(sites), "places": ("edge",) * len(sites), "organs": ("b",), "cases": ("p",),
        "cut": "zero", "draws": 1, "score": "logit", "cut_vertex": vertex,
        "whole": {"dice": one, "score": one}, "dice": dice, "scores": dice,
    })  # fmt: skip
    return route, necessity


def test_branches_hold_share_and_loss_of_the_same_edge():
    route, necessity = tables(("enc1", *EDGES[::-1]))
    one = branches(route, necessity, "b")
    assert [b.name for b in one] == list(EDGES)
    assert [b.share for b in one] == pytest.approx([0.25, 0.75, 0.5, 0.55])
    assert [b.error for b in one] == pytest.approx([0, 0, 0.05, 0.05])
    lost = necessity.lost["mean"].sel(organ="b", site=list(EDGES))
    assert [b.lost for b in one] == lost.values.tolist()


def test_mistakes_are_named():
    route, necessity = tables()
    with pytest.raises(InputError, match="no organ 'a'; this table has b"):
        branches(route, necessity, "a")
    route, few = tables(EDGES[:3])
    with pytest.raises(InputError, match="edge 'up_2' was not cut"):
        branches(route, few, "b")
