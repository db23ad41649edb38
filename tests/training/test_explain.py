"""Explain from Python, without the scripts."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from segtrace import InputError
from segtrace.attribution.statuses import Status
from segtrace.report.files import load_maps
from segtrace.training.explanation import Settings


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1))


def loader(shuffle=False):
    label = torch.zeros(5, 16, 16, dtype=torch.long)
    label[1, 2:8, 2:8] = 1
    label[3, 9:14, 9:14] = 2
    image = label[:, None] / 2 + torch.rand(
        5, 1, 16, 16, generator=torch.Generator().manual_seed(0)
    )
    return DataLoader(TensorDataset(image, label), batch_size=2, shuffle=shuffle)


STAGES = {"enc": "1", "head": "2"}
LABELS = {"box": 1, "corner": 2}


def test_one_call_explains_any_network_on_any_loader(tmp_path):
    explained = segtrace.explain(net(), loader(), STAGES, LABELS, out=tmp_path, slices=2)
    assert explained.record.scene.slices == (1, 3)  # where each organ is largest
    again = load_maps(tmp_path / "maps.npz")
    assert torch.equal(again.flow.maps["enc"], explained.record.flow.maps["enc"])
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    own = {f"figures/{r}/{o}.png" for r in ("seg_grad_cam", "grad_pam") for o in LABELS}
    own |= {"maps.npz", "measures.csv", "manifest.json"}
    wrong = {f"{region}/{name}" for region in ("fp", "fn") for name in own}
    assert found == own | wrong | {"index.html"}


def test_an_organ_named_as_something_else_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"organ 'mean': .*e.g. mean_1"):
        segtrace.explain(net(), loader(), STAGES, {"mean": 1}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_lost_are_named(tmp_path):
    broken = net()
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    with pytest.warns(UserWarning, match=r"1 of the network's weights are NaN .*\(0.weight, …\)"):
        explained = segtrace.explain(broken, loader(), STAGES, LABELS)
    status = explained.record.flow.status[0]  # of the first stage
    assert set(status.flatten().tolist()) <= {Status.NONFINITE, Status.ABSENT}


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    segtrace.explain(net(), loader(), STAGES, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_a_loader_that_shuffles_is_refused():
    torch.manual_seed(1)
    with pytest.raises(segtrace.InputError, match="shuffles"):
        segtrace.explain(net(), Shuffling(), STAGES, LABELS)


class Shuffling:
    """The same slices, in another order each time."""

    def __init__(self):
        self.turn = 0

    def __iter__(self):
        self.turn += 1
        batches = list(loader())
        return iter(batches if self.turn == 1 else batches[::-1])


def test_batches_of_another_kind_are_named():
    with pytest.raises(segtrace.InputError, match="the validation loader gives str"):
        segtrace.explain(net(), ["nonsense"], STAGES, LABELS)


def test_an_aggregate_is_worked_out_only_where_it_is_asked_for():
    stages = {"dec1": "1", "head": "2"}
    settings = Settings(rules=["grad_pam"], aggregate="minmax")
    plain = segtrace.explain(net(), loader(), stages, LABELS, slices=2)
    explained = segtrace.explain(net(), loader(), stages, LABELS, slices=2, settings=settings)
    assert plain.record.aggregate is None
    assert explained.record.aggregate.stages == ("dec1",)
    wider = (
        explained.picture("grad_pam", "box").shape[1] - plain.picture("grad_pam", "box").shape[1]
    )
    assert wider > 90


def test_an_aggregate_that_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"no way to aggregate 'mimax'.*did you mean minmax"):
        Settings(rules=["grad_pam"], aggregate="mimax")
    settings = Settings(rules=["grad_pam"], aggregate="max")
    with pytest.raises(InputError, match="no stage begins with dec; name some of enc, head"):
        segtrace.explain(net(), loader(), STAGES, LABELS, settings=settings)
