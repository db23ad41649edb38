"""A picture as a notebook shows it: where there is a screen, and where there is none."""

from dataclasses import dataclass
from pathlib import Path

from segtrace.report.files import save_png, small_png
from segtrace.report.pictures.cells import Picture


@dataclass(frozen=True, eq=False)
class ShownPicture:
    """A picture that a notebook shows when it is a cell's last line.

    Attributes:
        pixels: (H, W, 3), uint8.
        words: what it shows.
    """

    pixels: Picture
    words: str

    def __repr__(self) -> str:
        """For a terminal, which shows no picture."""
        height, width, _ = self.pixels.shape
        return f"<{self.words}: {width} x {height} pixels; .save('picture.png') writes it>"

    def _repr_png_(self) -> bytes:
        """In few colours, so that a notebook stays small."""
        return small_png(self.pixels)

    def save(self, path: Path | str) -> None:
        """Write it as PNG."""
        save_png(path, self.pixels)
