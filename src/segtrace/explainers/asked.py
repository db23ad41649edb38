"""What the explainers are asked for from Python: their arguments, read and held together."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.forward import settled_organs
from segtrace.data.labels import check_names
from segtrace.data.probes import Probes
from segtrace.errors import InputError, shown, unknown
from segtrace.network.guards import channels, places_or_sites
from segtrace.network.labels import check_truth, truth_of, whole_numbers
from segtrace.network.proposal.proposal import proposed
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.tracking import guards
from segtrace.tracking.explained import DEFAULT, Network, Settings, settled, targets_of

Given = ParamSpec("Given")
Result = TypeVar("Result")
Places = StagesLike | Sequence[Site] | Literal["proposed"]
"""Stages, as :func:`segtrace.trace` takes them."""


def door(by: type) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """The decorator of an explainer's function: its arguments are guarded, its options known.

    Args:
        by: the explainer, a dataclass; its fields are the options.
    """

    def guard(function: Callable[Given, Result]) -> Callable[Given, Result]:
        parameters = inspect.signature(function).parameters
        options = [one.name for one in fields(by)]
        options += [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]
        checked: Any = guards.held(organs=channels, stages=places_or_sites)(function)

        @wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            second = kwargs.get("stages", args[1] if len(args) > 1 else None)
            if "stages" in parameters and isinstance(second, Tensor):
                raise InputError(
                    f"stages is {shown(second)}; say {function.__name__}(net, stages, image, "
                    "organs): stages before the image, None for those of a known network, or "
                    "'proposed', or {'enc1': 'path.of.a.module', …}"
                )
            for name in kwargs:
                if name not in parameters and name not in options:
                    raise unknown("option", name, options, function.__name__)
            found: Result = checked(*args, **kwargs)
            return found

        return called

    return guard


def asked_of(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None,
    region: str,
    score: str,
    activation: str | None,
) -> tuple[Network, Mapping[str, Any]]:
    """What explainers are handed: the network with its slices, and the targets of the organs.

    Stages alone are kept of sites. One slice is sent through, whose logits say what the truth has
    to be.

    Raises:
        InputError: organs or a truth that do not fit the network.
    """
    check_names(organs)
    inner = unwrapped(net)
    x = as_input(inner, image)
    places, _, guess = proposed(inner, x, stages, None, None)
    if guess is not None:
        warnings.warn(guess.line, stacklevel=6)
    if isinstance(stages, Sequence) and not isinstance(stages, str):
        places = {one.name: one for one in Sites.of(inner, stages).stages}
    first = x[:1].requires_grad_()  # as checkpointed parts need it
    with undisturbed(inner, x.device):
        logits, known, _ = settled_organs(inner, first, organs, activation)
    if truth is not None:
        labels = truth_of(whole_numbers("truth", truth), image.ndim - 2)
        check_truth(labels, logits.expand(len(image), *logits.shape[1:]), known)
    probes = Probes(
        images=image,
        labels=truth,
        cases=("image",) * len(image),
        slices=tuple(range(len(image))),
        spacing=torch.full((len(image), image.ndim - 2), torch.nan, dtype=torch.float64),
        split="user",
        phantom=False,
    )
    asked = Settings(DEFAULT.rules, region, score, activation=known)
    network = settled(Network(net, places, probes, organs, asked))
    return network, targets_of(network.probes, network.channels, network.settings)
