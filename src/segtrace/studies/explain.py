"""Explain any network on any loader, from Python: what ``explain.py`` does, in one call."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.sliding.windows import first_window
from segtrace.data.labels import check_names
from segtrace.errors import InputError
from segtrace.network.guards import optional, places_or_proposed
from segtrace.network.logits import Output
from segtrace.network.stages import StagesLike
from segtrace.progress import say
from segtrace.report.page.page import About, Page
from segtrace.report.run_folder import taken
from segtrace.report.scene import REGIONS
from segtrace.tracking import guards
from segtrace.tracking.edges import chosen_places
from segtrace.tracking.explained import (
    DEFAULT,
    Explained,
    Settings,
    explain_probes,
    of_failures,
    under,
)
from segtrace.tracking.void import void_told
from segtrace.training.slices.entering import Entering
from segtrace.training.slices.inferers import SlidingWindow, a_window
from segtrace.training.slices.probing import probes_from
from segtrace.training.slices.taking import check_channels

if TYPE_CHECKING:
    from monai.inferers import SlidingWindowInferer


@guards.held(stages=places_or_proposed, window=optional(a_window))
def explain(
    net: nn.Module,
    loader: Iterable[Any],
    stages: StagesLike | Literal["proposed"],
    labels: Mapping[str, OrganLike],
    out: str | Path | None = None,
    *,
    slices: int = 8,
    settings: Settings = DEFAULT,
    epoch: int | None = None,
    output: Output | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    activation: str | None = None,
    inferer: "SlidingWindowInferer | None" = None,
    window: int | Sequence[int] | None = None,
) -> Explained:
    """Maps and measures of a network on the most telling slices, or volumes, of a loader.

    Args:
        net: any network (N, C, H, W) -> logits (N, channels, H, W), or of volumes with an axis
            more, or a classifier, (N, classes); it is left as it was.
        loader: batches ``{"image": …, "label": …}`` or (image, label), read twice. Of a classifier
            the label is a class (N,), and measures of place are NaN.
        stages: name -> module path; ``None`` for a network of the table, ``"proposed"`` to take
            what :func:`segtrace.describe` proposes.
        labels: organ -> channel of the logits, or ``{"channel": 0, "label": 1}``. A number is
            channel and label under a softmax; under a sigmoid it is the label, and the channels
            count from 0 in the order of the organs.
        out: folder for maps, measures, pictures, page and manifest; ``None`` writes nothing.
        slices: how many to choose: for every organ the one where it is largest, then the richest.
        settings: rules, region, score, …
        epoch: finished passes, if known; stands on the pictures.
        output: picks the logits from what the network returns: an index, a key, a field or a
            function.
        preprocessing: what the network was trained on, made of the loader's slices; see
            :class:`~segtrace.training.slices.entering.Entering`.
        activation: how logits become a prediction, ``softmax`` or ``sigmoid``, under which labels
            may be masks (N, channels, H, W); ``None`` for what the settings say, or else of one
            channel a sigmoid, of several a softmax.
        inferer: MONAI's ``SlidingWindowInferer``, as images that are larger than what the network
            takes are predicted with it: it is traced window by window, and maps are stitched with
            the inferer's weights, see
            :func:`~segtrace.attribution.sliding.traced.trace_windows`, which says what a stitched
            map is. Measures, leakage, pictures, pages and NIfTI are those of the whole image;
            ``measures="all"`` as well. Nothing is cut, nor estimated, window by window.
        window: its voxels along each axis, (96, 96, 96): the same with an overlap of one half,
            blended as a Gaussian.

    Raises:
        InputError: batches, stages or organs that do not fit; a folder that cannot be written, is
            being written, or holds results already; percentiles of ``preprocessing``, which would
            be each window's own.
    """
    check_names(labels)
    settings = under(activation, settings)
    sliding = SlidingWindow.of(inferer, window)
    if sliding is not None and (preprocessing or {}).get("percentile") is not None:
        raise InputError(
            "preprocessing.percentile would be each window's own; let the loader clip the images, "
            "and leave it out"
        )
    entering = (
        nullcontext() if preprocessing is None else Entering.of(preprocessing, net).before(net)
    )
    with nullcontext() if out is None else taken(Path(out), "explain", named="out=…"), entering:
        known = settings.activation

        def fits(image: Tensor) -> None:
            check_channels(net, first_window(sliding, image), labels, output, known)

        probes = probes_from(loader, labels, slices, check=fits, activation=known)
        shown = first_window(sliding, probes.images)
        stages, _ = chosen_places(net, shown, stages, {}, output)
        settings, void = void_told(net, stages, shown, settings, output)
        if void is not None:
            say(void)
        explained = explain_probes(net, stages, probes, labels, settings, sliding, epoch, output)
        if out is None:
            return explained
        facts = {"network": type(net).__name__}
        explained.write(Path(out), facts)
        page = Page(about=About(facts))
        page.add(explained)
        for other in of_failures(probes, settings):
            if sliding is not None:  # the windows are gone through once more, and told so
                say(f"Maps of {REGIONS[other.region]}")
            wrong = explain_probes(net, stages, probes, labels, other, sliding, epoch, output)
            wrong.write(Path(out) / other.region, facts)
            page.add_region(wrong)
        page.write(Path(out) / "index.html")
    return explained
