"""The validation batches of a training: as many as its trainer reads, and no mark left on it."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import DataLoader

from segtrace.errors import InputError

PROBES = "FlowCallback(probes=segtrace.data.probes.Probes(images=…, labels=…, …))"
"""How slices are given where none can be chosen."""


@dataclass(frozen=True)
class Batches:
    """The first batches of a loader, which may have no end.

    Attributes:
        loader: what gives them; it can be read again.
        most: how many; infinity for all.
    """

    loader: Iterable[Any]
    most: float = inf

    def __iter__(self) -> Iterator[Any]:
        """From the first one on, each time; the batch after the last is not asked for."""
        return islice(_apart(self.loader), None if self.most == inf else int(self.most))


def _apart(loader: Iterable[Any]) -> Iterable[Any]:
    """The same loader with workers of its own: persistent ones carry random state along."""
    if not isinstance(loader, DataLoader):
        return loader
    other = copy.copy(loader)
    vars(other)["_iterator"] = None
    return other


def validation_batches(trainer: pl.Trainer) -> Batches:
    """What the trainer validates on; of several loaders the first that it reads anything of.

    Raises:
        InputError: it validates on nothing.
    """
    if trainer.limit_val_batches == 0:
        raise InputError(
            "FlowCallback chooses its slices among the validation batches, of which "
            f"limit_val_batches=0 leaves none; read some, or give {PROBES}"
        )
    loaders, limits = _set_up(trainer) or _not_yet(trainer)
    for loader, most in zip(loaders, limits, strict=True):
        if most > 0:
            return Batches(loader, most)
    raise InputError(f"FlowCallback found no validation loader; give probes: {PROBES}")


def _set_up(trainer: pl.Trainer) -> tuple[Sequence[Any], Sequence[float]] | None:
    """The loaders that the training's validation has made ready, and how far each is read."""
    limits = trainer.num_val_batches
    return (_flat(trainer.val_dataloaders), limits) if limits else None


def _not_yet(trainer: pl.Trainer) -> tuple[Sequence[Any], Sequence[float]]:
    """Those it will make ready later, e.g. with check_val_every_n_epoch=2: asked for here alone."""
    source: Any = getattr(trainer.fit_loop.epoch_loop.val_loop, "_data_source")  # noqa: B009
    loaders = _flat(source.dataloader()) if source.is_defined() else []
    return loaders, [_limit(loader, trainer.limit_val_batches) for loader in loaders]


def _flat(loaders: Any) -> Sequence[Any]:
    # Found by what it has: the class exists under both of Lightning's names.
    ready = hasattr(loaders, "flattened")
    found: Sequence[Any] = (loaders if ready else CombinedLoader(loaders, "sequential")).flattened
    return found


def _limit(loader: Any, limit: float) -> float:
    """As Lightning counts: a whole number is of batches, a fraction is of the loader."""
    try:
        length: float = len(loader)
    except (TypeError, NotImplementedError):
        length = inf
    if isinstance(limit, int):
        return min(length, limit)
    return length if length == inf else int(length * limit)
