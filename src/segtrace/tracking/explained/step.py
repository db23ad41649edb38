"""The step itself: trace the slices, measure the maps."""

import warnings
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from segtrace.activation import OrganLike
from segtrace.attribution.patching import Estimates
from segtrace.attribution.sliding.windows import Sliding
from segtrace.data.probes import Probes
from segtrace.measures.localisation import measure
from segtrace.network.logits import Output
from segtrace.network.lost import lost_told
from segtrace.network.stages import StagesLike
from segtrace.tracking.explained.result import Explained
from segtrace.tracking.explained.settings import DEFAULT, Settings
from segtrace.tracking.explained.tracing import Network, body_in, flows_of_parts, settled, traced


def explain_probes(
    net: nn.Module,
    stages: StagesLike,
    probes: Probes,
    channels: Mapping[str, OrganLike],
    settings: Settings = DEFAULT,
    sliding: Sliding | None = None,
    epoch: int | None = None,
    output: Output | None = None,
    estimates: Estimates | None = None,
) -> Explained:
    """Trace the slices and measure the maps.

    Args:
        net: the network.
        stages: its stages, see :func:`segtrace.trace`.
        probes: the slices; one batch.
        channels: organ -> channel of the network.
        settings: what is explained.
        sliding: how images that are larger than what the network takes are gone through.
        epoch: finished passes.
        output: picks the logits from what the network returns.
        estimates: also what cuts would cost, of these means.

    Raises:
        InputError: organs that the network does not have; region ``gt`` without a truth; an
            aggregate over a decoder that is not among the stages; estimates of windows.
    """
    _warn_of_lost_weights(net, epoch)
    network = settled(Network(net, stages, probes, channels, settings, sliding), output)
    net, stages, probes, channels, settings, sliding = network
    record = traced(network, epoch, output, estimates)
    masks = record.masks(record.flow.organs)
    halves = None
    if settings.measures == "all":
        halves = flows_of_parts(network, masks, output)
    measured = measure(record.flow, masks, probes.spacing, settings.measures, parts=halves,
                       body=body_in(record))  # fmt: skip
    return Explained(record, measured)


def check_explainable(
    net: nn.Module,
    stages: StagesLike,
    probes: Probes,
    channels: Mapping[str, OrganLike],
    settings: Settings,
    sliding: Sliding | None = None,
    output: Output | None = None,
) -> None:
    """See on one slice that a network can be explained, before it is trained for long.

    Raises:
        InputError: see :func:`explain_probes`.
    """
    labels = None if probes.labels is None else probes.labels[:1]
    first = replace(
        probes,
        images=probes.images[:1],
        labels=labels,
        cases=probes.cases[:1],
        slices=probes.slices[:1],
        spacing=probes.spacing[:1],
        originals=None,
    )
    network = Network(net, stages, first, channels, settings, sliding)
    traced(settled(network, output), output=output)


def _warn_of_lost_weights(net: nn.Module, epoch: int | None) -> None:
    if (words := lost_told(net, "" if epoch is None else f" at epoch {epoch}")) is not None:
        warnings.warn(words, stacklevel=3)
