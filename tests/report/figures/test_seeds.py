import torch

from segtrace.measures.over_cases import over_runs
from segtrace.report.figures.seeds import band_figure

RUNS = [torch.tensor([0.0, 0.2, 0.6]), torch.tensor([0.1, 0.4, torch.nan])]


def test_a_panel_shows_the_mean_as_a_line_and_the_range_as_a_band():
    figure = band_figure({"dec1": over_runs(RUNS)}, [0, 5, 10], "gain")
    (axis,) = [axis for axis in figure.axes if axis.get_visible()]
    line = axis.lines[0].get_xydata()
    torch.testing.assert_close(
        torch.tensor(line), torch.tensor([[0, 0.05], [5, 0.3], [10, 0.6]]).double(),
        atol=1e-6, rtol=0,
    )  # fmt: skip
    corners = axis.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == 0
    assert corners[:, 1].max() == RUNS[0][-1]
    assert figure.get_suptitle() == "gain (2 runs, line: mean, band: lowest to highest)"


def test_one_run_is_called_one_run_and_no_curve_is_invented():
    nothing = over_runs([torch.full((3,), torch.nan)])
    figure = band_figure({"dec1": nothing, "dec2": over_runs(RUNS[:1])}, [0, 5, 10], "gain")
    assert figure.get_suptitle() == "gain (one run)"
    assert [text.get_text() for text in figure.axes[0].texts] == ["undefined"]


def test_what_the_slices_are_not_stands_in_red():
    figure = band_figure({"dec1": over_runs(RUNS)}, [0, 5, 10], "gain", mark="phantom")
    assert figure.get_supxlabel() == "PHANTOM"
    assert band_figure({"dec1": over_runs(RUNS)}, [0, 5, 10], "gain").get_supxlabel() == ""


def test_ends_of_the_axis_are_those_given_and_unused_panels_are_hidden():
    panels = {f"dec{i}": over_runs(RUNS) for i in range(5)}
    figure = band_figure(panels, [0, 5, 10], "kappa", limits=(0, 1))
    assert figure.axes[0].get_ylim() == (0, 1)
    assert sum(axis.get_visible() for axis in figure.axes) == 5
