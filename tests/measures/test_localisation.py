"""Localisation against the equations, the numbers by hand, and what must hold for any map."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import interpolate

from measures.flows import flow_of
from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError
from segtrace.labelled import tensor
from segtrace.measures.localisation import (
    measure,
    over_slices,
)
from segtrace.measures.measure import wanted
from segtrace.measures.places import body_of


def names(which: str) -> tuple[str, ...]:
    """Of the table, in its order."""
    return tuple(one.name for one in wanted(which))


BY_HAND = torch.tensor([[0, 0, 1, 0], [0, 4, 3, 0], [0, 2, 0, 0], [0, 0, 0, 2]]).double()
MIDDLE = torch.zeros(4, 4, dtype=torch.bool)
MIDDLE[1:3, 1:3] = True


def one(image: Tensor, mask: Tensor, **options: object) -> dict[str, float]:
    """Every measure of one map and one mask."""
    flow = flow_of({"stage": image[None, None, None]}, mask[None, None])
    values = measure(flow, mask[None, None], measures="all", **options)
    return {name: value.item() for name, value in values.items()}


def test_the_worked_example_comes_out_to_the_last_digit() -> None:
    found = one(BY_HAND, MIDDLE, spacing=torch.tensor([[2.0, 1.5]]))
    expected = {
        "mass": 0.75,
        "ceiling": 1.0,
        "area": 0.25,
        "gain": 2 / 3,
        "lift": 3.0,
        "pointing_game": 1.0,
        "relevance_rank_accuracy": 0.75,
        "average_precision": 0.75,
        "best_dice": 0.75,
        "best_threshold": 2.0,
        "best_iou": 0.6,
        "gini": 0.760417,
        "effective_area": 0.284938,
        "centre_distance_mm": 0.300463,
        "magnitude": math.log10(12 / 16),
        "gradient": 1.0,
        "score_per_px": 1.5,
        "max": 4.0,
        "positive_fraction": 1.0,
        "kappa": 0.5,
    }
    assert {name: round(found[name], 6) for name in expected} == {
        name: round(value, 6) for name, value in expected.items()
    }


def test_the_part_off_the_body_stands_beside_that_of_an_even_map() -> None:
    body = torch.zeros(1, 4, 4, dtype=torch.bool)
    body[0, 1:3, 1:3] = True
    flow = flow_of({"stage": BY_HAND[None, None, None]}, MIDDLE[None, None])
    found = measure(flow, MIDDLE[None, None], body=body)
    assert found["outside"].item() == pytest.approx(0.25)
    assert found["outside_uniform"].item() == pytest.approx(0.75)
    assert found["ceiling_max"].item() == 1
    unknown = measure(flow, MIDDLE[None, None], body=~body & body)
    assert unknown["outside"].isnull().all()


def test_the_body_is_the_largest_part_with_what_it_encloses() -> None:
    image = torch.zeros(3, 1, 12, 12)
    image[0, 0, 2:9, 2:9] = 0.5
    image[0, 0, 4:6, 4:6] = 0.0  # air inside
    image[0, 0, 11, 11] = 0.5  # the table
    image[2] = 0.5
    found = body_of(image)
    assert found[0].sum() == 49
    assert not found[1:].any()  # nothing says what is air
    assert torch.equal(body_of(image[:, :, None])[:, 0], found)
    lungs = image[:1, :, None].repeat(1, 1, 3, 1, 1)  # open at the first and the last plane
    assert torch.equal(body_of(lungs), found[:1, None].repeat(1, 3, 1, 1))


def test_a_map_of_the_organ_itself_is_perfect() -> None:
    found = one(MIDDLE.double(), MIDDLE, spacing=torch.ones(1, 2))
    perfect = (
        "mass",
        "gain",
        "average_precision",
        "best_dice",
        "best_iou",
        "pointing_game",
        "relevance_rank_accuracy",
    )
    assert {name: found[name] for name in perfect} == dict.fromkeys(perfect, 1.0)
    assert (found["lift"], found["centre_distance_mm"]) == (4.0, 0.0)


def test_a_uniform_map_says_nothing() -> None:
    found = one(torch.full((4, 4), 0.3).double(), MIDDLE)
    assert found["mass"] == pytest.approx(0.25)
    assert found["gain"] == pytest.approx(0, abs=1e-12)
    assert found["lift"] == pytest.approx(1)
    assert found["effective_area"] == pytest.approx(1)
    assert found["gini"] == pytest.approx(0, abs=1e-12)
    assert found["average_precision"] == pytest.approx(0.25)
    assert found["best_dice"] == pytest.approx(2 * 0.25 / 1.25)


def test_a_dead_map_keeps_its_magnitudes_and_nothing_else() -> None:
    found = one(-BY_HAND, MIDDLE, spacing=torch.ones(1, 2))
    assert found["magnitude"] == -12
    assert (found["max"], found["positive_fraction"]) == (0, 0)
    assert (found["ceiling"], found["area"]) == (1, 0.25)
    for name in (
        "mass",
        "gain",
        "lift",
        "pointing_game",
        "relevance_rank_accuracy",
        "average_precision",
        "best_dice",
        "gini",
        "centre_distance_mm",
    ):
        assert math.isnan(found[name]), name


def test_an_absent_organ_has_no_number_at_all() -> None:
    found = one(BY_HAND, torch.zeros_like(MIDDLE))
    assert {name for name, value in found.items() if not math.isnan(value)} == set()


def test_a_map_that_is_not_finite_has_no_number_at_all() -> None:
    image = BY_HAND.clone()
    image[0, 0] = torch.nan
    status = torch.full((1, 1, 1, 1), Status.NONFINITE, dtype=torch.int8)
    flow = flow_of({"stage": image[None, None, None]}, MIDDLE[None, None], status)
    values = measure(flow, MIDDLE[None, None], torch.ones(1, 2), "all")
    assert all(value.isnull().all() for value in values.values())


def test_an_organ_missing_from_the_masks_but_not_from_the_region_has_magnitudes_only() -> None:
    flow = flow_of({"stage": BY_HAND[None, None, None]}, MIDDLE[None, None])
    values = measure(flow, torch.zeros(1, 1, 4, 4, dtype=torch.bool), measures="all")
    assert values["mass"].isnull().all()
    assert values["gain"].isnull().all()
    assert values["magnitude"].notnull().all()


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_a_perfect_coarse_map_of_a_volume_has_gain_one(stride: int) -> None:
    mask = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    mask[0, 0, 3:9, 2:11, 5:14] = True
    coarse = torch.nn.functional.avg_pool3d(mask.double(), stride)
    values = measure(flow_of({"stage": coarse[None]}, mask), mask)
    torch.testing.assert_close(values["gain"].item(), 1.0)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_a_perfect_coarse_map_has_gain_one_at_every_stride(stride: int) -> None:
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    mask[0, 0, 11:37, 5:30] = True
    mask[1, 0, 40:51, 33:62] = True
    coarse = torch.nn.functional.avg_pool2d(mask.double(), stride)
    values = measure(flow_of({"stage": coarse[None]}, mask), mask)
    torch.testing.assert_close(tensor(values["gain"]), torch.ones(1, 1, 2, 1, dtype=torch.float64))
    assert stride == 1 or (values["mass"] < 0.95).all()


def test_a_grid_that_cannot_show_the_organ_has_no_gain() -> None:
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., 20:22, 20:22] = True
    values = measure(flow_of({"stage": torch.rand(1, 1, 1, 2, 2)}, mask), mask)
    assert values["gain"].isnull().all()
    assert values["mass"].notnull().all()


def loop_mass(image: Tensor, mask: Tensor) -> float:
    """Σ_m U(L) / ΣU(L), pixel by pixel."""
    mode = {2: "bilinear", 3: "trilinear"}[mask.ndim]
    whole = image.relu()[None, None]
    big = interpolate(whole, tuple(mask.shape), mode=mode, align_corners=False)[0, 0]
    inside = total = 0.0
    for place in np.ndindex(*mask.shape):
        total += big[place].item()
        inside += big[place].item() if mask[place] else 0.0
    return inside / total


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        *(((grid), (24, 36)) for grid in [(24, 36), (12, 18), (5, 7), (1, 1), (24, 9)]),
        *(((grid), (6, 8, 10)) for grid in [(6, 8, 10), (3, 4, 5), (4, 3, 7), (1, 1, 1)]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_mass_at_the_stage_s_resolution_equals_resizing_and_summing(
    grid: tuple[int, ...], size: tuple[int, ...], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(3)
    maps = torch.randn(2, 3, 2, *grid, generator=generator, dtype=dtype)
    maps.flatten(3)[..., 0] = 1.0  # a single cell must not be negative
    masks = torch.rand(3, 2, *size, generator=generator) > 0.7
    found = tensor(measure(flow_of({"stage": maps}, masks), masks)["mass"][0])
    slow = [
        [[loop_mass(maps[r, o, n].double(), masks[o, n]) for n in range(2)] for o in range(3)]
        for r in range(2)
    ]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(
        found, torch.tensor(slow, dtype=torch.float64), rtol=tolerance, atol=0
    )


def in_a_volume(values: Tensor, plane: int = 0, planes: int = 1) -> Tensor:
    """Slices (…, h, w) as one plane of volumes (…, planes, h, w) that are 0 elsewhere."""
    whole = values.new_zeros(*values.shape[:-2], planes, *values.shape[-2:])
    whole[..., plane, :, :] = values
    return whole


def a_flow_of_slices() -> tuple[Flow, Tensor, Tensor]:
    """Maps, masks and bodies: an absent organ, a dead map and one that is not finite among them."""
    generator = torch.Generator().manual_seed(8)
    maps = {"enc": torch.randn(2, 3, 2, 4, 6, generator=generator).double(),
            "head": torch.randn(2, 3, 2, 8, 12, generator=generator).double()}  # fmt: skip
    masks = torch.rand(3, 2, 8, 12, generator=generator) > 0.7
    masks[1, 1] = False
    maps["enc"][0, 0, 0] = -1.0
    maps["head"][1, 2, 1, 3, 3] = torch.nan
    return flow_of(maps, masks), masks, torch.rand(2, 8, 12, generator=generator) > 0.2


def test_a_volume_of_one_plane_has_the_numbers_of_the_slice() -> None:
    flow, masks, body = a_flow_of_slices()
    deep = replace(
        flow_of({s: in_a_volume(m) for s, m in flow.maps.items()}, in_a_volume(masks)),
        status=flow.status,
    )
    mm = torch.tensor([[1.5, 2.0], [0.7, 0.7]]).double()
    options = {"measures": "all", "parts": (flow, flow)}
    flat = measure(flow, masks, mm, body=body, **options)
    found = measure(deep, in_a_volume(masks), functional.pad(mm, (1, 0), value=5.0),
                    body=in_a_volume(body), measures="all", parts=(deep, deep))  # fmt: skip
    assert list(found) == list(flat)
    for name, numbers in flat.items():
        expected = tensor(numbers)
        torch.testing.assert_close(tensor(found[name]), expected, equal_nan=True, rtol=1e-12,
                                   atol=1e-15)  # fmt: skip
        assert name == "locality" or expected.isfinite().any(), name


def test_planes_that_hold_nothing_change_no_share_but_that_of_the_image() -> None:
    """Beside planes without evidence the evidence is where it was, in a larger image."""
    flow, masks, _ = a_flow_of_slices()
    maps = {"head": flow.maps["head"].relu().nan_to_num(0)}
    flat = measure(flow_of(maps, masks), masks, measures="all")
    wide = in_a_volume(masks, 1, 4)
    deep = measure(flow_of({"head": in_a_volume(maps["head"], 1, 4)}, wide), wide, measures="all")
    for name in ("mass", "max", "positive_fraction", "pointing_game"):
        assert deep[name].identical(flat[name]), name
    torch.testing.assert_close(tensor(deep["area"]), tensor(flat["area"]) / 4, equal_nan=True)
    torch.testing.assert_close(
        tensor(deep["effective_area"]), tensor(flat["effective_area"]) / 4, equal_nan=True
    )


def test_half_precision_maps_are_measured_in_float32() -> None:
    flow = flow_of({"stage": BY_HAND.half()[None, None, None]}, MIDDLE[None, None])
    assert measure(flow, MIDDLE[None, None])["mass"].item() == pytest.approx(0.75)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([2.0**-20, 0.25, 4.0, 2.0**20]))
def test_no_localisation_changes_with_the_map_s_scale_and_all_keep_their_bounds(
    seed: int, factor: float
) -> None:
    # Powers of two: any other factor rounds, and so breaks ties of the rank measures.
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    image[1, 1] = 1.0
    mask = torch.rand(8, 12, generator=generator) > 0.6
    mask[2, 2] = True
    found = one(image, mask, spacing=torch.ones(1, 2))
    scaled = one(image * factor, mask, spacing=torch.ones(1, 2))
    for name in (
        "mass",
        "gain",
        "lift",
        "pointing_game",
        "relevance_rank_accuracy",
        "average_precision",
        "best_dice",
        "effective_area",
        "gini",
    ):
        assert scaled[name] == pytest.approx(found[name], rel=1e-9, nan_ok=True), name
    assert scaled["max"] == pytest.approx(factor * found["max"])
    for name in (
        "mass",
        "relevance_rank_accuracy",
        "best_dice",
        "best_iou",
        "effective_area",
        "gini",
        "positive_fraction",
    ):
        assert 0 <= found[name] <= 1 + 1e-12, name
    assert 0 < found["average_precision"] <= 1
    assert found["lift"] <= 1 / found["area"] + 1e-9


def two_slices(
    masses: tuple[float, float],
    areas: tuple[float, float],
    status: tuple[Status, Status] = (Status.OK, Status.OK),
    **more: tuple[float, float],
) -> xr.Dataset:
    mass, area = torch.tensor(masses).double(), torch.tensor(areas).double()
    gain = (mass - area) / (1 - area)
    values = {"mass": mass, "gain": gain, "ceiling": torch.ones_like(mass), "area": area, **more}
    axes = ("site", "rule", "organ", "slice")
    found = {name: (axes, [[[list(given)]]]) for name, given in values.items()}
    return xr.Dataset(found, {"status": (axes, [[[list(status)]]])})


def test_gain_over_slices_is_the_ratio_of_sums_and_mass_the_mean() -> None:
    reduced = over_slices(two_slices((0.9, 0.3), (0.1, 0.6)))
    assert reduced["gain"].item() == pytest.approx((0.8 - 0.3) / (0.9 + 0.4))
    assert reduced["mass"].item() == pytest.approx(0.6)
    assert reduced["n_valid"].item() == 2


def test_slices_without_a_number_are_left_out_and_counted() -> None:
    reduced = over_slices(two_slices((0.9, math.nan), (0.1, 0.6)))
    assert reduced["gain"].item() == pytest.approx(0.8 / 0.9)
    assert reduced["n_valid"].item() == 1
    assert over_slices(two_slices((math.nan, math.nan), (0.1, 0.6)))["gain"].isnull().all()


def test_maps_that_may_not_be_read_can_be_left_out() -> None:
    status = (Status.GAP_DEGENERATE, Status.OK)
    reduced = over_slices(two_slices((0.9, 0.3), (0.1, 0.6), status, kappa=(0.02, 0.5)))
    assert reduced["kappa"].item() == pytest.approx(0.26)
    assert reduced["mass"].item() == pytest.approx(0.3)
    assert reduced["n_valid"].item() == 1


def test_numbers_stand_under_their_names_beside_what_qualifies_them() -> None:
    maps = {"enc": torch.rand(2, 3, 4, 4, 4), "head": torch.rand(2, 3, 4, 8, 8)}
    masks = torch.ones(3, 4, 8, 8, dtype=torch.bool)
    masks[1, 2] = False
    found = measure(flow_of(maps, masks), masks)
    assert found["mass"].dims == ("site", "rule", "organ", "slice")
    assert found.sizes == {"site": 2, "rule": 2, "organ": 3, "slice": 4}
    absent = found.where(found["status"] == Status.ABSENT, drop=True)
    assert (absent["organ"].item(), absent["region_px"].max().item()) == ("organ1", 0)
    assert found["mass"].sel(organ="organ1").isel(slice=2).isnull().all()
    assert found["magnitude"].attrs == {
        "long_name": "Strength (log10 of the map's mean)", "units": "log10",
    }  # fmt: skip


def test_all_measures_come_in_the_table_s_order() -> None:
    flow = flow_of({"stage": BY_HAND[None, None, None]}, MIDDLE[None, None])
    assert tuple(measure(flow, MIDDLE[None, None], measures="all")) == names("all")
    assert tuple(measure(flow, MIDDLE[None, None])) == names("leading")


def test_masks_of_other_slices_are_refused() -> None:
    flow = flow_of({"stage": BY_HAND[None, None, None]}, MIDDLE[None, None])
    with pytest.raises(InputError, match=r"masks have shape \(1, 2, 4, 4\)"):
        measure(flow, MIDDLE.expand(1, 2, 4, 4))
    with pytest.raises(InputError, match=r"masks .*\(1, 1, 3, 4, 4\).* ask for \(1, 1, H, W\)"):
        measure(flow, MIDDLE.expand(1, 1, 3, 4, 4))


def test_an_unknown_set_of_measures_is_refused() -> None:
    flow = flow_of({"stage": BY_HAND[None, None, None]}, MIDDLE[None, None])
    with pytest.raises(InputError, match="'some'; say 'leading' or 'all'"):
        measure(flow, MIDDLE[None, None], measures="some")
