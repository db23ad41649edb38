"""Ablation-CAM against a slow loop, captum, and what is known of it by hand."""

import json

import captum.attr
import numpy as np
import pytest
import torch

from helpers import nets
from helpers.explaining import NET, ORGANS, TRUTH, X, clock, explained, network
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.explainers.desai2020 import AblationCam
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table

STAGES = ("enc1", "enc2")


def passed(stage, cut=()):
    """Activation of a stage and logits, by going through the layers one by one."""
    x = X
    for number, layer in enumerate(NET):
        x = layer(x)
        if str(number) == nets.PLAIN_STAGES[stage]:
            x = x.clone()
            x[:, list(cut)] = 0
            activation = x
    return activation, x


def slow(stage, organ, n):
    """Eq. of the paper for one slice, channel by channel, in float64."""
    region = TRUTH[n] == ORGANS[organ]
    activation, logits = passed(stage)
    score = float(logits[n, ORGANS[organ]][region].sum())
    found = torch.zeros(activation.shape[2:], dtype=torch.float64)
    for k in range(activation.shape[1]):
        cut = float(passed(stage, [k])[1][n, ORGANS[organ]][region].sum())
        found += (score - cut) / abs(score) * activation[n, k]
    return found


@torch.no_grad()
def test_maps_equal_the_equation_channel_by_channel():
    flow = explained(AblationCam()).explained.record.flow
    assert (flow.rules, flow.organs, flow.stages) == (("ablation_cam",), ("a", "b"), STAGES)
    seen = 0
    for stage in STAGES:
        for o, organ in enumerate(ORGANS):
            for n in range(3):
                if int(flow.region_px[o, n]) == 0:
                    assert not flow.maps[stage][0, o, n].any()
                    assert set(flow.status[:, 0, o, n].tolist()) == {Status.ABSENT}
                    continue
                torch.testing.assert_close(flow.maps[stage][0, o, n], slow(stage, organ, n))
                seen += 1
    assert seen > 6


@torch.no_grad()
def test_what_channels_weigh_is_written_and_the_heaviest_are_named(tmp_path):
    found = explained(AblationCam())
    found.write(tmp_path)
    rows = read_table(tmp_path / "weights.csv")
    assert len(rows) == sum(2 * 3 * passed(stage)[0].shape[1] for stage in STAGES)
    there = found.flow.region_px[0] > 0
    for row in rows:
        n, k = int(row["slice"]), int(row["channel"])
        if row["organ"] == "a" and there[n]:
            region = TRUTH[n] == 1
            whole, cut = (
                float(passed(row["stage"], ks)[1][n, 1][region].sum()) for ks in ([], [k])
            )
            assert float(row["weight"]) == pytest.approx((whole - cut) / abs(whole))
    table = found.section().tables[1]
    means = found.weights["enc2"][0][there].mean(0)
    k = int(means.argmax())
    assert table.rows[STAGES.index("enc2")][1].startswith(f"{k} ({float(means[k]):.2g})")
    assert table.caption.endswith("no claim.")
    shared = explained(AblationCam(at_once=2)).section().tables[1].caption
    assert shared.endswith("channels cut together share theirs.")


@torch.no_grad()
def test_weights_are_captums_feature_ablation():
    flow = explained(AblationCam()).explained.record.flow
    region = (TRUTH == 1).double()

    def score(x):
        return (NET(x)[:, 1] * region).flatten(1).sum(1)

    layer = NET.get_submodule(nets.PLAIN_STAGES["enc2"])
    activation, _ = passed("enc2")
    channels = torch.arange(activation.shape[1]).reshape(1, -1, 1, 1).expand(activation[:1].shape)
    lost = captum.attr.LayerFeatureAblation(score, layer).attribute(X, layer_mask=channels)
    expected = (lost * activation).sum(1) / score(X).abs()[:, None, None]
    there = flow.region_px[0] > 0
    torch.testing.assert_close(flow.maps["enc2"][0, 0][there], expected[there])


@torch.no_grad()
def test_channels_that_are_cut_together_share_what_it_costs():
    whole = explained(AblationCam(at_once=99)).explained.record.flow
    activation, logits = passed("enc1")
    none = passed("enc1", range(activation.shape[1]))[1]
    region = TRUTH[0] == 1
    before, after = (float(one[0, 1][region].sum()) for one in (logits, none))
    expected = (before - after) / abs(before) * activation[0].mean(0)
    torch.testing.assert_close(whole.maps["enc1"][0, 0, 0], expected)


def test_the_region_of_the_prediction_is_that_of_the_network_as_it_is():
    flow = explained(AblationCam(), network("pred")).explained.record.flow
    assert torch.equal(flow.region_px[0], (flow.prediction == 1).flatten(1).sum(1))


def test_what_is_not_reached_in_time_is_left_out_or_told(monkeypatch):
    clock(monkeypatch)
    found = explained(AblationCam(), max_seconds=5)  # four cuts for enc1, five for enc2
    assert found.explained.record.flow.stages == ("enc1",)
    assert found.left_out == ("enc2",)
    assert "The time did not suffice for enc2" in " ".join(found.section().sentences)
    with pytest.raises(InputError, match=r"Ablation-CAM: 0\.5 s are over before a stage is done"):
        explained(AblationCam(), max_seconds=0.5)


@pytest.mark.parametrize("options", [{"at_once": 0}, {"max_seconds": 0.0}])
def test_options_without_sense_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        AblationCam(**options)


def test_explain_py_writes_it_into_a_folder_of_its_own_and_shows_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[ablation_cam]",
        "explainers.ablation_cam.at_once=4", "stages=[dec4]", "organs=[liver]", "failures=false",
        "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    assert "Ablation-CAM: " in ran.out
    assert "forward passes of one image, stopping at max_seconds=600, about" in ran.out
    folder = tmp_path / "out" / "explainers" / "ablation_cam"
    flow = load_maps(folder / "maps.npz").flow
    rows = read_table(folder / "measures.csv")
    assert {(row["rule"], row["organ"], row["stage"]) for row in rows} == {
        ("ablation_cam", "liver", "dec4")
    }
    assert np.isfinite(flow.maps["dec4"].numpy()).all()
    assert (folder / "figures" / "ablation_cam" / "liver.png").is_file()
    caption = (folder / "figures" / "ablation_cam" / "caption.txt").read_text()
    assert caption.startswith("Liver, Ablation-CAM, a map a stage. Method: Ablation-CAM (Desai")
    assert "desai2020" in (folder / "figures" / "ablation_cam" / "references.bib").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["options"] == {"at_once": 4, "max_seconds": 600.0}
    assert manifest["whole"]
    assert manifest["passes"] > 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<h2>Ablation-CAM</h2>" in page
    assert "desai2020" in page


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("explainers.ablation_cam.foo=1", "no option 'explainers.ablation_cam.foo'; allowed are"),
        ("explainers.ablation_cam.at_once=0", "at_once of AblationCam is 0; give a whole"),
        ("runs=x", "explainer=ablation_cam explains slices, and this study has none"),
        ("explainer=ablation_kam", "no explainer 'ablation_kam'; .*did you mean ablation_cam"),
        ("explainer=[ablation_kam]", "no explainer 'ablation_kam'; .*did you mean ablation_cam"),
    ],
)
def test_what_an_explainer_does_not_take_is_one_line(typed, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = () if typed.startswith("explainer=") else ("explainer=ablation_cam",)
    ran = answer_of("explain.py", *named, typed)
    (line,) = ran.err.strip().splitlines()
    with pytest.raises(InputError, match=message):
        raise InputError(line)
