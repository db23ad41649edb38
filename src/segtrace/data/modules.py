"""One data module a kind of data: what ``conf/data`` names."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from segtrace.data.cases import TEST12, TRAIN18
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.labels import BTCV
from segtrace.data.layouts.finding import find_source
from segtrace.data.limits import IN_WORDS, LARGEST_SEED, PHANTOM_SIDE, check_range
from segtrace.data.published.comparison import report
from segtrace.data.sources import Later, PhantomSource, RawSource
from segtrace.data.transunet import TransUNetSource
from segtrace.errors import InputError
from segtrace.progress import say_once


class PhantomData(CaseDataModule):
    """A generated abdominal CT, written on first use; see :class:`PhantomSource`.

    Args:
        root: the folder in which phantoms are kept.
        phantom_seed: of the generator.
        phantom_cases: how many; 30 carry the published numbers and split.
        phantom_shape: voxels (left-right, front-back, foot-head).
        options: of :class:`CaseDataModule`.
    """

    def __init__(
        self,
        root: str = "data/phantom",
        phantom_seed: int = 0,
        phantom_cases: int = 30,
        phantom_shape: Annotated[Sequence[int], IN_WORDS["phantom_shape"]] = (160, 160, 48),
        **options: Any,
    ) -> None:
        check_range("data.phantom_seed", phantom_seed, 0, LARGEST_SEED)
        check_range("data.phantom_cases", phantom_cases, 1, len((*TRAIN18, *TEST12)))
        least, most = PHANTOM_SIDE
        if len(phantom_shape) != 3 or not all(least <= side <= most for side in phantom_shape):
            raise InputError(
                f"data.phantom_shape={list(phantom_shape)}; give {IN_WORDS['phantom_shape']}"
            )
        source = partial(PhantomSource, root, phantom_seed, phantom_cases, phantom_shape)
        super().__init__(Later(source, BTCV), **options)


class SynapseData(CaseDataModule):
    """The raw Synapse (BTCV) download; see :class:`RawSource`. What differs from it is said.

    Args:
        root: the folder that holds ``img/`` and ``label/``, any parent of it, or ``RawData.zip``.
        options: of :class:`CaseDataModule`.
    """

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(Later(partial(_reported, root), BTCV), **options)


def _reported(root: str) -> RawSource:
    source = RawSource(root)
    if differing := report(source):
        say_once(differing)
    return source


class TransUNetData(CaseDataModule):
    """The npz and h5 files that TransUNet distributes; see :class:`TransUNetSource`.

    Args:
        root: the folder that holds ``train_npz/``, or any parent of it.
        lists: the folder with ``train.txt`` and ``test_vol.txt``; None: the one beside them, or
            TransUNet's own lists.
        spacing: mm of a voxel (left-right, front-back, foot-head), if known; the files do not say.
        sides: whether x is known to run from the patient's right; the files do not say.
        labels: what the numbers in the files mean, by name or organ by organ.
        options: of :class:`CaseDataModule`.
    """

    def __init__(
        self,
        root: str,
        lists: str | None = None,
        spacing: Annotated[Sequence[float] | None, IN_WORDS["spacing"]] = None,
        sides: bool = False,
        labels: str | dict[str, int] = "transunet",
        **options: Any,
    ) -> None:
        refuse_volumes("synapse_transunet", options, "its files are slices of unknown voxels")
        super().__init__(TransUNetSource(root, lists, spacing, sides, labels), **options)


class NiftiData(CaseDataModule):
    """Any folder of labelled NIfTI volumes; see :func:`find_source`.

    Args:
        root: the folder, or a JSON file that lists the cases.
        labels: organ name -> number in the label files, or the name of such a table; None where
            the files say it.
        images: pattern below ``root`` with one ``*`` for the case name, or a list of one for each
            input channel; None to look for it.
        masks: the same for the label files.
        other: label values outside the table: ``refuse``, or take as ``background``.
        options: of :class:`CaseDataModule`.
    """

    def __init__(
        self,
        root: str,
        labels: str | dict[str, int] | None = None,
        images: str | list[str] | None = None,
        masks: str | None = None,
        other: str = "refuse",
        **options: Any,
    ) -> None:
        super().__init__(find_source(root, labels, images, masks, other), **options)


def refuse_volumes(name: str, options: Mapping[str, Any], why: str) -> None:
    """Refuse options that ask for volumes of data that have none.

    Args:
        name: of the data set, as ``data=`` calls it.
        options: of :class:`CaseDataModule`.
        why: it has none.

    Raises:
        InputError: they do.
    """
    for option in ("patch", "spacing"):
        if options.get(option) is not None:
            raise InputError(
                f"data.{option}={options[option]} asks for volumes, and data={name} gives slices "
                f"alone: {why}; say data.{option}=null, or take data=nifti or data=synapse"
            )
