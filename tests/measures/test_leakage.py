"""The leakage matrix against a loop over pixels, and what holds for any map."""

from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from measures.flows import flow_of
from segtrace.attribution.flow import Flow, Status
from segtrace.errors import InputError
from segtrace.labelled import tensor
from segtrace.measures.leakage import Leakage, leakage
from segtrace.measures.places import rim_of

SIZE = (16, 24)
GRIDS = {"enc1": (8, 12), "enc2": (2, 3), "head": SIZE}
DEEP = (6, 10, 8)
DEEP_GRIDS = {"enc1": (3, 5, 4), "enc2": (2, 3, 1), "head": DEEP}


def volumes(seed: int) -> tuple[Flow, Tensor]:
    """The same of 3 organs that touch along every axis, in 2 volumes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(2, *DEEP, dtype=torch.long)
    labels[:, :3, 1:6, 0:3] = 1
    labels[:, 3:5, 1:6, 1:4] = 2
    labels[0, :2, 6:9, 5:8] = 3
    masks = torch.stack([labels == organ for organ in (1, 2, 3)])
    maps = {
        stage: torch.randn(2, 3, 2, *grid, generator=generator, dtype=torch.float64)
        for stage, grid in DEEP_GRIDS.items()
    }
    return flow_of(maps, masks), masks


def scene(seed: int) -> tuple[Flow, Tensor]:
    """Maps of 2 rules, 3 organs that touch, 2 slices; the third organ is missing from slice 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(2, *SIZE, dtype=torch.long)
    labels[:, 2:9, 3:10] = 1
    labels[:, 2:12, 10:13] = 2
    labels[0, 12:15, 15:22] = 3
    masks = torch.stack([labels == organ for organ in (1, 2, 3)])
    maps = {
        stage: torch.randn(2, 3, 2, *grid, generator=generator, dtype=torch.float64)
        for stage, grid in GRIDS.items()
    }
    return flow_of(maps, masks), masks


def of(found: Leakage, name: str) -> Tensor:
    """Numbers alone, in the order (site, rule, organ, onto, slice) as far as they have them."""
    return tensor(found.data[name])


def over(found: Leakage, name: str) -> Tensor:
    """The same over the slices."""
    return tensor(found.summary[name])


def loop_row(
    image: Tensor, masks: Tensor, row: int, rim: tuple[int, ...], axis: int
) -> dict[str, Tensor]:
    """Every pixel charged once: J organs, rim, background, and the J mirror images."""
    columns = len(masks)
    charged, mirrored = torch.zeros(columns + 2).double(), torch.zeros(columns).double()
    pixels = torch.zeros(columns)
    for place in np.ndindex(*image.shape):
        around = zip(place, rim, strict=True)
        near = masks[(row, *(slice(max(0, at - reach), at + reach + 1) for at, reach in around))]
        across = list(place)
        across[axis] = image.shape[axis] - 1 - place[axis]
        here, mirror = masks[(slice(None), *place)], masks[(slice(None), *across)]
        organ = int(here.int().argmax()) if here.any() else columns + 1
        if near.any() and organ != row:
            organ = columns
        charged[organ] += image[place]
        if organ < columns:
            pixels[organ] += 1
        if not near.any() and mirror.any():
            mirrored[int(mirror.int().argmax())] += image[place]
    return {"charged": charged / image.sum(), "mirrored": mirrored / image.sum(), "pixels": pixels}


@pytest.mark.parametrize(
    ("made", "size", "mode", "mirror"),
    [
        (scene, SIZE, "bilinear", -1),
        (volumes, DEEP, "trilinear", -1),
        (volumes, DEEP, "trilinear", -3),
    ],
)
def test_every_entry_equals_the_loop_over_pixels(made, size, mode, mirror) -> None:
    flow, masks = made(0)
    found = leakage(flow, masks, mirror=mirror)
    assert of(found, "mirrored").nan_to_num().max() > 0
    for s, maps in enumerate(flow.maps.values()):
        grid = maps.shape[3:]
        rim = tuple(max(2, ceil(n / cells / 2)) for n, cells in zip(size, grid, strict=True))
        for r, o, n in [(0, 0, 0), (1, 1, 0), (0, 2, 0), (1, 0, 1)]:
            signed = maps[r, o, n].relu()[None, None]
            image = interpolate(signed, size, mode=mode, align_corners=False)[0, 0]
            slow = loop_row(image, masks[:, n], o, rim, mirror)
            torch.testing.assert_close(of(found, "share")[s, r, o, :, n], slow["charged"][:3])
            torch.testing.assert_close(of(found, "rim")[s, r, o, n], slow["charged"][3])
            torch.testing.assert_close(of(found, "background")[s, r, o, n], slow["charged"][4])
            torch.testing.assert_close(of(found, "mirrored")[s, r, o, :, n], slow["mirrored"])
            pixels = (slow["pixels"] / image.numel()).double()
            torch.testing.assert_close(of(found, "area")[s, o, :, n], pixels, atol=1e-7, rtol=0)


def test_where_organs_lie_in_other_cases_equals_the_loop_over_pixels() -> None:
    """Three slices of two cases; a cell that the organ and its rim cover in part counts in part."""
    generator = torch.Generator().manual_seed(3)
    masks = torch.zeros(3, 3, *SIZE, dtype=torch.bool)
    for n in range(3):
        masks[0, n, 2 + n : 7, 3:10] = True
        masks[1, n, 9:14, 2 + 4 * n : 9 + 4 * n] = True
        masks[2, n, 1 : 4 + n, 14 + n : 22] = True
    maps = {stage: torch.randn(1, 3, 3, *grid, generator=generator).double()
            for stage, grid in GRIDS.items()}  # fmt: skip
    found = leakage(flow_of(maps, masks), masks, cases=["a", "a", "b"])
    rim = rim_of(masks, SIZE)
    for n, others in enumerate(([2], [2], [0, 1])):
        for o in range(3):
            image, by_hand, pixels = maps["head"][0, o, n].relu(), [0.0] * 3, [0.0] * 3
            for place in np.ndindex(*SIZE):
                if not (masks[o, n] | rim[o, n])[place]:
                    for j in range(3):
                        part = sum(float(masks[(j, m, *place)]) for m in others) / len(others)
                        by_hand[j] += part * float(image[place] / image.sum())
                        pixels[j] += part / image.numel()
            area = of(found, "others_area")[-1, o, :, n]
            left = area > 0
            assert left.sum() >= 2
            torch.testing.assert_close(area[left], torch.tensor(pixels).double()[left])
            torch.testing.assert_close(
                of(found, "others")[-1, 0, o, :, n], torch.tensor(by_hand).double()
            )
    even = leakage(flow_of({s: torch.ones_like(m) for s, m in maps.items()}, masks), masks)
    density = over(even, "density_others")
    assert density.isfinite().sum() > 12
    torch.testing.assert_close(
        density[density.isfinite()], torch.ones_like(density)[density.isfinite()]
    )
    alone = leakage(flow_of(maps, masks), masks, cases=["a"] * 3)
    assert over(alone, "density_others").isnan().all()
    with pytest.raises(InputError, match="2 cases for 3 slices; give the name of a case for each"):
        leakage(flow_of(maps, masks), masks, cases=["a", "b"])


def test_a_volume_of_one_plane_is_charged_as_the_slice() -> None:
    """At the grids where a rim reaches no further than the plane."""
    flow, masks = scene(0)
    maps = {stage: signed[..., None, :, :] for stage, signed in flow.maps.items()}
    deep = leakage(flow_of(maps, masks[:, :, None]), masks[:, :, None])
    flat = leakage(flow, masks)
    for name in flat.form.numbers:
        expected = of(flat, name)
        close = (
            {"rtol": 1e-12, "atol": 1e-15, "equal_nan": True}
            if expected.is_floating_point()
            else {}
        )
        torch.testing.assert_close(of(deep, name), expected, **close)
    torch.testing.assert_close(over(deep, "density"), over(flat, "density"), equal_nan=True)


def test_an_axis_that_the_image_lacks_mirrors_nothing() -> None:
    flow, masks = scene(0)
    for mirror in (-3, 0, 1):
        with pytest.raises(
            InputError, match=f"mirror is {mirror}; the image has the axes -2 to -1"
        ):
            leakage(flow, masks, mirror=mirror)


def test_the_worked_example_charges_what_the_hand_says() -> None:
    # The 4x4 example, shown twice as large and without neighbours inside the rim's reach.
    image = torch.zeros(12, 12).double()
    image[1:3, 1:3] = torch.tensor([[4.0, 3.0], [2.0, 0.0]])
    image[11, 11], image[5, 0] = 2.0, 1.0
    own, other = torch.zeros(2, 12, 12, dtype=torch.bool)
    own[1:3, 1:3], other[11, 11] = True, True
    masks = torch.stack([own, other])[:, None]
    found = leakage(flow_of({"head": image.expand(1, 2, 1, 12, 12)}, masks), masks)
    assert of(found, "share")[0, 0, 0, :, 0].tolist() == pytest.approx([0.75, 2 / 12])
    assert of(found, "background")[0, 0, 0, 0].item() == pytest.approx(1 / 12)
    assert of(found, "rim")[0, 0, 0, 0].item() == 0
    assert over(found, "density")[0, 0, 0].tolist() == pytest.approx([0.75 * 36, 2 / 12 * 144])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([1e-9, 1.0, 1e9]))
def test_rows_sum_to_one_whatever_the_scale(seed: int, factor: float) -> None:
    flow, masks = scene(seed)
    scaled = flow_of({stage: maps * factor for stage, maps in flow.maps.items()}, masks)
    found = leakage(scaled, masks)
    rows = of(found, "share").sum(3) + of(found, "rim") + of(found, "background")
    present = flow.status != Status.ABSENT
    alive = present & (flow.status != Status.DEAD)
    torch.testing.assert_close(rows[alive], torch.ones_like(rows[alive]))
    assert rows[~alive].isnan().all()
    for part in (
        of(found, "share"),
        of(found, "rim"),
        of(found, "background"),
        of(found, "mirrored"),
    ):
        part = part[part.isfinite()]
        assert ((part > -1e-9) & (part < 1 + 1e-9)).all()
    torch.testing.assert_close(
        of(found, "share"), of(leakage(flow, masks), "share"), equal_nan=True
    )


def test_permuting_the_organs_permutes_the_matrix() -> None:
    flow, masks = scene(1)
    order = [2, 0, 1]
    permuted = flow_of({stage: maps[:, order] for stage, maps in flow.maps.items()}, masks[order])
    straight, turned = leakage(flow, masks), leakage(permuted, masks[order])
    names = ("share", "density", "density_coarse", "density_mirrored", "density_others", "slices")
    for name in names:
        expected = over(straight, name)[:, :, order][..., order]
        torch.testing.assert_close(over(turned, name), expected, equal_nan=True)


def test_columns_may_hold_organs_that_are_not_explained() -> None:
    flow, masks = scene(2)
    fewer = flow_of({s: maps[:, 1:2] for s, maps in flow.maps.items()}, masks[1:2], organs=("b",))
    found = leakage(fewer, masks, columns=("a", "b", "c"))
    torch.testing.assert_close(
        of(found, "share")[:, :, 0], of(leakage(flow, masks), "share")[:, :, 1], equal_nan=True
    )


def test_a_uniform_map_has_density_one_everywhere() -> None:
    _, masks = scene(3)
    uniform = flow_of({"head": torch.ones(1, 3, 2, *SIZE).double()}, masks)
    found = leakage(uniform, masks)
    finite = over(found, "density")[over(found, "density").isfinite()]
    torch.testing.assert_close(finite, torch.ones_like(finite))
    assert len(finite) >= 7
    mirrored = over(found, "density_mirrored")[over(found, "density_mirrored").isfinite()]
    torch.testing.assert_close(mirrored, torch.ones_like(mirrored))


def test_where_no_pixel_of_the_mirror_image_counts_there_is_no_density_on_it() -> None:
    """Two organs mirror one another, so that nothing of either's image lies outside the other."""
    left = torch.zeros(1, 32, 32, dtype=torch.bool)
    left[:, 8:15, 3:12] = True
    masks = torch.stack([left, left.flip(-1)])
    generator = torch.Generator().manual_seed(0)
    maps = {f"enc{side}": torch.rand(1, 2, 1, side, side, generator=generator)
            for side in (4, 7, 8, 16, 32)}  # fmt: skip
    found = leakage(flow_of(maps, masks), masks)
    assert (of(found, "mirrored_area")[:, [0, 1], [1, 0]] == 0).all()
    assert of(found, "mirrored")[:, :, [0, 1], [1, 0]].abs().max() > 0  # what rounding leaves there
    assert over(found, "density_mirrored")[:, :, [0, 1], [1, 0]].isnan().all()
    # Its own image lies on the other organ, which is no part of it: that can be told.
    assert over(found, "density_mirrored")[:, :, [0, 1], [0, 1]].isfinite().all()


def test_no_number_of_any_map_is_infinite() -> None:
    """Organs that cover one another's mirror images and rims, wholly, partly and not at all."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.zeros(2, 32, 32, dtype=torch.long)
        for organ in (1, 2, 3):
            y, x, h, w = (int(v) for v in torch.randint(2, 14, (4,), generator=generator))
            labels[:, y : y + h, x : x + w] = organ
            if organ == 2:  # and the third under its mirror image
                labels[:, y : y + h, 32 - x - w : 32 - x] = 3
        masks = torch.stack([labels == organ for organ in (1, 2, 3)])
        maps = {f"enc{side}": torch.rand(1, 3, 2, side, side, generator=generator)
                for side in (3, 7, 16, 32)}  # fmt: skip
        found = leakage(flow_of(maps, masks), masks)
        for name in ("share", "density", "density_coarse", "density_mirrored"):
            assert not over(found, name).isinf().any(), (seed, name)


def test_a_neighbour_that_the_rim_mostly_covers_has_no_entry() -> None:
    flow, masks = scene(4)
    found = leakage(flow, masks)
    # At enc2 a cell is 8 px: its rim of 4 px takes all of the second organ (3 px wide).
    stages = list(GRIDS)
    assert over(found, "density")[stages.index("enc2"), :, 0, 1].isnan().all()
    assert over(found, "slices")[stages.index("enc2"), 0, 0, 1] == 0
    assert not of(found, "counted")[
        stages.index("head"), 0, 1
    ].any()  # 2 of 3 px wide, in 7 of 10 rows
    assert of(found, "counted")[stages.index("head"), 0, 2].tolist() == [True, False]


def test_maps_that_may_not_be_read_have_no_share() -> None:
    flow, masks = scene(5)
    status = flow.status.clone()
    status[0, 1, 0, 0] = Status.GAP_DEGENERATE
    found = leakage(flow_of(flow.maps, masks, status), masks)
    assert of(found, "share")[0, 1, 0, :, 0].isnan().all()
    assert of(found, "share")[0, 0, 0, :, 0].isfinite().all()


def test_the_perfect_coarse_map_is_the_pooled_mask() -> None:
    _, masks = scene(6)
    perfect = avg_pool2d(masks.double(), 2)[None]
    found = leakage(flow_of({"enc1": perfect}, masks), masks)
    torch.testing.assert_close(of(found, "coarse")[0], of(found, "share")[0, 0], equal_nan=True)
    at_full_resolution = leakage(flow_of({"head": masks.double()[None]}, masks), masks)
    others = ~torch.eye(3, dtype=torch.bool)
    assert (of(at_full_resolution, "coarse")[0][others].nan_to_num() == 0).all()


@pytest.mark.parametrize("reach", [(1, 1), (5, 2), (40, 40)])
def test_a_rim_reaches_as_far_as_half_a_cell(reach: tuple[int, int]) -> None:
    mask = torch.zeros(1, 20, 30, dtype=torch.bool)
    mask[0, 8, 11] = True
    grid = (max(1, 20 // (2 * reach[0])), max(1, 30 // (2 * reach[1])))
    up, aside = (max(2, ceil(n / cells / 2)) for n, cells in zip((20, 30), grid, strict=True))
    expected = torch.zeros_like(mask)
    expected[0, max(0, 8 - up) : 9 + up, max(0, 11 - aside) : 12 + aside] = True
    assert torch.equal(rim_of(mask, grid), expected & ~mask)


def test_masks_that_overlap_or_do_not_fit_are_refused() -> None:
    flow, masks = scene(7)
    with pytest.raises(InputError, match="overlap"):
        leakage(flow, masks | masks[:1])
    with pytest.raises(InputError, match=r"ask for \(3, 2, H, W\)"):
        leakage(flow, masks[:2])
    with pytest.raises(InputError, match="no column 'organ1'"):
        leakage(flow, masks, columns=("organ0", "liver", "organ2"))
