"""What a callback has seen of one fit: it begins with the fit, and goes on with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from typing import Any, Literal

from torch import Tensor

from segtrace.attribution.rules import RULES
from segtrace.data.probes import Probes
from segtrace.errors import InputError, unknown
from segtrace.network.logits import Output
from segtrace.progress import say
from segtrace.tracking.explained import Network, Settings
from segtrace.tracking.tracker import Tracker
from segtrace.tracking.writer import CHARTS, OVERVIEW
from segtrace.training.callbacks.last_epoch import LastEpoch

SHARE = 0.05
"""Of the training time, which ``every_n_epochs=auto`` stays under."""


@dataclass(frozen=True)
class Asked:
    """What the callback was asked for; the same for every fit. See ``FlowCallback``.

    Raises:
        InputError: a number of epochs below 1, or of a drawing that there is not.
    """

    probes: Probes | int
    every_n_epochs: int | Literal["auto"]
    draw_every: Mapping[str, int] | None
    cut_every: int | None
    stages: Mapping[str, Any] | Literal["proposed"] | None
    edges: Mapping[str, Any] | Literal["proposed"] | None
    training_slices: Tensor | None
    settings: Settings
    output: Output | None

    def __post_init__(self) -> None:
        if self.every_n_epochs != "auto" and self.every_n_epochs < 1:
            raise InputError(f"every_n_epochs={self.every_n_epochs}; give 1 or more, or auto")
        drawn = [CHARTS, OVERVIEW, *dict.fromkeys([*RULES, *self.settings.rule_names])]
        for name, every in (self.draw_every or {}).items():
            if name not in drawn:
                raise unknown("drawing", f"draw_every.{name}", [f"draw_every.{n}" for n in drawn])
            if every < 1:
                raise InputError(f"draw_every.{name}={every}; give 1 or more")


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

        Raises:
            InputError: it is no such record.
        """
        try:
            self.tracker.load_state_dict(state)
            if adapts and "interval" in state:
                self.interval = int(state["interval"])
            self.resumed = state.get("watched", {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "the checkpoint's record of the epochs so far cannot be taken up "
                f"({type(error).__name__}: {error}); go on with the segtrace that wrote it, or "
                "begin anew in another folder"
            ) from error

    def adapt(self, cost: float, training: float) -> None:
        """Explain as often as stays under :data:`SHARE` of the time; a change is said.

        Args:
            cost: seconds that explaining took.
            training: seconds that the epoch took.
        """
        interval = max(1, ceil(cost / (SHARE * training)))
        if interval != self.interval:
            self.interval = interval
            say(
                f"Explaining takes {cost:.1f} s, an epoch {training:.1f} s: every {interval} "
                "epochs from here"
            )

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
