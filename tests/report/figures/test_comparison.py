"""The picture of a comparison: rows in order, controls shaded, no column without a number."""

from math import nan

from segtrace.causal.faithfulness.comparison import Standing, columns
from segtrace.report.figures.comparison import comparison_figure, in_order

COLUMNS = columns(["black"])[:3]


def row(name, deletion, p, control=False):
    mean = {"deletion_black": deletion, "insertion_black": 0.5, "dice_explained": nan}
    ends = [{column: value + apart for column, value in mean.items()} for apart in (-0.1, 0.1)]
    tested = {"deletion_black": p, "insertion_black": nan}
    return Standing(name, control, 12, mean, *ends, dict.fromkeys(mean, 6), tested)


ROWS = [
    row("the CT itself", 0.2, nan, control=True),
    row("worse", 0.4, 0.9),
    row("unknown", nan, nan),
    row("better", 0.1, 0.01),
]


def test_methods_come_first_the_best_of_them_above_and_what_has_no_number_below():
    assert [one.row for one in in_order(ROWS, COLUMNS[0])] == [
        "better", "worse", "unknown", "the CT itself",
    ]  # fmt: skip
    assert in_order(ROWS[1:2] + ROWS[3:], COLUMNS[1])[0].row == "worse"


def test_the_figure_says_which_way_is_better_and_fills_what_is_beyond_every_control():
    figure, caption = comparison_figure(ROWS, COLUMNS, ["PHANTOM"])
    axes = figure.get_axes()
    assert [one.get_title() for one in axes] == ["deletion\nblack", "insertion\nblack"]
    assert [one.get_xlabel() for one in axes] == ["← better", "better →"]
    assert axes[0].get_yticklabels()[0].get_text() == "better"
    faces = [line.get_markerfacecolor() for line in axes[0].get_lines() if line.get_marker() == "o"]
    assert faces == ["#0072b2", "white", "white"]
    assert len(axes[0].patches) == 1  # one shaded row
    assert figure.get_suptitle().endswith("6 cases  ·  PHANTOM")
    assert "tested in deletion black and insertion black alone" in caption
    assert "95 % t interval over 6 cases" in caption
