"""KernelSHAP on superpixels: an organ's score, shared out over the parts of the slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segtrace.activation import predicted
from segtrace.attribution.flow import INPUT
from segtrace.attribution.targets import Target
from segtrace.errors import InputError
from segtrace.explainers.baseline import check_baseline, hiding
from segtrace.explainers.dardouillet2022.games import Game, Jobs
from segtrace.explainers.dardouillet2022.shapley import Shares, coalitions, shares
from segtrace.explainers.dardouillet2022.superpixels import check_kind, playing, superpixels
from segtrace.explainers.explainer import Budget, OutOfTimeError, checked_seconds
from segtrace.explainers.image_maps import ImageMaps, noise_of
from segtrace.explainers.image_result import Drawn, Rows, rows_of
from segtrace.explainers.scores import Scores, scoring
from segtrace.explainers.stage_maps import measured
from segtrace.network import guards
from segtrace.tracking.explained import Explained, Network, scene

BESIDE = 256
"""Coalitions beyond eight a superpixel, where no number is asked for."""
LEAST = 8
"""Coalitions a superpixel. Of four, two standard errors held a share in 84 to 88 % of
simulations, of eight in 91 to 93 %."""
READING = (
    "The map is a superpixel's share over its pixels, at each the same: nothing finer is known, a "
    "gain of 1 needs superpixels that end where the organ does, and the map sums to the score less "
    "that of the hidden slice"
)


@guards.fields(
    superpixels=guards.a_name,
    cells=guards.a_count,
    compactness=guards.a_number,
    samples=guards.optional(guards.a_count),
    seed=guards.from_zero,
    max_seconds=guards.optional(guards.a_number),
)
@dataclass(frozen=True)
class KernelShap:
    """Dardouillet et al. 2022, with an organ's region as what is explained.

    Shapley values of superpixels: what showing one adds to the score, averaged over the orders in
    which all may be shown. They sum to S(x) - S(b) exactly. S is the score of an organ's region,
    which the network as it is decides. One forward pass a coalition, for all organs.

    Attributes:
        superpixels: see :mod:`~segtrace.explainers.dardouillet2022.superpixels`: ``grid``, ``slic``
            or ``organs`` (of the truth, else of the prediction).
        cells: along each side.
        compactness: of ``slic``.
        samples: coalitions of a slice; ``None`` for eight a superpixel and 256 more. All there are
            where they are no more: then the shares are exact.
        baseline: what hides a superpixel, see :class:`~segtrace.explainers.petsiuk2018.Rise`.
        seed: of the coalitions.
        max_seconds: with the coalitions done by then the shares are found; ``None`` for no limit.

    Raises:
        InputError: options without sense; ``slic`` without scikit-image.
    """

    name: ClassVar[str] = "kernel_shap"
    title: ClassVar[str] = "KernelSHAP"
    equation: ClassVar[str] = (
        "KernelSHAP on superpixels (Dardouillet et al. 2022; Lundberg and Lee 2017), φ = argmin "
        "Σ_z π(z) (S(x_z) - S(b) - φ·z)² with Σ φ = S(x) - S(b): x_z the slice with the "
        "superpixels of coalition z shown and the others hidden by b; coalitions in pairs of "
        "complements (Covert and Lee 2021)"
    )
    papers: ClassVar[tuple[str, ...]] = ("dardouillet2022", "lundberg2017", "covert2021")
    of_volumes: ClassVar[bool] = False

    superpixels: str = "grid"
    cells: int = 8
    compactness: float = 0.1
    samples: int | None = None
    baseline: float | str = 0.0
    seed: int = 0
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        check_kind(self.superpixels)
        if self.cells < 2:
            raise InputError(f"cells={self.cells}; a slice in one piece has nothing to share out")
        if not self.compactness > 0:
            raise InputError(f"compactness={self.compactness}; give more than 0, 0.1 say")
        check_baseline(self.baseline)
        checked_seconds(self.max_seconds)

    def check_fit(self, network: Network) -> None:
        """See :class:`~segtrace.explainers.explainer.Particular`; not of what is predicted.

        Raises:
            InputError: too few coalitions for the superpixels, or a slice in one piece.
        """
        x = network.probes.images
        if self.superpixels != "organs":
            self._players(x, hiding(self.baseline, x), torch.zeros(0))

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> ImageMaps:
        """Show coalitions; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: too few coalitions, asked for or in time, to tell the superpixels apart.
        """
        of_cubes = self.samples or 4 * self.cells**3 + BESIDE  # what a volume would take
        with scoring(
            network, targets, budget, self.title, passes=of_cubes, volumes=self.of_volumes
        ) as scores:
            hidden = hiding(self.baseline, scores.x)
            games = self._games(network, scores, hidden)
            jobs = Jobs.of(games)

            def images(part: slice) -> Tensor:
                n = jobs.which[part]
                shown = torch.stack([jobs.mask(games, j) for j in range(part.start, part.stop)])
                return torch.where(shown.to(scores.x.device)[:, None], scores.x[n], hidden[n])

            seen = scores.shown(jobs.which, images)
            done = jobs.done(games, seen.shape[1])
            found = _shares(games, done, jobs, seen, scores)
            maps, error = _maps(games, found)
            flow = scores.flow(self.name, {INPUT: maps.to(scores.x.dtype)})
        explained, noise = measured(self, flow, network, epoch), noise_of(maps, error)
        passes, seconds = seen.shape[1], scores.seconds
        asked = max((2 * len(game.drawn.sides) for game in games), default=0)
        counts = sorted({game.players for game in games})
        parts = "–".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        drawn = Drawn(2 * max(done), asked, f"coalitions of {parts} superpixels", passes, seconds)
        labels = torch.stack([game.labels for game in games])
        return ImageMaps(
            self, explained, drawn, READING, error.float(), noise,
            rows_of(
                explained,
                baseline_score=seen[:, : len(games)],
                superpixels=torch.tensor([game.players for game in games]).expand(noise.shape),
                coalitions=2 * torch.tensor(done).expand(noise.shape),
                r2=torch.stack([one.r2 for one in found], 1),
                chance=noise,
            ),
            {"superpixels.csv": _rows(explained, games, found)},
            {"superpixels": labels},
        )  # fmt: skip

    def _games(self, network: Network, scores: Scores, hidden: Tensor) -> list[Game]:
        """Of every slice its superpixels and coalitions."""
        labels, samples = self._players(scores.x, hidden, _organs(network, scores))
        players = [int(one.max()) + 1 for one in labels]
        drawn = {n: coalitions(n, samples, self.seed) for n in set(players)}
        return [Game(one, n, drawn[n]) for one, n in zip(labels, players, strict=True)]

    def _players(self, x: Tensor, hidden: Tensor, masks: Tensor) -> tuple[list[Tensor], int]:
        """Of every slice its superpixels, (H, W) numbers, and how many coalitions are drawn.

        Args:
            x: (N, C, H, W) slices.
            hidden: what is shown where they are hidden.
            masks: (O, N, H, W) bool, where the organs are; asked for by ``organs`` alone.

        Raises:
            InputError: a slice in one piece; too few coalitions.
        """
        kinds = superpixels(self.superpixels, x, self.cells, masks, self.compactness)
        differs = (x != hidden).any(1).cpu()
        labels = [playing(one, there) for one, there in zip(kinds, differs, strict=True)]
        players = [int(one.max()) + 1 for one in labels]
        if 1 in players:
            raise InputError(
                f"superpixels={self.superpixels} leave slice {players.index(1) + 1} of "
                f"{len(players)} in one piece, which has nothing to share out; give more cells"
                + (", or a smaller compactness" if self.superpixels == "slic" else "")
            )
        most = max(players)
        samples = LEAST * most + BESIDE if self.samples is None else self.samples
        if samples < min(LEAST * most, 2**most - 2):
            raise InputError(
                f"samples={samples} are too few for {most} superpixels; draw at least "
                f"{LEAST * most}, or leave it out for {LEAST * most + BESIDE}"
            )
        return labels, samples


def _organs(network: Network, scores: Scores) -> Tensor:
    """(O, N, H, W) bool: where the truth, or else the prediction, has the network's organs."""
    seen = scene(network.probes, network.channels)
    found = predicted(scores.logits, scores.activation).cpu()
    here = [seen.found(organ, found) if (there := seen.there(organ)) is None else there
            for organ in network.channels]  # fmt: skip
    return torch.stack([one for one in here if one is not None])


def _shares(
    games: list[Game], done: list[int], jobs: Jobs, seen: Tensor, scores: Scores
) -> list[Shares]:
    """Of every slice, from scores (O, J)."""
    if seen.shape[1] < len(games):
        raise OutOfTimeError(
            f"KernelSHAP: the time is over after {seen.shape[1]} of {len(games)} slices; give more "
            "max_seconds"
        )
    none = seen[:, : len(games)]
    total = scores.whole.double().cpu() - none
    found = []
    for n, (game, pairs) in enumerate(zip(games, done, strict=True)):
        if not game.drawn.exact and 2 * pairs < LEAST * game.players:
            raise OutOfTimeError(
                f"KernelSHAP: the time is over after {2 * pairs} coalitions of a slice, and "
                f"{game.players} superpixels need {LEAST * game.players}; give more max_seconds, "
                "or fewer cells"
            )
        sides = [
            seen[:, jobs.of_slice(n, side, seen.shape[1])[:pairs]] - none[:, n : n + 1]
            for side in (0, 1)
        ]
        found.append(shares(game.drawn.first(pairs), sides[0], sides[1], total[:, n]))
    return found


def _maps(games: list[Game], found: list[Shares]) -> tuple[Tensor, Tensor]:
    """(O, N, H, W) the shares and their errors, over the pixels of each superpixel."""
    both = []
    for (labels, players, _), one in zip(games, found, strict=True):
        pixels = labels[labels >= 0].bincount(minlength=players)
        spread = [
            torch.cat([part / pixels, part.new_zeros(len(part), 1)], 1)[:, labels]
            for part in (one.values, one.errors)
        ]
        both.append(torch.stack(spread))
    maps, errors = torch.stack(both, 2)
    return maps, errors


def _rows(explained: Explained, games: list[Game], found: list[Shares]) -> Rows:
    """A row a slice, superpixel and organ."""
    flow, own = explained.record.flow, explained.record.scene
    return [
        {
            "case": own.cases[n], "slice": own.slices[n], "superpixel": s, "pixels": int(pixels),
            "organ": organ, "share": float(one.values[o, s]),
            "standard_error": float(one.errors[o, s]),
        }
        for n, (game, one) in enumerate(zip(games, found, strict=True))
        for s, pixels in enumerate(game.labels[game.labels >= 0].bincount(minlength=game.players))
        for o, organ in enumerate(flow.organs)
    ]  # fmt: skip
