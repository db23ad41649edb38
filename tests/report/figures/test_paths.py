from helpers.tallies import CONTROL, KNOWS, OPEN
from segtrace.report.figures.paths import path_figure


def words(figure):
    (ax,) = figure.axes
    return [label.get_text() for label in ax.get_yticklabels()], [t.get_text() for t in ax.texts]


def test_maps_stand_above_controls_each_with_its_count():
    figure, caption = path_figure([CONTROL, OPEN, KNOWS], ["PHANTOM"])
    names, counts = words(figure)
    assert names == ["Grad-PAM", "Seg-Grad-CAM", "gradient norm"]
    assert counts == ["43 of 50", "28 of 50", "35 of 50"]
    assert figure.get_suptitle() == "Skip or up? 5 networks  ·  PHANTOM"
    assert "95 % t interval over 5 networks" in caption
