"""Routes in the page: small pictures, in the page itself, of the right organ."""

import io
from base64 import b64decode

import pytest
from PIL import Image

from helpers.pages import epoch, read_page
from segtrace.report.figures.route import Diagram, route_figure
from segtrace.report.page.page import About, Page
from segtrace.report.page.routes import CAUTION, route_entry
from segtrace.report.route_words import Branch


@pytest.fixture(scope="module")
def entry():
    branches = [
        Branch(f"{way}_{i}", source, f"dec{i}", 0.5, 0.2 * i, 0.01)
        for i in range(1, 5)
        for way, source in (("skip", f"enc{5 - i}"), ("up", f"dec{i - 1}" if i > 1 else "enc5"))
    ]
    encoders = [f"enc{i}" for i in range(1, 6)]
    stages = dict.fromkeys([*encoders, "dec1", "dec2", "dec3", "dec4", "head"], 0.3)
    both = [Diagram(title, branches, stages, 0.9) for title in ("epoch 8", "epoch 0 (untrained)")]
    return route_entry(route_figure("liver", encoders, both, ["PHANTOM"])[0], "In words.")


def test_a_diagram_of_the_default_depth_takes_at_most_60_kilobytes(entry):
    kind, data = entry["picture"].split(",")
    assert kind == "data:image/png;base64"
    content = b64decode(data)
    assert len(content) < 60_000
    picture = Image.open(io.BytesIO(content))
    assert picture.width > 1000
    assert len(picture.convert("RGB").getcolors()) > 8


def test_the_page_holds_the_routes_that_it_is_given(entry, tmp_path):
    page = Page(about=About(routes={"liver": entry}))
    page.add(epoch(8))
    page.write(tmp_path / "index.html")
    data = read_page(tmp_path / "index.html")
    assert data["routes"] == {"liver": entry}
    assert data["route_caution"] == CAUTION
    assert "reli" in CAUTION
    page.about = About()
    page.write(tmp_path / "index.html")
    assert read_page(tmp_path / "index.html")["routes"] == {}
