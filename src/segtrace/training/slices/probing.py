"""Choose the slices to watch from whatever a Lightning training validates on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import Any
from zlib import crc32

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from segtrace.activation import (
    SAY_SIGMOID,
    SIGMOID,
    SOFTMAX,
    OrganLike,
    organ_of,
    organs_of,
    true_mask,
)
from segtrace.axes import VOLUMES, are_volumes
from segtrace.data.probes import Probes, choose
from segtrace.errors import InputError, wrong
from segtrace.network.labels import whole_numbers
from segtrace.network.undisturbed import unchanged_generators
from segtrace.progress import say_once
from segtrace.training.slices.carried import unchanged_by_reading
from segtrace.training.slices.lying import SPL, Lying, lying_of
from segtrace.training.slices.naming import (
    UNNAMED,
    counted,
    each_a_case,
    files_of,
    names_of,
    with_short_names,
)
from segtrace.training.slices.rereading import Seen, differing
from segtrace.training.slices.validation_batches import PROBES, Batches, validation_batches

LARGEST = 255
"""What a byte holds."""
SHOWN = 20
"""Labels that a message lists."""
RANDOM = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
Slice = tuple[tuple[str, int], Tensor, Tensor]
"""((case, index), image (C, *image), label (*image) uint8, or masks (channels, *image))."""

BY_FILE = (
    "Each file or name counts as a case here: where several are slices of one patient, intervals "
    "over cases are too narrow. Give 'case' and 'slice' in the batches of the validation loader"
)
_INSTEAD = "let the loader give that (FlowCallback also takes the slices themselves: probes=…)"


def probes_of(
    trainer: pl.Trainer, organs: Mapping[str, OrganLike], n: int, activation: str | None = None
) -> Probes:
    """``n`` slices of what the training validates on, by the rule of :func:`choose`.

    As many batches are read as the trainer reads, and nothing that it draws from is moved.

    Raises:
        InputError: no validation batches, or batches that hold no image and label.
    """
    with unchanged_generators():  # a hook that makes the loaders may draw
        batches = validation_batches(trainer)
    instead = f", or give {PROBES}"
    return probes_from(
        batches.loader, organs, n, most=batches.most, instead=instead, activation=activation
    )


def probes_from(
    loader: Iterable[Any],
    organs: Mapping[str, OrganLike],
    n: int = 8,
    *,
    most: float = inf,
    instead: str = "",
    check: Callable[[Tensor], None] | None = None,
    activation: str | None = None,
) -> Probes:
    """``n`` slices of a loader, or volumes, by the rule of :func:`choose`.

    Args:
        loader: batches that are mappings with ``image`` and ``label`` (and, if known, ``case``
            and ``slice``), or tuples (image, label, …). Else an image is named by ``case``,
            ``name`` or ``path`` of its batch, by the file that MONAI read, or by the files that
            the data set lists, of which each counts as a case; else it is ``unnamed``. Images are
            (B, C, H, W), labels
            (B, H, W) or (B, 1, H, W) in channel numbers, in which a number beyond 0 … 255 (-1 for
            what is ignored) is no organ; under a sigmoid also masks (B, channels, H, W). Volumes
            have an axis more. Of a
            classifier the label is a class (B,), or (B, channels) under a sigmoid. Read
            twice, in the same order. The
            patient's sides are named only where the loader or its ``dataset`` has an attribute
            ``sides_known`` that is True: rows run from anterior to posterior, columns from the
            patient's right to the left, slices from the feet up. Of volumes MONAI's affine of a
            file says the mm and whereto the axes run; or an attribute ``axcodes``, ``"RAS"``. An
            attribute ``phantom`` that is True marks the images as generated.
        organs: organ -> channel.
        n: how many.
        most: batches that are read of it.
        instead: what else can be done about slices that are not the same when read again.
        check: may refuse the organs, given the first image (1, C, H, W), where no slice shows any.
        activation: of the network's logits, as far as it is asked for.

    Raises:
        InputError: what can be read only once; other batches, or other slices when read again.
    """
    if isinstance(loader, Iterator):
        raise InputError(
            f"slices are chosen from a loader, which is read twice; a {type(loader).__name__} is "
            f"used up by reading: give what it was made from{instead}"
        )
    batches = Batches(loader, most)
    with unchanged_by_reading(loader):
        first = [_seen(item, organs) for item in _slices(batches, organs, activation)]
        areas = [seen.areas for seen in first]
        none = first and not np.any(areas)
        if none and check is not None:
            check(next(_slices(batches, organs, activation))[1][None])
        held = _held(batches, organs, activation) if none else ""
        keys = with_short_names([seen.key for seen in first])
        chosen = choose(np.array(areas).reshape(len(first), len(organs)), keys, n, held=held)
        kept, again = {}, []
        for row, item in enumerate(_slices(batches, organs, activation)):
            again.append(_seen(item, organs))
            if row in chosen:
                kept[row] = item
    if found := differing(first, again, shuffled=_shuffles(loader)):
        raise InputError(f"the validation loader {found}{instead}")
    picked = [kept[row] for row in chosen]
    images = torch.stack([image.as_subclass(Tensor) for _, image, _ in picked]).float()
    by_file = not are_volumes(images) and each_a_case([seen.key for seen in first], keys)
    if by_file:
        say_once(f"Caution: {BY_FILE}.")
    sides_known = _said(loader, "sides_known") is True
    lying = Lying("", torch.full((len(picked), 2), torch.nan, dtype=torch.float64))
    if are_volumes(images):
        said = SPL if sides_known else _said(loader, "axcodes")
        lying = lying_of([image for _, image, _ in picked], said)
    return Probes(
        images=images,
        labels=torch.stack([label.as_subclass(Tensor) for _, _, label in picked]),
        cases=tuple(keys[row][0] for row in chosen),
        slices=tuple(keys[row][1] for row in chosen),
        spacing=lying.spacing,
        split="val",
        phantom=_said(loader, "phantom") is True,
        sides_known=sides_known,
        axcodes=lying.axcodes,
        affines=lying.affines,
        file_sizes=lying.file_sizes,
        by_file=by_file,
    )


def _said(loader: Iterable[Any], name: str) -> Any:
    """What the loader, or its data set, says of its images; ``None`` where they do not."""
    places = (loader, getattr(loader, "dataset", None))
    said = (getattr(place, name, None) for place in places)
    return next((one for one in said if one is not None), None)


def _slices(
    loader: Batches, organs: Mapping[str, OrganLike], activation: str | None
) -> Iterator[Slice]:
    """Every slice, in order."""
    count, seen, files = 0, Counter[str](), files_of(loader.loader)
    for batch in loader:
        image, label = _image_and_label(batch, activation)
        first, count = count, count + len(image)
        if isinstance(batch, Mapping) and "case" in batch and "slice" in batch:
            keys = _keys(batch, len(image))
        else:
            listed = files.of(first, count) if files else None
            names = names_of(batch, image, len(image)) or listed or [UNNAMED] * len(image)
            keys = counted(names, seen)
        for i, key in enumerate(keys):
            own = label[i].detach().cpu()
            masks = own.ndim == image.ndim - 1
            yield key, image[i].detach().cpu(), own > 0 if masks else _labels(own, organs)


def _keys(batch: Mapping[str, Any], size: int) -> list[tuple[str, int]]:
    """(case, index) of every image of a batch that names them.

    Raises:
        InputError: not one name and one whole number an image.
    """
    cases = _one_each("case", batch["case"], size, str, "a list of names or whole numbers")
    indices = _one_each("slice", batch["slice"], size, int, "a list of whole numbers")
    return [(str(case), int(index)) for case, index in zip(cases, indices, strict=True)]


def _one_each(key: str, given: Any, size: int, kind: type, wanted: str) -> list[Any]:
    plain = given.tolist() if hasattr(given, "tolist") else given  # a collated batch holds tensors
    found = [_plain(one) for one in plain] if isinstance(plain, list | tuple) else []
    if len(found) != size or not all(_is(one, kind) or _is(one, int) for one in found):
        raise wrong(
            f"{key!r} of the validation loader's batch of {size}", given, f"{wanted}, one an image"
        )
    return found


def _plain(value: Any) -> Any:
    """A number out of a tensor or array; a whole one is whole, whatever its type."""
    one = value.item() if hasattr(value, "item") and np.asarray(value).size == 1 else value
    return int(one) if isinstance(one, float) and one.is_integer() else one


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _labels(label: Tensor, organs: Mapping[str, OrganLike]) -> Tensor:
    """The label map as bytes; a number that is none becomes one that is no organ's.

    Raises:
        InputError: an organ beyond a byte, values that are no whole numbers.
    """
    numbers = {name: organ_of(organ, SOFTMAX).label for name, organ in organs.items()}
    for organ, number in numbers.items():
        if not 0 <= number <= LARGEST:
            raise InputError(
                f"organ {organ!r} has channel {number}; slices hold channels 0 to {LARGEST}"
            )
    whole = whole_numbers("the validation loader's label", label).long()
    other = next(n for n in range(LARGEST, -1, -1) if n not in numbers.values())
    return whole.where((whole >= 0) & (whole <= LARGEST), other).to(torch.uint8)


def _held(loader: Iterable[Any], organs: Mapping[str, OrganLike], activation: str | None) -> str:
    """The labels that were looked for, and those that there are."""
    there: set[float] = set()
    for batch in loader:
        image, label = _image_and_label(batch, activation)
        if label.ndim == image.ndim:
            return ": their masks are empty"
        there |= {*label.unique().tolist()}
    asked = {name: organ_of(organ, SOFTMAX).label for name, organ in organs.items()}
    listed = ", ".join(f"{name} ({number})" for name, number in asked.items())
    held = ", ".join(f"{number:g}" for number in sorted(there)[:SHOWN])
    more = ", …" if len(there) > SHOWN else ""
    said = f": labels {listed} were looked for, and the slices hold {held}{more}"
    if others := sorted(there - {0, *asked.values()}):
        apart = f"{{{next(iter(asked))!r}: {{'channel': …, 'label': {others[0]:g}}}}}"
        said += f" (a label apart from its channel: {apart})"
    return said


def _image_and_label(batch: Any, activation: str | None) -> tuple[Tensor, Tensor]:
    if isinstance(batch, Mapping):
        image, label = batch.get("image"), batch.get("label")
    elif isinstance(batch, list | tuple) and len(batch) > 1:
        image, label = batch[:2]
    else:
        image = label = None
    if not isinstance(image, Tensor) or not isinstance(label, Tensor):
        raise InputError(
            "batches {'image': …, 'label': …} or (image, label) are read; the validation loader "
            f"gives {type(batch).__name__}: {_INSTEAD}"
        )
    of_classes = label.ndim == 1 + (activation == SIGMOID and label.ndim > 1)  # (B,) or (B, C)
    volumes = are_volumes(image)
    if of_classes and image.ndim in (VOLUMES - 1, VOLUMES) and len(label) == len(image):
        return image, label[(..., *[None] * (image.ndim - 2))]
    if label.ndim == image.ndim and label.shape[1] == 1:
        label = label[:, 0]
    masks = label.ndim == image.ndim
    if (
        masks
        and activation != SIGMOID
        and (len(label), *label.shape[2:]) == (len(image), *image.shape[2:])
    ):
        raise InputError(
            f"the validation loader gives masks {tuple(label.shape)}, which may overlap, in the "
            f"place of label maps (B, {'D, ' * volumes}H, W): {SAY_SIGMOID} where every channel of "
            f"the network decides for itself, else {_INSTEAD}"
        )
    fits = (len(label), *label.shape[1 + masks :]) == (len(image), *image.shape[2:])
    if image.ndim not in (VOLUMES - 1, VOLUMES) or not fits:
        wanted = ("volumes (B, C, D, H, W) and label maps (B, D, H, W)" if volumes
                  else "slices (B, C, H, W) and label maps (B, H, W)")  # fmt: skip
        raise InputError(
            f"the validation loader gives images {tuple(image.shape)} and labels "
            f"{tuple(label.shape)}; {wanted} of channel numbers are needed: {_INSTEAD}"
        )
    return image, label


def _seen(item: Slice, organs: Mapping[str, OrganLike]) -> Seen:
    key, image, label = item
    named = organs_of(organs, SIGMOID if label.dtype == torch.bool else SOFTMAX)
    areas = tuple(int(true_mask(label[None], organ).sum()) for organ in named.values())
    return Seen(key, areas, _checksum(label), _checksum(image))


def _checksum(values: Tensor) -> int:
    return crc32(values.contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _shuffles(loader: Any) -> bool:
    return isinstance(getattr(loader, "sampler", None), RANDOM)
