"""Half-precision parameters are refused before training, with a precision that works."""

import pytest
import torch
from torch import nn

from cli.explain.test_checks import DEFAULTS
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.cli.explain.checks import check_together
from segtrace.studies.slices import Slices
from segtrace.training.precision import HALF, refuse_half, refuse_half_in
from training.callbacks.test_flow import fit, watch


@pytest.mark.parametrize("precision", HALF)
def test_half_parameters_are_refused_and_mixed_ones_pass(precision):
    with pytest.raises(InputError, match=f"precision={precision} keeps .*say precision=bf16-mixed"):
        refuse_half(precision)
    for other in ("bf16-mixed", "16-mixed", "32-true", "64-true", 32, None):
        refuse_half(other)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
def test_a_trainer_is_refused_before_it_trains_and_the_remedy_works(tmp_path):
    with pytest.raises(
        InputError, match=r"precision=bf16-true .*say precision=bf16-mixed"
    ) as caught:
        fit(tmp_path / "true", [watch()], epochs=1, precision="bf16-true")
    assert not list((tmp_path / "true").rglob("*.csv"))
    remedy = str(caught.value).rpartition("say precision=")[2].partition(",")[0]
    callback = watch()
    fit(tmp_path / "mixed", [callback], epochs=1, precision=remedy)
    assert callback.explained.record.flow.maps["enc1"].dtype == torch.float32


def test_a_network_in_half_precision_is_named_with_what_to_call():
    from segtrace import trace

    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1)).half()
    call = {"stages": {"enc": "1"}, "image": torch.rand(1, 1, 4, 4)}
    with pytest.raises(InputError, match=r"torch.float16; maps need float32: call net.float\(\)"):
        trace(net, target=torch.ones(1, 2, 4, 4), **call)
    assert trace(net.float(), target=torch.ones(1, 2, 4, 4), **call).maps["enc"].isfinite().all()


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_the_scripts_refuse_it_and_a_training_without_maps_may_have_it(
    precision, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ran = answer_of("train.py", f"trainer.precision={precision}")
    assert ran.code == 1
    (line,) = ran.err.strip().splitlines()
    assert f"trainer.precision={precision} keeps" in line
    assert "say trainer.precision=bf16-mixed, or trainer.precision=32-true" in line
    trainer = DEFAULTS["trainer"] | {"precision": precision}
    with pytest.raises(InputError, match=r"say trainer\.precision=bf16-mixed"):
        check_together(DEFAULTS | {"checkpoint": "a", "trainer": trainer}, Slices())
    flow = {"_target_": "segtrace.training.callbacks.flow.FlowCallback"}
    with pytest.raises(InputError, match=r"trainer\.precision"):
        refuse_half_in({"callbacks": {"flow": flow}, "trainer": trainer})
    refuse_half_in({"callbacks": {"flow": None}, "trainer": trainer})
