"""What a callback has seen of one fit: it begins with the fit, and goes on with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from torch import Tensor

from segtrace.data.probes import Probes
from segtrace.errors import InputError
from segtrace.network.logits import Output
from segtrace.tracking.explained import Network, Settings
from segtrace.tracking.tracker import Tracker
from segtrace.training.callbacks.last_epoch import LastEpoch


@dataclass(frozen=True)
class Asked:
    """What the callback was asked for; the same for every fit. See ``FlowCallback``."""

    probes: Probes | int
    every_n_epochs: int | Literal["auto"]
    draw_every: Mapping[str, int] | None
    cut_every: int | None
    stages: Mapping[str, Any] | Literal["proposed"] | None
    edges: Mapping[str, Any] | Literal["proposed"] | None
    training_slices: Tensor | None
    settings: Settings
    output: Output | None


class Watch:
    """The state of one fit.

    Args:
        asked: what to do.

    Attributes:
        probes: the slices, once they are chosen.
        interval: epochs between two explanations.
        tracker: what was found at all epochs.
        left: what the last finished pass left behind, while it may prove to be the last of all.
        resumed: what a checkpoint told of the slices; ``None`` where none was read.
        at_work: something is being explained, or was broken off.
        places: stages and edges, once they are proposed or known to be named.
        network: what is explained, once it is chosen.
    """

    def __init__(self, asked: Asked) -> None:
        self.probes = asked.probes
        self.interval = 1 if asked.every_n_epochs == "auto" else asked.every_n_epochs
        self.tracker = Tracker(asked.draw_every, asked.cut_every)
        self.left = LastEpoch()
        self.resumed: Mapping[str, Any] | None = None
        self.at_work = False
        self.places: tuple[Any, Any] | None = None
        self.network: Network | None = None

    @property
    def edges(self) -> Any:
        """Those that are cut, as :func:`segtrace.network.edges.resolve` takes them."""
        return None if self.places is None else self.places[1]

    @contextmanager
    def working(self) -> Iterator[None]:
        """Whoever breaks the block off does not want it done once more: it stays ``at_work``."""
        self.at_work = True
        yield
        self.at_work = False

    def continues(self, epoch: int, *, restored: bool) -> bool:
        """Whether this is what was seen of the training that now stands at an epoch.

        Args:
            epoch: finished passes.
            restored: the training comes out of a checkpoint.
        """
        last = self.tracker.epoch
        known = last is not None and last <= epoch
        return known and (self.resumed is not None or not restored)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on: plain values and tensors."""
        return self.tracker.state_dict() | {
            "interval": self.interval,
            "watched": watched(self.probes) if isinstance(self.probes, Probes) else {},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, adapts: bool) -> None:
        """Take up what :meth:`state_dict` gave.

        Args:
            state: that.
            adapts: the interval is found while training, not asked for.
        """
        self.tracker.load_state_dict(state)
        if adapts and "interval" in state:
            self.interval = int(state["interval"])
        self.resumed = state.get("watched", {})

    def check_slices(self, probes: Probes) -> None:
        """A timeline is of the same slices throughout.

        Raises:
            InputError: the training that goes on was watched on others.
        """
        if self.resumed and watched(probes) != self.resumed:
            cases = ", ".join(dict.fromkeys(self.resumed["cases"]))
            raise InputError(
                f"the training that goes on was watched on other slices (of {cases}) than those "
                f"now chosen (of {', '.join(dict.fromkeys(probes.cases))}); give the same "
                "validation data and the same number of probes"
            )


def watched(probes: Probes) -> dict[str, Any]:
    """Which slices these are, as plain values: no image, and noise on one changes nothing."""
    labels = b"" if probes.labels is None else probes.labels.numpy().tobytes()
    return {
        "cases": list(probes.cases),
        "slices": list(probes.slices),
        "labels": sha256(labels).hexdigest(),
    }
