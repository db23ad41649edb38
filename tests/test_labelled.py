"""Named axes: rows as in the tables, and a plain form that a file cannot abuse."""

import math

import pytest
import torch
import xarray as xr

from helpers.saving import reloaded
from segtrace import InputError
from segtrace.labelled import Form, names_along, rows, tensor

FORM = Form(
    {"lost": "site organ", "vertex": "site"},
    {"sites": "site", "places": "place site", "organs": "organ"},
    ("cut",),
)
PLAIN = {
    "lost": torch.tensor([[0.1, math.nan, 3], [4, 5, 6]]),
    "vertex": torch.tensor([True, False]),
    "sites": ("enc1", "skip_1"),
    "places": ("stage", "edge"),
    "organs": ("liver", "spleen", "aorta"),
    "cut": "zero",
}


def test_rows_run_along_the_last_axis_fastest_whatever_axes_a_number_has():
    found = rows(FORM.dataset(PLAIN), ("organ", "site"), ("site", "place", "organ", "lost"))
    assert len(found) == 6
    assert list(found[0]) == ["site", "place", "organ", "lost"]
    assert found[1] == {"site": "skip_1", "place": "edge", "organ": "liver", "lost": 4.0}
    assert [row["organ"] for row in found[::2]] == ["liver", "spleen", "aorta"]


def test_rows_hold_plain_values_of_what_they_are():
    data = FORM.dataset(PLAIN).assign_coords(epoch=((), None), count=3)
    (first, _) = rows(data.isel(organ=0), ("site",), ("vertex", "epoch", "count", "lost"))
    assert [type(value) for value in first.values()] == [bool, type(None), int, float]
    assert first["lost"] == float(PLAIN["lost"][0, 0])  # single precision, to the last digit


def test_an_axis_without_names_counts_from_0():
    found = rows(xr.Dataset({"dice": ("slice", [0.5, 0.7])}), ("slice",), ("slice", "dice"))
    assert [row["slice"] for row in found] == [0, 1]


def test_several_slices_of_one_number_are_told_apart_by_their_case():
    data = xr.Dataset({"n": ("slice", [1, 2])}, {"slice": [7, 7], "case": ("slice", ["a", "b"])})
    expected = [{"slice": 7, "case": "a", "n": 1}, {"slice": 7, "case": "b", "n": 2}]
    assert rows(data, ("slice",), ("slice", "case", "n")) == expected


def test_the_plain_form_loads_without_pickle_and_comes_back_the_same():
    data = FORM.dataset(PLAIN)
    again = reloaded(FORM.plain(data))
    assert list(again) == list(PLAIN)
    assert (again["sites"], again["places"], again["cut"]) == (
        PLAIN["sites"], PLAIN["places"], "zero",
    )  # fmt: skip
    assert FORM.read(again).identical(data)


def test_numbers_stay_in_the_memory_they_lie_in():
    values = torch.zeros(2)
    data = xr.Dataset({"n": ("site", values)})
    assert tensor(data["n"]).data_ptr() == values.data_ptr()
    assert names_along(data, "site") == [0, 1]


@pytest.mark.parametrize(
    "odd",
    [
        {"lost": torch.zeros(3, 3)},
        {"lost": torch.zeros(2)},
        {"lost": [[1, 2, 3], [4, 5, 6]]},
        {"sites": ("enc1",)},
        {"sites": (1, 2)},
        {"sites": "ab"},
        {"places": None},
    ],
)
def test_a_file_whose_numbers_do_not_fit_their_names_is_refused(odd):
    with pytest.raises(InputError, match="numbers that do not fit their names"):
        FORM.read(PLAIN | odd)
    with pytest.raises(InputError, match="numbers that do not fit their names"):
        FORM.read({key: value for key, value in PLAIN.items() if key not in odd})
    with pytest.raises(InputError, match="colour is not known"):
        FORM.read(PLAIN | {"colour": "red"})
