"""What every cut would cost, estimated at every epoch from the gradients of its maps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segtrace.attribution.patching import Estimates
from segtrace.causal.baselines import Baselines
from segtrace.causal.estimate import per_pixel
from segtrace.errors import InputError
from segtrace.labelled import DataArray, Form, names_along, rows
from segtrace.measures.over_cases import intervals
from segtrace.network.edges import Edge
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.edges import settled_sites
from segtrace.tracking.explained import Explained, Network

COLUMNS = ("epoch", "site", "organ", "estimate", "estimate_low", "estimate_high", "cases")
"""Of estimates.csv: the score that the cut would cost, mean over cases, with its t interval."""
_FORM = Form({"score": "site organ"}, {"sites": "site", "organs": "organ"})


def wanted(
    network: Network, edges: Mapping[str, Any] | None, baselines: Baselines | None
) -> Estimates | None:
    """What the trace of an epoch estimates; ``None`` where it has no means, or nothing to check by.

    Cuts are judged on the true organs, so that is the region it takes.

    Args:
        network: the network and its slices.
        edges: name -> edge; ``None`` for the table of known networks.
        baselines: means over training slices, which a cut puts in an activation's place.
    """
    if baselines is None or network.settings.region != "gt":
        return None
    found = settled_sites(network.net, network.stages, edges, network.probes.images)
    if any(site.name not in baselines.channels for site in found):  # of other sites
        return None
    return Estimates(baselines.channels, [site for site in found if isinstance(site, Edge)])


def estimates_of(explained: Explained) -> DataArray | None:
    """Over site, organ and slice, per pixel of the organ; ``None`` where none were asked for."""
    import xarray as xr

    flow, scene = explained.record.flow, explained.record.scene
    if flow.estimates is None:
        return None
    names = {"site": list(flow.estimated), "organ": list(flow.organs),
             "case": ("slice", list(scene.cases))}  # fmt: skip
    axes = ("site", "organ", "slice")
    return xr.DataArray(per_pixel(flow.estimates, flow.region_px), names, axes)


@dataclass
class Course:
    """The estimates of all epochs so far, and what cuts cost at some of them.

    Attributes:
        estimates: epoch -> the score that each cut would cost, over site and organ, mean over
            cases.
        lost: epoch -> what it did cost.
    """

    estimates: dict[int, DataArray] = field(default_factory=dict)
    lost: dict[int, DataArray] = field(default_factory=dict)

    def add(self, explained: Explained) -> list[dict[str, Any]]:
        """Take an epoch's; the rows of its table, none where nothing was estimated."""
        found, epoch = estimates_of(explained), explained.record.epoch or 0
        if found is None:
            return []
        over = intervals(found)
        self.estimates[epoch] = over["mean"]
        named = {"mean": "estimate", "low": "estimate_low", "high": "estimate_high"}
        shown = over.rename(named).assign_coords(epoch=((), epoch))
        return rows(shown, ("site", "organ"), COLUMNS)

    def check(self, cuts: Cuts) -> None:
        """Take what the cuts of an epoch cost, where there are estimates to be held against it."""
        if self.estimates:
            self.lost[cuts.epoch or 0] = intervals(cuts.necessity.score_lost)["mean"]

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        return {
            name: {epoch: _FORM.plain(_bare(one).to_dataset(name="score"))
                   for epoch, one in getattr(self, name).items()}
            for name in ("estimates", "lost")
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Course":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that do not fit their names.
        """
        try:
            return cls(**{
                name: {int(epoch): _FORM.read(one)["score"] for epoch, one in plain[name].items()}
                for name in ("estimates", "lost")
            })  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError("estimates that are not those of its epochs; begin anew") from None

    def joined(self) -> tuple[DataArray, DataArray] | None:
        """Estimates and losses over ``epoch``, ``site`` and ``organ``, of what both are known.

        ``None`` where there is no epoch of both.
        """
        import xarray as xr

        if not set(self.estimates) & set(self.lost):
            return None
        parts = []
        for kept in (self.estimates, self.lost):
            each = [_bare(one).expand_dims(epoch=[epoch]) for epoch, one in sorted(kept.items())]
            parts.append(xr.concat(each, "epoch", join="outer"))
        sites = [s for s in names_along(parts[0], "site") if s in names_along(parts[1], "site")]
        organs = [o for o in names_along(parts[0], "organ") if o in names_along(parts[1], "organ")]
        one, other = (part.sel(site=sites, organ=organs) for part in parts)
        return one, other


def _bare(values: DataArray) -> DataArray:
    return values.reset_coords(drop=True).transpose("site", "organ")
