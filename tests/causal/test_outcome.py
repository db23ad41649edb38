import pytest
import torch

from segtrace import InputError
from segtrace.causal.outcome import Judge, dice

TRUTH = torch.tensor([[[1, 1], [0, 2]], [[0, 0], [0, 2]]])
LOGITS = torch.zeros(2, 3, 2, 2)
LOGITS[:, 1, 0, 0] = 4.0  # the first pixel is predicted 1 in both slices
LOGITS[0, 2, 1, 1] = 2.0


def test_dice_of_masks_by_hand():
    found = dice(torch.tensor([[[True, False]]]), torch.tensor([[[True, True]]]))
    assert found.tolist() == [pytest.approx(2 / 3)]
    assert dice(torch.tensor([[[True]]]), torch.tensor([[[False]]])).isnan().all()


def test_outcomes_by_hand():
    outcome = Judge({"a": 1, "b": 2}, TRUTH).of(LOGITS)
    expected = torch.tensor([[2 / 3, torch.nan], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(outcome.dice, expected, equal_nan=True, rtol=1e-6, atol=0)
    assert outcome.score[0, 0] == 2.0  # (4 + 0) / 2 pixels
    assert outcome.score[0, 1].isnan()
    assert outcome.score[1].tolist() == [2.0, 0.0]


def test_some_of_the_slices_are_judged_by_their_own_truth():
    judge = Judge({"b": 2}, TRUTH)
    assert torch.equal(judge.of(LOGITS[1:], slice(1, 2)).dice, judge.of(LOGITS).dice[:, 1:])


def test_mistakes_are_named():
    with pytest.raises(InputError, match="organ 'c' is in none of the 2 slices"):
        Judge({"c": 3}, TRUTH).checked()
    with pytest.raises(InputError, match="no score 'logits'"):
        Judge({"a": 1}, TRUTH, "logits")
    with pytest.raises(InputError, match="no organ is named"):
        Judge({}, TRUTH)
    with pytest.raises(InputError, match="the logits ask for"):
        Judge({"a": 1}, TRUTH).of(LOGITS[..., :1])
    with pytest.raises(InputError, match="no channel 2; the logits have 0 … 1"):
        Judge({"b": 2}, TRUTH).of(LOGITS[:, :2])
