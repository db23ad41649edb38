"""Maps put to the test, on a network whose route is known."""

from dataclasses import replace

import pytest
import torch

from cli.test_bad_input import one_line
from helpers import routes as nets
from helpers.scripts import run_script
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.causal.baselines import collect
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.probes import Probes
from segtrace.measures.over_cases import COVERAGE, intervals
from segtrace.network.sites import sites_of
from segtrace.report.tables import read_table
from segtrace.studies.faithfulness.files import in_words, write_result
from segtrace.studies.faithfulness.judging import judge_maps, judge_trained
from segtrace.studies.inputs.trained_network import TrainedNetwork
from segtrace.tracking.explained import Network, Settings

X, TRUTH = nets.blob(6)
CASES = tuple("abcdef")
NET = nets.Routed()
MEANS = collect(NET, sites_of(NET, nets.ROUTED_STAGES, nets.ROUTED_EDGES), [X])
PROBES = Probes(
    images=X.float(),
    labels=TRUTH.to(torch.uint8),
    cases=CASES,
    slices=tuple(range(6)),
    spacing=torch.ones(6, 2).double(),
    split="test",
    phantom=True,
)
SETTINGS = Settings(rules=["seg_grad_cam", "grad_pam"])


def network(net=NET, channels=None, probes=PROBES):
    return Network(net, nets.ROUTED_STAGES, probes, channels or {"organ": 1}, SETTINGS)


def judge(one=None, **options):
    return judge_maps(one or network(), nets.ROUTED_EDGES, MEANS, **options)


@pytest.fixture(scope="module")
def judged():
    return judge(epoch=3)


def test_places_are_judged_at_every_stage_but_the_last(judged):
    assert {v.site for v in judged.verdicts} == {"enc1", "enc2", "dec1"}
    words = {(v.site, v.rule, v.where): v.verdict for v in judged.verdicts}
    assert words["enc1", "grad_pam", "anywhere"] == "a control is missing"  # the untrained
    assert words["enc1", "seg_grad_cam", "anywhere"] == "a control is missing"
    off_the_route = [v for v in judged.verdicts if v.site == "enc2"]
    assert {(v.verdict, v.cases) for v in off_the_route} == {("too few cases", 0)}  # dead maps
    assert (judged.cases, judged.slices) == (6, 6)


def test_edges_are_ranked_and_two_are_too_few(judged):
    names = {ranking.predictor for ranking in judged.rankings}
    assert names == {
        "gradient norm", "number of cells", "depth", "map size, seg_grad_cam", "map size, grad_pam",
        "share of the score",
    }  # fmt: skip
    assert {ranking.verdict for ranking in judged.rankings} == {"too few cases"}


def test_the_edge_that_carries_brings_the_organ_along(judged):
    came = intervals(judged.carried["came_along"])["mean"]
    assert came.sel(site=["skip_1", "up_1"]).values.flatten().tolist() == [1, 0]


def test_the_untrained_network_is_held_against_the_trained_one():
    found = judge(untrained=network(nets.Routed()))
    judged = {v.verdict for v in found.verdicts if (v.site, v.where) == ("enc1", "anywhere")}
    assert judged == {"not supported here"}  # a map that training did not change proves nothing
    assert "map size, grad_pam, untrained" in {r.predictor for r in found.rankings}
    assert found.untrained


def test_organs_that_cannot_be_judged_are_left_out_with_the_reason():
    blind = TRUTH.clone()
    blind[:, 0, 0] = 2
    probes = replace(PROBES, labels=blind.to(torch.uint8))
    net = nets.Routed()
    net.head = torch.nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        net.head.weight.copy_(torch.tensor([-1.0, 1.0, 0.0, 0.0]).view(4, 1, 1, 1))
        net.head.bias.copy_(torch.tensor([0.5, -0.5, -9.0, -9.0]))
    net.double()
    organs = {"organ": 1, "speck": 2, "spleen": 3}
    found = judge(network(net, organs, probes))
    assert found.left_out == {
        "spleen": "on none of the slices", "speck": "not found at all (Dice 0)"
    }  # fmt: skip
    assert {v.organ for v in found.verdicts} == {"organ"}
    assert any("Left out: speck, not found at all" in line for line in in_words(found))


def sigmoid():
    """Of a network in which each of two organs, the same square, has a channel of its own."""
    net = nets.Routed()
    net.head = torch.nn.Conv2d(1, 2, 1).double()
    with torch.no_grad():
        net.head.weight.fill_(2.0)
        net.head.bias.fill_(-1.0)
    settings = replace(SETTINGS, activation="sigmoid")
    return net, {"one": Organ(0, 1), "other": Organ(1, 2)}, settings


def both():
    """The probes with masks of both organs."""
    return replace(PROBES, labels=torch.stack([TRUTH, TRUTH], 1).bool())


def test_channels_that_decide_each_for_itself_are_judged_as_such():
    net, channels, settings = sigmoid()
    found = judge(Network(net, nets.ROUTED_STAGES, both(), channels, settings))
    assert {v.organ for v in found.verdicts} == {"one", "other", "all"}
    assert found.left_out == {}
    came = intervals(found.carried["came_along"])["mean"]
    assert came.sel(site="skip_1").values.tolist() == [1, 1]


def test_files_and_words_say_the_same(judged, tmp_path, capsys):
    write_result(judged, tmp_path)
    rows = read_table(tmp_path / "verdicts.csv")
    assert len(rows) == len(judged.verdicts) == 2 * 3 * 2
    assert len(read_table(tmp_path / "rankings.csv")) == len(judged.rankings)
    assert len(read_table(tmp_path / "patching.csv")) == 2 * 1 * 6
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"verdicts.png", "verdicts.pdf", "rankings.png", "rankings.pdf"} <= names
    printed = capsys.readouterr().out
    assert "6 slices of 6 cases, one run; no untrained network at hand" in printed
    assert "skip_1 100%, up_1 0%" in printed
    assert f"Numbers are means over cases. {COVERAGE}" in printed
    ranked = next(n for n in printed.splitlines() if n.startswith("share of the score"))
    assert "the same in all 6 cases" in ranked
    row = next(r for r in rows if (r["site"], r["rule"], r["where"]) == ("enc1", "grad_pam",
               "anywhere"))  # fmt: skip
    line = next(n for n in printed.splitlines() if n.startswith("enc1     grad_pam       anywhere"))
    assert f"{float(row['by_map']):.3f}" in line
    assert line.endswith(row["verdict"])


def test_a_checkpoints_own_edges_and_baselines_are_used(capsys):
    trained = TrainedNetwork(
        name="epoch_003",
        net=NET,
        stages=nets.ROUTED_STAGES,
        channels={"organ": 1},
        preprocessing=Preprocessing((-125.0, 275.0), 8, {"organ": 1}),
        settings=SETTINGS,
        epoch=3,
        edges=nets.ROUTED_EDGES,
        baselines=MEANS,
    )
    found = judge_trained(trained, None, PROBES)
    assert found.epoch == 3
    assert "Removing what maps mark, about" in capsys.readouterr().out


def test_stages_that_are_named_are_judged_alone(judged):
    named = network()._replace(settings=replace(SETTINGS, stages=["dec1", "head"]))
    found = judge(named, epoch=3)
    assert {v.site for v in found.verdicts} == {"dec1"}
    assert found.stages == ("enc1", "enc2", "dec1", "head")  # so that the last is known
    assert len(found.rankings) == len(judged.rankings)  # of edges, as with all stages
    with pytest.raises(InputError, match=r"redrawn, .* of stages=\[enc1,enc2,dec1\]"):
        judge(named._replace(settings=replace(SETTINGS, stages=["head"])))


def test_mistakes_are_named():
    with pytest.raises(InputError, match="labels, which these slices lack"):
        judge(network(probes=replace(PROBES, labels=None)))
    with pytest.raises(InputError, match="holds no baselines"):
        judge_maps(network(), nets.ROUTED_EDGES, None)
    with pytest.raises(InputError, match="no organ 'orgn'; this network has organ"):
        judge(network()._replace(settings=replace(SETTINGS, organs=["orgn"])))
    with pytest.raises(InputError, match="finds none of the organs on these slices"):
        judge(network(nets.Routed(0.0, 0.0)))


def test_the_script_writes_verdicts_and_two_cases_are_too_few(run, tiny_raw, tmp_path):
    data = ("data=synapse", f"data.root={tiny_raw}", "data.cache_dir=cache",
            "data.split={train: ['0005'], val: ['0006'], test: ['0001', '0027']}")  # fmt: skip
    ran = run_script(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "study=verdict", "rules=[grad_pam]",
        "hydra.run.dir=out", *data, cwd=tmp_path,
    )  # fmt: skip
    assert ran.code == 0, ran.err[-3000:]
    assert "of 2 cases, one run; beside the untrained network" in ran.out
    rows = read_table(tmp_path / "out" / "verdicts.csv")
    assert {row["verdict"] for row in rows} == {"too few cases"}
    assert {row["rule"] for row in rows} == {"grad_pam"}
    assert len(read_table(tmp_path / "out" / "patching.csv")) > 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<h2>Do cuts bear out the maps? Epoch 2</h2>" in page
    assert page.count("<td>too few cases</td>") > 0


def test_the_script_answers_a_verdict_without_a_checkpoint(tmp_path):
    ran = run_script("explain.py", "net=a:b", "verdict=true", cwd=tmp_path)
    one_line(ran, "verdict=true needs checkpoint=")


def test_of_a_network_that_finds_next_to_nothing_it_is_said_that_nothing_can_be_carried(judged):
    carried = judged.carried.assign(came_along=judged.carried["came_along"] * float("nan"))
    said = "\n".join(in_words(replace(judged, carried=carried)))
    assert "brings along of another case cannot be told: the network finds too little" in said
    assert "nan%" not in said
    assert "brings along, of what that case shows:" in "\n".join(in_words(judged))
