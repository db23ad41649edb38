import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import slow
from segtrace import InputError
from segtrace.attribution import rules
from segtrace.attribution.rules import sums

ACTIVATION = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]]).double()

# methods.md 6.1: gradients of the six cases, then the maps of each rule.
STRIP = {
    "A": ([[1, 2, 1, 0], [0, 1, -1, 0]], [3.5, 4.5, 0.5, 1.5], [6, 7, 3, 4], [1, 7, 3, 0]),
    "B": ([[0, 0, 1, 2], [0, 0, 0, 1]], [0, 0, 5.5, 6.5], [0, 0, 8, 9], [0, 0, 3, 9]),
    "AB": ([[1, 2, 2, 2], [0, 1, -1, 1]], [3.5, 4.5, 6, 8], [6, 7, 8, 9], [1, 7, 6, 9]),
    "C": ([[3, 4, 4, 3], [1, 0, 0, 0]], [5.5, 8.5, 10.5, 14], [8, 11, 12, 16], [7, 8, 12, 12]),
    "D": ([[-1, 0, 0, 0], [0, 1, 0, 0]], [1.5, 0.5, 0, 0], [4, 3, 0, 0], [0, 3, 0, 0]),
    "E": ([[-1, -1, -1, -1], [1, 2, 2, 1]], [5, 2.5, 0, -2.5], [7, 4, 1, -2], [4, 6, 4, 1]),
}


def plus_plus(activation, gradient):
    """Grad-CAM++: an oracle only; a_k = G² / (2 G² + ΣA · G³), Σ_k Σ(ReLU(G) a) A."""
    cells = tuple(range(2, gradient.ndim))
    sums = activation.sum(cells, keepdim=True)
    alpha = gradient**2 / (2 * gradient**2 + sums * gradient**3 + 1e-6)
    return ((alpha * gradient.relu()).sum(cells, keepdim=True) * activation).sum(1)


def x_grad(activation, gradient):
    """XGrad-CAM: an oracle only; w_k = Σ(G A) / ΣA."""
    cells = tuple(range(2, gradient.ndim))
    product = (gradient * activation).sum(cells, keepdim=True)
    return (product / activation.sum(cells, keepdim=True) * activation).sum(1)


XRES_MEAN, XRES_MAX = rules.seg_xres_cam(2), rules.seg_xres_cam(2, "max")
OURS = {
    "seg_grad_cam": rules.RULES["seg_grad_cam"],
    "grad_pam": rules.RULES["grad_pam"],
    "xres_mean": XRES_MEAN,
    "xres_max": XRES_MAX,
    "layer_cam": rules.RULES["layer_cam"],
}
ORACLES = dict(zip(("x_grad", "plus_plus"), rules.resolve([x_grad, plus_plus]), strict=True))
ALL = OURS | ORACLES


def run(rule, activation, gradient):
    return rule(activation, gradient, (1.0,) * (activation.ndim - 2))


def stage(seed=0, shape=(2, 5, 7, 6)):
    generator = torch.Generator().manual_seed(seed)
    activation, gradient = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return activation.relu(), gradient


@pytest.mark.parametrize("case", STRIP)
def test_numbers_by_hand_on_the_strip(case):
    gradient, mean, largest, layer = STRIP[case]
    gradient = torch.tensor([gradient]).double()
    assert run(XRES_MEAN, ACTIVATION, gradient)[0].tolist() == mean
    assert run(XRES_MAX, ACTIVATION, gradient)[0].tolist() == largest
    assert rules.layer_cam(ACTIVATION, gradient)[0].tolist() == layer


def test_the_oracles_give_their_numbers_by_hand():
    gradient = torch.tensor([STRIP["A"][0]]).double()
    assert x_grad(ACTIVATION, gradient)[0].tolist() == pytest.approx([1.2, 1.9, 2.6, 3.3])
    expected = [0.5909, 0.7652, 0.9394, 1.1136]
    assert plus_plus(ACTIVATION, gradient)[0].tolist() == pytest.approx(expected, abs=1e-4)


def slow_blocks(activation, gradient, window, mode):
    total = torch.zeros(activation.shape[1:], dtype=activation.dtype)
    for u in range(activation.shape[1]):
        for v in range(activation.shape[2]):
            top, left = u // window * window, v // window * window
            block = gradient[:, top : top + window, left : left + window].flatten(1)
            pooled = block.mean(1) if mode == "mean" else block.amax(1)
            total[u, v] = (pooled * activation[:, u, v]).sum()
    return total


shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), window=st.integers(1, 8))
def test_every_rule_equals_its_loop_at_any_shape(shape, seed, window):
    activation, gradient = stage(seed, shape)
    for mode in ("mean", "max"):
        found = run(rules.seg_xres_cam(window, mode), activation, gradient)
        for n in range(shape[0]):
            expected = slow_blocks(activation[n], gradient[n], window, mode)
            torch.testing.assert_close(found[n], expected)
    for n in range(shape[0]):
        found = rules.seg_grad_cam(activation, gradient)[n]
        torch.testing.assert_close(found, slow.seg_grad_cam(activation[n], gradient[n]))
        found = rules.grad_pam(activation, gradient)[n]
        torch.testing.assert_close(found, slow.grad_pam(activation[n], gradient[n]))


# The authors' tiling, whose numbers authors.md has from their program


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mean", [[2, 1.75, 1.75], [3.25, 2, 2], [3.25, 2, 2]]),
        ("max", [[4, 5, 5], [7, 8, 8], [7, 8, 8]]),
    ],
)
def test_the_authors_tiling_has_their_numbers(mode, expected):
    gradient = torch.arange(9).reshape(1, 1, 3, 3).double()
    rule = rules.seg_xres_cam(2, mode, tiling="authors")
    assert run(rule, torch.ones(1, 1, 3, 3).double(), gradient)[0].tolist() == expected
    ours = run(rules.seg_xres_cam(2, mode), torch.ones(1, 1, 3, 3).double(), gradient)[0]
    assert ours.tolist() != expected


def test_seven_cells_read_the_windows_of_the_authors():
    gradient = torch.tensor([[[0.0, 0, 1, 1, 2, 2, 3]]])
    rule = rules.seg_xres_cam(2, "max", tiling="authors")
    assert run(rule, torch.ones(1, 1, 7), gradient)[0].tolist() == [0, 0, 1, 2, 2, 3, 3]


def slow_stretched(activation, gradient, window, mode):
    """Zeros to whole windows, their mean or max, and each cell's centre looked up among them."""
    height, width = activation.shape[1:]
    rows, columns = -(-height // window), -(-width // window)
    padded = np.zeros((len(gradient), rows * window, columns * window))
    padded[:, :height, :width] = gradient.numpy()
    total = torch.zeros(height, width, dtype=activation.dtype)
    for u, v in np.ndindex(height, width):
        r, c = int((u + 0.5) * rows / height), int((v + 0.5) * columns / width)
        block = padded[:, r * window : (r + 1) * window, c * window : (c + 1) * window]
        pooled = block.mean((1, 2)) if mode == "mean" else block.max((1, 2))
        total[u, v] = (torch.from_numpy(pooled) * activation[:, u, v]).sum()
    return total


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 99), window=st.integers(1, 8))
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_the_authors_tiling_equals_its_loop_and_ours_where_the_window_divides(
    mode, shape, seed, window
):
    activation, gradient = stage(seed, shape)
    found = run(rules.seg_xres_cam(window, mode, tiling="authors"), activation, gradient)
    for n in range(shape[0]):
        torch.testing.assert_close(
            found[n], slow_stretched(activation[n], gradient[n], window, mode)
        )
    if shape[2] % window == shape[3] % window == 0:
        ours = run(rules.seg_xres_cam(window, mode), activation, gradient)
        torch.testing.assert_close(found, ours, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 6, 5), (1, 3, 4, 5, 3)])
def test_the_windows_ends_are_the_two_other_rules(shape):
    activation, gradient = stage(shape=shape)
    one = run(rules.seg_xres_cam(1), activation, gradient)
    whole = run(rules.seg_xres_cam(99), activation, gradient)
    torch.testing.assert_close(one, rules.grad_pam(activation, gradient), rtol=0, atol=0)
    torch.testing.assert_close(whole, rules.seg_grad_cam(activation, gradient))


def test_a_window_in_pixels_covers_as_many_cells_as_the_stride_says():
    activation, gradient = stage(shape=(1, 3, 8, 8))
    in_pixels = rules.seg_xres_cam(8, unit="pixels")
    for stride, cells in [(1, 8), (2, 4), (4, 2), (16, 1)]:
        found = in_pixels(activation, gradient, (stride, stride))
        expected = run(rules.seg_xres_cam(cells), activation, gradient)
        assert torch.equal(found, expected)


def same(one, other, tolerance=1e-9):
    return bool((one - other).abs().max() <= tolerance * other.abs().max())


# Metamorphic properties, and who must not have them (methods.md 6.3)


@pytest.mark.parametrize("name", ALL)
def test_linear_in_the_region_or_not(name):
    activation, first = stage(1)
    second = stage(2)[1]
    joint = run(ALL[name], activation, first + second)
    apart = run(ALL[name], activation, first) + run(ALL[name], activation, second)
    linear = {"seg_grad_cam", "grad_pam", "xres_mean", "x_grad"}
    assert same(joint, apart) is (name in linear)


@pytest.mark.parametrize("name", ALL)
def test_rectified_maps_are_additive_for_no_rule(name):
    activation, first = stage(1)
    second = stage(2)[1]
    joint = run(ALL[name], activation, first + second).relu()
    apart = run(ALL[name], activation, first).relu() + run(ALL[name], activation, second).relu()
    assert not same(joint, apart)


@pytest.mark.parametrize("name", ALL)
def test_a_larger_score_gives_a_larger_map_of_the_same_shape_or_not(name):
    activation, gradient = stage()
    found = run(ALL[name], activation, 7 * gradient)
    assert same(found, 7 * run(ALL[name], activation, gradient)) is (name != "plus_plus")


@pytest.mark.parametrize("name", ALL)
def test_a_negative_score_negates_the_map_of_linear_rules(name):
    activation, gradient = stage()
    negated = same(run(ALL[name], activation, -gradient), -run(ALL[name], activation, gradient))
    assert negated is (name in {"seg_grad_cam", "grad_pam", "xres_mean", "x_grad"})


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_channels_does_not_matter(name):
    activation, gradient = stage()
    order = torch.tensor([3, 0, 4, 1, 2])
    assert same(
        run(ALL[name], activation[:, order], gradient[:, order]),
        run(ALL[name], activation, gradient),
    )


@pytest.mark.parametrize("name", ALL)
def test_rescaling_channels_without_changing_the_function_changes_nothing(name):
    activation, gradient = stage()
    scale = torch.tensor([0.5, 2, 3, 0.1, 10]).double()[:, None, None]
    found = run(ALL[name], activation * scale, gradient / scale)
    assert same(found, run(ALL[name], activation, gradient), 1e-2)


def test_norms_change_when_channels_are_rescaled():
    activation, gradient = stage()
    scale = torch.tensor([0.5, 2, 3, 0.1, 10]).double()[:, None, None]
    for norm, tensor in [(activation * scale, activation), (gradient / scale, gradient)]:
        assert not same(norm.norm(dim=1), tensor.norm(dim=1), 1e-2)


@pytest.mark.parametrize("name", ALL)
def test_splitting_a_channel_in_two_halves_changes_nothing_but_plus_plus(name):
    activation, gradient = stage()
    halves = torch.cat([activation / 2, activation / 2], 1)
    found = run(ALL[name], halves, torch.cat([gradient, gradient], 1))
    assert same(found, run(ALL[name], activation, gradient), 1e-6) is (name != "plus_plus")


@pytest.mark.parametrize("name", ALL)
def test_a_rolled_stage_rolls_the_map_by_whole_windows_only(name):
    activation, gradient = stage(shape=(1, 4, 8, 8))

    def rolled(tensor, by):
        return tensor.roll((by, by), (-2, -1))

    for by in (2, 1):
        found = run(ALL[name], rolled(activation, by), rolled(gradient, by))
        expected = rolled(run(ALL[name], activation, gradient), by)
        assert same(found, expected) is (by == 2 or not name.startswith("xres"))


def test_a_constant_gradient_makes_averaging_and_element_wise_rules_equal():
    activation, gradient = stage()
    constant = gradient[:, :, :1, :1].expand_as(gradient)
    expected = rules.grad_pam(activation, constant)
    for name in ("seg_grad_cam", "xres_mean", "xres_max"):
        assert same(run(OURS[name], activation, constant), expected)


def test_seg_grad_cam_lights_up_where_the_gradient_is_zero_and_grad_pam_never():
    gradient = torch.tensor([STRIP["A"][0]]).double()
    silent = (gradient == 0).all(1)
    assert rules.seg_grad_cam(ACTIVATION, gradient).argmax() == 3  # the paper's "do not"
    assert silent[0, 3]
    assert not rules.grad_pam(ACTIVATION, gradient)[silent].any()


def test_grad_pam_sums_to_the_score_where_the_rest_is_piecewise_linear_without_bias():
    torch.manual_seed(0)
    rest = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 2, 1, bias=False),
    ).double()  # fmt: skip
    activation = stage(shape=(1, 3, 8, 8))[0].requires_grad_()
    score = rest(activation)[:, 1].sum()
    (gradient,) = torch.autograd.grad(score, activation)
    total = rules.grad_pam(activation.detach(), gradient).sum()
    assert total.item() == pytest.approx(score.item(), rel=1e-12)


# Names and mistakes


@pytest.mark.parametrize(
    "rule",
    [
        *rules.RULES.values(),
        rules.seg_xres_cam(4),
        rules.seg_xres_cam(3, "max", "pixels"),
        rules.seg_xres_cam(4, tiling="authors"),
        rules.seg_xres_cam(3, "max", "pixels", "authors"),
    ],
    ids=lambda rule: rule.name,
)
def test_a_name_in_a_file_leads_back_to_the_rule_and_all_that_is_said_of_it(rule):
    activation, gradient = stage()
    again = rules.by_name([rule.name])[rule.name]
    assert torch.equal(run(again, activation, gradient), run(rule, activation, gradient))
    assert (again.title, again.equation, again.papers, again.averages) == (
        rule.title, rule.equation, rule.papers, rule.averages,
    )  # fmt: skip
    assert rule.title
    assert rule.papers
    assert rules.by_name(["mine", "seg_xres_cam_x"]) == {}


def test_rules_are_given_by_name_object_function_or_mixture():
    def mine(activation, gradient):
        return activation.sum(1)

    found = rules.resolve(["grad_pam", mine, rules.seg_xres_cam(4)])
    assert [rule.name for rule in found] == ["grad_pam", "mine", "seg_xres_cam_4"]
    assert rules.resolve("grad_pam") == rules.resolve(["grad_pam"])
    assert rules.resolve(mine)[0].map is mine
    assert rules.resolve(XRES_MEAN) == (XRES_MEAN,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: rules.resolve(["grad_pan"]), "no rule 'grad_pan'.*did you mean grad_pam"),
        (lambda: rules.resolve(["grad_pam", "grad_pam"]), "each once"),
        (lambda: rules.seg_xres_cam(0), "window of seg_xres_cam is 0"),
        (lambda: rules.seg_xres_cam(2, "median"), "no mode of seg_xres_cam 'median'"),
        (lambda: rules.seg_xres_cam(2, unit="mm"), "no unit of seg_xres_cam 'mm'"),
        (lambda: rules.seg_xres_cam(2, tiling="author"), "did you mean authors"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(InputError, match=message):
        given()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sum_in_pieces_is_that_of_the_whole_also_of_one_weight_for_all_channels(channels):
    torch.manual_seed(0)
    activation = torch.randn(2, 3, 40, 64, 64)  # of more numbers than a piece has
    weights = torch.randn(2, channels, 40, 64, 64)
    assert activation.numel() > sums.PIECE
    assert torch.equal(rules.weighted_sum(weights, activation), (weights * activation).sum(1))
