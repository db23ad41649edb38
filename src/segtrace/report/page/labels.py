"""Which organs are at a pixel, as the page holds it: one number a pixel, overlap or not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segtrace.activation import OrganLike
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.scene import Scene

FEW, MOST = 8, 32
"""Organs that have a bit each in a byte, and at all; the page draws no outline of further ones."""


def numbering(record: Record) -> dict[str, Any]:
    """How the page finds an organ in what :func:`shown` gives it.

    ``channels``, of the organs that are explained: the number at a pixel, or where organs are
    ``apart`` the number of the bit; -1 for none. ``names``: of such a number.
    """
    scene, organs = record.scene, record.flow.organs
    if scene.apart:
        numbers: dict[str, Any] = {name: bit for bit, name in enumerate([*scene.channels][:MOST])}
    else:
        numbers = dict(scene.channels)
    return {
        "apart": scene.apart,
        "channels": [numbers.get(organ, -1) for organ in organs],
        "names": {str(number): organ for organ, number in numbers.items()},
    }


def shown(scene: Scene, labels: NDArray, mask: Callable[[Tensor, OrganLike], Tensor]) -> NDArray:
    """(N, h, w) one number a pixel: of the label map, or a bit for each organ that is there.

    Args:
        scene: says which organs there are.
        labels: a truth or a prediction.
        mask: how it is read.
    """
    if not scene.apart:
        return labels.astype(np.uint8)
    organs = [*scene.channels.values()][:MOST]
    each = [array(mask(torch.from_numpy(labels), organ)) for organ in organs]
    numbers = np.bitwise_or.reduce([one.astype(np.uint32) << n for n, one in enumerate(each)])
    return numbers.astype(np.uint8) if len(organs) <= FEW else numbers
