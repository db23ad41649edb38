"""Organs and stages that are asked for, out of those that a network has."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from segtrace.activation import OrganLike, true_mask
from segtrace.attribution import targets
from segtrace.data.labels import check_names
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.network.stages import Stage, StagesLike, resolve
from segtrace.network.undisturbed import unwrapped
from segtrace.tracking.explained.settings import Settings


def chosen_organs(
    channels: Mapping[str, OrganLike], organs: list[str] | None
) -> dict[str, OrganLike]:
    """Organ -> channel of the organs named, or of all.

    Raises:
        InputError: an organ that the network does not have, or whose name is reserved.
    """
    check_names(channels if organs is None else organs)
    if organs is None:
        return dict(channels)
    for organ in organs:
        if organ not in channels:
            raise unknown("organ", organ, channels, "this network")
    return {organ: channels[organ] for organ in organs}


def organs_on(
    truth: Tensor, channels: Mapping[str, OrganLike], organs: list[str] | None
) -> tuple[dict[str, OrganLike], dict[str, OrganLike]]:
    """Organ -> channel of those asked for, and of them those that the truth holds anywhere.

    Raises:
        InputError: see :func:`chosen_organs`.
    """
    asked = chosen_organs(channels, organs)
    return asked, {name: organ for name, organ in asked.items() if true_mask(truth, organ).any()}


def targets_of(
    probes: Probes, channels: Mapping[str, OrganLike], settings: Settings
) -> dict[str, targets.Target]:
    """Organ -> what is explained of it.

    Raises:
        InputError: an organ that the network does not have; a region that needs labels.
    """
    chosen = chosen_organs(channels, settings.organs)
    truth = probes.labels
    if truth is None and settings.region in targets.OF_TRUTH:
        raise InputError(
            f"region {settings.region} needs labels, which these slices lack; say region=pred"
        )
    return targets.organs(chosen, settings.region, truth, settings.activation)


def check_chosen(
    settings: Settings, organs: Mapping[str, OrganLike], stages: Collection[str]
) -> None:
    """Refuse organs and stages that a network does not have, before any work.

    Raises:
        InputError: one that it lacks, or none at all.
    """
    chosen_organs(organs, settings.organs)
    for name in settings.stages or ():
        if name not in stages:
            raise unknown("stage", name, stages, "this network")
    for key, names in (("organs", settings.organs), ("stages", settings.stages)):
        if names is not None and not names:
            raise InputError(f"explain.{key}=[]; name at least one, or give null for all")


def kept_stages(net: nn.Module, stages: StagesLike, names: list[str]) -> dict[str, Stage]:
    """The named ones of the network's stages, in the order of the names."""
    known = {stage.name: stage for stage in resolve(unwrapped(net), stages)}
    for name in names:
        if name not in known:
            raise unknown("stage", name, known, "this network")
    return {name: known[name] for name in names}
