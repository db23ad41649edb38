from dataclasses import replace

import numpy as np
import pytest

from segtrace.attribution.aggregate import aggregate
from segtrace.errors import InputError
from segtrace.report.combined import NOTHING
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.panels import cell_pixels
from segtrace.report.figures.paper import choose_slices, epoch_grid, paper_figure
from segtrace.report.pictures.strip import Place, strip, view
from segtrace.report.scene import REASONS


def words_of(figure):
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text().replace("\n", " ") for text in texts]


def pictures_of(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_one_slice_shows_all_organs_if_one_can(record):
    assert choose_slices(record, ["left_kidney", "liver"]) == {"left_kidney": 0, "liver": 0}


def test_organs_that_share_no_slice_get_each_its_own(record):
    region_px = record.flow.region_px.clone()
    region_px[0] = region_px[0].flip(0)
    region_px[1, 1:] = 0
    apart = replace(record, flow=replace(record.flow, region_px=region_px))
    assert choose_slices(apart, ["left_kidney", "liver"]) == {"left_kidney": 2, "liver": 0}


def test_an_organ_that_is_nowhere_or_unknown_is_refused(record):
    with pytest.raises(InputError, match=r"region 'gt' of 'spleen' is empty on every slice"):
        choose_slices(record, ["liver", "spleen"])
    with pytest.raises(InputError, match=r"no organ 'livre'.*did you mean liver"):
        choose_slices(record, ["livre"])


def test_the_figure_names_organs_stages_and_numbers(record):
    figure, _ = paper_figure(record)
    words = words_of(figure)
    for name in ("Left kidney", "Liver", "CT", "enc1  16 × 16", "enc2  4 × 4", "R", "L"):
        assert name in words
    assert any(word.startswith(f"gain {float(record.gain[0, 0, 0, 0]):.2f}") for word in words)
    assert any("Below a map: gain" in word for word in words)
    assert "PHANTOM (GENERATED IMAGE)" in words


def test_the_patients_right_is_at_the_left_of_the_ct_alone_and_only_where_known(record):
    def letters(figure):
        """(axes, text, place across the cell) of every letter of a side."""
        return [
            (i, text.get_text(), round(text.get_position()[0]))
            for i, axes in enumerate(figure.axes)
            for text in axes.texts
            if text.get_text() in ("R", "L")
        ]

    assert letters(paper_figure(record, ["liver"])[0]) == [(0, "R", 0), (0, "L", 1)]
    unknown = replace(record, scene=replace(record.scene, sides_known=False))
    for figure, caption in (paper_figure(unknown, ["liver"]), epoch_grid([unknown], "liver")):
        assert letters(figure) == []
        assert "the patient's sides are not known" in words_of(figure)
        assert "R, L" not in caption


def test_an_organ_that_is_not_found_is_said_to_be_in_figure_and_caption(record):
    prediction = record.flow.prediction.masked_fill(record.flow.prediction == 2, 0)
    blind = replace(record, epoch=1, flow=replace(record.flow, prediction=prediction))
    figure, caption = paper_figure(blind)
    assert {"Left kidney", "Liver, not found by the network"} <= set(words_of(figure))
    assert "Liver, epoch 1: not found by the network" in caption
    figure, caption = epoch_grid([blind, record], "liver")
    assert {"Epoch 1, not found by the network", "Epoch 7"} <= set(words_of(figure))
    assert "Liver, epoch 1: not found by the network" in caption


def test_its_cells_are_those_of_the_logged_picture(record):
    figure, _ = paper_figure(record, ["left_kidney"], "grad_pam")
    _, *maps, _bar = pictures_of(figure)
    window = view(record, [0], cell_pixels(4))
    cells = strip(Place(record, "grad_pam", "left_kidney", 0), window)[1:]
    for cell, picture in zip(cells, maps, strict=True):
        np.testing.assert_array_equal(picture, cell.picture)


def test_an_unsound_map_is_a_note(record):
    figure, _ = paper_figure(record, ["liver"])
    assert REASONS["gap_degenerate"] in words_of(figure)


def test_many_stages_are_broken_into_two_rows(record):
    maps = {f"stage{i}": record.flow.maps["enc2"] for i in range(11)}
    status = record.flow.status[:1].expand(11, -1, -1, -1)
    kappa = record.flow.kappa[:1].expand(11, -1, -1)
    deep = replace(record, flow=replace(record.flow, maps=maps, status=status, kappa=kappa))
    figure, _ = paper_figure(deep, ["liver"])
    boxes = [axes.get_position() for axes in figure.axes[:12]]
    assert len({round(box.y0, 4) for box in boxes}) == 2
    assert boxes[5].width * figure.get_size_inches()[0] > 1


def test_the_caption_says_epoch_image_and_scale(record):
    _, caption = paper_figure(record)
    for fact in ("left kidney and liver", "epoch 7", "img0001, slice 11", "own maximum"):
        assert fact in caption
    _, shared = paper_figure(record, shared=True)
    assert "the organ's maximum over all stages" in shared
    assert "own maximum" not in shared


def test_a_shared_scale_dims_the_weaker_maps(record):
    scaled = {**record.flow.maps, "enc1": record.flow.maps["enc1"] / 10000}
    weak = replace(record, flow=replace(record.flow, maps=scaled))
    own = pictures_of(paper_figure(weak, ["liver"], "grad_pam")[0])[1]
    shared = pictures_of(paper_figure(weak, ["liver"], "grad_pam", shared=True)[0])[1]
    assert shared.max() < own.max()
    assert np.ptp(shared.astype(int), -1).max() < 20


def test_an_aggregate_is_the_last_cell_with_the_number_of_its_stages(record):
    sound = replace(record, aggregate=aggregate(record.flow, ["enc1", "enc2", "head"]))
    figure, caption = paper_figure(sound, ["liver"])
    words = words_of(figure)
    assert words[words.index("aggregate") + 1 :][:1] == ["2 of 3 stages"]
    assert "each scaled from its minimum to its maximum (Mullan and Sonka 2022)" in caption


def test_an_aggregate_of_nothing_is_a_note(record):
    degenerate = replace(record, aggregate=aggregate(record.flow, ["head"]))
    assert NOTHING in words_of(epoch_grid([degenerate], "liver")[0])


def test_an_unknown_rule_is_refused(record):
    with pytest.raises(InputError, match="no rule 'gradpam'; this flow has seg_grad_cam, grad_pam"):
        paper_figure(record, rule="gradpam")


def test_the_grid_has_a_row_for_each_epoch(record):
    records = [replace(record, epoch=epoch) for epoch in (0, 3, 7)]
    figure, caption = epoch_grid(records, "left_kidney")
    words = words_of(figure)
    assert [w for w in words if w.startswith("Epoch")] == [
        "Epoch 0 (untrained)",
        "Epoch 3",
        "Epoch 7",
    ]
    assert words.count("enc1  16 × 16") == 1
    assert "epochs 0, 3, 7" in caption


def test_the_grid_refuses_what_does_not_belong_together(record):
    other = replace(record, epoch=8, scene=replace(record.scene, slices=(1, 2, 3)))
    with pytest.raises(InputError, match="epochs 7 and 8 have other slices"):
        epoch_grid([record, other], "liver")
    with pytest.raises(InputError, match="no epochs to draw"):
        epoch_grid([], "liver")


def test_no_pyplot_window_is_left_behind(record):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    paper_figure(record)
    assert plt.get_fignums() == before


@pytest.mark.parametrize("name", ["$x$", r"$\frac{$", "a_$b^", "%d{}", "<b>"])
def test_a_name_is_drawn_as_it_is_and_never_as_mathematics(record, tmp_path, name):
    flow = replace(record.flow, organs=(name, *record.flow.organs[1:]))
    scene = replace(record.scene, channels={name: 1, "liver": 2, "spleen": 3})
    figure, caption = paper_figure(replace(record, flow=flow, scene=scene), [name, "liver"])
    save_figure(tmp_path, "odd", figure, caption)
    assert (tmp_path / "odd.pdf").is_file()
    assert not any(text.get_parse_math() for text in figure.texts)
