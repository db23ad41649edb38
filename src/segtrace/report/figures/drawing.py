"""A finished figure as pixels, drawn once, and as files."""

from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from segtrace.report.figures.panels import STYLE, print_style
from segtrace.report.files import atomic, save_text
from segtrace.report.pictures.cells import Picture
from segtrace.report.references import bibliography

PRINT, SCREEN = int(STYLE["savefig.dpi"]), 150
"""Dots per inch."""
_PRINTED: "WeakKeyDictionary[Figure, Picture]" = WeakKeyDictionary()


def as_picture(figure: Figure, dpi: int = SCREEN) -> Picture:
    """The figure as (H, W, 3)."""
    with print_style():
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def printed(figure: Figure) -> Picture:
    """A figure to which nothing will be added, for print; drawn when it is first asked for."""
    if figure not in _PRINTED:
        _PRINTED[figure] = as_picture(figure, PRINT)
    return _PRINTED[figure]


def on_screen(figure: Figure) -> Picture:
    """The same in fewer pixels, for a page."""
    return np.asarray(Image.fromarray(printed(figure)).reduce(PRINT // SCREEN))


def save_figure(folder: Path | str, name: str, figure: Figure, caption: str) -> list[Path]:
    """Write ``name.png`` (300 dpi) and ``name.pdf``, and its paragraph in ``caption.txt``.

    The paragraph of another figure in the same file stays, an older one of this name does not.
    ``references.bib`` holds the papers that the paragraphs cite.

    Raises:
        InputError: if they cannot be written.
    """
    folder = Path(folder)
    paths = [
        folder / f"{name}.png",
        folder / f"{name}.pdf",
        folder / "caption.txt",
        folder / "references.bib",
    ]
    picture = Image.fromarray(printed(figure))
    with atomic(paths[0]) as file:
        picture.save(file, "PNG", compress_level=3, dpi=(PRINT, PRINT))
    figure.set_layout_engine("none")  # laid out once, which takes a third of the time
    with print_style(), atomic(paths[1]) as file:
        figure.savefig(file, format="pdf", metadata={"CreationDate": None})
    kept = paths[2].read_text(encoding="utf-8").split("\n\n") if paths[2].exists() else []
    kept = [text.strip() for text in kept if text.strip() and not text.startswith(f"{name}: ")]
    text = "\n\n".join([*kept, f"{name}: {caption}"]) + "\n"
    save_text(paths[2], text)
    save_text(paths[3], bibliography(text))
    return paths
