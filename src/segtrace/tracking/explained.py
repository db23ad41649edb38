"""Explain slices: the one step that the callback and ``explain.py`` share."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segtrace.activation import SIGMOID, SOFTMAX, Organ, OrganLike, organ_of, true_mask
from segtrace.attribution import targets
from segtrace.attribution.aggregate import Aggregate, aggregate
from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.forward import SCORES, TargetsLike, settled_organs
from segtrace.attribution.patching import Estimates
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.sliding.traced import trace_windows
from segtrace.attribution.sliding.windows import Sliding, first_window
from segtrace.attribution.trace import trace
from segtrace.data.labels import check_names
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.labelled import Dataset, rows
from segtrace.measures.localisation import COLUMNS, measure
from segtrace.measures.locality import parts
from segtrace.measures.places import body_of
from segtrace.names import file_name
from segtrace.network import guards
from segtrace.network.labels import check_truth, truth_of, whole_numbers
from segtrace.network.logits import Output
from segtrace.network.lost import lost_told
from segtrace.network.stages import Stage, StagesLike, resolve
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.report.combined import AGGREGATES
from segtrace.report.files import save_manifest, save_maps, save_png
from segtrace.report.pictures.cells import Picture
from segtrace.report.pictures.in_notebooks import as_html, in_short, shown
from segtrace.report.pictures.mosaic import ROWS, flow_picture
from segtrace.report.pictures.shown import ShownPicture
from segtrace.report.record import Record
from segtrace.report.scene import Scene
from segtrace.report.tables import save_table
from segtrace.report.volumes.nifti import save_volumes


@guards.fields(
    rules=guards.rules,
    region=guards.a_name,
    score=guards.a_name,
    stages=guards.optional(guards.names),
    organs=guards.optional(guards.names),
    measures=guards.a_name,
    aggregate=guards.optional(guards.a_name),
    activation=guards.optional(guards.an_activation),
)
@dataclass(frozen=True)
class Settings:
    """What is explained and how; stored in the checkpoint.

    Attributes:
        rules: names of rules, or rules themselves; in YAML ``{_target_: …, window: 4}``.
        region: ``gt`` stays the same over the epochs, so use it to follow a training; ``pred``
            explains what the network decided; ``all`` is plain Grad-CAM; others:
            :func:`segtrace.attribution.targets.organ`.
        score: φ of the explained score: ``logit``, ``centered``, ``logprob`` or ``prob``.
        activation: how logits become a prediction, ``softmax`` or ``sigmoid``; ``None`` where the
            network's number of channels says it.
        stages: names out of the network's stages; ``None`` for all.
        organs: names out of the network's organs; ``None`` for all.
        measures: ``leading``, or ``all`` of them.
        aggregate: ``minmax`` or ``max`` adds a column to the pictures: the maps of all decoder
            stages in one, see :func:`~segtrace.attribution.aggregate.aggregate`; ``minmax_all`` or
            ``max_all`` that of all encoder and decoder stages.

    Raises:
        InputError: no such rule, region, score or way to aggregate; no rule at all.
    """

    rules: list[Any]
    region: str = "gt"
    score: str = "logit"
    stages: list[str] | None = None
    organs: list[str] | None = None
    measures: Literal["leading", "all"] = "leading"
    aggregate: Literal["minmax", "max", "minmax_all", "max_all"] | None = None
    activation: str | None = None

    def __post_init__(self) -> None:
        resolve_rules(self.rules)
        targets.check_region(self.region)
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)
        if self.aggregate is not None and self.aggregate not in AGGREGATES:
            raise unknown("way to aggregate", self.aggregate, AGGREGATES)

    @property
    def rule_names(self) -> tuple[str, ...]:
        """How tables, tags and files call them."""
        return tuple(rule.name for rule in resolve_rules(self.rules))

    def to_plain(self) -> dict[str, Any]:
        """Plain values for a checkpoint; of a rule its name."""
        return asdict(replace(self, rules=list(self.rule_names)))


DEFAULT = Settings(rules=["seg_grad_cam", "grad_pam"])


class Network(NamedTuple):
    """What is traced: the arguments of :func:`explain_probes`."""

    net: nn.Module
    stages: StagesLike
    probes: Probes
    channels: Mapping[str, OrganLike]
    settings: Settings
    sliding: Sliding | None = None


FAILURES = ("fp", "fn")
"""Regions of an organ where the network was wrong: false positives, false negatives."""


@dataclass(frozen=True, eq=False, repr=False)
class Explained:
    """Maps and measures of some slices at one epoch.

    Attributes:
        record: the flow, the slices it lies on, the region and the epoch.
        measures: a number of every map a measure, as
            :func:`~segtrace.measures.localisation.measure` returns it; the record adds the
            coordinates ``case`` and ``slice`` (its number in the case), ``region`` and ``epoch``.
    """

    record: Record
    measures: Dataset

    def __post_init__(self) -> None:
        record, scene = self.record, self.record.scene
        named = self.measures.assign_coords(
            slice=list(scene.slices),
            case=("slice", list(scene.cases)),
            region=record.region,
            epoch=((), record.epoch),
        )
        object.__setattr__(self, "measures", named)

    def rows(self) -> list[dict[str, Any]]:
        """The table of measures: one row a slice, organ, rule and stage."""
        labels = np.array([status.label for status in Status])
        named = self.measures.rename(site="stage", scores="score")
        shown = named.assign_coords(status=(named["status"].dims, labels[named["status"]]))
        return rows(shown, ("slice", "organ", "rule", "stage"), [*COLUMNS, *named])

    def picture(
        self, rule: str, organ: str, rows: Sequence[int] | int = ROWS, *, shared: bool = False
    ) -> Picture:
        """The picture of one rule and organ, (H, W, 3); see :func:`flow_picture`."""
        return flow_picture(self.record, rule, organ, rows=rows, shared=shared)

    def show(
        self,
        organ: str | None = None,
        epoch: int | None = None,
        *,
        rule: str | None = None,
        rows: Sequence[int] | int = ROWS,
        shared: bool = False,
    ) -> ShownPicture:
        """The picture of one organ, every stage of the network, for a notebook.

        Args:
            organ: one of the flow's organs; ``None`` for the first.
            epoch: that it must be of, so that no picture is taken for another epoch's.
            rule: one of the flow's rules; ``None`` for the first.
            rows: slices, or how many of those with most of the organ.
            shared: one colour scale for all cells instead of one for each.

        Raises:
            InputError: an organ or a rule that the flow lacks; another epoch than this one.
        """
        return shown(self.record, organ, epoch, rule, rows, shared=shared)

    def __repr__(self) -> str:
        return in_short(self.record)

    def _repr_html_(self) -> str:
        return as_html(self.record, self.measures)

    def write_nifti(
        self,
        folder: Path | str,
        organs: Sequence[str] | None = None,
        rules: Sequence[str] | None = None,
        stages: Sequence[str] | None = None,
    ) -> list[Path]:
        """Maps of volumes as NIfTI, each in the grid of the file that its volume was read from.

        See :func:`~segtrace.report.volumes.nifti.save_volumes`, also for what is refused.
        """
        return save_volumes(Path(folder), self.record, organs, rules, stages)

    def write(self, folder: Path, facts: Mapping[str, Any], *, shared_scale: bool = False) -> None:
        """Maps, measures, pictures and manifest.

        ``maps.npz`` holds the signed maps at native resolution and the slices themselves, so that
        every picture can be drawn again; ``measures.csv`` a row a stage, rule, organ and slice;
        ``figures/{rule}/{organ}.png`` the pictures; ``manifest.json`` what made them.
        """
        save_maps(folder / "maps.npz", self.record)
        save_table(folder / "measures.csv", self.rows())
        flow = self.record.flow
        for rule, organ in product(flow.rules, flow.organs):
            path = folder / "figures" / file_name(rule) / f"{file_name(organ, flow.organs)}.png"
            save_png(path, self.picture(rule, organ, shared=shared_scale))
        save_manifest(folder / "manifest.json", facts)


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
    record = traced(*network, epoch, output, estimates)
    masks = record.masks(record.flow.organs)
    halves = None
    if settings.measures == "all":
        halves = flows_of_parts(*network, masks, output)
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
    traced(*settled(network, output), None, output)


def under(activation: str | None, settings: Settings) -> Settings:
    """The settings under an activation that is named beside them, if one is.

    Raises:
        InputError: they name another.
    """
    if activation is not None and settings.activation not in (None, activation):
        raise InputError(f"activation={activation}, and {settings.activation} in settings; say one")
    return settings if activation is None else replace(settings, activation=activation)


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


def of_failures(probes: Probes, settings: Settings) -> list[Settings]:
    """The same settings for what the network got wrong, one a region.

    None where there is no truth, or where a part of the error is explained already.
    """
    if probes.labels is None or settings.region not in ("gt", "pred"):
        return []
    return [
        replace(settings, region=region, measures="leading", aggregate=None) for region in FAILURES
    ]


def _warn_of_lost_weights(net: nn.Module, epoch: int | None) -> None:
    if (words := lost_told(net, "" if epoch is None else f" at epoch {epoch}")) is not None:
        warnings.warn(words, stacklevel=3)


def traced(
    net: nn.Module,
    stages: StagesLike,
    probes: Probes,
    channels: Mapping[str, OrganLike],
    settings: Settings,
    sliding: Sliding | None = None,
    epoch: int | None = None,
    output: Output | None = None,
    estimates: Estimates | None = None,
) -> Record:
    """Trace the slices of a network that is settled; see :func:`explain_probes`."""
    organs = targets_of(probes, channels, settings)
    flow = _flow(net, stages, probes, organs, settings, sliding, output, estimates)
    _check_masks(probes.labels, flow)
    combined = None if settings.aggregate is None else _combined(flow, settings.aggregate)
    return Record(flow, scene(probes, channels), settings.region, epoch, combined)


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
    kept = stages if settings.stages is None else _kept(net, stages, settings.stages)
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


def body_in(record: Record) -> Tensor | None:
    """(N, *image) where the patient is; ``None`` for what is no image with air around a body."""
    found = body_of(record.scene.image)
    return found if found.any() else None


def flows_of_parts(
    net: nn.Module,
    stages: StagesLike,
    probes: Probes,
    channels: Mapping[str, OrganLike],
    settings: Settings,
    sliding: Sliding | None,
    masks: Tensor,
    output: Output | None = None,
) -> tuple[Flow, Flow]:
    """The flows of two parts of every organ: does a stage tell them apart?

    Args:
        net: the network, as all others of a network that is settled, see :func:`settled`.
        stages: its stages.
        probes: the slices.
        channels: organ -> channel.
        settings: what is explained.
        sliding: how it goes through images, see :func:`explain_probes`.
        masks: (O, N, *image) bool, where the organs lie; see
            :func:`segtrace.measures.locality.parts`.
        output: picks the logits from what the network returns.
    """
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
    )


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


def _kept(net: nn.Module, stages: StagesLike, names: list[str]) -> dict[str, Stage]:
    """The named ones of the network's stages, in the order of the names."""
    known = {stage.name: stage for stage in resolve(unwrapped(net), stages)}
    for name in names:
        if name not in known:
            raise unknown("stage", name, known, "this network")
    return {name: known[name] for name in names}
