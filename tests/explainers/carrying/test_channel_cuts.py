"""Channel cuts against a slow loop, and where it is known which channel carries an organ."""

import json

import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from helpers.explaining import clock
from helpers.scripts import answer_of
from segtrace import InputError
from segtrace.activation import Organ
from segtrace.causal.channels import share
from segtrace.explainers.carrying.channel_cuts import ChannelCuts
from segtrace.report.tables import read_table

X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
NET = nets.plain()
ORGANS = {"a": Organ(1, 1), "b": Organ(2, 2)}
STAGE = {"enc2": "3"}


def masks(activation):
    return torch.stack([c == TRUTH for c in range(3)], 1)


def dice(logits, o, n, activation):
    found = logits[n, o] > 0 if activation == "sigmoid" else logits[n].argmax(0) == o
    true = TRUTH[n] == o
    if not true.any():
        return float("nan")
    return 2 * float((found & true).sum()) / float(found.sum() + true.sum())


@torch.no_grad()
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_losses_equal_a_loop_over_groups_orders_and_cases(activation):
    truth = masks(activation) if activation == "sigmoid" else TRUTH
    found = segtrace.explainers.channel_cuts(
        NET, STAGE, X, ORGANS, truth, cut="zero", groups=3, activation=activation
    )
    losses = found.losses["enc2"]
    assert [group.tolist() for group in losses.groups] == [[0, 1], [2, 3], [4]]
    assert losses.steps == (1, 2, 3)

    def lost(channels, o, n):
        here = NET[:4](X)
        here[:, channels] = 0
        return dice(NET(X), o, n, activation) - dice(NET[4:](here), o, n, activation)

    alone = torch.tensor([[[lost(group.tolist(), o, n) for n in range(3)] for o in (1, 2)]
                          for group in losses.groups])  # fmt: skip
    torch.testing.assert_close(losses.alone.float(), alone, equal_nan=True)

    def order(o, n):  # by the other half of the slices, each a case of its own
        rest = alone[:, o, [k for k in range(3) if k % 2 != n % 2]].nanmean(1)
        return sorted(range(3), key=lambda g: -float(rest[g].nan_to_num(0)))

    for s, many in enumerate(losses.steps):
        for o in (0, 1):
            for n in range(3):
                for curve, whose in ((losses.own, o), (losses.others, 1 - o)):
                    cut = [c for g in order(whose, n)[:many] for c in losses.groups[g].tolist()]
                    expected = torch.tensor(lost(cut, o + 1, n)).double()
                    torch.testing.assert_close(curve[s, o, n], expected, equal_nan=True, atol=1e-6,
                                               rtol=0)  # fmt: skip


class Carries(nn.Module):
    """Channel 0 carries organ a, channel 1 organ b, the others nothing."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Conv2d(2, 6, 1, bias=False)
        nn.init.zeros_(self.stage.weight)
        self.stage.weight.data[0, 0] = self.stage.weight.data[1, 1] = 1.0

    def forward(self, x):
        stage = self.stage(x)
        return torch.stack([5 + 0 * stage[:, 0], 10 * stage[:, 0], 10 * stage[:, 1]], 1)


def test_the_channel_that_carries_an_organ_is_found_and_claimed(tmp_path):
    truth = torch.zeros(12, 8, 8, dtype=torch.long)
    for n in range(12):
        truth[n, : 2 + n % 3] = 1
        truth[n, 5:, n % 6 :] = 2
    x = torch.stack([truth == 1, truth == 2], 1).float()
    found = segtrace.explainers.channel_cuts(
        Carries(), {"mid": "stage"}, x, {"a": 1, "b": 2}, truth, cut="zero"
    )
    losses = found.losses["mid"]
    assert losses.alone[0, 0].tolist() == [1.0] * 12
    assert not losses.alone[1:, 0].any()
    assert share(losses, found.cases) == [1, 1]
    (claim,) = found.claims
    assert claim.holds
    assert str(claim).startswith("At mid the channels that other cases name for a and b cost it")
    found.write(tmp_path)
    assert found.flow is None  # as a comparison of maps asks it
    asked = json.loads((tmp_path / "manifest.json").read_text())["options"]
    assert asked == {"cut": "zero", "groups": 32, "max_seconds": 600.0, "baselines": None}
    rows = read_table(tmp_path / "channels.csv")
    assert {(r["channels"], r["organ"]) for r in rows if float(r["dice_lost"]) > 0} == {
        ("0", "a"), ("1", "b"),
    }  # fmt: skip
    assert (tmp_path / "figures" / "channels_mid.png").is_file()
    assert "90 %" in found.section().tables[0].caption
    assert found.section().tables[0].rows == (("mid", "6", "1", "1"),)


def test_below_ten_cases_and_of_one_organ_nothing_is_claimed():
    for organs in (ORGANS, {"a": Organ(1, 1)}):
        few = segtrace.explainers.channel_cuts(
            NET, STAGE, X, organs, TRUTH, cut="zero", groups=2, activation="softmax"
        )
        assert not any(claim.holds for claim in few.claims)


def test_what_cannot_be_asked_is_refused(monkeypatch):
    with pytest.raises(InputError, match="needs labels, which these slices lack"):
        segtrace.explainers.channel_cuts(NET, STAGE, X, ORGANS, None, cut="zero",
                                         activation="softmax")  # fmt: skip
    with pytest.raises(InputError, match="no cut 'nought'"):
        ChannelCuts(cut="nought")
    clock(monkeypatch)
    monkeypatch.setattr("segtrace.explainers.carrying.channel_cuts.perf_counter", lambda: -9)
    with pytest.raises(InputError, match="the time was over; give more max_seconds"):
        segtrace.explainers.channel_cuts(NET, STAGE, X, ORGANS, TRUTH, cut="zero",
                                         activation="softmax", max_seconds=1)  # fmt: skip


def test_explain_py_takes_the_means_of_the_checkpoint(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    ran = answer_of(
        "explain.py", f"checkpoint={run.checkpoint(2)}", "explainer=[channel_cuts]",
        "explainers.channel_cuts.groups=2", "stages=[dec4]", "organs=[liver]", "failures=false",
        "rules=grad_pam", "hydra.run.dir=out",
    )  # fmt: skip
    torch.set_num_threads(threads)
    assert ran.code == 0, ran.err
    rows = read_table(tmp_path / "out" / "explainers" / "channel_cuts" / "channels.csv")
    assert {row["stage"] for row in rows} == {"dec4"}
    assert "Which channels carry an organ" in (tmp_path / "out" / "index.html").read_text()
