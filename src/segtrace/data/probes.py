"""Probes: the fixed slices that are looked at every epoch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.errors import InputError


@dataclass(frozen=True)
class Probes:
    """Fixed slices, or volumes and patches of them, with their labels.

    Attributes:
        images: (n, C, *image) float32 in [0, 1], or between ``ends``; pictures show the first
            channel.
        labels: (n, *image) uint8, channels; None for an image without labels.
        cases: the case of each slice.
        slices: the index of each slice in its case, 0 = most caudal.
        spacing: (n, axes) float64, pixel size in mm (row step, column step; of volumes the step
            between planes before them); NaN if unknown.
        split: where the slices come from: ``"val"``, ``"train"`` or ``"user"``.
        phantom: any of the cases was generated.
        originals: of each slice its HU (rows, columns), int16, at the resolution of its file and
            over the same square as the image; to be looked at. None where there is no file.
        sides_known: the data says that rows run from anterior to posterior, columns from the
            patient's right to the left and slices from the feet up.
        hounsfield_known: the data says that its values are HU, or were before they were windowed.
        findings: what a reader should know of their files, a line each; not kept in a checkpoint.
        taught_by_phantom: the network that is shown them was trained on a phantom, and they are
            none; not kept in a checkpoint.
        axcodes: of volumes, whereto planes, rows and columns run, as nibabel and MONAI say it: of
            ``"SPL"`` planes run to the head (superior), rows to the back, columns to the patient's
            left. Empty where nothing says it.
        affines: (n, 2, 4, 4) from voxels to mm: of volumes, and of the files that they were read
            from; None where not known. Not kept in a checkpoint, as the file sizes.
        file_sizes: voxels of these files along each axis.
        ends: values of the images that pictures show black and white.
        by_file: each file counts as a case, though several may be one patient's.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    cases: tuple[str, ...]
    slices: tuple[int, ...]
    spacing: torch.Tensor
    split: str
    phantom: bool
    originals: tuple[torch.Tensor, ...] | None = None
    sides_known: bool = False
    hounsfield_known: bool = False
    findings: tuple[str, ...] = ()
    taught_by_phantom: bool = False
    axcodes: str = ""
    affines: torch.Tensor | None = None
    file_sizes: tuple[tuple[int, ...], ...] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    by_file: bool = False

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def shown(self) -> torch.Tensor:
        """The images as pictures show them, in [0, 1]."""
        low, high = self.ends
        return self.images if self.ends == (0.0, 1.0) else (self.images - low) / (high - low)

    @property
    def hash(self) -> str:
        """SHA-256 of what the network is shown, and of which slices that is."""
        digest = hashlib.sha256(repr((self.cases, self.slices, self.split)).encode())
        digest.update(self.images.numpy().tobytes())
        if self.labels is not None:
            digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()

    @property
    def marks(self) -> tuple[str, ...]:
        """What the slices are not, in capitals: no patient's; none that the network did not see."""
        marks = ("PHANTOM",) * self.phantom + ("TRAINING SLICES",) * (self.split == "train")
        marks += ("NETWORK OF A PHANTOM",) * self.taught_by_phantom
        return marks + ("EACH FILE COUNTED AS A CASE",) * self.by_file

    def to_plain(self, embed: bool = True) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint.

        Args:
            embed: with images and labels; without them a file holds no patient image, only case,
                slice and hash, by which the data module finds the slices again.
        """
        plain: dict[str, Any] = {
            "cases": list(self.cases),
            "slices": list(self.slices),
            "spacing": self.spacing.clone(),
            "split": self.split,
            "phantom": self.phantom,
            "sides_known": self.sides_known,
            "hounsfield_known": self.hounsfield_known,
            "hash": self.hash,
            "axcodes": self.axcodes,
        }
        if self.ends != (0.0, 1.0):
            plain["ends"] = list(self.ends)
        if self.by_file:
            plain["by_file"] = True
        if embed:
            originals = self.originals and list(self.originals)
            plain |= {"images": self.images, "labels": self.labels, "originals": originals}
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Probes":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: the images were left out, are not those of the hash, or hold NaN.
        """
        if "images" not in plain:
            raise InputError(
                "the probes were saved without their images (probes.embed=false); give the data "
                "set, e.g. data=synapse data.root=<folder>, so that they can be read again"
            )
        low, high = plain.get("ends", (0, 1))
        probes = cls(
            images=plain["images"],
            labels=plain["labels"],
            cases=tuple(plain["cases"]),
            slices=tuple(plain["slices"]),
            spacing=plain["spacing"],
            split=plain["split"],
            phantom=plain["phantom"],
            originals=_tuple(plain.get("originals")),
            sides_known=bool(plain.get("sides_known", False)),
            hounsfield_known=bool(plain.get("hounsfield_known", False)),
            axcodes=str(plain.get("axcodes", "")),
            ends=(float(low), float(high)),
            by_file=bool(plain.get("by_file", False)),
        )
        if broken := int((~probes.images.isfinite()).sum()):
            raise InputError(
                f"the probes (cases {', '.join(dict.fromkeys(probes.cases))}) hold {broken} values "
                "that are NaN or infinite; give other slices, image=… or "
                "data=… data.root=… probes.n=8"
            )
        return probes.checked(plain["hash"])

    def checked(self, expected: str) -> "Probes":
        """These probes.

        Raises:
            InputError: their hash is another one.
        """
        if self.hash != expected:
            raise InputError(
                f"the probes (cases {', '.join(dict.fromkeys(self.cases))}) differ from those the "
                "network was watched on: other files, window or size; give the original data set"
            )
        return self


def _tuple(values: Sequence[torch.Tensor] | None) -> tuple[torch.Tensor, ...] | None:
    return None if values is None else tuple(values)


MANY = 5
"""Cases from which on a claim can be made of them."""
SEVERAL = 8
"""Slices that are watched if nobody says how many."""
AT_MOST = 12
"""Slices that are watched unasked where there is a case for each."""


def usual(cases: int) -> int:
    """How many slices are watched if nobody says so.

    >>> usual(3), usual(10), usual(30)
    (8, 10, 12)
    """
    return min(max(SEVERAL, cases), AT_MOST)


def choose(
    areas: NDArray[np.int64],
    keys: Sequence[tuple[str, int]],
    n: int = SEVERAL,
    every_case: bool | None = None,
    held: str = "",
) -> list[int]:
    """The slices to watch.

    Of few cases, for every organ the slice where it is largest (in channel order: with more such
    slices than ``n``, the last organs lose theirs). Of many, first the slices that show most
    organs of cases in which these were not seen yet, the larger the better, so that what is said
    of an organ is said of as many cases as ``n`` slices can show; then the same.

    Duplicates are merged; the rest is filled with the slices that add most pairs of organs not
    yet seen together (once all are, counting starts anew), and at last with the largest of those
    that show one organ alone. Ties go to the first case and index.

    Args:
        areas: (S, K) pixels of each organ on each candidate slice.
        keys: (case, index) of each candidate.
        n: how many to choose; fewer come back where no more show an organ.
        every_case: whether cases come before organs; None: from five cases with an organ on.
        held: what was asked for and what is there instead, in words, for where nothing is found.

    Returns:
        Rows of ``areas``, ordered by case and index.

    Raises:
        InputError: no candidate shows any organ, or ``n`` is below 1.

    >>> choose(np.array([[5, 0], [9, 1], [0, 7]]), [("a", 0), ("a", 1), ("a", 2)], n=2)
    [1, 2]
    """
    if n < 1:
        raise InputError(f"probes.n={n}; watch at least one slice")
    order = sorted(range(len(keys)), key=lambda row: keys[row])
    present = np.flatnonzero(areas.any(axis=0))
    if not present.size:
        raise InputError(f"no slice shows any of the organs{held}; choose other cases or organs")
    if every_case is None:
        every_case = len({keys[row][0] for row in order if areas[row].any()}) >= MANY
    chosen = _over_cases(areas, order, keys, n) if every_case else []
    chosen += [max(order, key=lambda row: areas[row, organ]) for organ in present]
    chosen = list(dict.fromkeys(chosen))[:n]
    pairs = [set(combinations(np.flatnonzero(row).tolist(), 2)) for row in areas]
    _fill(chosen, order, pairs, n)
    alone = [row for row in order if row not in chosen and areas[row].any()]
    chosen += sorted(alone, key=lambda row: -areas[row].sum())[: n - len(chosen)]
    return sorted(chosen, key=lambda row: keys[row])


def _over_cases(
    areas: NDArray[np.int64], order: Sequence[int], keys: Sequence[tuple[str, int]], n: int
) -> list[int]:
    """Slices, greedily: most organs that their case has not shown yet, then largest of them.

    How large an organ is on a slice is its part of the largest area that it has anywhere.
    """
    parts = (areas / np.maximum(areas.max(axis=0), 1))[order]
    _, owner = np.unique([keys[row][0] for row in order], return_inverse=True)
    unseen = np.ones((owner.max() + 1, areas.shape[1]), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < n:
        new = unseen[owner] & (parts > 0)
        best = int(np.argmax(new.sum(1) + (parts * new).sum(1) / (new.shape[1] + 1)))
        if not new[best].any():
            break
        unseen[owner[best]] &= ~new[best]
        chosen.append(order[best])
    return chosen


def _fill(
    chosen: list[int], order: Sequence[int], pairs: Sequence[set[tuple[int, int]]], n: int
) -> None:
    """Append to ``chosen`` greedily until there are ``n`` or no slice shows two organs."""
    seen = set().union(*(pairs[row] for row in chosen))
    rest = [row for row in order if row not in chosen and pairs[row]]
    while len(chosen) < n and rest:
        best = max(rest, key=lambda row: len(pairs[row] - seen))
        if pairs[best] <= seen:
            seen = set()
            continue
        seen |= pairs[best]
        rest.remove(best)
        chosen.append(best)
