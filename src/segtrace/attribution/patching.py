"""Attribution patching: what it would cost to cut a site, from the gradient that there is."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from segtrace.attribution.flow import Flow
from segtrace.attribution.forward import Output, TargetsLike
from segtrace.attribution.rules import Reference, Rule, element_wise
from segtrace.attribution.trace import trace
from segtrace.errors import InputError, unknown
from segtrace.network import guards
from segtrace.network.edges import EdgesLike
from segtrace.network.sites import Site
from segtrace.network.stages import StagesLike

NAME = "attribution_patching"
TITLE = "Attribution patching"
EQUATION = (
    "Attribution patching (Nanda, 2023; Syed et al., 2023; Kramár et al., 2024): L = Σ_k G_k ⊙ "
    "(A_k - A'_k), G_k = ∂ Σ_(i,j)∈M y_ij / ∂A_k, A' what a cut puts in the place of A; its sum "
    "estimates the score lost by the cut"
)
PAPERS = ("nanda2023", "syed2023", "kramar2024")


def patching_rule(reference: Reference) -> Rule:
    """The rule Σ_k G_k ⊙ (A_k - A'_k): Grad-PAM relative to what a cut puts in a site's place.

    Args:
        reference: A', see :data:`~segtrace.attribution.rules.Reference`.
    """
    return Rule(NAME, element_wise, TITLE, EQUATION, PAPERS, reference=reference)


@guards.held(stages=guards.places_or_sites)
def attribution_patching(
    net: nn.Module,
    stages: StagesLike | Sequence[Site],
    image: Tensor,
    target: TargetsLike,
    baseline: Mapping[str, Tensor],
    *,
    edges: EdgesLike = None,
    score: str = "logit",
    output: Output | None = None,
    activation: str | None = None,
) -> Flow:
    """What cutting each site would cost, read off one gradient: Σ_k G_k ⊙ (A_k - A'_k).

    The map's sum is the first order of S(A) - S(A'), the score lost when A' is put in the site's
    place. Exact where the network behind the site is linear; how far off it is elsewhere, a cut
    says (:func:`segtrace.causal.necessity.necessity`; ``explainer=[attribution_patching]`` holds
    the two against each other). All sites and organs share the passes of one trace.

    Args:
        net: as in :func:`segtrace.trace`.
        stages: as there; ``{}`` where edges alone are meant.
        image: as there.
        target: as there.
        baseline: site -> A': (K,) a value a channel, (K, *cells) a map, or (N, K, *cells).
        edges: as in :func:`segtrace.trace`.
        score: as there.
        output: as there.
        activation: as there.

    Returns:
        A flow with the one rule ``attribution_patching``.

    Raises:
        InputError: see :func:`segtrace.trace`; a baseline that is missing or of another network.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1, bias=False))
    >>> everywhere, mean = torch.ones(1, 2, 8, 8), {"enc": torch.zeros(4)}
    >>> flow = attribution_patching(net, {"enc": "0"}, torch.rand(1, 1, 8, 8), everywhere, mean)
    >>> torch.allclose(flow.maps["enc"].sum(), flow.scores.sum(), rtol=1e-3)
    True
    """
    rule = patching_rule(_standing(baseline))
    return trace(net, stages, image, target, [rule], score,
                 edges=edges, output=output, activation=activation)  # fmt: skip


def _standing(baseline: Mapping[str, Tensor]) -> Reference:
    def reference(site: str, activation: Tensor, which: slice) -> Tensor:
        if site not in baseline:
            raise unknown("baseline of", site, baseline, "the baseline")
        there, shape = baseline[site].to(activation), tuple(activation.shape)
        if there.ndim == 1 and len(there) == shape[1]:
            return there.reshape(-1, *[1] * (len(shape) - 2))
        if there.ndim == len(shape):
            there = there[which]
        if tuple(there.shape) not in (shape, shape[1:]):
            raise InputError(
                f"the baseline of {site!r} has shape {tuple(baseline[site].shape)}; this network "
                f"has ({shape[1]},) channels there: it belongs to another network"
            )
        return there

    return reference
