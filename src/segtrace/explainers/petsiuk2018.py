"""RISE: a pixel matters as much as the score is higher where random masks show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from segtrace.attribution.flow import INPUT
from segtrace.attribution.targets import Target
from segtrace.errors import InputError
from segtrace.explainers.baseline import check_baseline, hiding
from segtrace.explainers.explainer import Budget, OutOfTimeError, checked_seconds
from segtrace.explainers.image_maps import ImageMaps, noise_of
from segtrace.explainers.image_result import Drawn, rows_of
from segtrace.explainers.scores import scoring
from segtrace.explainers.stage_maps import measured
from segtrace.network import guards
from segtrace.progress import counted
from segtrace.tracking.explained import Network

AT_ONCE = 64
"""Masks that are held at the same time when maps are put together."""
LEAST = 10
"""Masks. Of fewer the standard error is too small by a quarter and more."""
READING = (
    "Masks are smooth: evidence is seen spread over about a cell around where it lies, nothing "
    "finer than a cell is, and no gain reaches 1"
)


@guards.fields(
    masks=guards.a_count,
    cells=guards.a_count,
    keep=guards.a_number,
    seed=guards.from_zero,
    max_seconds=guards.optional(guards.a_number),
)
@dataclass(frozen=True)
class Rise:
    """Petsiuk, Das and Saenko 2018, with an organ's region in the place of a class.

    The network is shown x ⊙ m + b ⊙ (1 - m) for random smooth masks m, which serve all slices and
    organs. The map is E[S | pixel shown] - E[S]: the paper's Σ_i S_i m_i(u) / Σ_i m_i(u), less the
    mean of the scores S_i, which is the same at every pixel. S is the score of an organ's region,
    which the network as it is decides. One forward pass of every slice a mask.

    Attributes:
        masks: how many.
        cells: of a mask, along each side, each shown or hidden, before it is enlarged.
        keep: how probably a cell is shown.
        baseline: b, a value of the network's input (0 is air, and the paper's); ``mean``, every
            channel's over its slice; ``blur``, the slice blurred by 8 pixels.
        seed: of the masks.
        max_seconds: with the masks done by then the maps are made; ``None`` for no limit.

    Raises:
        InputError: options without sense.
    """

    name: ClassVar[str] = "rise"
    title: ClassVar[str] = "RISE"
    equation: ClassVar[str] = (
        "RISE (Petsiuk, Das and Saenko 2018), Σ_i (S_i - S̄) m_i / Σ_i m_i, S_i the score of the "
        "image under the random mask m_i and S̄ their mean: how much higher the score is where a "
        "pixel is shown"
    )
    papers: ClassVar[tuple[str, ...]] = ("petsiuk2018",)
    of_volumes: ClassVar[bool] = False
    by_size: ClassVar[bool] = True

    masks: int = 1000
    cells: int = 7
    keep: float = 0.5
    baseline: float | str = 0.0
    seed: int = 0
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        if self.masks < LEAST:
            raise InputError(f"masks={self.masks}; draw at least {LEAST}, 1000 as in the paper")
        if not 0 < self.keep < 1:
            raise InputError(f"keep={self.keep}; give more than 0 and less than 1")
        check_baseline(self.baseline)
        checked_seconds(self.max_seconds)

    def check_fit(self, network: Network) -> None:
        """Cells are no finer than pixels; see :class:`~segtrace.explainers.explainer.Particular`.

        Raises:
            InputError: they are.
        """
        height, width = network.probes.images.shape[-2:]
        if self.cells > min(height, width):
            raise InputError(
                f"cells={self.cells} are finer than the {height} x {width} pixels of a slice; "
                f"give {min(height, width)} at most, and more masks the more they are"
            )

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> ImageMaps:
        """Show masked slices; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: too few masks in time for every pixel to be shown once.
        """
        with scoring(
            network, targets, budget, self.title, passes=self.masks, volumes=self.of_volumes
        ) as scores:
            x, hidden = scores.x, hiding(self.baseline, scores.x)
            self.check_fit(network)
            height, width = x.shape[-2:]
            masks = Masks.drawn(self.masks, self.cells, self.keep, (height, width), self.seed)
            which = torch.arange(len(x)).repeat(
                self.masks
            )  # all slices under a mask, then the next

            def images(part: slice) -> Tensor:
                n, i = which[part], torch.arange(part.start, part.stop) // len(x)
                mask = masks[i].to(x)[:, None]
                return x[n] * mask + hidden[n] * (1 - mask)

            seen = scores.shown(which, images)
            done = seen.shape[1] // len(x)
            if done < LEAST:
                raise OutOfTimeError(
                    f"RISE: {budget.max_seconds:g} s are over after {counted(done, 'mask')}, and "
                    f"of fewer than {LEAST} the error is not known; give more max_seconds"
                )
            s = seen[:, : done * len(x)].reshape(len(seen), done, len(x)).transpose(1, 2)
            maps, error = expectation(masks, s)
            flow = scores.flow(self.name, {INPUT: maps.to(x.dtype)})
        explained, noise = measured(self, flow, network, epoch), noise_of(maps, error)
        what = f"masks of {self.cells} × {self.cells} cells"
        drawn = Drawn(done, self.masks, what, seen.shape[1], scores.seconds)
        return ImageMaps(
            self, explained, drawn, READING, error.float(), noise,
            rows_of(explained, mean_score=s.mean(-1), masks=torch.full(noise.shape, done),
                    chance=noise),
            {}, {},
        )  # fmt: skip


@dataclass(frozen=True)
class Masks:
    """Random masks, made when they are asked for: a thousand whole ones would fill the memory.

    Attributes:
        cells: (n, 1, s, s) bool, which are shown.
        shifts: (n, 2) rows and columns by which the enlarged cells are shifted.
        size: of the image.
    """

    cells: Tensor
    shifts: Tensor
    size: tuple[int, int]

    @classmethod
    def drawn(cls, n: int, cells: int, keep: float, size: tuple[int, int], seed: int) -> "Masks":
        """As many; the first ones do not depend on how many follow."""
        sides = [-(-side // cells) for side in size]  # of an enlarged cell
        shown, *moved = (torch.Generator().manual_seed(3 * seed + way) for way in range(3))
        parts = [torch.rand(len(part), 1, cells, cells, generator=shown, dtype=torch.float64) < keep
                 for part in torch.arange(n).split(AT_ONCE)]  # fmt: skip
        shifts = [torch.randint(side, (n,), generator=by)
                  for side, by in zip(sides, moved, strict=True)]  # fmt: skip
        return cls(torch.cat(parts), torch.stack(shifts, 1), size)

    def __getitem__(self, which: Tensor) -> Tensor:
        """(n, H, W) of them, in [0, 1]: one cell more than the image, of which it is a part."""
        s, (height, width) = self.cells.shape[-1], self.size
        enlarged = [(s + 1) * -(-side // s) for side in self.size]
        cells = self.cells[which].double()
        whole = interpolate(cells, size=enlarged, mode="bilinear", align_corners=False)
        corners = self.shifts[which].tolist()
        return torch.stack([mask[0, top : top + height, left : left + width]
                            for mask, (top, left) in zip(whole, corners, strict=True)])  # fmt: skip


def expectation(masks: Masks, s: Tensor) -> tuple[Tensor, Tensor]:
    """The maps (O, N, H, W), and their standard error, of scores (O, N, n).

    The map is a ratio of means less a mean; its error is that of its linear terms, over the masks:
    ψ_i = m_i (d_i - map) / m̄ - d_i with d_i = S_i - S̄.

    Raises:
        InputError: a pixel that no mask shows.
    """
    n, shape = s.shape[-1], s.shape[:-1]
    d = (s - s.mean(-1, keepdim=True)).flatten(0, -2)  # (O · N, n)
    m1 = m2 = dm1 = dm2 = ddm1 = ddm2 = torch.zeros((), dtype=torch.float64)
    for part in torch.arange(n).split(AT_ONCE):
        m, own = masks[part].flatten(1), d[:, part]
        mm, dd = m.square(), own.square()
        m1, m2 = m1 + m.sum(0), m2 + mm.sum(0)
        dm1, dm2, ddm1, ddm2 = dm1 + own @ m, dm2 + own @ mm, ddm1 + dd @ m, ddm2 + dd @ mm
    if n < 2 or not bool((m1 > 0).all()):
        raise InputError(
            f"RISE: after {counted(n, 'mask')} there are pixels that none showed; give more masks, "
            "more max_seconds, or a larger keep"
        )
    found, mean = dm1 / m1, m1 / n
    squares = (
        (ddm2 - 2 * found * dm2 + found.square() * m2) / mean.square()
        - 2 * (ddm1 - found * dm1) / mean
        + d.square().sum(-1, keepdim=True)
    )
    error = (squares.clamp(min=0) / (n * (n - 1))).sqrt()
    return found.reshape(*shape, *masks.size), error.reshape(*shape, *masks.size)
