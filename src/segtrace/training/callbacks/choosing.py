"""What is watched, chosen as a fit begins: the slices, the places, and the rule that leads."""

from collections.abc import Mapping

import pytorch_lightning as pl
from torch import nn

from segtrace.activation import OrganLike
from segtrace.data.probes import Probes
from segtrace.progress import say
from segtrace.tracking.edges import chosen_places
from segtrace.tracking.explained import Network, settled
from segtrace.tracking.void import void_told
from segtrace.training.callbacks.watch import Asked, Watch
from segtrace.training.slices.probing import probes_of


def choose(
    trainer: pl.Trainer,
    net: nn.Module,
    organs: Mapping[str, OrganLike],
    asked: Asked,
    watch: Watch,
) -> Network:
    """Choose what the callback was not told, and keep it in the watch for the whole fit.

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
