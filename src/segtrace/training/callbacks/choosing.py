"""What is watched: the module's network and organs, and what is chosen as a fit begins."""

from collections.abc import Mapping

import pytorch_lightning as pl
from torch import nn

from segtrace.activation import OrganLike
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.network.guards import channels
from segtrace.progress import say
from segtrace.tracking.edges import chosen_places
from segtrace.tracking.explained import Network, settled
from segtrace.tracking.void import void_told
from segtrace.training.callbacks.watch import Asked, Watch
from segtrace.training.slices.probing import probes_of


def network_of(pl_module: pl.LightningModule, name: str) -> nn.Module:
    """The network of a module.

    Args:
        pl_module: of the training.
        name: of the network in it; empty for the module itself.

    Raises:
        InputError: it has none of that name.
    """
    try:
        return pl_module.get_submodule(name)
    except AttributeError:
        names = ", ".join(child for child, _ in pl_module.named_children())
        raise InputError(
            f"{type(pl_module).__name__} has no network {name!r}; FlowCallback(net=…) "
            f"can be {names}, or '' for the module itself"
        ) from None


def organs_of(
    pl_module: pl.LightningModule, given: Mapping[str, OrganLike] | None
) -> Mapping[str, OrganLike] | None:
    """The organs that are given, else the module's own; ``None`` where it names none."""
    if given is not None:
        return given
    found = getattr(pl_module, "organs", None)
    return channels(f"{type(pl_module).__name__}.organs", found) if found else None


def choose(
    trainer: pl.Trainer,
    net: nn.Module,
    organs: Mapping[str, OrganLike],
    asked: Asked,
    watch: Watch,
) -> Network:
    """Choose slices, places and the rule that leads, and keep them in the watch for the fit.

    A fit that goes on keeps what was chosen before. A rule that the network makes void leads no
    more, which is said, but for a training that began with it.

    Raises:
        InputError: nothing to choose from, or nothing that the network bears.
    """
    probes, settings = watch.probes, asked.settings
    if not isinstance(probes, Probes):
        probes = probes_of(trainer, organs, probes, settings.activation)
    first = probes.images[:1]
    places = watch.places or chosen_places(net, first, asked.stages, asked.edges, asked.output)
    if watch.network is not None:
        settings = watch.network.settings
    else:
        found, void = void_told(net, places[0], first, settings, asked.output)
        if void is not None:
            say(void)
        before = watch.tracker.history
        if not before.epochs or before.rules[0] == found.rule_names[0]:
            settings = found
    network = settled(Network(net, places[0], probes, organs, settings), asked.output)
    watch.probes, watch.places, watch.network = probes, places, network
    return network
