from dataclasses import replace

import numpy as np
import pytest

from segtrace import InputError
from segtrace.causal.faithfulness.ranking import Ranking
from segtrace.causal.faithfulness.verdict import Verdict
from segtrace.measures.over_cases import COVERAGE
from segtrace.report.figures.verdicts import ranking_figure, verdict_figure

NAN = float("nan")
VERDICT = Verdict(
    "enc1", "seg_grad_cam", "all", "anywhere", "supported",
    {"map": 0.4, "shifted": 0.1, "random": 0.05, "image": 0.2, "norm": 0.1, "untrained": NAN},
    {"shifted": (0.2, 0.4), "random": (0.25, 0.45)}, p=0.01, cases=12, slices=40,
)  # fmt: skip
RANKING = Ranking(
    "share of the score",
    "all",
    "not supported here",
    0.3,
    -0.1,
    0.6,
    0.2,
    0.2,
    0.5,
    -0.3,
    0.1,
    p_beyond=0.9,
    control=False,
    sites=9,
    cases=12,
)


def words(figure):
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    texts += [label.get_text() for ax in figure.axes for label in ax.get_yticklabels()]
    return texts + [ax.get_title() for ax in figure.axes] + [figure.get_suptitle()]


def test_a_row_a_stage_and_a_panel_a_rule_and_place():
    found = [
        replace(VERDICT, site=site, rule=rule, where=where)
        for site in ("enc1", "dec1")
        for rule in ("seg_grad_cam", "grad_pam")
        for where in ("anywhere", "outside")
    ]
    figure, caption = verdict_figure(found, marks=["PHANTOM"])
    assert len(figure.axes) == 4
    assert {"enc1", "dec1", "Seg-Grad-CAM: cells anywhere"} <= set(words(figure))
    assert "12 cases, one run  ·  PHANTOM" in figure.get_suptitle()
    assert "the same pattern, moved" in caption
    assert "untrained" not in caption  # it was not known
    assert "Line: 95 % t interval over 12 cases of the difference" in caption
    assert caption.endswith(COVERAGE)


def test_a_caption_of_rows_with_different_numbers_of_cases_says_up_to_how_many():
    _, caption = verdict_figure([VERDICT, replace(VERDICT, site="dec1", cases=9)])
    assert "Line: 95 % t interval over up to 12 cases" in caption


def test_the_interval_stands_where_the_map_does():
    figure, _ = verdict_figure([VERDICT])
    lines = [line.get_xdata() for line in figure.axes[0].lines]
    # the difference to the moved pattern, 0.2 to 0.4, from that pattern's own 0.1
    assert any(list(x) == [pytest.approx(0.3), pytest.approx(0.5)] for x in lines)
    legend = figure.legends[0].get_texts()
    assert "the untrained network's map" not in [text.get_text() for text in legend]


def test_rankings_name_every_predictor_and_its_p():
    control = replace(RANKING, predictor="depth", rho=0.5, best_control=NAN, control=True)
    figure, caption = ranking_figure([control, RANKING])
    assert {"depth", "share of the score", "p 0.200"} <= set(words(figure))
    assert "9 edges" in caption
    assert "line: 95 % t interval over 12 cases; p: by permutation" in caption
    assert caption.endswith(COVERAGE)


def test_the_line_of_a_ranking_is_its_interval_and_none_is_drawn_without_one():
    figure, _ = ranking_figure([RANKING, replace(RANKING, predictor="depth", low=NAN, high=NAN)])
    drawn = [line.get_xydata().tolist() for line in figure.axes[0].lines
             if line.get_linewidth() == 1.2]  # fmt: skip
    assert drawn[0] == [[-0.1, 0], [0.6, 0]]
    assert np.isnan([x for x, _ in drawn[1]]).all()


def test_an_organ_without_numbers_is_named():
    with pytest.raises(InputError, match="no verdict on 'liver'"):
        verdict_figure([VERDICT], "liver")
    with pytest.raises(InputError, match="no ranking of 'liver'"):
        ranking_figure([RANKING], "liver")
