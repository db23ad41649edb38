"""Rows over cases, by hand; what beats every control row, and how often nothing does."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from segtrace.causal.faithfulness.comparison import CONTROL, columns, standings

COLUMNS = columns(["black"])
DELETION, INSERTION = COLUMNS[:2]
GAIN = next(one for one in COLUMNS if one.name == "gain")
CASES = 6


def data_of(rows, kinds, cases=CASES, **numbers):
    """Of two organs and a slice a case; name -> (rows, 2, cases), or a number a row."""
    shape = (len(rows), 2, cases)
    values = {}
    for name, given in numbers.items():
        one = np.asarray(given, float)
        values[name] = np.broadcast_to(one.reshape(*one.shape, *[1] * (3 - one.ndim)), shape).copy()
    coords = {"row": rows, "kind": ("row", kinds), "organ": ["a", "b"],
              "case": ("slice", [*map(str, range(cases))])}  # fmt: skip
    return xr.Dataset({n: (("row", "organ", "slice"), v) for n, v in values.items()}, coords)


ROWS, KINDS = ["good", "bad", "image", "random"], ["rule", "explainer", CONTROL, CONTROL]


def test_a_row_is_marked_where_it_is_beyond_every_control_the_better_way():
    wobble = np.linspace(0.98, 1.02, CASES)[None, None]
    data = data_of(ROWS, KINDS, deletion_black=[0.1, 0.25, 0.2, 0.3], insertion_black=[0.5] * 4)
    data = data * wobble
    good, bad, image, random = standings(data, COLUMNS[:2])
    assert good.beats == ("deletion_black",)  # less is better
    assert bad.beats == image.beats == random.beats == ()  # below one control, above the other
    assert np.isnan(image.p["deletion_black"])
    assert good.mean["deletion_black"] == pytest.approx(0.1)
    assert good.low["deletion_black"] < 0.1 < good.high["deletion_black"]
    assert (good.maps, good.cases["deletion_black"]) == (12, 6)
    up = standings(-data, [replace(DELETION, better="more")])[0]
    assert up.beats == ("deletion_black",)


def test_below_five_cases_nothing_is_marked():
    data = data_of(ROWS, KINDS, 4, deletion_black=[0.1, 0.3, 0.2, 0.3])
    assert all(np.isnan(one.p["deletion_black"]) for one in standings(data, [DELETION]))


def test_organs_that_are_left_out_are_in_every_mean_and_in_no_test():
    values = np.array([0.1, 0.25, 0.2, 0.3])[:, None, None] * np.linspace(0.98, 1.02, CASES)
    values = np.repeat(values, 2, 1)
    values[0, 1] = 0.9  # of the second organ
    data = data_of(ROWS, KINDS, deletion_black=values)
    assert standings(data, [DELETION])[0].beats == ()
    row = standings(data, [DELETION], ["b"])[0]
    assert row.beats == ("deletion_black",)
    assert row.mean["deletion_black"] == pytest.approx(0.5)
    assert standings(data, [DELETION], ["a", "b"])[0].beats == ()


def test_a_control_that_has_hardly_a_map_is_none_and_slices_are_compared_in_pairs():
    values = np.full((4, 2, CASES), 0.5)
    values[0] = 0.4
    values[2, :, :3] = np.nan  # known of three cases, where it would win
    values[2, :, 3:] = 0.1
    values[3, 0] = np.nan  # of the other organ alone
    values[0, 0] = 0.6  # where it is compared with nothing
    found = standings(data_of(ROWS, KINDS, deletion_black=values), [DELETION])
    assert found[0].beats == ("deletion_black",)
    assert found[0].mean["deletion_black"] == pytest.approx(0.5)
    values[2, :, 1:] = 0.1  # of five cases
    assert standings(data_of(ROWS, KINDS, deletion_black=values), [DELETION])[0].beats == ()


def test_gain_is_one_ratio_a_case_and_an_interval_stays_where_numbers_can_be():
    mass = np.array([[[0.9, 0.1], [0.5, 0.5]]])
    data = data_of(["one"], ["rule"], 2, mass=mass, ceiling=1.0 + 0 * mass, area=0.1 + 0 * mass)
    data = data.assign_coords(case=("slice", ["p", "p"]))
    found = data.assign(gain=data["mass"], deletion_black=data["area"])
    (row,) = standings(found, [DELETION, GAIN])
    assert row.mean["gain"] == pytest.approx(((1.0 - 0.2) / 1.8 + (1.0 - 0.2) / 1.8) / 2)
    wide = data_of(["one"], ["rule"], 3, deletion_black=np.array([[[0, 0, 0.9]] * 2]))
    (row,) = standings(wide, [DELETION])
    assert row.low["deletion_black"] == 0


def test_rows_that_are_as_good_as_the_best_control_are_seldom_marked():
    """Of five methods and two columns, whose law is that of two controls; 100 tables."""
    rows = [*"abcde", "image", "prediction", "random"]
    kinds = ["rule"] * 5 + [CONTROL] * 3
    marked = 0
    for table in range(100):
        random = np.random.default_rng(table)
        of_case = random.standard_normal((1, 1, 8))
        noise = random.standard_normal((2, 8, 2, 8)) + of_case
        noise[:, -1] += 5  # far below the others
        data = data_of(rows, kinds, 8, deletion_black=noise[0], insertion_black=-noise[1])
        marked += any(one.beats for one in standings(data, COLUMNS[:2]))
    assert marked <= 9  # two standard errors above 5
