"""Cutting during a training: in anybody's module, without a mark, gone on with after a stop."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.saving import pixels
from helpers.tags import expected_tags
from segtrace import FlowCallback, InputError
from segtrace.data.probes import Probes
from segtrace.report.figures.drawing import as_picture
from segtrace.report.tables import read_table
from segtrace.tracking.cut_pictures import table_figure
from training.callbacks.test_flow import ORGANS, RULES, STAGES, fit, loader, watch

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)

EDGES = {
    "skip_1": {"stage": "head", "module": "last", "argument": 0, "joined": "cat", "beside": "up",
               "source": "enc1"},
    "up_1": {"stage": "head", "module": "up", "source": "enc2"},
}  # fmt: skip


def cutting(**options):
    slices = torch.cat([image for image, _ in loader(shuffle=False)])
    return watch(**({"cut_every": 2, "edges": EDGES, "training_slices": slices} | options))


@pytest.fixture(scope="module")
def cut_run(tmp_path_factory):
    """Three epochs of which 0, 2 and 3 are cut: the folder, and what the last cuts cost."""
    folder, callback = tmp_path_factory.mktemp("cut"), cutting()
    fit(folder, [callback], epochs=3)
    return folder / "tb", callback.cuts


@pytest.fixture(scope="module")
def folder(cut_run):
    return cut_run[0]


def test_final_weights_are_bit_identical_with_and_without_cuts(tmp_path):
    with_them = fit(tmp_path / "with", [cutting(cut_every=1)]).state_dict()
    without = fit(tmp_path / "without", []).state_dict()
    assert all(torch.equal(with_them[name], without[name]) for name in without)
    assert (tmp_path / "with" / "tb" / "flow" / "necessity.csv").is_file()


def test_it_logs_the_expected_tags_and_no_others(folder):
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()
    expected = expected_tags(rules=RULES, organs=ORGANS, cut=ORGANS)
    theirs = {"hp_metric", "_hparams_/experiment"}
    assert {*tags["images"], *tags["scalars"], *tags["tensors"]} - theirs == expected
    for tag, steps in (("4_cut/route/box", [2, 3]), ("4_cut/dice_lost", [0, 2, 3])):
        assert [event.step for event in events.Images(tag)] == steps


def test_pictures_and_sentences_are_files_as_well_and_the_untrained_has_no_route(folder):
    assert not (folder / "flow" / "epoch_000" / "route").exists()
    for epoch in (0, 2, 3):
        place = folder / "flow" / f"epoch_{epoch:03d}"
        assert (place / "necessity.png").is_file()
    for epoch in (2, 3):
        place = folder / "flow" / f"epoch_{epoch:03d}" / "route"
        names = {path.name for path in place.iterdir()}
        assert names == {"box.png", "corner.png", "sentences.txt"}
        assert (place / "sentences.txt").read_text().startswith("* ")
    assert not (folder / "flow" / "epoch_001" / "necessity.png").exists()


def test_the_pictures_show_the_cuts_of_their_epoch(cut_run):
    folder, cuts = cut_run
    place = folder / "flow" / "epoch_003"
    table = as_picture(table_figure(cuts)[0])
    np.testing.assert_array_equal(pixels(place / "necessity.png"), table)
    before = pixels(place.with_name("epoch_000") / "necessity.png")
    assert before.shape != table.shape or (before != table).any()
    words = pixels(place / "route" / "box.png")
    assert (words != pixels(place / "route" / "corner.png")).any()


def test_every_loss_stands_beside_the_untrained_networks_and_adds_up(folder):
    rows = read_table(folder / "flow" / "necessity.csv")
    sites = [*STAGES, *EDGES]
    assert len(rows) == 3 * len(sites) * len(ORGANS)
    start = {(r["site"], r["organ"]): r for r in rows if r["epoch"] == "0"}
    slices = read_table(folder / "flow" / "necessity_slices.csv")
    for row in rows:
        if row["epoch"] != "0":
            first = start[row["site"], row["organ"]]
            assert row["dice_lost_untrained"] == first["dice_lost"]
        mine = [float(r["dice"]) - float(r["dice_cut"]) for r in slices
                if all(r[k] == row[k] for k in ("epoch", "site", "organ"))]  # fmt: skip
        known = [lost for lost in mine if lost == lost]
        assert float(row["dice_lost"]) == pytest.approx(sum(known) / len(known), abs=1e-9)
        assert row["slices"] == str(len(known))
        assert row["cases"] == "1"  # a loader that names no cases
        assert row["dice_lost_low"] == "nan"  # one case has no interval
    vertices = {row["site"] for row in rows if row["cut_vertex"] == "True"}
    assert vertices == {"enc1", "head"}


def test_shares_of_a_stage_add_to_one_in_the_table(folder):
    rows = read_table(folder / "flow" / "route.csv")
    assert {row["epoch"] for row in rows} == {"2", "3"}
    for epoch in ("2", "3"):
        for organ in ORGANS:
            own = [r for r in rows if r["epoch"] == epoch and r["organ"] == organ]
            assert {r["edge"]: r["source"] for r in own} == {"skip_1": "enc1", "up_1": "enc2"}
            total = sum(float(r["share"]) for r in own)
            assert abs(total - 1) == pytest.approx(float(own[0]["sum_error"]), abs=1e-9)


def test_an_organ_that_is_on_no_probe_is_left_out_and_said(tmp_path, capsys):
    organs = ORGANS | {"ghost": 0}
    images, labels = zip(*loader(shuffle=False), strict=True)
    probes = probes_of(torch.cat(images)[3:], torch.cat(labels)[3:].clamp(1))
    fit(tmp_path, [cutting(organs=organs, probes=probes)], epochs=1)
    assert "On none of the probes, so not cut: ghost." in capsys.readouterr().out
    rows = read_table(tmp_path / "tb" / "flow" / "necessity.csv")
    assert {row["organ"] for row in rows} == set(ORGANS)


def probes_of(images, labels):
    n = len(images)
    spacing = torch.full((n, 2), torch.nan, dtype=torch.float64)
    return Probes(images, labels.to(torch.uint8), ("a", "b", "b")[:n], tuple(range(n)), spacing,
                  "val", False)  # fmt: skip


def test_without_training_slices_it_warns_and_cuts_nothing(tmp_path):
    with pytest.warns(UserWarning, match="cut_every=2, but nothing will be cut: give FlowCallback"):
        fit(tmp_path, [watch(cut_every=2)], epochs=1)
    assert not (tmp_path / "tb" / "flow" / "necessity.csv").exists()


def test_without_edges_stages_alone_are_cut_and_there_is_no_route(tmp_path):
    fit(tmp_path, [cutting(edges={})], epochs=1)
    flow = tmp_path / "tb" / "flow"
    assert {row["site"] for row in read_table(flow / "necessity.csv")} == set(STAGES)
    assert not (flow / "route.csv").exists()
    assert not (flow / "epoch_001" / "route").exists()


def test_cutting_less_often_than_every_epoch_is_a_whole_number_of_epochs():
    with pytest.raises(InputError, match="cut_every=0; give 1 or more, or null for never"):
        FlowCallback(cut_every=0)
