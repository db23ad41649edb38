"""The nuances of the paper as commands, on a run of the scripts, and their parts on toys."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import xarray

import segtrace
from helpers import nets
from helpers.routes import ROUTED_STAGES, Routed, blob
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.data.probes import Probes
from segtrace.report.claims.nuances.leakage import Cut
from segtrace.report.tables import read_table
from segtrace.studies.nuances.bottleneck import Bottleneck
from segtrace.studies.nuances.instances import Instances, _untrained, redrawn
from segtrace.studies.nuances.leakage import Leakage, _peaks, _shown, of_region
from segtrace.studies.nuances.nuance import Looked
from segtrace.tracking.explained import DEFAULT, Network, Settings, explain_probes

SAID = {
    "nuance_bottleneck": ("cutting enc5 and dec4", "no claim: that takes 5", "By construction"),
    "nuance_instances": ("maps of two parts of every organ", "No organ is recognised"),
    "nuance_leakage": ("No leakage event: ", "what follows are the largest"),
}


@pytest.mark.parametrize("study", SAID)
def test_explain_py_runs_it(study, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", f"study={study}", "hydra.run.dir=out"
    )
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    for words in SAID[study]:
        assert words.lower() in ran.out.lower()
    assert read_table(tmp_path / "out" / f"{study}.csv")
    drawn = tmp_path / "out" / "figures" / f"{study}.png"
    assert drawn.is_file() == ("no organ is recognised" not in ran.out.lower())
    page = (tmp_path / "out" / "index.html").read_text()
    assert (tmp_path / "out" / "untrained" / "maps.npz").is_file()
    assert '"epoch": 0' in page or '"epoch":0' in page
    assert "Nothing to compare with" not in page
    assert f"{study}.csv" in page
    assert run.checkpoint(2).name in page  # what made it


def test_stages_without_the_bottleneck_are_refused_before_any_work():
    stages = {"enc1": "1", "enc2": "3", "dec1": "5"}
    network = Network(nets.plain(), stages, None, {"a": 1}, DEFAULT)
    Bottleneck().check_stages(network)
    some = network._replace(settings=replace(DEFAULT, stages=["enc1", "dec1"]))
    with pytest.raises(InputError, match=r"leaves out enc2.*say stages=\[enc2,dec1,enc1\]"):
        Bottleneck().check_stages(some)
    Bottleneck(bottleneck="enc1").check_stages(some)
    with pytest.raises(InputError, match=r"no study\.last 'dec9'; this network has"):
        Bottleneck(last="dec9").check_stages(network)


def test_a_region_as_a_map_is_what_is_cut():
    x, truth = nets.images(2, 16), nets.labels(2, 16, 3)
    target = targets.organs({"a": 1, "b": 2}, "gt", truth)
    flow = segtrace.trace(nets.plain(), nets.PLAIN_STAGES, x, target, ["grad_pam", "seg_grad_cam"])
    masks = torch.stack([truth == 1, truth == 2])
    masks[1, 0, ::2, ::2] = False  # three quarters of a cell are left
    masks[1, 1] = False
    found = of_region(flow, {"organ": "a", "onto": "b", "site": "enc2"}, masks)
    assert (found.stages, found.rules, found.organs) == (("enc2",), ("b",), ("a",))
    cells = masks[1].double().unfold(1, 2, 2).unfold(2, 2, 2).mean((-2, -1)) >= 0.5
    assert torch.equal(found.maps["enc2"][0, 0].bool(), cells)
    assert found.status.flatten().tolist() == [Status.OK, Status.ABSENT]


def test_the_output_and_the_stage_before_it_are_left_out():
    assert redrawn(("enc1", "enc2", "dec1", "dec2", "head")) == ("dec2", "head")
    assert redrawn(("enc1", "head")) == ("head",)
    assert redrawn(("features",)) == ()


def test_what_is_left_out_is_the_networks_last_stage_and_not_the_last_that_is_asked_for():
    images, truth = blob(3)
    spacing = torch.full((3, 2), torch.nan, dtype=torch.float64)
    probes = Probes(images, truth.to(torch.uint8), ("a", "b", "c"), (0, 1, 2), spacing, "val", True)
    stages = dict(zip(("enc1", "dec1", "dec2", "head"), ROUTED_STAGES.values(), strict=True))
    for asked, left_out in ((None, True), (["enc1", "dec1"], False)):
        settings = Settings(["seg_grad_cam", "grad_pam"], stages=asked)
        network = Network(Routed(0.5, 0.5), stages, probes, {"organ": 1}, settings)
        record = explain_probes(*network).record
        trained = SimpleNamespace(name="epoch_003")
        found = Instances().found(Looked(trained, network, record, None, None, 0), Path())
        words = " ".join([*map(str, found.claims), *found.notes])
        assert ("By construction, no finding" in words) == left_out, words


def test_the_highest_point_of_a_curve_that_is_no_event_says_why():
    axes = ("site", "rule", "organ", "onto")
    of_dec5 = {"density": 8.0, "null": 1.0, "share": 0.06, "centred": 5.0, "p": 0.13, "low": 3.3,
               "high": 9.3, "mean": 6.0, "slices": 12.0, "cases": 11.0, "holds": 0.0,
               "density_coarse": 0.0, "untrained": torch.nan, "density_mirrored": 0.1,
               "density_others": 0.3, "p_others": 0.01}  # fmt: skip
    names = {"site": ["dec4", "dec5", "head"], "rule": ["grad_pam"], "organ": ["liver"],
             "onto": ["spleen"]}  # fmt: skip
    numbers = {name: (axes, torch.tensor([0.5, value, 9.0]).reshape(3, 1, 1, 1).numpy())
               for name, value in of_dec5.items()}  # fmt: skip
    tests, pair = xarray.Dataset(numbers, names), {"organ": "liver", "onto": "spleen"}
    (words,) = _peaks(tests, "grad_pam", [pair], [])
    assert words == (
        "Grad-PAM, liver on spleen at dec5, its highest: 8.0 times uniform (mean over cases 6.0, "
        "95 % t interval over 11 cases 3.3 to 9.3), 6 % of the map; perfect coarse map 0.0, mirror "
        "image 0.1, where it lies in other cases 0.3; no event: p 0.13 after correction."
    )
    told = Cut("grad_pam", "liver", "spleen", "dec5", {}, {})
    assert _peaks(tests, "grad_pam", [pair], [told]) == []
    assert _peaks(None, "grad_pam", [pair], []) == []


def test_the_table_of_cut_leaks_says_how_much_lies_where_the_organ_is_in_other_cases():
    size = {"times uniform": 8.0, "where it lies in other cases": 0.3}
    lost = dict.fromkeys(("map", "shifted", "random"), torch.ones(5))
    (row,) = _shown([Cut("grad_pam", "liver", "spleen", "dec5", lost, size)])
    assert (row["times uniform"], row["other cases"], row["event"]) == (8.0, 0.3, "yes")


def test_the_untrained_network_is_told_of_where_there_is_one():
    flow = SimpleNamespace(stages=("enc1", "dec1"), rules=("seg_grad_cam",))
    each = {"parts": torch.full((2, 1, 3), 0.06), "untrained": torch.full((2, 1, 3), 0.34)}
    (words,) = _untrained(each, flow, ("dec1",))
    assert words.endswith("trained / untrained: Seg-Grad-CAM enc1 0.06 / 0.34.")
    assert _untrained({"parts": each["parts"]}, flow, ()) == []


def test_options_without_sense_are_refused():
    for kind in (Bottleneck, Leakage):
        with pytest.raises(InputError, match="no cut 'none'"):
            kind(cut="none")
    options = {"image": None, "log_dir": None}
    Instances().check(options)
    with pytest.raises(InputError, match="study=nuance_instances and image do not go together"):
        Instances().check(options | {"image": "a.nii.gz"})
