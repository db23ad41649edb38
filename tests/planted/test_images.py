import hashlib

import numpy as np
import pytest
import torch
from monai.networks.nets import DynUNet
from scipy import ndimage

from segtrace import InputError
from segtrace.network.hooks import edit
from segtrace.network.sites import chosen, sites_of
from segtrace.planted.images.discs import REACH
from segtrace.planted.images.planted import SIDE
from segtrace.planted.images.tasks import TAGS, TASKS, plant

PAIRS = range(12)
DISCS = ("far", "near", "shortcut")


def twins(task, seed=0, case=0, tag="agreeing"):
    for pair in PAIRS:
        yield plant(task, seed, case, 2 * pair, tag), plant(task, seed, case, 2 * pair + 1, tag)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_numbers_give_the_same_image_and_others_another(task):
    one, again = plant(task, 1, 2, 3), plant(task, 1, 2, 3)
    for name in ("image", "label", "far", "near", "far_decoy", "near_decoy"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    for other in [(2, 2, 3), (1, 3, 3), (1, 2, 5)]:
        assert (plant(task, *other).image != one.image).mean() > 0.9


@pytest.mark.parametrize("task", DISCS)
def test_an_image_is_in_range_and_shows_one_disc_of_its_class(task):
    for one, twin in twins(task):
        for planted, number in ((one, 1), (twin, 2)):
            assert planted.image.dtype == np.float32
            assert planted.image.shape == planted.label.shape == (SIDE, SIDE)
            assert 0 <= planted.image.min() < planted.image.max() <= 1
            assert set(np.unique(planted.label)) == {0, number}
            assert ndimage.label(planted.label)[1] == 1
            touching = planted.label[[0, -1]].any() or planted.label[:, [0, -1]].any()
            assert not touching


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("task", DISCS)
def test_twins_differ_in_the_marks_alone(task, tag):
    """The argument of the whole benchmark: who sees no mark sees the same thing twice."""
    for one, twin in twins(task, tag=tag):
        np.testing.assert_array_equal(one.label > 0, twin.label > 0)
        marks = one.far | one.near
        np.testing.assert_array_equal(one.image[~marks], twin.image[~marks])
        assert (np.abs(one.image - twin.image)[marks] > 0.4).all()


@pytest.mark.parametrize("task", ["far", "shortcut"])
def test_the_far_mark_is_beyond_reach_of_every_pixel_of_the_disc(task):
    for one, _ in twins(task):
        columns = np.flatnonzero(one.far.any(0))
        disc = np.flatnonzero(one.label.any(0))
        assert np.abs(columns[:, None] - disc).min() >= REACH


def test_an_observer_of_any_crop_around_the_disc_sees_the_same_thing_of_both_classes():
    for one, twin in twins("far"):
        seen = ndimage.grey_dilation(one.label, (2 * REACH - 1,) * 2) > 0
        np.testing.assert_array_equal(one.image[seen], twin.image[seen])


def test_an_observer_of_a_pixels_near_the_disc_decides_near():
    """Inside the disc alone, the mean of the mark's pixels tells the class every time."""
    for one, twin in twins("near"):
        assert (one.near <= (one.label > 0)).all()
        assert not one.far.any()
        assert one.image[one.near].mean() > one.image[one.near_decoy].mean() + 0.2
        assert twin.image[twin.near].mean() < twin.image[twin.near_decoy].mean() - 0.2


@pytest.mark.parametrize("task", ["far", "near"])
def test_evidence_and_decoy_are_as_large_and_stand_in_exchangeable_places(task):
    places = []
    for case in range(40):
        planted = plant(task, 0, case, 0)
        assert planted.evidence.sum() == planted.decoy.sum() > 0
        assert not (planted.evidence & planted.decoy).any()
        places.append([ndimage.center_of_mass(m) for m in (planted.evidence, planted.decoy)])
    evidence, decoy = np.array(places).transpose(1, 0, 2)  # (case, row and column) each
    error = np.sqrt((evidence.var(0) + decoy.var(0)) / len(places))
    assert (np.abs(evidence.mean(0) - decoy.mean(0)) < 3 * error).all()


def test_the_decoy_says_nothing_of_the_class():
    """It is the same in both twins, and no brighter than what it covers."""
    for one, twin in twins("far"):
        np.testing.assert_array_equal(one.image[one.decoy], twin.image[twin.decoy])
        ring = ndimage.binary_dilation(one.decoy, iterations=3) & ~one.decoy
        assert abs(one.image[one.decoy].mean() - one.image[ring].mean()) < 0.05


def test_the_tag_agrees_is_absent_or_contradicts_and_changes_nothing_else():
    for pair in PAIRS:
        agreeing, absent, contrary = (plant("shortcut", 0, 0, 2 * pair, tag) for tag in TAGS)
        tag, decoy = agreeing.near, agreeing.near_decoy
        assert tag.any()
        assert not absent.near.any()
        assert not absent.near_decoy.any()
        np.testing.assert_array_equal(absent.image[~(tag | decoy)], agreeing.image[~(tag | decoy)])
        np.testing.assert_array_equal(contrary.image[~tag], agreeing.image[~tag])
        far = np.sign(agreeing.image[agreeing.far].mean() - absent.image.mean())
        assert far == 1
        assert agreeing.image[tag].mean() > absent.image[tag].mean() > contrary.image[tag].mean()
        np.testing.assert_array_equal(agreeing.evidence, tag)
        np.testing.assert_array_equal(absent.evidence, absent.far)


def test_shallow_skips_alone_cannot_tell_the_twins_apart():
    """The distance rests on the experiment's network: no pixel of the disc sees the mark."""
    torch.manual_seed(0)
    net = DynUNet(
        2, 1, 3, [3] * 6, strides=[1] + [2] * 5, upsample_kernel_size=[2] * 5, filters=[4] * 6,
        norm_name="batch",
    ).eval()  # fmt: skip
    one, twin = plant("far", 0, 0, 0), plant("far", 0, 0, 1)
    x = torch.from_numpy(np.stack([one.image, twin.image]))[:, None]
    disc = torch.from_numpy(one.label > 0)
    (deep,) = chosen(sites_of(net), ["up_3"])
    with torch.no_grad():
        assert not torch.equal(*net(x)[:, :, disc])
        with edit(net, {deep: torch.zeros_like}):
            assert torch.equal(*net(x)[:, :, disc])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            ("fare", 0, 0, 0),
            "no task 'fare'; planted evidence has far, near, ",
        ),
        (("far", 0, 0, 0, "gone"), "no tag 'gone'; allowed are agreeing, absent, contrary"),
        (("far", -1, 0, 0), "seed=-1, case=0, index=0; give numbers from 0"),
    ],
)
def test_what_cannot_be_planted_is_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        plant(*numbers)


@pytest.mark.parametrize(
    ("tasks", "known"),
    [
        (DISCS, "4b8a53d160a50f7b880d46da89dd6da360c0f6ff5671cad6e9c7b318f3146abf"),
        (("triangle",), "ba5aed5c5867c4834509a11569c31e1632609dfe8a3a045c5df46985d148028f"),
        (("maze",), "81aa747c9d2218e89ff43a2278cd08aacd8bffe2991d854c738913122ef0343e"),
    ],
)
def test_the_images_are_the_same_on_every_machine(tasks, known):
    """Pinned: a kernel's or a library's last bit would show."""
    digest = hashlib.sha256()
    for task in tasks:
        for one, _ in twins(task):
            digest.update(one.image.tobytes() + one.label.tobytes())
    assert digest.hexdigest() == known
