"""The key of attribution patching's figure lies on the page, and on no other words."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segtrace.report.figures.estimates import estimate_figure


@pytest.mark.parametrize(("sites", "organs"), [(3, 13), (6, 2)])
def test_the_key_lies_on_the_page_and_on_no_other_words(sites, organs):
    lost = np.arange(sites * organs, dtype=float).reshape(sites, organs, 1)
    beside = xr.Dataset(
        {"score_lost": (("site", "organ", "slice"), lost),
         "estimate": (("site", "organ", "slice"), lost / 2),
         **{name: ("site", np.ones(sites)) for name in ("rmse", "size", "cut_vertex")}},
        {"site": [f"skip_{n}" for n in range(sites)],
         "organ": [f"left_adrenal_gland_{n}" for n in range(organs)]},
    )  # fmt: skip
    figure, _ = estimate_figure(beside, "channel_mean")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (key,) = figure.legends
    box, page = key.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert page.y0 <= box.y0
    for ax in figure.axes:
        assert not box.overlaps(ax.xaxis.label.get_window_extent())
        assert not box.overlaps(ax.get_window_extent())
