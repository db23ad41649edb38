from dataclasses import replace

from segtrace.causal.faithfulness.tally import Tally
from segtrace.report.figures.paths import path_figure, path_sentence, title_of

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


def test_the_sentence_names_what_passed_its_test_and_what_did_not():
    said = path_sentence([CONTROL, OPEN, KNOWS])
    assert "Grad-PAM in 43 of 50 pairs (0.86, 0.80 to 0.92)" in said
    assert "gradient norm alone in 35 of 50" in said
    assert said.endswith(
        "Over 5 networks Grad-PAM does so more often than chance and every control, "
        "Seg-Grad-CAM not."
    )


def test_where_nothing_passes_that_is_said():
    said = path_sentence([CONTROL, OPEN, replace(KNOWS, p=0.2)])
    assert said.endswith("Over 5 networks none does so more often than every control.")


def test_of_few_networks_or_one_there_are_counts_and_no_claim():
    two = [replace(t, units=2, low=NAN, high=NAN) for t in (CONTROL, OPEN, KNOWS)]
    assert path_sentence(two).endswith("Counts of 2 networks, and no claim: that takes 5 networks.")
    one = [replace(t, units=12, unit="cases") for t in (CONTROL, OPEN, KNOWS)]
    assert "one network, 12 cases" in path_sentence(one)
    assert "one network, 1 case, and" in path_sentence([replace(t, units=1) for t in one])
    assert title_of("attribution patching") == "attribution patching"
