"""A made-up training for the page, and the page read back."""

import json
import re
import zlib
from base64 import b64decode
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import by_name
from segtrace.measures.localisation import measure
from segtrace.report.record import Record
from segtrace.report.scene import Scene

ROWS, COLUMNS = 96, 128
ORGANS = ("left_kidney", "liver", "spleen")
STAGES = {"enc1": (48, 64), "dec1": (6, 8), "dec2": (96, 128), "head": (96, 128)}
RULES = ("seg_grad_cam", "grad_pam")
BOXES = {1: (60, 78, 84, 100), 2: (30, 64, 20, 54), 3: (40, 56, 96, 112)}
"""Channel -> first row, last, first column, last."""


@dataclass(frozen=True)
class Measured:
    record: Record
    measures: xr.Dataset


def scene() -> Scene:
    """Three slices of two cases: the spleen is on the last one alone."""
    y, x = torch.meshgrid(torch.arange(ROWS), torch.arange(COLUMNS), indexing="ij")
    body = ((x - 64) / 52) ** 2 + ((y - 50) / 36) ** 2 < 1
    labels = torch.zeros(3, ROWS, COLUMNS, dtype=torch.long)
    for channel, (top, end, left, right) in BOXES.items():
        labels[2 if channel == 3 else 0 :, top:end, left:right] = channel
    image = torch.where(body, 0.4, 0.0) + 0.15 * (labels > 0)
    return Scene(
        image=image[:, None],
        cases=("0027", "0027", "0028"),
        slices=(18, 31, 7),
        channels={organ: channel for channel, organ in enumerate(ORGANS, 1)},
        truth=labels,
        phantom=True,
        spacing=torch.tensor([[0.8, 0.7]] * 3, dtype=torch.float64),
        sides_known=True,
        hounsfield_known=True,
    )


def original(times: int) -> Tensor:
    """(rows, columns) int16 HU of a slice at a finer resolution: air, soft tissue, some bone."""
    y, x = torch.meshgrid(
        (torch.arange(ROWS * times) + 0.5) / times,
        (torch.arange(COLUMNS * times) + 0.5) / times,
        indexing="ij",
    )
    hu = torch.where(((x - 64) / 52) ** 2 + ((y - 50) / 36) ** 2 < 1, 35.0, -1000.0)
    return torch.where(((x - 64) / 8) ** 2 + ((y - 76) / 6) ** 2 < 1, 1500.0, hu).short()


def wrong(number: int, region: str) -> Measured:
    """An epoch explained for false positives (``fp``) or false negatives (``fn``)."""
    measured = epoch(number)
    flow, truth = measured.record.flow, measured.record.scene.truth
    assert truth is not None
    found, true = (
        torch.stack([labels == channel for channel in measured.record.scene.channels.values()])
        for labels in (flow.prediction, truth)
    )
    masks = found & ~true if region == "fp" else true & ~found
    status = torch.zeros_like(flow.status)
    status[:, :, ~masks.flatten(2).any(-1)] = Status.ABSENT
    maps = {
        stage: maps + torch.nn.functional.adaptive_avg_pool2d(masks.float(), maps.shape[-2:])
        for stage, maps in flow.maps.items()
    }
    flow = replace(flow, maps=maps, status=status, region_px=masks.flatten(2).sum(-1))
    record = replace(measured.record, flow=flow, region=region)
    return Measured(record, measure(flow, true, record.scene.spacing))


def blind(number: int, organ: str) -> Measured:
    """An epoch whose network finds one of the organs nowhere."""
    measured = epoch(number)
    flow, channels = measured.record.flow, measured.record.scene.channels
    prediction = flow.prediction.masked_fill(flow.prediction == channels[organ], 0)
    record = replace(measured.record, flow=replace(flow, prediction=prediction))
    return replace(measured, record=record)


def epoch(number: int, last: int = 8) -> Measured:
    """The later the epoch, the more of the map lies on the organ and the better the prediction."""
    place = scene()
    generator = torch.Generator().manual_seed(number)
    masks = torch.stack([place.truth == channel for channel in place.channels.values()])
    skill = number / last
    maps = {}
    for stage, grid in STAGES.items():
        near = torch.nn.functional.adaptive_avg_pool2d(masks.float(), grid)
        noise = torch.rand(2, 3, 3, *grid, generator=generator)
        maps[stage] = (noise - 0.3) * (1.01 - skill) + 3 * skill * near
    status = torch.zeros(4, 2, 3, 3, dtype=torch.int8)
    status[:, :, ~masks.flatten(2).any(-1)] = Status.ABSENT
    status[1, 0, 1, :2] = Status.GAP_DEGENERATE
    status[0, 0, 0, 0] = Status.DEAD
    maps["enc1"][0, 0, 0] = -1.0
    maps["head"][1] = 0.0
    maps["head"][1] += masks  # an echo: on the organ whatever the network does
    flow = Flow(
        maps=maps,
        kappa=torch.rand(4, 3, 3, generator=generator),
        gradient_l1=torch.rand(4, 3, 3, generator=generator, dtype=torch.float64),
        status=status,
        scores=torch.randn(3, 3, generator=generator),
        region_px=masks.flatten(2).sum(-1),
        prediction=place.truth.roll(round(12 * (1 - skill)), 2),
        rules=RULES,
        methods=by_name(RULES),
        organs=ORGANS,
        score="logit",
    )
    record = Record(flow, place, "gt", number)
    return Measured(record, measure(flow, masks, place.spacing))


def read_page(path: Path) -> dict[str, Any]:
    """The data that the page holds."""
    found = re.search(
        r'<script id="data" type="application/json">(.*?)</script>', path.read_text("utf-8"), re.S
    )
    return json.loads(found[1])


def unpacked(text: str, dtype: str, *shape: int) -> np.ndarray:
    """An array of the page."""
    return np.frombuffer(zlib.decompress(b64decode(text)), dtype).reshape(shape)
