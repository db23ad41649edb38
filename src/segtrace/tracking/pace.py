"""When what is drawn: pictures cost more than numbers, which come with every epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

NUMBERS = "numbers"
"""Tables of what was measured, which come with every epoch that is explained."""
CHARTS = "charts"
"""Timelines, leakage and events, which take a trace more."""
CUTS = "cuts"
"""What it costs to cut stages and edges."""

EVERY = {"grad_pam": 5, CHARTS: 10}
"""Epochs between two drawings of a rule's maps, or of the charts; 1 for what is not named."""


@dataclass
class Pace:
    """Which drawings are due. The first epoch and the final one are always drawn.

    Attributes:
        every: name of a rule, or ``charts`` -> epochs between two drawings.
        last: the epoch of the last drawing of each.
    """

    every: Mapping[str, int]
    last: dict[str, int] = field(default_factory=dict)

    def due(self, name: str, epoch: int, final: bool) -> bool:
        """Whether to draw now; then it counts as drawn, and is not due again at this epoch."""
        if self.last.get(name) == epoch:
            return False
        waited = epoch - self.last[name] if name in self.last else None
        if waited is None or final or waited >= self.every.get(name, 1):
            self.last[name] = epoch
            return True
        return False
