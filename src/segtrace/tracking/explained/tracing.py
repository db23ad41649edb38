"""Trace the slices of a network: its activation settled, its organs chosen."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segtrace.activation import SIGMOID, SOFTMAX, Organ, OrganLike, organ_of
from segtrace.attribution import targets
from segtrace.attribution.aggregate import Aggregate, aggregate
from segtrace.attribution.flow import Flow
from segtrace.attribution.forward import TargetsLike, settled_organs
from segtrace.attribution.patching import Estimates
from segtrace.attribution.sliding.traced import trace_windows
from segtrace.attribution.sliding.windows import Sliding, first_window
from segtrace.attribution.trace import trace
from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.measures.locality import parts
from segtrace.measures.places import body_of
from segtrace.network.labels import check_truth, truth_of, whole_numbers
from segtrace.network.logits import Output
from segtrace.network.stages import Stage, StagesLike, resolve
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.report.record import Record
from segtrace.report.scene import Scene
from segtrace.tracking.explained.chosen import chosen_organs, kept_stages, targets_of
from segtrace.tracking.explained.settings import Settings


class Network(NamedTuple):
    """What is traced: the arguments of :func:`explain_probes`."""

    net: nn.Module
    stages: StagesLike
    probes: Probes
    channels: Mapping[str, OrganLike]
    settings: Settings
    sliding: Sliding | None = None

    @property
    def places(self) -> tuple[Stage, ...]:
        """All its stages, whichever of them are asked for."""
        return resolve(unwrapped(self.net), self.stages)


def settled(network: Network, output: Output | None = None) -> Network:
    """A network whose activation is known, and with it what its organs and its truth are.

    Where the settings do not say it, one slice is sent through.

    Raises:
        InputError: organs that do not fit the activation; see
            :func:`segtrace.activation.organs_of`.
    """
    net, stages, probes, channels, settings, sliding = network
    if probes.labels is not None:
        labels = whole_numbers("probes.labels", probes.labels)
        probes = replace(probes, labels=truth_of(labels, probes.images.ndim - 2))
    known, organs = settings.activation, channels
    bare = any(not isinstance(organ, Organ) for organ in channels.values())
    if known is None or (known == SIGMOID and bare):
        inner = unwrapped(net)
        image = first_window(sliding, probes.images)
        x = as_input(inner, image).requires_grad_()  # as checkpointed parts need it
        with undisturbed(inner, x.device):
            _, known, apart = settled_organs(inner, x, channels, known, output)
        organs = channels if known == SOFTMAX else apart
    return Network(net, stages, probes, organs, replace(settings, activation=known), sliding)


def traced(
    network: Network,
    epoch: int | None = None,
    output: Output | None = None,
    estimates: Estimates | None = None,
) -> Record:
    """Trace the slices of a network that is settled; see :func:`explain_probes`."""
    net, stages, probes, channels, settings, sliding = network
    organs = targets_of(probes, channels, settings)
    flow = _flow(net, stages, probes, organs, settings, sliding, output, estimates)
    _check_masks(probes.labels, flow)
    combined = None if settings.aggregate is None else _combined(flow, settings.aggregate)
    return Record(flow, scene(probes, channels), settings.region, epoch, combined)


def flows_of_parts(
    network: Network, masks: Tensor, output: Output | None = None
) -> tuple[Flow, Flow]:
    """The flows of two parts of every organ: does a stage tell them apart?

    Args:
        network: which is settled, see :func:`settled`.
        masks: (O, N, *image) bool, where the organs lie; see
            :func:`segtrace.measures.locality.parts`.
        output: picks the logits from what the network returns.
    """
    net, stages, probes, channels, settings, sliding = network
    chosen = {name: organ_of(organ, settings.activation or SOFTMAX)
              for name, organ in chosen_organs(channels, settings.organs).items()}  # fmt: skip
    one, other = (
        {
            name: targets.organ(Organ(organ.channel, 1), "gt", half[o].long(), settings.activation)
            for o, (name, organ) in enumerate(chosen.items())
        }
        for half in parts(masks)
    )
    return (
        _flow(net, stages, probes, one, settings, sliding, output),
        _flow(net, stages, probes, other, settings, sliding, output),
    )


def scene(probes: Probes, channels: Mapping[str, OrganLike]) -> Scene:
    """What a picture needs to know of the slices."""
    return Scene(
        image=probes.shown,
        cases=probes.cases,
        slices=probes.slices,
        channels=channels,
        truth=probes.labels,
        training=probes.split == "train",
        phantom=probes.phantom,
        spacing=probes.spacing,
        originals=probes.originals,
        sides_known=probes.sides_known,
        hounsfield_known=probes.hounsfield_known,
        taught_by_phantom=probes.taught_by_phantom,
        axcodes=probes.axcodes,
        affines=probes.affines,
        file_sizes=probes.file_sizes,
        by_file=probes.by_file,
    )


def body_in(record: Record) -> Tensor | None:
    """(N, *image) where the patient is; ``None`` for what is no image with air around a body."""
    found = body_of(record.scene.image)
    return found if found.any() else None


def _flow(
    net: nn.Module,
    stages: StagesLike,
    probes: Probes,
    organs: TargetsLike,
    settings: Settings,
    sliding: Sliding | None,
    output: Output | None,
    estimates: Estimates | None = None,
) -> Flow:
    kept = stages if settings.stages is None else kept_stages(net, stages, settings.stages)
    if sliding is not None:
        if estimates is not None:
            raise InputError("what cuts would cost is not estimated window by window")
        return trace_windows(net, kept, probes.images, organs, settings.rules, settings.score,
                             sliding=sliding, output=output, activation=settings.activation
                             ).cpu()  # fmt: skip
    return trace(
        net,
        kept,
        probes.images,
        organs,
        settings.rules,
        settings.score,
        output=output,
        activation=settings.activation,
        estimates=estimates,
    ).cpu()


def _combined(flow: Flow, column: str) -> Aggregate:
    how, _, both = column.partition("_")
    stages = [name for name in flow.stages if name.startswith(("enc", "dec"))]
    return aggregate(flow, stages if both and stages else None, how)


def _check_masks(truth: Tensor | None, flow: Flow) -> None:
    """A truth is measured on as well where the region does not ask for it."""
    if truth is None:
        return
    scored = flow.prediction if flow.activation == SIGMOID else flow.prediction[:, None]
    if truth.dtype != torch.bool or set(scored.shape[2:]) == {1}:  # masks of a classifier as well
        check_truth(truth, scored, flow.activation)
    if truth.dtype != torch.bool:
        return
    if flow.activation != SIGMOID or truth.shape[:2] != flow.prediction.shape[:2]:
        there = flow.prediction.shape[1] if flow.activation == SIGMOID else "no"
        raise InputError(
            f"the truth is {truth.shape[1]} masks; the logits ask for {there} masks, one for each "
            f"channel of a sigmoid in their order"
        )
