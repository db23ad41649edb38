import pytest
import torch

from segtrace import InputError
from segtrace.attribution.aggregate import aggregate, with_merged
from segtrace.attribution.flow import Flow, Status


def flow_of(maps, status=None):
    """One rule, organ and slice; stage -> rows of cells."""
    tensors = {name: torch.tensor(rows).float()[None, None, None] for name, rows in maps.items()}
    blank = torch.ones(len(maps), 1, 1)
    told = torch.zeros(len(maps), 1, 1, 1, dtype=torch.int8)
    for stage, value in (status or {}).items():
        told[list(maps).index(stage)] = value
    return Flow(
        tensors, blank, blank, told, blank[0], blank[0], blank, ("rule",), ("organ",), "logit"
    )


BY_HAND = {"dec1": [[0, 1], [1, 2]], "dec2": [[4, 4], [4, 8]]}  # methods.md 1.5


def test_the_mean_of_min_max_maps_by_hand():
    found = aggregate(flow_of(BY_HAND))
    assert found.map[0, 0, 0].tolist() == [[0, 0.25], [0.25, 1]]
    assert found.used.item() == 2
    assert found.stages == ("dec1", "dec2")


def test_the_alternatives_by_hand():
    assert aggregate(flow_of(BY_HAND), how="max").map[0, 0, 0].tolist() == [[0.25, 0.5], [0.5, 1]]
    found = aggregate(flow_of(BY_HAND), how="weighted", weights={"dec1": 3, "dec2": 1})
    assert found.map[0, 0, 0].tolist() == [[0.125, 0.5], [0.5, 1]]


@pytest.mark.parametrize(
    ("how", "expected"), [("product", [[0, 0], [0, 1]]), ("maximum", [[0, 0.5], [0.5, 1]])]
)
def test_segnbdts_ways_by_hand(how, expected):
    maps = BY_HAND | {"dec3": [[-1, -2], [-1, -9]]}
    found = aggregate(flow_of(maps, {"dec3": Status.DEAD}), how=how)
    assert found.map[0, 0, 0].tolist() == expected
    assert found.used.item() == 2
    none = aggregate(flow_of(BY_HAND, {"dec1": Status.DEAD, "dec2": Status.DEAD}), how=how)
    assert none.map.isnan().all()


def test_dead_stages_are_left_out_and_counted():
    maps = BY_HAND | {"dec3": [[-1, -2], [-1, -9]]}
    found = aggregate(flow_of(maps, {"dec3": Status.DEAD}))
    assert found.used.item() == 2
    assert found.map[0, 0, 0].tolist() == [[0, 0.25], [0.25, 1]]
    maps["dec3"] = [[torch.nan, 1], [1, 1]]
    found = aggregate(flow_of(maps, {"dec3": Status.NONFINITE}))
    assert found.map[0, 0, 0].tolist() == [[0, 0.25], [0.25, 1]]


def test_where_no_stage_is_left_there_is_no_map():
    found = aggregate(flow_of(BY_HAND, {"dec1": Status.ABSENT, "dec2": Status.ABSENT}))
    assert found.used.item() == 0
    assert found.map.isnan().all()


def test_merged_maps_are_sites_more():
    maps = BY_HAND | {"enc1": [[1, 0], [0, 0]]}
    flow = flow_of(maps, {"dec1": Status.DEAD, "enc1": Status.ABSENT})
    one, none = aggregate(flow), aggregate(flow, ["dec1", "enc1"])
    found = with_merged(flow, {"decoder": one, "nothing": none})
    assert found.sites == ("dec1", "dec2", "enc1", "decoder", "nothing")
    assert torch.equal(found.maps["decoder"], one.map)
    assert found.status.flatten().tolist() == [
        Status.DEAD, Status.OK, Status.ABSENT, Status.OK, Status.DEAD,
    ]  # fmt: skip
    assert found.kappa.isnan().flatten().tolist() == [False] * 3 + [True] * 2
    assert len(found.gradient_l1) == 5


def test_only_decoder_stages_by_default_at_the_size_of_the_largest():
    maps = {"enc1": [[9, 9], [9, 9]], "dec1": [[5]], "dec2": [[0, 1], [-1, 2]]}
    found = aggregate(flow_of(maps), how="max")
    assert found.stages == ("dec1", "dec2")
    assert found.map[0, 0, 0].tolist() == [[0.5, 0.75], [0.5, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": ["dec9"]}, "no stage 'dec9'.*dec1"),
        ({"stages": []}, "no stage begins with dec"),
        ({"how": "median"}, "no way to aggregate 'median'"),
        ({"how": "weighted", "weights": {"dec1": 1}}, "weight >= 0 of stage 'dec2'"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        aggregate(flow_of(BY_HAND), **arguments)
