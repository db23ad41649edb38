"""Two readings of a loader that do not agree: what it did, and what is to be done."""

import pytest

from segtrace.training.slices.rereading import CHANGES, SHUFFLES, Seen, differing


def seen(*contents):
    """Slices by their content; equal contents have equal labels and images."""
    return [Seen(("val", i), (content,), content, content) for i, content in enumerate(contents)]


def test_readings_that_agree_differ_in_nothing():
    assert differing(seen(1, 2, 3), seen(1, 2, 3)) == ""


def test_noise_on_images_alone_is_no_reason_to_refuse():
    noisy = [found._replace(image=found.image + 10) for found in seen(1, 2, 3)]
    assert differing(seen(1, 2, 3), noisy) == ""


@pytest.mark.parametrize("again", [(3, 1, 2, 4), (2, 1, 3, 9)])
def test_the_same_slices_at_other_places_are_a_shuffle(again):
    assert differing(seen(1, 2, 3, 4), seen(*again)) == SHUFFLES


@pytest.mark.parametrize("again", [(11, 12, 13, 14), (1, 12, 13, 14), (2, 1, 13, 14)])
def test_slices_that_were_not_there_before_are_changed_at_random(again):
    assert differing(seen(1, 2, 3, 4), seen(*again)) == CHANGES


def test_a_shuffle_is_known_from_the_sampler_where_few_batches_are_read():
    """Three of many slices are others each time, whether or not anything changes them."""
    assert differing(seen(1, 2, 3), seen(7, 8, 9), shuffled=True) == SHUFFLES
    assert differing(seen(1, 2, 3), seen(1, 2, 3), shuffled=True) == ""


def test_another_number_of_slices_is_said():
    assert differing(seen(1, 2, 3), seen(1, 2)).startswith("gives 3 slices and then, read again, 2")
