from segtrace.causal.faithfulness.tally import Tally
from segtrace.report.figures.paths import path_figure

NAN = float("nan")
KNOWS = Tally(
    "grad_pam", 43, 50, 0.86, 0.80, 0.92, 0.15, 0.05, 0.25, p=0.004, units=5, unit="networks"
)
OPEN = Tally(
    "seg_grad_cam", 28, 50, 0.55, 0.4, 0.7, -0.15, -0.3, 0.0, p=0.9, units=5, unit="networks"
)
CONTROL = Tally(
    "gradient norm", 35, 50, 0.71, 0.6, 0.8, NAN, NAN, NAN, p=NAN, units=5, unit="networks"
)  # fmt: skip


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
