"""Numbers with named axes: an xarray Dataset out of tensors, its rows for a table, its plain form.

Axes are called ``site`` (stages, and behind them edges), ``rule``, ``organ``, ``onto`` (the organ
on whose pixels evidence lies), ``slice``, ``epoch`` and ``edge`` in all results. xarray is imported
where it is needed, so that tracing does without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from segtrace.errors import InputError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset
else:  # names for annotations
    DataArray = Dataset = Any

__all__ = ["DataArray", "Dataset", "Form", "Result", "mean", "names_along", "rows", "tensor"]


@dataclass(frozen=True)
class Form:
    """What a kind of result consists of, in memory and in a file.

    A checkpoint holds tensors and tuples of names alone. Which axes they have stands here and is
    never read from a file.

    Attributes:
        numbers: name -> its axes, separated by spaces.
        names: key in a file -> coordinate, and behind a space the axis where that is another.
        facts: what is one for all, kept as attributes.
        otherwise: key -> the one whose names it takes where a file of before lacks it.
        later: number that older files lack -> the number of its shape; NaN is read instead.
    """

    numbers: Mapping[str, str]
    names: Mapping[str, str]
    facts: tuple[str, ...] = field(default=())
    otherwise: Mapping[str, str] = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)

    def dataset(self, values: Mapping[str, Any]) -> Dataset:
        """Key -> tensor, names or fact, as in a file, with named axes."""
        import xarray as xr

        values = self._filled(values)
        coords = {}
        for key, named in self.names.items():
            coord, *axis = named.split()
            coords[coord] = (axis or [coord], list(values[key]))
        numbers = {name: (axes.split(), values[name].cpu()) for name, axes in self.numbers.items()}
        return xr.Dataset(numbers, coords, {name: values[name] for name in self.facts})

    def _filled(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {key: values[other] for key, other in self.otherwise.items()} | dict(values)

    def plain(self, data: Dataset) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint: undoes :meth:`dataset`."""
        names = {key: tuple(data[named.split()[0]].values.tolist())
                 for key, named in self.names.items()}  # fmt: skip
        numbers = {name: tensor(data[name]) for name in self.numbers}
        return numbers | names | {name: data.attrs[name] for name in self.facts}

    def read(self, plain: Mapping[str, Any]) -> Dataset:
        """What :meth:`plain` gave, out of a file, which may hold anything.

        Raises:
            InputError: something is missing, not known, no tensor, or of another shape.
        """
        try:
            if more := plain.keys() - {*self.numbers, *self.names, *self.facts}:
                raise TypeError(f"{min(more)} is not known")
            plain = self._filled(plain)
            for key in self.names:
                if isinstance(plain[key], str) or not all(isinstance(n, str) for n in plain[key]):
                    raise TypeError(f"{key} are no names")
            unknown = {name: torch.full_like(plain[like], torch.nan)
                       for name, like in self.later.items() if name not in plain}  # fmt: skip
            return self.dataset({**plain, **unknown})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"numbers that do not fit their names ({error}); the file is damaged or of another "
                "program, take another checkpoint"
            ) from None


@dataclass(frozen=True, eq=False)
class Result:
    """Numbers with named axes; a kind of result adds what follows from them."""

    form: ClassVar[Form]
    data: Dataset

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Out of tensors, names and facts by their keys in a file."""
        return cls(cls.form.dataset(values))

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return self.form.plain(self.data)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that do not fit their names.
        """
        return cls(cls.form.read(plain))


def tensor(values: DataArray) -> Tensor:
    """The numbers alone, in memory that is shared where that can be written to."""
    import numpy as np

    return torch.from_numpy(np.require(values.values, requirements="W"))


def mean(data: Dataset, axis: str) -> Dataset:
    """The mean of every number along an axis, of what is defined; NaN where nothing is.

    By torch and not by xarray, whose sums round otherwise.
    """
    found = {}
    for name, values in data.items():
        axes = [one for one in values.dims if one != axis]
        found[name] = (axes, tensor(values).nanmean(values.dims.index(axis)))
    return data.drop_dims(axis).assign(found)


def names_along(data: Dataset | DataArray, axis: str) -> list[Any]:
    """What stands along an axis, or beside it: names, or numbers of epochs."""
    found: list[Any] = data[axis].values.tolist()
    return found


def rows(data: Dataset, along: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
    """The records of a long table: one a point of the axes, the last axis running fastest.

    Args:
        data: numbers and coordinates, each with some of the axes or none.
        along: the axes.
        columns: names of numbers, coordinates or axes; an axis without a coordinate counts from 0.
    """
    sizes = {axis: data.sizes[axis] for axis in along}
    lists = [
        data[name].variable.set_dims(sizes).transpose(*along).values.ravel().tolist()
        for name in columns
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
