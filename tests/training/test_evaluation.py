import math

import pytest
import torch

from segtrace import InputError
from segtrace.training.evaluation import CaseDice, dice, per_organ

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
