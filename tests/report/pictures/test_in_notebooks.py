"""What notebooks show: the numbers of the tables, names that are text, pictures that decode."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from helpers import invented
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.measures.localisation import over_slices

HOSTILE = '<script>alert("x")</script>'


class Read(HTMLParser):
    """Tags, attributes, and the text of every cell of a table."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.rows, self.cell, self.words = [], [], [], None, ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None

    def handle_data(self, data):
        self.words += data
        if self.cell is not None:
            self.cell += data


def renamed(explained, organ):
    """With another name in the place of the first organ's."""
    flow, scene = explained.record.flow, explained.record.scene
    organs = (organ, *flow.organs[1:])
    channels = {organ: 1, "right": 2}
    record = replace(
        explained.record,
        flow=replace(flow, organs=organs),
        scene=replace(scene, channels=channels),
    )
    measures = explained.measures.assign_coords(organ=list(organs))
    return replace(explained, record=record, measures=measures)


def test_the_table_holds_the_measures_of_every_stage_and_organ():
    explained = invented.explained(3, 0.5, 0.25)
    read = Read(explained._repr_html_())
    numbers = over_slices(explained.measures).sel(rule="grad_pam")
    assert read.rows[0] == ["stage", "left", "right"]
    for row in read.rows[1:]:
        stage, grid = row[0].split(" ", 1)
        assert grid == "16 × 16"
        for organ, cell in zip(("left", "right"), row[1:], strict=True):
            gain = float(numbers["gain"].sel(site=stage, organ=organ))
            outside = float(numbers["outside"].sel(site=stage, organ=organ))
            shown = cell.split(" / ")
            assert shown[0] == f"{gain + 0.0:.2f}"
            assert shown[1] == ("–" if np.isnan(outside) else f"{outside:.2f}")
    assert [row[0].split()[0] for row in read.rows[1:]] == ["dec1", "head"]
    assert "4 slices of 2 cases · epoch 3" in read.words


def test_where_no_map_may_be_read_stands_why():
    explained = invented.explained(3, 0.5)
    status = explained.record.flow.status.clone()
    status[0, 0, 1] = Status.GAP_DEGENERATE
    flow = replace(explained.record.flow, status=status)
    measures = explained.measures.assign(status=(explained.measures["status"].dims, status.numpy()))
    changed = replace(explained, record=replace(explained.record, flow=flow), measures=measures)
    assert Read(changed._repr_html_()).rows[1][2] == "gap_degenerate"
    assert Read(flow._repr_html_()).rows[1] == ["dec1 16 × 16", "4 ok · κ 0.50", "gap_degenerate"]
    assert Read(flow._repr_html_()).rows[0] == ["site", "left", "right"]


@pytest.mark.parametrize("name", [HOSTILE, '"><img src=x onerror=alert(1)>'])
def test_names_are_text_and_nothing_runs(name):
    explained = renamed(invented.explained(3, 0.5), name)
    for shown in (explained, explained.record.flow):
        read = Read(shown._repr_html_())
        assert {"script", "iframe", "link", "object"}.isdisjoint(read.tags)
        assert not [key for key, _ in read.attributes if key.startswith("on")]
        sources = [value for key, value in read.attributes if key == "src"]
        assert all(value.startswith("data:image/png;base64,") for value in sources)
        assert name in read.words
        assert "\n" not in repr(shown)


def test_what_is_shown_is_small_and_a_line_in_a_terminal():
    explained = invented.explained(3, 0.5)
    assert len(explained._repr_html_()) < 200_000
    for shown in (explained, explained.record.flow, explained.show()):
        assert len(repr(shown)) < 300


def test_a_picture_is_a_png_for_notebooks_and_lossless_in_a_file(tmp_path):
    explained = invented.explained(3, 0.5)
    shown = explained.show("right", epoch=3, rows=1)
    drawn = np.asarray(Image.open(io.BytesIO(shown._repr_png_())).convert("RGB"))
    assert np.abs(drawn.astype(int) - shown.pixels).mean() < 5  # few colours
    assert np.array_equal(shown.pixels, explained.picture("grad_pam", "right", rows=1))
    shown.save(tmp_path / "picture.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "picture.png")), shown.pixels)
    assert re.fullmatch(r"<Grad-PAM of right, epoch 3: \d+ x \d+ pixels; .*>", repr(shown))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"organ": "lef"}, "did you mean left"),
        ({"rule": "grad_pom"}, "did you mean grad_pam"),
        ({"epoch": 4}, r"epoch=4: these maps are of epoch 3; .*epoch_004.ckpt"),
    ],
)
def test_what_there_is_not_is_one_line(arguments, said):
    with pytest.raises(InputError, match=said) as found:
        invented.explained(3, 0.5).show(**arguments)
    assert "\n" not in str(found.value)


def test_a_phantom_is_marked():
    explained = invented.explained(3, 0.5)
    scene = replace(explained.record.scene, phantom=True)
    marked = replace(explained, record=replace(explained.record, scene=scene))
    assert "PHANTOM (GENERATED IMAGE)" in Read(marked._repr_html_()).words
