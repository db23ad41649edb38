"""Cases that a file lists, image and label by name."""

from pathlib import Path

from segtrace.data.cases import Split
from segtrace.data.layouts.dataset_json import DatasetJson
from segtrace.data.sources import NiftiSource
from segtrace.errors import InputError


class ListedSource(NiftiSource):
    """The cases of a ``dataset.json`` or datalist; a case is called as its label file is.

    Args:
        listed: what the file says.
        labels: organ name -> number in the label files, or a name of such a table.
        other: label values outside the table: ``"refuse"`` or ``"background"``.
    """

    def __init__(
        self, listed: DatasetJson, labels: str | dict[str, int], other: str = "refuse"
    ) -> None:
        super().__init__(str(listed.path.parent), labels, other=other)
        self._parts = {part: tuple(cases) for part, cases in listed.parts.items()}
        self._files = {
            case: files for cases in listed.parts.values() for case, files in cases.items()
        }
        self._channels = len(next(iter(self._files.values()))) - 1
        for case, files in self._files.items():
            if len(files) - 1 != self._channels:
                raise InputError(
                    f"{listed.path}: case {case} has {len(files) - 1} channels, and others have "
                    f"{self._channels}; list the same of every case"
                )
        names = [case for cases in self._parts.values() for case in cases]
        if twice := sorted({case for case in names if names.count(case) > 1}):
            raise InputError(
                f"{listed.path}: case {twice[0]} is listed for training and validation"
            )

    def cases(self) -> tuple[str, ...]:
        """Every listed case."""
        return tuple(sorted(self._files))

    def files(self, case: str) -> tuple[Path, ...]:
        """The image, channel by channel, and the label."""
        return self._files[case]

    @property
    def channels(self) -> int:
        """As many as the list has of a case."""
        return self._channels

    def split(self) -> Split | None:
        """The list's own, if it names validation cases."""
        if {*self._parts} != {"train", "val"}:
            return None
        return {"train": self._parts["train"], "val": self._parts["val"], "test": ()}
