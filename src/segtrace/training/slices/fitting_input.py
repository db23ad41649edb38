"""Whether a network takes what the data give, asked before any training, and what to change."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.axes import are_volumes, sized
from segtrace.checkpoint.loading import build
from segtrace.errors import InputError
from segtrace.network.logits import known_logits
from segtrace.network.undisturbed import unchanged_generators

DIMENSIONS = ("spatial_dims", "dimensions")
INPUTS = ("in_channels", "in_chans", "input_channels", "n_channels", "in_channel")
OUTPUTS = ("out_channels", "num_classes", "n_classes", "classes")
SIZES = ("img_size", "image_size", "input_size")
DEEP = ("deep_supervision", "deepsupervision")
"""Names that networks have for the same: what an image is, what the logits are."""
MULTIPLES = (8, 16, 32, 64, 128)
"""Of which a network may want the size of a slice to be one."""
ENOUGH = 2
"""Slices that are sent through in training mode: normalisation may need more than one."""


@dataclass(frozen=True)
class Fitting:
    """A network beside the data it is to be trained on.

    Attributes:
        net: the network.
        image: (1, C, H, W), a slice as the data give it; or (1, C, D, H, W).
        channels: of the logits: the background and the organs.
        recipe: what the network was made from, whose options a message names.
        batch: slices in the smallest batch of a training.
    """

    net: nn.Module
    image: Tensor
    channels: int
    recipe: Mapping[str, Any]
    batch: int = ENOUGH

    def check(self) -> None:
        """Send slices through a copy, as in validation and as in training; no mark is left.

        Raises:
            InputError: the network does not take them, or returns other logits than the organs
                need; one line that says what to change.
        """
        size = sized(self.image.shape[2:])
        for training in (False, True):
            during = " in training" if training else ""
            try:
                logits = self._sent(self.image, training)
            except Exception as error:  # whatever the network raises: the slices are as they are
                channels = self.image.shape[1]
                raise InputError(
                    f"the network does not take {self._kind} of {size} with {channels} channel"
                    f"{'s' * (channels > 1)}{during} ({_first_line(error)}); {self._remedy()}"
                ) from error
            if not self._fit(logits, self.image, training):
                wanted = (self._slices(training), self.channels, *self.image.shape[2:])
                one = f"a {self._kind.removesuffix('s')}"
                raise InputError(
                    f"the network turns {one} of {size} into {_named(logits)}{during}; {wanted} "
                    "is needed (background and organs; behind a sigmoid organs alone): "
                    f"{self._remedy(training=training)}"
                )

    @property
    def other_option(self) -> str | None:
        """The first option of the network that says another number than the data, as it should."""
        return next(self._other_options(training=False), None)

    @property
    def _kind(self) -> str:
        return "volumes" if are_volumes(self.image) else "slices"

    def _slices(self, training: bool) -> int:
        return min(self.batch, ENOUGH) if training else 1

    @unchanged_generators()
    def _sent(self, image: Tensor, training: bool) -> Any:
        """What a copy of the network makes of it: its own statistics stay as they are."""
        net = copy.deepcopy(self.net).train(training)
        with torch.no_grad():
            slices = image.repeat_interleave(self._slices(training), 0)
            return known_logits(net(slices), slices, net)

    def _fit(self, logits: Any, image: Tensor, training: bool) -> bool:
        wanted = (self._slices(training), self.channels, *image.shape[2:])
        return isinstance(logits, Tensor) and tuple(logits.shape) == wanted

    def _remedy(self, *, training: bool = False) -> str:
        """What to type instead."""
        if (found := next(self._other_options(training), None)) is not None:
            return f"say model.net.{found}"
        if not are_volumes(self.image) and (size := self._size_that_fits()) is not None:
            return f"say data.size={size} (a multiple of 32 suits most networks)"
        if are_volumes(self.image) and (patch := self._patch_that_fits()) is not None:
            listed = ",".join(map(str, patch))
            return f"say data.patch=[{listed}] (multiples of 32 suit most networks)"
        return "give it fewer downsamplings or other options, or another network with model="

    def _other_options(self, training: bool) -> Iterator[str]:
        image, numbers = self.image, {key: v for key, v in self.recipe.items() if type(v) is int}
        wanted: list[tuple[tuple[str, ...], int]] = [
            (DIMENSIONS, image.ndim - 2), (INPUTS, image.shape[1]), (OUTPUTS, self.channels),
        ]  # fmt: skip
        for names, right in wanted:
            for name in names:
                if numbers.get(name, right) != right:
                    # The number of organs is known: null follows it.
                    yield f"{name}={'null' if name == OUTPUTS[0] else right}"
        for name in DEEP:
            if training and self.recipe.get(name):
                yield f"{name}=false"

    def _size_that_fits(self) -> int | None:
        """The smallest size of those tried that is not below the data's and goes through."""
        size = self.image.shape[-1]
        tried = {-(-size // multiple) * multiple for multiple in MULTIPLES} - {size}
        for other in [*_sizes(self.recipe), *sorted(tried)]:
            image = self.image.new_zeros(1, self.image.shape[1], other, other)
            try:
                made = self._made_for(other)
                fits = [made._fit(made._sent(image, t), image, t) for t in (False, True)]
            except Exception:  # this one does not fit either
                continue
            if all(fits):
                return other
        return None

    def _patch_that_fits(self) -> tuple[int, ...] | None:
        """The smallest patch (x, y, z) of those tried that holds the data's and goes through."""
        shape = self.image.shape[2:]
        for multiple in MULTIPLES[:3]:
            other = [-(-n // multiple) * multiple for n in shape]
            image = self.image.new_zeros(1, self.image.shape[1], *other)
            try:
                fits = [self._fit(self._sent(image, t), image, t) for t in (False, True)]
            except Exception:  # as above
                continue
            if all(fits):
                return tuple(reversed(other))
        return None

    @unchanged_generators()
    def _made_for(self, size: int) -> "Fitting":
        """With the network that there would be: one that was made for the data's size, anew."""
        bound = {name: size for name in SIZES if self.recipe.get(name) == self.image.shape[-1]}
        if not bound or "_target_" not in self.recipe:
            return self
        return replace(self, net=build({**self.recipe, **bound}))


def _sizes(recipe: Mapping[str, Any]) -> Iterator[int]:
    """The size of image that a network was made for, where it says so."""
    for name in SIZES:
        value = recipe.get(name)
        first = value[0] if isinstance(value, list | tuple) and value else value
        if type(first) is int:
            yield first


def _named(logits: object) -> str:
    return str(tuple(logits.shape)) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]
