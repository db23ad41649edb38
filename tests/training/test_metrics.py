import copy
import math
import pickle

import pytest
import torch

from segtrace import InputError
from segtrace.dice import dice
from segtrace.training.metrics import CaseDice, per_organ

ORGANS = {"liver": 1, "spleen": 2}


def test_dice_by_hand():
    found = dice(
        torch.tensor([2.0, 0.0, 0.0]), torch.tensor([3.0, 0.0, 5.0]), torch.tensor([5.0, 4.0, 0.0])
    )
    assert found[:2].tolist() == [0.5, 0.0]
    assert found[2].isnan()  # a false organ: the truth says nothing


def test_counts_over_slices_are_the_dice_of_the_volume():
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randint(0, 3, (6, 4, 4), generator=generator)
    truth = torch.randint(0, 3, (6, 4, 4), generator=generator)
    cases = ["a", "a", "b", "a", "b", "b"]
    metric = CaseDice(["a", "b"], ORGANS)
    for rows in ([0, 1, 2], [3, 4], [5]):  # however the batches fall
        metric.update(prediction[rows], truth[rows], [cases[row] for row in rows])
    for i, case in enumerate("ab"):
        rows = [row for row in range(6) if cases[row] == case]
        for j, channel in enumerate(ORGANS.values()):
            p, t = prediction[rows] == channel, truth[rows] == channel
            expected = 2 * (p & t).sum() / (p.sum() + t.sum())
            assert metric.compute()[i, j].item() == pytest.approx(expected.item())


def test_monai_agrees():
    from monai.metrics import DiceMetric

    generator = torch.Generator().manual_seed(1)
    prediction = torch.randint(0, 3, (1, 8, 8), generator=generator)
    truth = torch.randint(0, 3, (1, 8, 8), generator=generator)
    metric = CaseDice(["a"], ORGANS)
    metric.update(prediction, truth, ["a"])
    theirs = DiceMetric(include_background=False, num_classes=3)(prediction[None], truth[None])
    torch.testing.assert_close(metric.compute().float(), theirs)


def test_absent_organs_are_left_out_of_the_means():
    values = torch.tensor([[0.8, math.nan], [0.6, 0.5]])
    assert per_organ(values, ORGANS) == pytest.approx({"liver": 0.7, "spleen": 0.5, "mean": 0.6})
    assert math.isnan(per_organ(torch.tensor([[0.8, math.nan]]), ORGANS)["spleen"])


def test_the_table_counts_false_organs():
    metric = CaseDice(["a"], ORGANS)
    metric.update(torch.full((1, 2, 2), 2), torch.zeros(1, 2, 2, dtype=torch.long), ["a"])
    spleen = metric.table()[1]
    assert spleen["predicted_voxels"] == 4
    assert spleen["true_voxels"] == 0
    assert math.isnan(spleen["dice"])


def test_whole_cases_are_plain_numbers():
    metric = CaseDice(["a", "b"], ORGANS)
    truth = torch.tensor([[[1, 1], [0, 0]]])
    metric.update(torch.ones_like(truth), truth, ["b"])
    cases = metric.whole_cases()
    assert cases["b"]["liver"] == {"dice": pytest.approx(2 * 2 / 6), "voxels": 4.0}
    assert math.isnan(cases["a"]["liver"]["dice"])
    assert type(cases["b"]["liver"]["dice"]) is float


def test_a_case_that_was_not_announced_is_refused():
    with pytest.raises(InputError, match="no case 'c'; this evaluation has a, b"):
        CaseDice(["a", "b"], ORGANS).update(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), ["c"])


@pytest.mark.parametrize(("cases", "organs"), [(1, 1), (1, 2), (2, 1)])
def test_one_organ_and_one_case_are_a_table_too(cases, organs):
    names = ["a", "b"][:cases]
    channels = dict(list(ORGANS.items())[:organs])
    metric = CaseDice(names, channels)
    truth = torch.tensor([[[1, 1], [2, 0]]]).repeat(cases, 1, 1)
    metric.update(truth.clamp(max=1), truth, names)
    expected = {"liver": 0.8, "spleen": 0.0}
    assert metric.compute().shape == (cases, organs)
    assert copy.deepcopy(metric).compute().shape == (cases, organs)
    assert pickle.loads(pickle.dumps(metric)).compute().shape == (cases, organs)
    known = {organ: expected[organ] for organ in channels}
    assert metric.per_organ() == pytest.approx(known | {"mean": sum(known.values()) / organs})
    assert per_organ(metric.compute().squeeze(), channels) == pytest.approx(metric.per_organ())
    assert [row["dice"] for row in metric.table()] == pytest.approx([*known.values()] * cases)
    assert set(metric.whole_cases()) == set(names)


def of_processes(*shards):
    """A metric a process; each sees what the others counted, as over a network."""
    metrics = [CaseDice(["a", "b"], ORGANS) for _ in shards]
    for metric, rows in zip(metrics, shards, strict=True):
        metric.distributed_available_fn = lambda: True
        metric.dist_sync_fn = lambda *_, **__: [torch.cat(m._list()) for m in metrics]
        if rows:
            cases, slices = ["aaabb"[row] for row in rows], [[0, 1, 2, 0, 1][row] for row in rows]
            metric.update(PREDICTED[rows], TRUE[rows], cases, slices)
    return metrics


SOME = torch.Generator().manual_seed(2)
PREDICTED, TRUE = (torch.randint(0, 3, (5, 4, 4), generator=SOME) for _ in range(2))


@pytest.mark.parametrize(
    "shards",
    [
        ([0, 1, 2, 3, 4],),
        ([0, 2, 4], [1, 3]),
        ([0, 2, 4], [1, 3, 0]),  # the first again, so that both have three
        ([0, 3], [1, 4], [2, 0]),
        ([0, 1, 2, 3, 4], []),
        ([4, 3, 4, 2], [0, 1, 1]),
    ],
)
def test_processes_count_every_slice_once_however_uneven_their_shards(shards):
    alone = CaseDice(["a", "b"], ORGANS)
    alone.update(PREDICTED, TRUE, list("aaabb"), [0, 1, 2, 0, 1])
    for metric in of_processes(*shards):
        counted = metric.counted()
        assert torch.equal(counted.voxels, alone.counted().voxels)
        assert metric.table() == alone.table()  # its counts are those of its Dice
        assert torch.equal(metric.compute(), alone.compute())
        assert metric.counted().whole_cases() == alone.whole_cases()


def test_slices_without_a_number_all_count():
    metric = CaseDice(["a"], ORGANS)
    for _ in range(2):
        metric.update(TRUE[:2], TRUE[:2], ["a", "a"])
    assert [row["true_voxels"] for row in metric.table()] == [
        2 * int((TRUE[:2] == channel).sum()) for channel in ORGANS.values()
    ]


def test_counts_are_whole_numbers_and_dice_has_their_precision():
    metric = CaseDice(["a"], {"liver": 1})
    truth = torch.ones(1, 1, 3, dtype=torch.long)
    metric.update(torch.tensor([[[1, 1, 0]]]), truth, ["a"])
    assert metric.table()[0]["dice"] == 2 * 2 / (2 + 3)
    assert [type(value) for value in metric.table()[0].values()] == [str, str, float, int, int, int]
    metric.reset()
    assert metric.table()[0]["true_voxels"] == 0
