import gc

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from segtrace.report.figures import drawing
from segtrace.report.figures.drawing import as_picture, on_screen, save_figure
from segtrace.report.figures.paper import paper_figure


@pytest.fixture
def figure():
    figure = Figure((2, 1))
    figure.add_axes((0, 0, 1, 1)).imshow(np.eye(4))
    return figure


def test_a_figure_is_drawn_once_for_the_file_and_for_the_page(figure, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(drawing, "as_picture", lambda *args: drawn.append(1) or as_picture(*args))
    png, *_ = save_figure(tmp_path, "one", figure, "first")
    page = on_screen(figure)
    assert len(drawn) == 1
    with Image.open(png) as image:
        whole = np.asarray(image, np.float64)
    quarters = whole.reshape(150, 2, 300, 2, 3).mean((1, 3))
    np.testing.assert_allclose(page, quarters, atol=0.51)  # a pixel is the mean of four


def test_what_was_drawn_goes_with_its_figure():
    on_screen(figure := Figure((1, 1)))
    assert figure in drawing._PRINTED
    del figure
    gc.collect()
    assert not len(drawing._PRINTED)


def test_the_figure_is_saved_for_print_with_its_caption(record, tmp_path):
    figure, caption = paper_figure(record)
    before = dict(matplotlib.rcParams)
    png, pdf, text, sources = save_figure(tmp_path, "paper_figure", figure, caption)
    assert dict(matplotlib.rcParams) == before
    with Image.open(png) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == pytest.approx(7.16 * 300, abs=1)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert text.read_text() == f"paper_figure: {caption}\n"
    assert "{vinogradova2020," in sources.read_text()
    assert {p.name for p in tmp_path.iterdir()} == {
        "references.bib",
        "paper_figure.png",
        "paper_figure.pdf",
        "caption.txt",
    }


def test_the_captions_of_other_figures_in_the_folder_stay(record, tmp_path):
    figure, _ = paper_figure(record, ["liver"])
    save_figure(tmp_path, "one", figure, "first")
    save_figure(tmp_path, "two", figure, "second")
    save_figure(tmp_path, "one", figure, "third")
    assert (tmp_path / "caption.txt").read_text() == "two: second\n\none: third\n"


def test_the_sources_of_all_figures_in_the_folder_are_in_one_file(record, tmp_path):
    for rule in ("seg_grad_cam", "grad_pam"):
        save_figure(tmp_path, rule, *paper_figure(record, ["liver"], rule))
    sources = (tmp_path / "references.bib").read_text()
    for key in ("hasany_dos_and_donts", "vinogradova2020", "wan2020", "draelos2020"):
        assert sources.count(f"{{{key},") == 1
    assert "mullan2022" not in sources
