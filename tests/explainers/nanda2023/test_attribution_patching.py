"""Attribution patching as an explainer: estimates beside cuts that are made here by hand."""

import json

import pytest
import torch

import segtrace.explainers
from helpers import nets
from helpers.explaining import explained, network
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.causal.baselines import collect
from segtrace.explainers.nanda2023.attribution_patching import AttributionPatching
from segtrace.network.hooks import edit
from segtrace.network.sites import sites_of
from segtrace.report.tables import read_table

NET, X = nets.basic_unet(3), nets.images(3, 32)
TRUTH = nets.labels(3, 32, 3)
STAGES = {"enc2": "down_1", "dec4": "upcat_1"}
SITES = sites_of(NET, STAGES, None)
MEANS = collect(NET, SITES, [nets.images(4, 32, seed=8)], maps=True)
ORGANS = {"a": Organ(1, 1), "b": Organ(2, 2)}


def slices(region="gt", activation="softmax", truth=TRUTH, images=X):
    if activation == "sigmoid":
        truth = torch.stack([truth == 0, truth == 1, truth == 2], 1)
    of = network(region, NET, images, truth, ORGANS, list(STAGES), activation=activation)
    return of._replace(stages=STAGES)


def region_of(channel, logits, region, activation):
    if region == "gt":
        return channel == TRUTH
    return logits[:, channel] > 0 if activation == "sigmoid" else logits.argmax(1) == channel


@torch.no_grad()
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("region", ["gt", "pred"])
def test_beside_every_estimate_stands_what_the_cut_costs(region, activation):
    found = explained(AttributionPatching(baselines=MEANS), slices(region, activation))
    whole, seen = NET(X), 0
    flow = found.maps.explained.record.flow
    assert flow.sites == tuple(site.name for site in SITES)
    for s, site in enumerate(SITES):
        mean = MEANS.channels[site.name][:, None, None]
        with edit(NET, {site: lambda t, mean=mean: mean.to(t).expand_as(t).clone()}):
            after = NET(X)
        for o, channel in enumerate((1, 2)):
            mask = region_of(channel, whole, region, activation)
            for n in range(3):
                own = found.estimates.isel(site=s, organ=o, slice=n)
                if not mask[n].any():
                    assert torch.isnan(torch.tensor(float(own["estimate"])))
                    continue
                lost = (whole - after)[n, channel][mask[n]].mean()
                assert float(own["score_lost"]) == pytest.approx(float(lost))
                mapped = flow.maps[site.name][0, o, n].sum() / mask[n].sum()
                assert float(own["estimate"]) == pytest.approx(float(mapped))
                seen += 1
    assert seen > 2 * len(SITES)
    assert found.spent.forward == 3
    assert found.spent.cuts == 3 * len(SITES)


def test_its_files_and_its_section_say_what_was_done(tmp_path):
    found = explained(AttributionPatching(baselines=MEANS), slices())
    found.write(tmp_path)
    rows = read_table(tmp_path / "estimates.csv")
    assert len(rows) == len(SITES) * 2 * 3
    assert {row["enters"] for row in rows if row["site"] == "skip_2"} == {"dec2"}
    (own,) = [row for row in read_table(tmp_path / "agreement.csv") if row["site"] == "up_4"]
    both = [(float(row["estimate"]), float(row["score_lost"])) for row in rows
            if row["site"] == "up_4" and row["estimate"] != "nan"]  # fmt: skip
    assert float(own["bias"]) == pytest.approx(sum(e - r for e, r in both) / len(both))
    assert (tmp_path / "figures" / "estimates.png").is_file()
    assert "nanda2023" in (tmp_path / "figures" / "references.bib").read_text()
    ranks = read_table(tmp_path / "within_stages.csv")
    assert {row["predictor"] for row in ranks} == {
        "attribution patching", "gradient norm", "activation norm", "number of values",
    }  # fmt: skip
    said = " ".join(found.section().sentences)
    assert "All 10 sites from 3 forward and 6 backward passes of one image" in said
    assert "no claim" in said
    assert found.claim is None or not found.claim.holds  # of one network


def test_without_time_labels_or_a_wish_nothing_stands_beside(monkeypatch, tmp_path):
    seconds = iter(range(10**6))
    monkeypatch.setattr("segtrace.explainers.explainer.perf_counter", lambda: next(seconds))
    module = "segtrace.explainers.nanda2023.attribution_patching.perf_counter"
    monkeypatch.setattr(module, lambda: 0)
    late = explained(AttributionPatching(baselines=MEANS), slices(), max_seconds=0.5)
    assert "The time was over before the cuts were done" in " ".join(late.section().sentences)
    late.write(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text())["whole"] is False
    assert "score_lost" not in read_table(tmp_path / "estimates.csv")[0]
    for explainer, of in (
        (AttributionPatching(check=False, baselines=MEANS), slices()),
        (AttributionPatching(baselines=MEANS), slices("all")),
    ):
        found = explained(explainer, of)
        assert found.check is None
        assert "No cuts were made" in " ".join(found.section().sentences)


def test_from_python_in_one_call():
    found = segtrace.explainers.attribution_patching(
        NET, STAGES, X, ORGANS, cut="resample", draws=2, check=False
    )
    assert found.estimates["estimate"].shape == (len(SITES), 2, 3)
    with pytest.raises(InputError, match="needs baselines"):
        segtrace.explainers.attribution_patching(NET, STAGES, X, ORGANS)


def test_a_cut_that_is_not_known_is_refused():
    with pytest.raises(InputError, match=r"no cut 'channel_meen'.*did you mean channel_mean"):
        AttributionPatching(cut="channel_meen")


def test_explain_py_takes_what_the_checkpoint_holds(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[attribution_patching]",
        "stages=[dec4]", "organs=[liver]", "failures=false", "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    folder = tmp_path / "out" / "explainers" / "attribution_patching"
    sites = {row["site"] for row in read_table(folder / "agreement.csv")}
    assert {"dec4", "skip_1", "up_1"} < sites
    assert "enc1" not in sites
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<h2>Attribution patching</h2>" in page


def test_sites_that_are_exact_by_construction_or_told_before_are_not_counted(tmp_path):
    from helpers.explaining import NET as plain

    found = segtrace.explainers.attribution_patching(
        plain, {"enc1": "0", "same": "0", "head": "5"}, nets.images(3, 16), {"a": 1, "b": 2},
        cut="zero",
    )  # fmt: skip
    said = " ".join(found.section().sentences)
    assert "of 1 site the estimate" in said
    assert "Not counted: head, exact, since all behind it is linear" in said
    assert "Counted once: same is enc1." in said
    found.write(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["options"]["cut"] == "zero"
    assert manifest["passes_of"] == {"forward": 3, "backward": 6, "cuts": 9}
    assert (manifest["passes"], manifest["whole"], manifest["cuts_made"]) == (18, True, True)


@pytest.mark.parametrize("name", ["attribution_patching", "deepdream", "misure", "segnbdt", "rise"])
def test_slices_that_are_not_finite_are_refused(name):
    x = X.clone()
    x[1, 0, 3, 3] = torch.nan
    stages = () if name in ("deepdream", "misure", "rise") else (STAGES,)
    options = {"cut": "zero"} if name == "attribution_patching" else {}
    with pytest.raises(InputError, match="image holds 1 values that are NaN or infinite"):
        getattr(segtrace.explainers, name)(NET, *stages, x, ORGANS, **options)
