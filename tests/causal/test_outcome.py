import pytest
import torch

from segtrace import InputError
from segtrace.causal.outcome import Judge
from segtrace.dice import dice

TRUTH = torch.tensor([[[1, 1], [0, 2]], [[0, 0], [0, 2]]])
LOGITS = torch.zeros(2, 3, 2, 2)
LOGITS[:, 1, 0, 0] = 4.0  # the first pixel is predicted 1 in both slices
LOGITS[0, 2, 1, 1] = 2.0


def test_dice_of_numbers_by_hand():
    found = dice(torch.tensor([1, 0]), torch.tensor([1, 1]), torch.tensor([2, 0]))
    assert float(found[0]) == pytest.approx(2 / 3)
    assert found[1].isnan()


@pytest.mark.parametrize("sides", [(7,), (5, 6), (2, 3, 4)])
def test_pixels_of_lines_slices_and_volumes_are_counted_as_in_a_loop(sides):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 3, (2, *sides), generator=generator)  # 2 volumes of 2 planes
    logits = torch.randn(2, 3, *sides, generator=generator)
    outcome = Judge({"a": 1, "b": 2}, truth).of(logits)
    for o, channel in enumerate((1, 2)):
        for n in range(2):
            pairs = list(zip(logits[n].flatten(1).T, truth[n].flatten(), strict=True))
            both = sum(int(there == channel == one.argmax()) for one, there in pairs)
            found = sum(int(one.argmax() == channel) for one, _ in pairs)
            true = [float(one[channel]) for one, there in pairs if there == channel]
            assert float(outcome.dice[o, n]) == pytest.approx(2 * both / (found + len(true)))
            assert float(outcome.score[o, n]) == pytest.approx(sum(true) / len(true), rel=1e-6)


def test_labels_beyond_the_networks_channels_are_nobodys():
    truth = TRUTH.clone()
    truth[0, 1, 0] = 9
    found = Judge({"a": 1}, truth).of(LOGITS)
    assert torch.equal(
        found.dice.nan_to_num(9), Judge({"a": 1}, TRUTH).of(LOGITS).dice.nan_to_num(9)
    )


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


@pytest.mark.parametrize("number", [-1, 255, 2**40])
def test_a_number_that_is_no_channel_is_no_organ(number):
    ignored = TRUTH.clone()
    ignored[1, 0] = number
    for organ in (1, 2):
        found, whole = (Judge({"organ": organ}, truth).of(LOGITS) for truth in (ignored, TRUTH))
        torch.testing.assert_close(found.dice, whole.dice, rtol=0, atol=0, equal_nan=True)
