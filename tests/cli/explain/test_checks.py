"""Options of explain.py that do not go together: nothing is taken and then left aside."""

import pytest
import yaml

from helpers.scripts import ROOT
from segtrace import InputError
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.checks import (
    check_asked_of_data,
    check_files,
    check_organs,
    check_together,
    check_volumes,
)
from segtrace.data.volumes.preprocessing import VolumePreprocessing
from segtrace.studies.evaluation.study import Evaluate
from segtrace.studies.faithfulness.study import Faithfulness
from segtrace.studies.seeds.study import Seeds
from segtrace.studies.slices import Slices
from segtrace.studies.volumes.study import Volumes
from segtrace.training.construction import construct

GIVEN = yaml.safe_load((ROOT / "conf" / "explain.yaml").read_text())
DEFAULTS = {key: value for key, value in GIVEN.items() if key not in ("defaults", "hydra")}
DATA = {"_target_": "segtrace.data.modules.SynapseData", "root": "x"}
NET = {"net": "my:build", "weights": "my.pth", "data": DATA}


STUDIES = {
    "cut": lambda cut: Slices(cut=cut),
    "volume": lambda _: Volumes(),
    "cases": lambda cases: Volumes(cases),
    "runs": lambda runs: Seeds(runs),
    "verdict": lambda _: Faithfulness(),
}


def check(**given):
    """What is given, the study by its short option."""
    short = [key for key in STUDIES if key in given]
    study = STUDIES[short[-1]](given.pop(short[-1])) if short else Slices()
    check_together(DEFAULTS | given, study)


@pytest.mark.parametrize(
    "given",
    [
        {"checkpoint": "a.ckpt"},
        {"checkpoint": "a.ckpt", "image": "a.nii", "probes": {"n": 3, "from": None}},
        {"checkpoint": "a.ckpt", "image": "a.nii", "volume": True},
        {"checkpoint": "a.ckpt", "cases": ["a"], "data": DATA},
        {"checkpoint": "a.ckpt", "data": DATA, "probes": {"n": 3, "from": "test"}},
        {"checkpoint": "a.ckpt", "data": DATA, "cut": "zero", "log_dir": "logs"},
        {"checkpoint": "a.ckpt", "verdict": True, "probes": {"n": 1, "from": "test"}},
        {"checkpoint": "a.ckpt", "rules": "grad_pam", "region": "pred", "score": "prob"},
        {"checkpoint": "a.ckpt", "region": "pixel:60:40"},
        {**NET, "stages": "stages.yaml"},
        {**NET, "image": "a.nii"},
        {"runs": "multirun/*"},
    ],
)
def test_what_goes_together_passes(given):
    check(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "say what to explain: checkpoint=…"),
        ({"checkpoint": "a", "weights": "w"}, "weights=w: the checkpoint holds its weights"),
        ({"checkpoint": "a", "stages": "enc1"}, r"stages=enc1: .*stages=\[enc1,dec4\]"),
        ({"checkpoint": "a", "trainer": {"devices": 300}}, "trainer.devices=300; give 256 or less"),
        ({"checkpoint": "a", "edges": "e"}, "edges=e: a checkpoint knows its edges"),
        ({"checkpoint": "a", "preprocessing": {"mean": 1}}, "knows what its network .*; leave it"),
        ({**NET, "preprocessing": {"mean": 1}}, "preprocessing has one of mean and std; give both"),
        ({**NET, "preprocessing": {"windo": 1}}, "did you mean preprocessing.window"),
        ({"checkpoint": "a", "output": "out"}, "output=out: train.py trains .*; leave it out"),
        ({"checkpoint": "a", "image": "i", "data": DATA}, "image=… and data=… are two answers"),
        ({"checkpoint": "a", "image": "i", "cases": "c", "data": DATA}, "two answers"),
        ({"checkpoint": "a", "cases": ["c"]}, r"say which volumes: image=…, or cases=\[…\] data="),
        ({"checkpoint": "a", "volume": True}, "say which volumes"),
        ({"checkpoint": "a", "volume": True, "data": DATA}, "say which volumes"),
        ({"checkpoint": "a", "image": "i", "volume": True, "log_dir": "l"}, "volumes and log_dir"),
        ({"checkpoint": "a", "image": "i", "cut": "zero"}, "cut=zero is judged on labelled"),
        ({"checkpoint": "a", "probes": {"n": 2, "from": None}}, "probes.n=2 is for slices of data"),
        ({"checkpoint": "a", "probes": {"n": None, "from": "test"}}, "probes.from=test is for"),
        (
            {"checkpoint": "a", "image": "i", "probes": {"n": 2, "from": "val"}},
            "probes.from=val .*an image has no parts",
        ),
        (
            {"checkpoint": "a", "cases": "c", "data": DATA, "probes": {"n": 2, "from": None}},
            "probes.n chooses slices, and all are explained",
        ),
        ({"checkpoint": "a", "probes": {"n": 0, "from": None}}, "probes.n=0; watch at least one"),
        ({"checkpoint": "a", "probes": {"n": "8", "from": None}}, "probes.n='8'"),
        ({"checkpoint": "a", "probes": {"n": True}}, "probes.n=True"),
        ({"checkpoint": "a", "probes": {"from": 3}}, "probes.from=3; give val or train or test"),
        ({"checkpoint": "a", "probes": {"from": "tests"}}, "no probes.from 'tests'.*mean test"),
        ({"checkpoint": "a", "probes": {"embed": True}}, "no option 'probes.embed'"),
        ({"checkpoint": "a", "image": "i", "region": "gt"}, "region=gt needs labels.*region=pred"),
        ({"checkpoint": "a", "cut": "mean_map"}, "no checkpoint holds mean maps; give data="),
        ({"checkpoint": "a", "region": "grnd"}, "no region 'grnd'; allowed are gt"),
        ({"checkpoint": "a", "region": "pixel:6,4"}, "no region 'pixel:6,4'; .*pixel:ROW:COLUMN"),
        ({"checkpoint": "a", "region": "pixel:" + "9" * 5000}, "no region 'pixel:9"),
        ({"checkpoint": "a", "score": "logits"}, "no score 'logits'.*did you mean logit"),
        ({"checkpoint": "a", "rules": "grad_kam"}, "no rule 'grad_kam'.*did you mean grad_pam"),
        ({"checkpoint": "a", "rules": ["grad_pam", "grad_pam"]}, "at least one, each once"),
        ({"checkpoint": "a", "cut": "one"}, "no cut 'one'"),
        ({"net": "my:build", "data": DATA}, "net=my:build needs weights="),
        ({"net": "my:build", "weights": "w"}, "net=… needs data="),
        ({**NET, "edges": "proposed"}, "edges=proposed lie between proposed stages; say stages="),
        ({**NET, "stages": "a.yaml", "edges": "proposed"}, "edges=proposed lie between proposed"),
        ({**NET, "stages": "prosposed"}, "no stages 'prosposed'; .*did you mean proposed"),
        ({**NET, "edges": "Proposed"}, "no edges 'Proposed'; .*did you mean proposed"),
        ({**NET, "log_dir": "logs"}, "log_dir=logs: TensorBoard's step is the epoch"),
        ({**NET, "verdict": True}, "verdict=true needs checkpoint"),
        ({"checkpoint": "a", "verdict": True, "image": "i"}, "verdict and image do not go"),
        ({"runs": []}, "runs names no run"),
        ({"runs": "r", "checkpoint": "a"}, "runs and checkpoint do not go together"),
        ({"runs": ["r"], "data": DATA}, "runs and data do not go together"),
    ],
)
def test_what_does_not_go_together_is_one_line_with_the_way_out(given, message):
    with pytest.raises(InputError, match=message) as caught:
        check(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["image", "untrained", "weights", "edges"])
def test_a_file_that_is_not_there_is_named_with_its_option(option, tmp_path):
    (tmp_path / "there").touch()
    check_files(DEFAULTS | {option: str(tmp_path / "there")})
    others = {"nowhere.nii": "no such file", "/dev/zero": "no file with contents to read"}
    if option != "image":  # where it is refused with a word on DICOM
        others[str(tmp_path)] = "a folder; name a file"
    for given, words in others.items():
        with pytest.raises(InputError, match=f"^{option}={given}: {words}"):
            check_files(DEFAULTS | {option: given})


def test_proposed_edges_are_no_file():
    given = {**NET, "stages": "proposed", "edges": "proposed"}
    check(**given)
    check_files(DEFAULTS | given | {"weights": None})


def test_a_window_is_named_once():
    given = {"data": DATA | {"window": [0, 1]}, "preprocessing": {"window": [0, 2]}}
    plain = DEFAULTS | NET | given
    with pytest.raises(InputError, match=r"data.window=\[0,1\] and .*; leave data.window out"):
        check_asked_of_data(["data.window"], plain)
    check_asked_of_data(["data.size"], plain)


def test_slices_are_not_asked_for_as_the_network_does_not_take_them(run):
    def asked(**given):
        plain = DEFAULTS | {"checkpoint": str(run.checkpoint(1)), "data": DATA | given}
        check_asked_of_data([f"data.{key}" for key in given], plain)

    asked(size=64, window=[-125, 275], organs=["spleen", "left_kidney", "liver", "stomach"])
    for given, words in (
        ({"size": 32}, r"data.size=32: the network of .* takes 64, .*leave data.size out"),
        ({"window": [0, 100]}, r"data.window=\[0,100\]: .* takes \[-125.0,275.0\]"),
        ({"organs": ["liver"]}, r"data.organs=.*; leave data.organs out, .* organs=\["),
    ):
        with pytest.raises(InputError, match=words):
            asked(**given)


@pytest.mark.parametrize("name", ["rise", "kernel_shap", "misure", "segnbdt", "ablation_cam"])
def test_what_is_of_slices_alone_is_refused_for_a_network_of_volumes_before_it_is_built(
    name, monkeypatch
):
    node = yaml.safe_load((ROOT / "conf" / "explainer" / f"{name}.yaml").read_text())
    made, plain = construct(f"explainers.{name}", node), DEFAULTS | {"checkpoint": "a.ckpt"}
    prepared = VolumePreprocessing((-125.0, 275.0), {"liver": 1}, patch=(32, 32, 16)).to_plain()
    found = {"preprocessing": prepared}
    monkeypatch.setattr(checkpoint, "describe", lambda _: found)
    monkeypatch.setattr("segtrace.cli.explain.checks.paths_of", lambda given: [given])
    if not made.of_volumes:
        said = f"explainer={name}: {made.title} explains slices, .* take ablation_cam"
        with pytest.raises(InputError, match=f"^{said}"):
            check_volumes(plain, Slices(), {name: made})
    with pytest.raises(InputError, match=r"^the protocol transunet resizes slices, .* by strict$"):
        check_volumes(plain, Evaluate("transunet"), {})
    found["preprocessing"] = {"size": 64}
    check_volumes(plain, Slices(), {name: made})
    check_volumes(plain, Evaluate("transunet"), {})
    found["preprocessing"] = prepared
    check_volumes(plain, Evaluate("strict"), {})
    check_volumes(plain, Slices(), {name: made} if made.of_volumes else {})


def test_an_organ_that_the_checkpoint_lacks_is_named_before_any_data_is_there(run):
    path = str(run.checkpoint(0))
    known = list(checkpoint.describe(path)["organs"])
    check_organs({"checkpoint": path, "organs": known})
    check_organs({"checkpoint": path, "organs": None})
    check_organs({"checkpoint": None, "organs": ["livr"]})
    with pytest.raises(InputError, match=r"no organ 'livr'; this network has .*liver"):
        check_organs({"checkpoint": path, "organs": [known[0], "livr"]})


@pytest.mark.parametrize(
    "given",
    [{"stages": ["enc1", "enc1"]}, {"organs": ["liver", "liver"]}, {"measures": ["gain", "gain"]}],
)
def test_a_name_that_is_given_twice_is_refused(given):
    ((option, (name, _)),) = given.items()
    with pytest.raises(InputError, match=rf"{option}=.*: {name} is named twice; name each once"):
        check(checkpoint="a.ckpt", **given)
    check(checkpoint="a.ckpt", **{option: [name]})
