from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.saving import reloaded
from segtrace.checkpoint.description import understood
from segtrace.data.probes import Probes, choose, usual
from segtrace.errors import InputError


def keys(*counts):
    return [(case, i) for case, n in zip("abcd", counts, strict=False) for i in range(n)]


def test_every_organ_gets_the_slice_where_it_is_largest():
    areas = np.array([[1, 0, 0], [5, 0, 1], [2, 3, 0], [0, 9, 0], [0, 0, 7]])
    assert choose(areas, keys(5), n=3) == [1, 3, 4]


def test_duplicates_are_merged():
    areas = np.array([[9, 9, 9], [1, 1, 1]])
    assert choose(areas, keys(2), n=1) == [0]


def test_ties_go_to_the_first_case_and_index():
    areas = np.array([[5], [5], [5]])
    assert choose(areas, [("b", 0), ("a", 2), ("a", 1)], n=1) == [2]


def test_the_rest_adds_most_new_pairs_of_organs():
    areas = np.zeros((7, 4), dtype=int)
    areas[[0, 1, 2, 3], [0, 1, 2, 3]] = 9  # each organ largest alone
    areas[4, :2] = 1  # adds one pair
    areas[5, 1:] = 1  # adds three pairs
    areas[6, [0, 2]] = 1  # adds one pair
    assert choose(areas, keys(7), n=5) == [0, 1, 2, 3, 5]
    assert choose(areas, keys(7), n=6) == [0, 1, 2, 3, 4, 5]
    assert choose(areas, keys(7), n=7) == [0, 1, 2, 3, 4, 5, 6]


def test_pairs_already_seen_count_only_when_nothing_new_is_left():
    areas = np.array([[9, 9, 0], [8, 8, 0], [0, 0, 9], [0, 5, 5]])
    assert choose(areas, keys(4), n=3) == [0, 2, 3]
    assert choose(areas, keys(4), n=4) == [0, 1, 2, 3]


def test_slices_that_show_one_organ_alone_come_last_and_the_largest_first():
    areas = np.array([[9, 0], [7, 0], [0, 9], [0, 0], [8, 0], [1, 1]])
    assert choose(areas, keys(6), n=3) == [0, 2, 5]
    assert choose(areas, keys(6), n=4) == [0, 2, 4, 5]
    assert choose(areas, keys(6), n=8) == [0, 1, 2, 4, 5]


def test_of_a_single_organ_as_many_slices_are_watched_as_are_asked_for():
    areas = np.array([[5], [0], [7], [6], [9]])
    assert choose(areas, keys(5), n=3) == [2, 3, 4]


def test_with_more_organs_than_places_the_first_organs_win():
    assert choose(np.eye(5, dtype=int), keys(5), n=3) == [0, 1, 2]


def test_the_order_is_by_case_and_index():
    areas = np.array([[1, 9], [9, 1]])
    assert choose(areas, [("b", 3), ("a", 5)], n=2) == [1, 0]


def test_an_organ_that_is_nowhere_is_left_out():
    assert choose(np.array([[0, 4], [0, 5]]), keys(2), n=1) == [1]


def many(areas_of_a_case, cases=5):
    """The same slices in every case."""
    named = [(f"{number}", index) for number in range(cases) for index in range(3)]
    return np.tile(np.array(areas_of_a_case), (cases, 1)), named


def test_of_many_cases_every_one_has_its_say_with_the_slice_of_most_organs():
    areas, named = many([[9, 0, 0], [1, 1, 1], [0, 9, 9]])
    assert [named[row] for row in choose(areas, named, n=5)] == [(str(i), 1) for i in range(5)]


def test_few_cases_show_each_organ_where_it_is_largest():
    areas, named = many([[9, 0, 0], [1, 1, 1], [0, 9, 9]], cases=4)
    assert [named[row] for row in choose(areas, named, n=2)] == [("0", 0), ("0", 2)]


def test_a_case_counts_only_with_an_organ_on_it():
    areas, named = many([[9, 0, 0], [1, 1, 1], [0, 9, 9]])
    areas[:3] = 0
    assert [named[row] for row in choose(areas, named, n=2)] == [("1", 0), ("1", 2)]


def test_among_slices_of_as_many_organs_the_larger_ones_are_taken():
    # As parts of their largest area: 1/1 + 1/100, 1/2 + 100/100, so that size alone does not win.
    areas, named = many([[2, 1, 0], [1, 100, 0], [0, 0, 0]])
    assert [named[row] for row in choose(areas, named, n=5)] == [(str(i), 1) for i in range(5)]


def test_places_left_over_go_to_organs_not_yet_seen_of_a_case_then_to_the_largest():
    areas, named = many([[3, 3, 0], [0, 0, 3], [5, 0, 0]])
    chosen = [named[row] for row in choose(areas, named, n=11)]
    assert chosen == sorted([(str(i), j) for i in range(5) for j in (0, 1)] + [("0", 2)])


def test_one_slice_of_a_case_is_the_one_that_shows_most_organs():
    areas = np.array([[9, 0, 0], [1, 1, 1], [0, 9, 9]])
    assert choose(areas, keys(3), n=1, every_case=True) == [1]
    assert choose(areas, keys(3), n=1) == [0]


def test_unasked_there_is_a_slice_for_each_of_up_to_twelve_cases():
    assert [usual(cases) for cases in (1, 8, 9, 12, 13)] == [8, 8, 9, 12, 12]


def test_slices_without_any_organ_are_refused():
    for areas in (np.zeros((3, 2), dtype=int), np.zeros((0, 2), dtype=int)):
        with pytest.raises(InputError, match=r"no slice shows any of the organs"):
            choose(areas, keys(len(areas)))
    with pytest.raises(InputError, match=r"organs, liver \(6\), in 0001; choose other cases"):
        choose(np.zeros((1, 1), dtype=int), keys(1), held=", liver (6), in 0001")
    with pytest.raises(InputError, match=r"probes.n=0"):
        choose(np.ones((1, 1), dtype=int), keys(1), n=0)


@pytest.fixture
def probes():
    random = torch.Generator().manual_seed(0)
    return Probes(
        images=torch.rand(2, 1, 8, 8, generator=random),
        labels=torch.randint(0, 3, (2, 8, 8), generator=random, dtype=torch.uint8),
        cases=("0027", "0028"),
        slices=(5, 7),
        spacing=torch.tensor([[1.5, 1.5], [float("nan")] * 2], dtype=torch.float64),
        split="val",
        phantom=True,
        originals=(torch.arange(9).view(3, 3).short(), torch.full((4, 5), -1024).short()),
        sides_known=True,
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probes_of_a_file_that_hold_no_numbers_are_one_line(probes, value):
    images = probes.images.clone()
    images[1, 0, 2, :3] = value
    with pytest.raises(InputError, match=r"0027, 0028\) hold 3 values that are NaN") as caught:
        Probes.from_plain(reloaded(replace(probes, images=images).to_plain()))
    assert "\n" not in str(caught.value)


def test_probes_survive_a_checkpoint(probes):
    again = Probes.from_plain(reloaded(probes.to_plain()))
    assert torch.equal(again.images, probes.images)
    assert torch.equal(again.labels, probes.labels)
    assert torch.equal(again.spacing.nan_to_num(-1), probes.spacing.nan_to_num(-1))
    assert (again.cases, again.slices, again.split) == (probes.cases, probes.slices, "val")
    assert again.phantom
    assert again.sides_known
    assert [hu.tolist() for hu in again.originals] == [hu.tolist() for hu in probes.originals]
    assert len(again) == 2
    assert again.hash == probes.hash


def test_all_that_probes_may_say_survives_the_description_of_a_checkpoint(probes):
    said = replace(probes, ends=(-2.0, 3.5), axcodes="SPL", hounsfield_known=True)
    for embed in (True, False):
        found = understood({"probes": reloaded(said.to_plain(embed))}, Path("x.ckpt"))
        assert found.unknown == ()
        assert found["probes"].keys() == said.to_plain(embed).keys()
    again = Probes.from_plain(understood({"probes": said.to_plain()}, Path("x.ckpt"))["probes"])
    assert (again.ends, again.axcodes) == (said.ends, said.axcodes)
    assert torch.equal(again.shown, said.shown)


@pytest.mark.parametrize("ends", [[1.0, 1.0], [2.0, -1.0], [0.0], [0.0, float("nan")], "ab"])
def test_ends_of_a_file_between_which_nothing_lies_are_one_line(probes, ends):
    with pytest.raises(InputError, match=r"^x.ckpt: probes.ends\b[^\n]*$"):
        understood({"probes": probes.to_plain() | {"ends": ends}}, Path("x.ckpt"))


@pytest.mark.parametrize("name", ["sides_known", "hounsfield_known"])
def test_what_is_known_of_the_slices_survives_a_checkpoint(probes, name):
    for known in (False, True):
        plain = reloaded(replace(probes, **{name: known}).to_plain())
        assert getattr(Probes.from_plain(plain), name) is known
    del plain[name]  # of a version that did not ask
    assert not getattr(Probes.from_plain(plain), name)


def test_without_embedding_no_pixel_is_saved(probes):
    plain = reloaded(probes.to_plain(embed=False))
    assert not {"images", "labels", "originals"} & set(plain)
    assert plain["hash"] == probes.hash
    assert plain["cases"] == ["0027", "0028"]
    with pytest.raises(InputError, match=r"probes.embed=false\); give the data set"):
        Probes.from_plain(plain)


@pytest.mark.parametrize("field", ["images", "labels", "cases", "slices"])
def test_the_hash_notices_every_change(probes, field):
    plain = probes.to_plain()
    if field in ("images", "labels"):
        plain[field][0, ..., 3, 3] += 1
    else:
        plain[field][0] = {"cases": "0029", "slices": 6}[field]
    with pytest.raises(InputError, match=r"differ from those the network was watched on"):
        Probes.from_plain(plain)


def test_probes_of_a_checkpoint_without_originals_have_none(probes):
    plain = probes.to_plain()
    del plain["originals"]
    assert Probes.from_plain(plain).originals is None
    assert Probes.from_plain(replace(probes, originals=None).to_plain()).originals is None


def test_sides_are_not_known_unless_a_checkpoint_says_so(probes):
    plain = probes.to_plain()
    del plain["sides_known"]
    assert not Probes.from_plain(plain).sides_known
    assert not Probes.from_plain(replace(probes, sides_known=False).to_plain()).sides_known


def test_probes_of_an_unlabelled_image_survive_too(probes):
    bare = replace(probes, labels=None, split="user")
    again = Probes.from_plain(reloaded(bare.to_plain()))
    assert again.labels is None
    assert again.hash == bare.hash != probes.hash
