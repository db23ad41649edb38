"""What cuts would cost at every epoch: equal to attribution patching, and kept over a stop."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

import segtrace
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.necessity import Necessity
from segtrace.measures.over_cases import over_cases
from segtrace.report.figures.estimates import course_figure
from segtrace.report.tables import read_table
from segtrace.studies.inputs.trained_network import from_checkpoint
from segtrace.tracking.edges import settled_sites
from segtrace.tracking.estimates import Course, wanted


def test_the_table_of_a_training_is_attribution_patching_of_its_weights(run):
    rows = read_table(run.folder / "flow" / "estimates.csv")
    assert {row["epoch"] for row in rows} == {"0", "1", "2"}
    trained = from_checkpoint(run.checkpoint(2))
    network = trained.on(trained.slices(None, None, "val"))
    probes = network.probes
    sites = settled_sites(trained.net, trained.stages, trained.edges, probes.images)
    wanted_of = targets.organs(trained.channels, "gt", probes.labels.long())
    flow = segtrace.attribution_patching(
        trained.net, sites, probes.images, wanted_of, trained.baselines.channels
    )
    mine = {(row["site"], row["organ"]): row for row in rows if row["epoch"] == "2"}
    assert len(mine) == len(sites) * len(flow.organs)
    for site, maps in flow.maps.items():
        own = maps[0].double().flatten(2).sum(2) / flow.region_px
        over = over_cases(own, probes.cases)
        for o, organ in enumerate(flow.organs):
            row = mine[site, organ]
            close = {"nan_ok": True, "rel": 1e-3, "abs": 1e-4}
            assert float(row["estimate"]) == pytest.approx(float(over.mean[o]), **close)
            assert float(row["estimate_low"]) == pytest.approx(float(over.low[o]), **close)
    assert (run.folder / "flow" / "timeline" / "estimate.png").is_file()


def test_without_means_or_on_another_region_nothing_is_estimated(run):
    trained = from_checkpoint(run.checkpoint(2))
    network = trained.on(trained.slices(None, None, "val"))
    assert wanted(network, trained.edges, trained.baselines) is not None
    assert wanted(network, trained.edges, None) is None
    other = SimpleNamespace(channels={"enc1": torch.zeros(1)})
    assert wanted(network, trained.edges, other) is None
    settings = SimpleNamespace(region="pred")
    assert wanted(network._replace(settings=settings), trained.edges, trained.baselines) is None


SITES, ORGANS = ["enc1", "skip_1", "up_1"], ["a", "b"]


def course():
    found = Course()
    for epoch in (0, 1, 2):
        values = np.arange(6.0).reshape(3, 2) * epoch
        found.estimates[epoch] = xr.DataArray(values, {"site": SITES, "organ": ORGANS},
                                              ("site", "organ"))  # fmt: skip
    scores = torch.ones(3, 1, 2, dtype=torch.float64)  # the other organ is on no slice
    scores[2] = torch.tensor([0.5, 0.25])
    lost = Necessity.of(
        sites=SITES, places=("stage", "edge", "edge"), organs=("a",), cases=("x", "y"), cut="zero",
        draws=1, score="logit", cut_vertex=torch.tensor([True, False, False]),
        whole_dice=scores[0], whole_score=scores[0] * 3, dice=scores, scores=scores,
    )  # fmt: skip
    found.check(SimpleNamespace(necessity=lost, epoch=2))
    return found


def test_a_course_goes_on_from_its_plain_form():
    first = course()
    plain = torch.utils._pytree.tree_map(lambda one: one, first.to_plain())
    second = Course.from_plain(plain)
    for one, other in zip(first.joined(), second.joined(), strict=True):
        xr.testing.assert_equal(one, other)
    guess, real = first.joined()
    assert guess["epoch"].values.tolist() == [0, 1, 2]
    assert real["epoch"].values.tolist() == [2]
    assert guess["organ"].values.tolist() == ["a"]
    assert real.sel(site="up_1", organ="a", epoch=2).item() == pytest.approx(3 - 0.375)
    assert Course().joined() is None


@pytest.mark.parametrize(
    "plain", [{}, {"estimates": 3, "lost": {}}, {"estimates": {0: {"score": 1}}, "lost": {}}]
)
def test_what_is_no_course_is_refused(plain):
    with pytest.raises(InputError):
        Course.from_plain(plain)


def test_the_picture_leaves_out_what_every_path_runs_through():
    figure, caption = course_figure(*course().joined(), "zero", {"enc1"}, ["PHANTOM"])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[-2:] == ["estimate, every epoch", "real cut"]
    assert set(words[:-2]) == {"skip_1", "up_1"}
    assert "no more is claimed" in caption
