import pytest
import torch

from segtrace import InputError
from segtrace.causal.necessity import Necessity
from segtrace.causal.route import Route
from segtrace.report.route_words import branches

EDGES = ("skip_1", "up_1", "skip_2", "up_2")


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
