"""What one method lacks the time for is said, and the others go on."""

import re
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from helpers.explaining import NET, network
from segtrace.cli.explain.explain_config import ExplainConfig, explainers_of
from segtrace.errors import InputError
from segtrace.explainers.carrying.channel_cuts import ChannelCuts
from segtrace.explainers.dardouillet2022.kernel_shap import KernelShap
from segtrace.explainers.explainer import Budget, OutOfTimeError
from segtrace.explainers.hasany2024.misure import Misure
from segtrace.explainers.nanda2023.attribution_patching import AttributionPatching
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.explainers.wan2020.segnbdt import SegNbdt
from segtrace.progress import Progress
from segtrace.report.page.page import Page
from segtrace.studies import explainers as studied
from segtrace.studies.inputs.images import Images


class Found:
    def section(self):
        return None


class Slow(SimpleNamespace):
    title, max_seconds = "Slow", 1.0

    def explain(self, *_):
        raise OutOfTimeError("Slow: 1 s are over before a map is done; give more max_seconds")


class Quick(SimpleNamespace):
    title, max_seconds = "Quick", None

    def explain(self, *_):
        return Found()


def test_an_explainer_without_enough_time_ends_no_other(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(studied, "targets_of", lambda *_: {})
    network = SimpleNamespace(probes=None, channels={}, settings=None)
    trained = SimpleNamespace(on=lambda _: network, epoch=1)
    networks = SimpleNamespace(last=(trained, tmp_path))
    both = {"slow": Slow(), "quick": Quick()}
    late, done = studied.run_explainers(both, networks, SimpleNamespace(slices=None))
    assert done.within == tmp_path / "explainers" / "quick"
    page = Page()
    late.write(tmp_path)
    late.show(page)
    (section,) = page.sections
    assert section.heading == "Slow"
    assert "give more max_seconds" in section.sentences[0]
    assert "Slow: 1 s are over" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limit", "words", "left"),
    [(None, "work", [9.0, 7.0]), (5.0, "work, stopping at max_seconds=5", [5.0, 3.0])],
)
def test_no_more_time_is_told_than_there_is(limit, words, left):
    heard = []

    @contextmanager
    def hears(said):
        heard.append(said)
        yield lambda progress: heard.append(progress.left)

    with Budget(limit, hears).shown("work") as tell:
        tell(Progress(0, 9, 0.0, 9.0))
        tell(Progress(2, 9, 2.0, 7.0))
    assert heard == [words, *left]


class Pooled(torch.nn.Module):
    """Logits of half the image's size."""

    def __init__(self):
        super().__init__()
        self.net = NET

    def forward(self, x):
        return torch.nn.functional.avg_pool2d(self.net(x), 2)


MISFITS = {
    "cells=99 are finer than the 16 x 16 pixels": (Rise(cells=99), {}),
    "samples=20 are too few for 64 superpixels": (KernelShap(samples=20), {}),
    "cut 'channel_mean' needs baselines": (AttributionPatching(), {}),
    "resampling 1 slices 5 times": (AttributionPatching(cut="resample"), {"cases": ("c",)}),
    "cut 'mean_map' needs baselines": (ChannelCuts(cut="mean_map"), {}),
    "no labels": (ChannelCuts(cut="zero"), {"labels": None}),
    "logits are (8, 8) and the image is (16, 16)": (Misure(), {"net": Pooled()}),
    "no convolution 'last'": (SegNbdt(head="last"), {}),
    "no site 'enc9'": (SegNbdt(maps_at=["enc9"]), {}),
    "leave segnbdt out": (SegNbdt(), {"activation": "sigmoid"}),
}


def on(explainer, net=NET, activation=None, **probes):
    """A run of explain.py with that explainer, whose study must not begin."""
    own = network()
    settings = replace(own.settings, activation=activation or own.settings.activation)
    own = own._replace(probes=replace(own.probes, **probes), net=net, settings=settings)
    trained = SimpleNamespace(on=lambda _: own, baselines=None, edges=None, own=own)
    images = SimpleNamespace(slices=None, options={"image": None})

    def run(*_):
        raise AssertionError("the study began")

    study = SimpleNamespace(looks_at="slices", of_one_run=True, run=run)
    asked = ExplainConfig({"image": None}, study, {"one": explainer}, None)
    vars(asked)["networks"] = SimpleNamespace(last=(trained, None), images=images)
    return asked


@pytest.mark.parametrize("said", MISFITS)
def test_what_does_not_go_with_the_network_is_refused_before_the_study(said):
    explainer, differs = MISFITS[said]
    with pytest.raises(InputError, match=f"^explainers.one: .*{re.escape(said)}"):
        next(on(explainer, **differs).results())


@pytest.mark.parametrize("said", MISFITS)
def test_what_goes_with_no_slices_of_that_size_is_refused_before_an_image_is_read(said):
    explainer, differs = MISFITS[said]
    asked = on(explainer, **differs)
    trained, _ = asked.networks.last
    trained.blank = torch.zeros(1, 1, 16, 16)
    trained.on = lambda probes: trained.own._replace(probes=probes)
    options = {"image": "not_read.nii.gz", "probes": {"n": 1}}
    images = Images(options, "slices", (), first=pytest.fail, last=lambda: trained)
    asked.networks.images = images
    if isinstance(explainer, KernelShap):  # which counts the parts that a slice shows
        studied.check_before_image({"one": explainer}, images)
        return
    why = "no labels" if isinstance(explainer, ChannelCuts) else re.escape(said)
    with pytest.raises(InputError, match=f"^explainers.one: .*{why}"):
        next(asked.results())


def test_an_option_without_sense_is_told_with_its_place():
    rise = {"_target_": "segtrace.explainers.petsiuk2018.Rise", "masks": 4}
    with pytest.raises(InputError, match=r"^explainers.rise: masks=4; draw at least 10"):
        explainers_of({"explainers": {"rise": rise}})


def test_what_goes_with_it_lets_the_study_begin():
    for explainer in (Rise(), KernelShap(), AttributionPatching(cut="zero"), SegNbdt(), Misure()):
        with pytest.raises(AssertionError, match="began"):
            next(on(explainer).results())
