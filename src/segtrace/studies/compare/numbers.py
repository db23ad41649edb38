"""The numbers of every map that is compared."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow
from segtrace.causal.faithfulness.pixels import NUMBERS as PIXELS
from segtrace.causal.faithfulness.pixels import pixels
from segtrace.causal.faithfulness.preservation import NUMBERS as PRESERVED
from segtrace.causal.faithfulness.preservation import preservation
from segtrace.explainers.baseline import hiding
from segtrace.labelled import Dataset, tensor
from segtrace.measures.localisation import measure
from segtrace.progress import step
from segtrace.report.record import Record
from segtrace.studies.compare.rows import Row, together
from segtrace.tracking.explained import Network, body_in, chosen_organs, scene

HIDING: Mapping[str, float | str] = {"black": 0.0, "blur": "blur", "mean": "mean"}
"""Name of b -> what hides pixels: 0 of the network's input, the slice blurred, its mean."""
LOCATED = ("outside", "gain", "mass", "ceiling", "area")
"""Measures of where a map lies; the last three are what gain is a ratio of."""


def numbers(
    network: Network,
    flow: Flow,
    rows: Sequence[Row],
    hidden: Sequence[str],
    steps: int,
    seed: int,
) -> Dataset:
    """The numbers of all rows, with the axes row, organ and slice.

    Args:
        network: the network and its slices.
        flow: the trace that the rows stand beside.
        rows: the maps.
        hidden: names of :data:`HIDING`.
        steps: of the fraction of pixels, and of the threshold.
        seed: of the order of pixels that are alike.
    """
    import xarray as xr

    joined, of = together(flow, rows)
    probes, images = network.probes, network.probes.images
    channels = chosen_organs(network.channels, list(flow.organs))
    with step(f"deletion and insertion of {len(of)} kinds of maps") as progress:
        seen = pixels(
            network.net,
            joined,
            images,
            channels,
            {name: hiding(HIDING[name], images) for name in hidden},
            steps=steps,
            thresholds=steps,
            seed=seed,
            cases=probes.cases,
            progress=progress,
        )
    with step("masking the image by every map") as progress:
        kept = preservation(
            network.net,
            joined,
            images,
            channels,
            cases=probes.cases,
            ways=("map",),
            progress=progress,
        )
    record = Record(joined, scene(probes, network.channels), network.settings.region, None)
    where = measure(joined, record.masks(joined.organs), probes.spacing, body=body_in(record))
    found = {f"{name}_{b}": tensor(seen[name].sel(hidden=b)) for name in PIXELS[:2] for b in hidden}
    found |= {name: tensor(seen[name]) for name in PIXELS[2:]}
    found |= {name: tensor(kept[name].sel(way="map")) for name in PRESERVED[:3]}
    found |= {name: tensor(where[name]) for name in LOCATED}
    each = {name: _of_rows(value[:, 0], of) for name, value in found.items()}
    none = torch.full_like(each["gain"][0], torch.nan)
    each["locality"] = torch.stack([none if one.locality is None else one.locality for one in rows])
    sound = torch.stack([one.status == 0 for one in rows])
    each = {name: value.where(sound, torch.nan) for name, value in each.items()}
    axes = ("row", "organ", "slice")
    return xr.Dataset(
        {name: (axes, value.numpy()) for name, value in each.items()},
        {
            "row": [one.name for one in rows],
            "kind": ("row", [one.kind for one in rows]),
            "seconds": ("row", [one.seconds for one in rows]),
            "passes": ("row", [one.passes for one in rows]),
            "organ": list(flow.organs),
            "case": ("slice", list(probes.cases)),
            "number": ("slice", list(probes.slices)),
        },
        {"measuring": seen.attrs["passes"] + int(sound.sum())},
    )


def _of_rows(values: Tensor, of: Sequence[int]) -> Tensor:
    """(maps, O, N) -> (rows, O, N), the mean of the maps of a row."""
    at = torch.tensor(of)
    return torch.stack([values[at == row].double().mean(0) for row in range(max(of) + 1)])
