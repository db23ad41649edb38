"""Which path the maps name, on a network whose route is known."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers import routes as nets
from segtrace import InputError
from segtrace.causal.faithfulness.paths import CONTROLS, PATCHING
from segtrace.data.preprocessing import Preprocessing
from segtrace.report.page.page import Page
from segtrace.report.tables import read_table
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.studies.paths import Paths, PathsFound, choices_of, same
from studies.faithfulness.test_judging import MEANS, PROBES, SETTINGS, both, sigmoid

TRAINED = TrainedNetwork(
    "epoch_002",
    nets.Routed(),
    nets.ROUTED_STAGES,
    {"organ": 1},
    Preprocessing((-125.0, 275.0), 8, {"organ": 1}),
    SETTINGS,
    edges=nets.ROUTED_EDGES,
    baselines=MEANS,
)


@pytest.fixture(scope="module")
def found():
    return PathsFound([choices_of(TRAINED, PROBES)] * 5, [{}] * 5, PROBES.marks, "channel_mean")


def test_the_path_that_carries_all_is_named_by_every_map(found):
    for one in found.tallies:
        assert (one.pairs, one.units, one.unit) == (5, 5, "networks")
        known = one.predictor in ("seg_grad_cam", "grad_pam", PATCHING, "gradient norm")
        assert one.hits == (5 if known else one.hits)
        assert not one.beats  # the gradient norm names it as well


def test_channels_that_decide_each_for_itself_are_cut_as_such():
    net, channels, settings = sigmoid()
    trained = replace(TRAINED, net=net, channels=channels, settings=settings)
    found = choices_of(trained, both())
    assert found["organ"].values.tolist() == ["one", "other"]
    assert found["lost"].values.flatten().tolist() == [1] * 12


def test_table_figure_sentence_and_section(found, tmp_path, capsys):
    found.write(tmp_path)
    said = capsys.readouterr().out
    assert "Always the same path is right in every pair" in said
    table = read_table(tmp_path / "paths.csv")
    assert len(table) == 5 * (3 + len(CONTROLS))
    assert {row["stage"] for row in table} == {"dec1"}
    assert float(table[0]["dice_lost_apart"]) > 0.5
    assert float(table[0]["named"]) == 1
    assert (tmp_path / "figures" / "paths.png").stat().st_size > 5000
    assert len(read_table(tmp_path / "paths_tally.csv")) == 3 + len(CONTROLS)
    page = Page()
    found.show(page)
    (section,) = page.sections
    assert section.sentences[0] in said
    assert len(section.figures) == 1


def test_networks_that_are_no_replicates_are_refused(found):
    other = found.choices[0].assign_coords(organ=["spleen"])
    with pytest.raises(InputError, match="networks 1 and 2 have the organs organ and spleen"):
        same([found.choices[0], other])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"baselines": None}, "holds no baselines"),
        ({"edges": {}}, "needs a network whose edges are known"),
    ],
)
def test_what_is_missing_is_named(changed, words):
    with pytest.raises(InputError, match=words):
        choices_of(replace(TRAINED, **changed), PROBES)
    with pytest.raises(InputError, match="have no labels"):
        choices_of(TRAINED, replace(PROBES, labels=None))


def test_options_that_would_be_left_aside_are_refused():
    options = {"checkpoint": "a.ckpt", "image": None, "log_dir": None}
    Paths().check(options)
    for left in ({"stages": ["enc9"]}, {"region": "pred"}, {"score": "prob"}, {"measures": "all"}):
        with pytest.raises(InputError, match=f"leave {next(iter(left))} out"):
            Paths().check(options | left)
    with pytest.raises(InputError, match=r"needs checkpoint="):
        Paths().check(options | {"checkpoint": None})
    with pytest.raises(InputError, match="leave log_dir out"):
        Paths().check(options | {"log_dir": "logs"})
    assert not Paths.of_one_run
    assert (Path(__file__).parents[2] / "conf" / "study" / "paths.yaml").is_file()
