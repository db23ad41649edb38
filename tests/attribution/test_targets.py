import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segtrace import InputError
from segtrace.attribution import targets


def logits_of(labels, channels=4):
    """Logits whose arg max is the label map."""
    return torch.nn.functional.one_hot(labels, channels).movedim(-1, 1).double()


PREDICTION = torch.tensor([[[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 1, 2]]])
TRUTH = torch.tensor([[[1, 0, 0, 2], [1, 1, 0, 3], [0, 0, 0, 2]]])
LOGITS = logits_of(PREDICTION)


def cells(weights, channel=1):
    """The pixels that weigh something at a channel, which must weigh one; no other channel."""
    others = [c for c in range(weights.shape[1]) if c != channel]
    assert not weights[:, others].any()
    assert set(weights.unique().tolist()) <= {0.0, 1.0}
    return set(map(tuple, weights[0, channel].nonzero().tolist()))


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("gt", {(0, 0), (1, 0), (1, 1)}),
        ("pred", {(0, 0), (0, 1), (1, 0), (2, 2)}),
        ("tp", {(0, 0), (1, 0)}),
        ("fp", {(0, 1), (2, 2)}),
        ("fn", {(1, 1)}),
        ("all", {(i, j) for i in range(3) for j in range(4)}),
    ],
)
def test_regions_of_an_organ(region, expected):
    assert cells(targets.organ(1, region, TRUTH)(LOGITS)) == expected


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 3), size=st.integers(1, 6))
def test_true_positives_false_negatives_and_false_positives_make_up_truth_and_prediction(
    seed, n, size
):
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = torch.randint(0, 4, (2, n, size, size), generator=generator)
    logits = logits_of(prediction)
    of = {r: targets.organ(2, r, truth)(logits) for r in ("gt", "pred", "tp", "fp", "fn")}
    assert torch.equal(of["tp"] + of["fn"], of["gt"])
    assert torch.equal(of["tp"] + of["fp"], of["pred"])


def test_a_pixel_and_a_box():
    assert cells(targets.pixel(1, 2, -1)(LOGITS)) == {(2, 3)}
    assert cells(targets.box(1, (0, 2), (0, 1))(LOGITS)) == {(0, 0), (1, 0)}
    inside = targets.box(1, (1, 3), (1, 3), region="all")(LOGITS)
    assert cells(inside) == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_components_by_size():
    largest, smallest = {(0, 0), (0, 1), (1, 0)}, {(2, 2)}
    assert cells(targets.component(1)(LOGITS)) == largest
    assert cells(targets.component(1, "smallest")(LOGITS)) == smallest
    assert cells(targets.component(1, 0)(LOGITS)) == largest
    assert cells(targets.component(1, 1)(LOGITS)) == smallest
    assert cells(targets.component(1, 2)(LOGITS)) == set()  # there are two
    assert cells(targets.component(3)(LOGITS), 3) == set()
    assert cells(targets.component(3, region="gt", truth=TRUTH)(LOGITS), 3) == {(1, 3)}


def test_components_that_touch_at_a_corner_are_two():
    prediction = torch.zeros(1, 3, 3, dtype=torch.long)
    prediction[0, 0, :2] = prediction[0, 1, 2] = 1
    assert cells(targets.component(1)(logits_of(prediction))) == {(0, 0), (0, 1)}
    assert cells(targets.component(1, "smallest")(logits_of(prediction))) == {(1, 2)}


def test_a_component_is_named_by_a_pixel_of_it_and_a_place_by_text():
    assert cells(targets.component(1, (1, 0))(LOGITS)) == {(0, 0), (0, 1), (1, 0)}
    assert cells(targets.component(1, (2, -2))(LOGITS)) == {(2, 2)}
    assert cells(targets.component(1, (1, 1))(LOGITS)) == set()  # the organ is not there
    assert cells(targets.organ(1, "component:0:1")(LOGITS)) == {(0, 0), (0, 1), (1, 0)}
    assert cells(targets.organ(1, "component:1:1")(LOGITS)) == set()
    assert cells(targets.organ(1, "pixel:1:2")(LOGITS)) == {(1, 2)}
    assert cells(targets.box(1, (0, 2), (0, 1), region="largest")(LOGITS)) == {(0, 0), (1, 0)}
    assert cells(targets.organs({"liver": 2}, "pixel:2:3")["liver"](LOGITS), 2) == {(2, 3)}


def test_confident_pixels_have_more_probability_than_all_other_classes_together():
    logits = torch.tensor([[0.0, 0, 0], [1, 1, -1], [0.9, -2, -1]])[None, :, None]
    assert cells(targets.organ(1)(logits)) == {(0, 0), (0, 1)}
    # e / (1 + e + e^0.9) = 0.44; e / (1 + e + e^-2) = 0.71
    assert cells(targets.organ(1, "confident")(logits)) == {(0, 1)}
    assert cells(targets.organ(1, "confident", activation="sigmoid")(logits)) == {(0, 0), (0, 1)}


def test_a_mask_of_ones_own_is_a_region():
    bias = torch.tensor([[[0, 0, 1, 0], [0, 0.5, 0, 0], [0, 0, 0, 0]]])
    weights = targets.masked(1, bias)(LOGITS)
    assert torch.equal(weights[:, 1], bias.double())
    assert not weights[:, [0, 2, 3]].any()


def test_components_in_three_dimensions():
    prediction = torch.zeros(1, 3, 3, 3, dtype=torch.long)
    prediction[0, :2, 0, 0] = 1  # two cells, one above the other
    prediction[0, 2, 2, 2] = 1
    weights = targets.component(1)(logits_of(prediction))
    assert weights[0, 1].nonzero().tolist() == [[0, 0, 0], [1, 0, 0]]
    placed = targets.organ(1, "component:1:0:0")(logits_of(prediction))
    assert torch.equal(placed, weights)


@pytest.mark.parametrize("region", [*targets.REGIONS, "pixel:1:2", "component:0:1"])
def test_a_volume_of_one_plane_has_the_regions_of_the_slice(region):
    deep = region.replace(":", ":0:", 1)
    flat = targets.organ(1, region, TRUTH)(LOGITS)
    weights = targets.organ(1, deep, TRUTH[:, None])(LOGITS[:, :, None])
    assert torch.equal(weights[:, :, 0], flat)
    assert flat.any() or region in ("confident",)


def test_the_border_of_a_volume_is_what_touches_the_outside_by_side_edge_or_corner():
    prediction = torch.zeros(1, 7, 7, 7, dtype=torch.long)
    prediction[0, 1:6, 1:6, 1:6] = 1
    weights = targets.organ(1, "border")(logits_of(prediction))[0, 1]
    expected = prediction[0].double()
    expected[2:5, 2:5, 2:5] = 0
    assert torch.equal(weights, expected)
    prediction[0, 3, 3, 0] = 1
    smallest = targets.organ(1, "smallest")(logits_of(prediction))[0, 1]
    assert torch.equal(smallest, prediction[0].double())  # it touches by its side: one piece
    prediction[0, 0, 0, 0] = 1
    smallest = targets.organ(1, "smallest")(logits_of(prediction))[0, 1]
    assert smallest.nonzero().tolist() == [[0, 0, 0]]  # by its corner: a piece of its own
    with pytest.raises(InputError, match=r"has 2 axes; the image has 3: plane, row and column"):
        targets.organ(1, "pixel:1:2")(logits_of(prediction))


def test_a_margin_is_positive_at_one_organ_and_negative_at_the_other():
    weights = targets.margin(1, 2, "gt", TRUTH)(LOGITS)
    assert torch.equal(weights[:, 1], (TRUTH == 1).double())
    assert torch.equal(weights[:, 2], -(TRUTH == 1).double())
    assert not weights[:, [0, 3]].any()


def test_the_margin_does_not_see_what_all_logits_share():
    target, shared = targets.margin(1, 2), torch.randn(1, 1, 3, 4).double()
    weights = target(LOGITS)
    before, after = (weights * LOGITS).sum(), (weights * (LOGITS + shared)).sum()
    assert before.item() == pytest.approx(after.item())


def test_organs_are_named_targets():
    found = targets.organs({"liver": 1, "spleen": 2}, "gt", TRUTH)
    assert list(found) == ["liver", "spleen"]
    assert torch.equal(found["spleen"](LOGITS)[:, 2], (TRUTH == 2).double())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: targets.organ(1, "prediction"), "no region 'prediction'; allowed are gt, pred"),
        (lambda: targets.organ(1, "tp"), "region 'tp' needs the truth"),
        (lambda: targets.organ(7)(LOGITS), "no channel 7; the logits have 0 … 3$"),
        (lambda: targets.organ(4)(LOGITS), "no channel 4; .* say activation='sigmoid'"),
        (lambda: targets.organ(-1)(LOGITS), "no channel -1"),
        (lambda: targets.margin(1, 9)(LOGITS), "no channel 9"),
        (lambda: targets.organ(1, "gt", TRUTH[:, :2])(LOGITS), r"\(1, 2, 4\).*\(1, 3, 4\)"),
        (lambda: targets.pixel(1, 3, 0)(LOGITS), r"pixel \(3, 0\) lies outside.*\(3, 4\)"),
        (lambda: targets.pixel(1, 0)(LOGITS), "has 1 axes; the image has 2"),
        (lambda: targets.box(1, (0, 4), (0, 2))(LOGITS), "does not lie in the image"),
        (lambda: targets.box(1, (2, 2), (0, 2))(LOGITS), "start < stop"),
        (lambda: targets.box(1, (0, 2))(LOGITS), "has 1 axes"),
        (lambda: targets.component(1, "middle"), "no component 'middle'"),
        (lambda: targets.component(1, (9, 0))(LOGITS), r"pixel \(9, 0\) lies outside"),
        (lambda: targets.organ(1, "pixel:0")(LOGITS), "has 1 axes; the image has 2"),
        (lambda: targets.organ(1, "pixel:0:a"), "no region 'pixel:0:a'.*pixel:ROW:COLUMN"),
        (lambda: targets.organ(1, "confidant"), "did you mean confident"),
        (lambda: targets.masked(1, TRUTH[0])(LOGITS), r"mask has shape \(3, 4\).*\(1, 3, 4\)"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
