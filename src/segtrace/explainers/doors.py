"""The explainers from Python, each one call: a network, images, organs."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.errors import InputError
from segtrace.explainers.asked import Places, asked_of, door
from segtrace.explainers.carrying.carried import Carried
from segtrace.explainers.carrying.channel_cuts import ChannelCuts
from segtrace.explainers.couteaux2019.deepdream import DeepDream
from segtrace.explainers.couteaux2019.dreams import Dreams
from segtrace.explainers.dardouillet2022.kernel_shap import KernelShap
from segtrace.explainers.desai2020 import AblationCam
from segtrace.explainers.explainer import Budget
from segtrace.explainers.hasany2024.kept_maps import KeptMaps
from segtrace.explainers.hasany2024.misure import REGION, Misure
from segtrace.explainers.hasany2024.misure import SCORE as KEPT
from segtrace.explainers.image_maps import ImageMaps
from segtrace.explainers.mullan2023 import SCORE, KernelWeighted
from segtrace.explainers.nanda2023.attribution_patching import AttributionPatching
from segtrace.explainers.nanda2023.patched import Patched
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.explainers.stage_maps import StageMaps
from segtrace.explainers.wan2020.result import SegNbdtResult
from segtrace.explainers.wan2020.segnbdt import SegNbdt
from segtrace.network.edges import Edge
from segtrace.progress import OnProgress


@door(AblationCam)
def ablation_cam(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    score: str = "logit",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> StageMaps:
    """Ablation-CAM: :class:`~segtrace.explainers.desai2020.AblationCam`, whose options it takes.

    Args:
        net: any network (N, C, *image) -> logits (N, channels, *image); it is left as it was.
        stages: as in :func:`segtrace.trace`; of sites the stages.
        image: (N, C, H, W) slices, or volumes (N, C, D, H, W).
        organs: organ -> channel of the logits, or ``{"channel": 0, "label": 1}``.
        truth: (N, *image) label map, or under a sigmoid masks (N, C, *image).
        region: as in :func:`segtrace.attribution.targets.organ`.
        score: as in :func:`segtrace.trace`.
        activation: as there.
        progress: hears how far the work has come, first what it will take.
        options: of the explainer.

    Returns:
        Its maps in ``.explained.record.flow``, what is measured on them in
        ``.explained.measures``; ``.write(folder)`` writes all of it.

    Raises:
        InputError: arguments that do not fit the network; options without sense.
    """
    network, asked = asked_of(net, stages, image, organs, truth, region, score, activation)
    explainer = AblationCam(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(AttributionPatching)
def attribution_patching(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    score: str = "logit",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> Patched:
    """Attribution patching beside the cuts that it estimates.

    With the options of :class:`.nanda2023.attribution_patching.AttributionPatching`, among them
    ``baselines`` (:func:`segtrace.collect`; ``cut="zero"`` needs none) and ``edges``, of sites
    those among them. Arguments and what is refused: as of :func:`ablation_cam`; its maps are in
    ``.maps.explained.record.flow``, what it estimates in ``.estimates``.
    """
    among = {one.name: one for one in stages or () if isinstance(one, Edge)}
    if among:
        options = {"edges": among} | options
    network, asked = asked_of(net, stages, image, organs, truth, region, score, activation)
    explainer = AttributionPatching(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(ChannelCuts)
def channel_cuts(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor,
    *,
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> Carried:
    """Which channels carry an organ: :class:`.carrying.channel_cuts.ChannelCuts`.

    Its options, among them ``baselines`` (:func:`segtrace.collect`; ``cut="zero"`` needs none).
    Arguments and what is refused: as of :func:`ablation_cam`; every slice is a case of its own.
    """
    network, asked = asked_of(net, stages, image, organs, truth, "gt", "logit", activation)
    cases = tuple(map(str, range(len(image))))
    network = network._replace(probes=replace(network.probes, cases=cases))
    explainer = ChannelCuts(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(DeepDream)
def deepdream(
    net: nn.Module,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    score: str = "logit",
    activation: str | None = None,
    spacing: Tensor | None = None,
    cases: Sequence[str] | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> Dreams:
    """DeepDream, with the options of :class:`.couteaux2019.deepdream.DeepDream`.

    Among them ``untrained``, the network before its training, and ``hounsfield``. Arguments, what
    comes back and what is refused: as of :func:`rise`, and volumes are taken.

    Args:
        net: any network (N, C, H, W) -> logits (N, channels, H, W), or (N, C, D, H, W); it is left
            as it was.
        image: slices or volumes. Of a volume pictures show the plane with most of the organ.
        organs: as of :func:`ablation_cam`.
        truth: as there.
        region: whose score is climbed, as the network decides it at the start.
        score: as there.
        activation: as there.
        spacing: (N, 2) mm of a pixel along rows and columns, of volumes (N, 3); without it areas
            are in pixels.
        cases: the case of each slice; without it all are of one, of which nothing is claimed.
        progress: as there.
        options: of the explainer.

    Returns:
        ``.trajectory``, ``.verdicts``; ``.write(folder)`` writes all of it.

    Raises:
        InputError: arguments that do not fit the network or the images; options without sense.
    """
    for name, one, wanted in (("cases", cases, "names"), ("spacing", spacing, "rows of mm")):
        if one is not None and len(one) != len(image):
            raise InputError(f"{len(one)} {name} of {len(image)} images; give as many {wanted}")
    if spacing is not None and tuple(spacing.shape[1:]) != (image.ndim - 2,):
        raise InputError(
            f"spacing has shape {tuple(spacing.shape)}; give mm along each axis of the image, "
            f"{(len(image), image.ndim - 2)}"
        )
    network, asked = asked_of(net, {}, image, organs, truth, region, score, activation)
    explainer = DeepDream(**options)
    probes = replace(
        network.probes,
        cases=network.probes.cases if cases is None else tuple(cases),
        spacing=network.probes.spacing if spacing is None else spacing,
        hounsfield_known=explainer.hounsfield is not None,
    )
    budget = _budget(explainer.max_seconds, progress)
    return explainer.explain(network._replace(probes=probes), asked, budget)


@door(KernelShap)
def kernel_shap(
    net: nn.Module,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    score: str = "logit",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> ImageMaps:
    """KernelSHAP, with the options of :class:`.dardouillet2022.kernel_shap.KernelShap`.

    Arguments, what comes back and what is refused: as of :func:`rise`.
    """
    network, asked = asked_of(net, {}, image, organs, truth, region, score, activation)
    explainer = KernelShap(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(KernelWeighted)
def kernel_weighted(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "all",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> StageMaps:
    """Kernel-weighted contribution, of :class:`~segtrace.explainers.mullan2023.KernelWeighted`.

    Arguments, what comes back and what is refused: as of :func:`ablation_cam`; the score is the
    probability, and the region the whole image, as in the paper (``explain.py`` takes that which it
    explains, ``region=all`` for the paper's).
    """
    network, asked = asked_of(net, stages, image, organs, truth, region, SCORE, activation)
    explainer = KernelWeighted(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(Misure)
def misure(
    net: nn.Module,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> KeptMaps:
    """MiSuRe: :class:`~segtrace.explainers.hasany2024.misure.Misure`, whose options it takes.

    Arguments and what is refused: as of :func:`ablation_cam`; what is explained is the prediction.
    The maps have one stage, ``input``: the masks. ``.rows`` says what they keep, on how much.
    """
    network, asked = asked_of(net, {}, image, organs, truth, REGION, KEPT, activation)
    explainer = Misure(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(Rise)
def rise(
    net: nn.Module,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    score: str = "logit",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> ImageMaps:
    """RISE: :class:`~segtrace.explainers.petsiuk2018.Rise`, whose options it takes.

    Arguments, what comes back and what is refused: as of :func:`ablation_cam`; the maps have one
    stage, ``input``, and ``.error`` is their standard error.
    """
    network, asked = asked_of(net, {}, image, organs, truth, region, score, activation)
    explainer = Rise(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


@door(SegNbdt)
def segnbdt(
    net: nn.Module,
    stages: Places,
    image: Tensor,
    organs: Mapping[str, OrganLike],
    truth: Tensor | None = None,
    *,
    region: str = "pred",
    activation: str | None = None,
    progress: OnProgress | None = None,
    **options: Any,
) -> SegNbdtResult:
    """SegNBDT, with the options of :class:`.wan2020.segnbdt.SegNbdt`.

    Arguments and what is refused: as of :func:`ablation_cam`, and a sigmoid; the score is the
    logit. The tree is in ``.hierarchy.tree``, its Dice in ``.inference``, what erased organs leave
    in ``.erased``; ``.write(folder)`` writes all of it.
    """
    network, asked = asked_of(net, stages, image, organs, truth, region, "logit", activation)
    explainer = SegNbdt(**options)
    return explainer.explain(network, asked, _budget(explainer.max_seconds, progress))


def _budget(max_seconds: float | None, progress: OnProgress | None) -> Budget:
    return Budget(max_seconds, lambda _words: nullcontext(progress))
