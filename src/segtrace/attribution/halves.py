"""Where a tensor's channels stand in a concatenation: found by what they hold, not by order."""

import torch
from torch import Tensor

Span = tuple[int, int]
"""First channel, and the one after the last."""


def places(whole: Tensor, part: Tensor) -> list[Span]:
    """Every span of channels of ``whole`` (N, K, *cells) that holds the very numbers of ``part``.

    >>> whole = torch.tensor([[1.0, 2, 3, 1, 2]])
    >>> places(whole, whole[:, 3:])
    [(0, 2), (3, 5)]
    """
    if part.ndim != whole.ndim or part.shape[2:] != whole.shape[2:]:
        return []
    count = part.shape[1]
    starts = range(whole.shape[1] - count + 1)
    spans = [(start, start + count) for start in starts]
    return [span for span in spans if torch.equal(whole[:, slice(*span)], part)]


def beside(whole: Tensor, part: Tensor) -> list[Span]:
    """What is left of ``whole`` beside a part that stands at one of its ends.

    >>> whole = torch.tensor([[1.0, 2, 3]])
    >>> beside(whole, whole[:, 2:])
    [(0, 2)]
    """
    channels, found = whole.shape[1], places(whole, part)
    left = [(0, start) for start, stop in found if stop == channels and start > 0]
    return left + [(stop, channels) for start, stop in found if start == 0 and stop < channels]
