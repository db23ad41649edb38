"""The data module of generated evidence."""

from collections.abc import Sequence
from typing import Any

from segtrace.data.datamodule import CaseDataModule
from segtrace.data.limits import LARGEST_SEED, check_range
from segtrace.planted.images.planted import SIDE
from segtrace.planted.source import PlantedSource


class PlantedData(CaseDataModule):
    """Generated images in which it is known what decides; see :class:`PlantedSource`.

    Not augmented: turned or moved, a mark would no longer lie where it is known to lie.

    Args:
        task: one of :data:`segtrace.planted.images.tasks.TASKS`.
        planted_seed: of the generator.
        planted_cases: how many for training, validation and test.
        planted_slices: of each case, an even number.
        options: of :class:`CaseDataModule`.
    """

    def __init__(
        self,
        task: str = "far",
        planted_seed: int = 0,
        planted_cases: Sequence[int] = (60, 6, 6),
        planted_slices: int = 16,
        **options: Any,
    ) -> None:
        check_range("data.planted_seed", planted_seed, 0, LARGEST_SEED)
        source = PlantedSource(task, planted_seed, planted_cases, planted_slices)
        fixed = {"organs": "all", "size": SIDE, "augment": False}
        super().__init__(source, **{**fixed, **options})
