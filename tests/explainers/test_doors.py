"""The explainers from Python: what they take, and what they say of what they do not."""

import warnings

import pytest
import torch

import segtrace
from helpers import nets
from segtrace import InputError

X, TRUTH = nets.images(2, 16), nets.labels(2, 16, 3)
ORGANS, NET = {"a": 1}, nets.plain()
STAGED = {
    "ablation_cam": {"at_once": 9},
    "attribution_patching": {"cut": "zero"},
    "channel_cuts": {"cut": "zero", "groups": 2},
    "kernel_weighted": {},
    "segnbdt": {"draws": 1},
}
CHEAP = {"rise": {"masks": 10}, "kernel_shap": {"cells": 2}, "misure": {"steps": 1},
         "deepdream": {"steps": 1, "draws": 1}}  # fmt: skip


def call(name, *given, net=NET, **options):
    return getattr(segtrace.explainers, name)(net, *given, **options)


@pytest.mark.parametrize("name", STAGED)
def test_stages_are_proposed_named_or_resolved_as_in_trace(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are proposed
        sites = segtrace.describe(NET, X).sites
        for stages in (nets.PLAIN_STAGES, "proposed", sites):
            call(name, stages, X, ORGANS, TRUTH, **STAGED[name])


def test_that_stages_are_proposed_is_said_where_the_user_called():
    with pytest.warns(UserWarning, match="are a proposal") as said:
        call("ablation_cam", "proposed", X, ORGANS, at_once=9)
    assert said[0].filename == __file__


def test_of_sites_attribution_patching_takes_the_edges_too():
    net = nets.plain()
    edge = {"skip": {"stage": "enc2", "module": "2", "argument": 0}}
    sites = segtrace.sites_of(net, nets.PLAIN_STAGES, edge)
    found = call("attribution_patching", sites, X, ORGANS, net=net, cut="zero", check=False)
    assert "skip" in found.maps.flow.stages


@pytest.mark.parametrize("name", STAGED)
def test_an_image_in_the_place_of_stages_is_told(name):
    with pytest.raises(InputError, match=rf"say {name}\(net, stages, image, organs\)"):
        call(name, X, ORGANS)


@pytest.mark.parametrize("name", [*STAGED, *CHEAP])
def test_an_option_that_there_is_not_is_named_beside_the_nearest_one(name):
    stages = [nets.PLAIN_STAGES] if name in STAGED else []
    with pytest.raises(InputError, match=rf"no option 'max_second'; {name} has .*max_seconds\?"):
        call(name, *stages, X, ORGANS, TRUTH, max_second=1)


@pytest.mark.parametrize("truth", [TRUTH[:1], TRUTH[:, :8, :8]])
@pytest.mark.parametrize("name", [*STAGED, *CHEAP])
def test_a_truth_of_another_shape_is_refused_before_the_work(name, truth):
    stages, heard = [nets.PLAIN_STAGES] if name in STAGED else [], []
    with pytest.raises(InputError, match="the truth has shape"):
        call(name, *stages, X, ORGANS, truth, progress=heard.append)
    assert not heard


def test_an_untrained_network_of_other_classes_is_refused():
    other = torch.nn.Conv2d(1, 5, 1).double()
    with pytest.raises(InputError, match=r"untrained has logits \(5, 16, 16\) of a slice"):
        call("deepdream", X, ORGANS, TRUTH, untrained=other, **CHEAP["deepdream"])


def test_the_baselines_that_a_cut_needs_are_had_as_its_message_says():
    with pytest.raises(InputError, match="needs baselines") as said:
        call("attribution_patching", nets.PLAIN_STAGES, X, ORGANS)
    given = {"net": NET, "image": X, "training_slices": X, "segtrace": segtrace}
    typed = str(said.value).split("baselines=")[1]
    baselines, rest = typed.split(" with sites=")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given["sites"] = eval(rest.split(", or")[0], given)
    means = eval(baselines, given)
    call("attribution_patching", given["sites"], X, ORGANS, baselines=means)


def test_a_slice_without_its_batch_is_told():
    with pytest.raises(InputError, match=r"with 1 axis.*give image\[None\]"):
        call("rise", X[0], ORGANS)
