"""What is explained: a network with its weights, and all that must be known to explain it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from segtrace.activation import SIGMOID, SOFTMAX, OrganLike, organs_of
from segtrace.attribution.rules import RULES, Rule, by_name
from segtrace.causal.baselines import Baselines
from segtrace.checkpoint import loading as checkpoint
from segtrace.data.probes import Probes
from segtrace.data.volumes.preprocessing import (
    AnyPreprocessing,
    VolumePreprocessing,
    preprocessing_of,
)
from segtrace.errors import InputError, printable
from segtrace.evaluation.sliding import inferer_of
from segtrace.network.stages import StagesLike
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.progress import say
from segtrace.report.files import environment, sha256
from segtrace.report.page.whole_cases import WholeCases
from segtrace.tracking.explained import DEFAULT, Network, Settings
from segtrace.training.slices.inferers import SlidingWindow

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to explain.

    Attributes:
        name: for folders, e.g. ``epoch_003``.
        net: with its weights.
        stages: as :func:`segtrace.trace` takes them.
        channels: organ -> channel.
        preprocessing: what turns a CT into its input.
        settings: what is explained, unless the user says otherwise.
        epoch: finished passes, ``None`` where not known.
        probes: its own slices, as a checkpoint holds them; ``None`` where there are none.
        dice: organ -> validation Dice, as far as known.
        edges: name -> what enters a decoder stage; ``None`` for the table of known networks.
        baselines: means over training slices, to cut with; ``None`` where there are none.
        whole: volumes and Dice of the cases that the slices are of.
        facts: for the manifest.
        split: part -> the cases of its training; ``None`` where not known.
        named: the class that the user named for a network outside the table; ``None`` for others.
        notes: what a user should know of the file, in sentences.
    """

    name: str
    net: nn.Module
    stages: StagesLike
    channels: Mapping[str, OrganLike]
    preprocessing: AnyPreprocessing
    settings: Settings = DEFAULT
    epoch: int | None = None
    probes: Mapping[str, Any] | None = None
    dice: Mapping[str, float] = field(default_factory=dict)
    edges: Mapping[str, Any] | None = None
    baselines: Baselines | None = None
    whole: WholeCases = field(default_factory=WholeCases)
    facts: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Sequence[str]] | None = None
    named: str | type[nn.Module] | None = None
    notes: tuple[str, ...] = ()

    @property
    def of_volumes(self) -> bool:
        """Whether it takes volumes."""
        return isinstance(self.preprocessing, VolumePreprocessing)

    @property
    def blank(self) -> torch.Tensor:
        """(1, C, *image) an empty image as it takes it: a slice, or a window of a volume."""
        return torch.zeros(1, self.preprocessing.channels, *self.preprocessing.input_shape)

    @property
    def sliding(self) -> SlidingWindow | None:
        """How it goes through volumes; ``None`` of a network of slices."""
        return SlidingWindow.of(inferer_of(self.preprocessing))

    def trained_on(self, cases: Sequence[str]) -> list[str]:
        """Those of the cases that have the name of one that it was trained on."""
        return [case for case in cases if case in (self.split or {}).get("train", ())]

    def on(self, probes: Probes) -> Network:
        """This network on these slices."""
        taught = taught_by_phantom(self.probes, phantom=probes.phantom)
        shown = replace(probes, taught_by_phantom=taught)
        own, sliding = (self.net, self.stages, shown, self.channels, self.settings), self.sliding
        if sliding is None or sliding.windows(probes.images.shape[2:]).alone:
            return Network(*own)
        return Network(*own, sliding)

    def slices(self, data: "CaseDataModule | None", n: int | None, part: str) -> Probes:
        """The slices to explain: of the given data, or those the network was watched on."""
        if self.probes is None:
            if data is None:
                raise InputError("say which slices: data=… data.root=…, or image=…")
            return data.probes(n, part)
        if "images" not in self.probes and data is not None:
            return data.read_probes(self.probes)
        return self._fitting(Probes.from_plain(self.probes))

    def _fitting(self, probes: Probes) -> Probes:
        """The probes of a file, seen to be such that the network takes them."""
        x = as_input(self.net, probes.images[:1])
        try:
            with undisturbed(self.net, x.device), torch.no_grad():
                self.net(x)
        except (RuntimeError, ValueError) as error:
            line = printable(str(error).strip().split("\n")[0], 300)
            raise InputError(
                f"{self.name}: the network does not take slices {tuple(probes.images.shape[1:])} "
                f"({line}); give the data set they are of, data=… data.root=…"
            ) from error
        return probes


def from_checkpoint(
    path: Path,
    net: str | type[nn.Module] | None = None,
    rules: Sequence[str | Rule] | None = None,
) -> TrainedNetwork:
    """The network of a checkpoint of ``train.py``; nothing of this process is changed.

    Args:
        path: the file.
        net: its class, for a network outside the table of known ones.
        rules: to explain it by; ``None`` for those of the training, which must be ours.

    Raises:
        InputError: see :func:`segtrace.checkpoint.loading.load`; a rule that is none of ours.
    """
    loaded = checkpoint.load(path, net)
    description = loaded.description
    settings = _settings(description["explain"], path, rules)
    repeats, differs = _repeats(description.get("environment", {}))
    notes = (*loaded.notes, *differs)
    return TrainedNetwork(
        name=printable(path.stem, 80),
        net=loaded.net,
        stages=description["stages"],
        channels=channels_of(description["organs"], settings),
        preprocessing=preprocessing_of(description["preprocessing"]),
        settings=settings,
        epoch=loaded.epoch,
        probes=description["probes"],
        dice=description.get("dice", {}),
        edges=description.get("edges"),
        baselines=_baselines(description.get("baselines")),
        whole=WholeCases.from_plain(description.get("cases", {}), description.get("found", {})),
        facts={
            "checkpoint": printable(path.name),
            "sha256": sha256(path),
            "network": description["network"],
            "data": description.get("source", {}),
            "repeats_the_callback": repeats,
            **({"notes": list(notes)} if notes else {}),
        },
        split=description.get("split"),
        named=net,
        notes=notes,
    )


def taught_by_phantom(own: Mapping[str, Any] | None, *, phantom: bool) -> bool:
    """Whether a network with such slices was trained on a phantom, and images are none."""
    return not phantom and bool((own or {}).get("phantom"))


def channels_of(
    organs: Mapping[str, OrganLike], settings: Settings, there: int | None = None
) -> Mapping[str, OrganLike]:
    """Organ -> channel; where every channel decides for itself, channel and label apart.

    Raises:
        InputError: see :func:`segtrace.activation.organs_of`.
    """
    return organs_of(organs, SIGMOID, there) if settings.activation == SIGMOID else organs


def untrained_of(
    trained: TrainedNetwork, path: Path | None, *, asked: bool = False
) -> TrainedNetwork | None:
    """The same network before its training, to stand beside it; ``None``, said so, without one.

    Args:
        trained: the network, whose settings it takes over.
        path: checkpoint of epoch 0.
        asked: the user names it, and did not leave it to be found beside the network.

    Raises:
        InputError: one that the user names has been trained, or is another network.
    """
    if path is None or not path.is_file():
        say("No untrained network to stand beside it (epoch_000.ckpt): give untrained=…")
        return None
    rules = trained.settings.rules
    other = replace(from_checkpoint(path, trained.named, rules), settings=trained.settings)
    if (why := _no_start(trained, other)) is None:
        return other
    if asked:
        raise InputError(f"untrained={path} {why}; give epoch_000.ckpt of the same training")
    say(f"{path} {why}, so it does not stand beside it")
    return None


def _no_start(trained: TrainedNetwork, other: TrainedNetwork) -> str | None:
    """Why the one is not what the training of the other began with; ``None`` if it may be."""
    if other.epoch != 0:
        return f"is of epoch {other.epoch}, and an untrained network is of epoch 0"
    if (other.channels, other.stages) != (trained.channels, trained.stages):
        return "is of another network: other organs or stages"
    theirs, own = (_shapes(each.net) for each in (other, trained))
    unlike = [name for name in {**own, **theirs} if own.get(name) != theirs.get(name)]
    if unlike:
        first, none = unlike[0], "none"
        return (
            f"is of another network: {len(unlike)} of its weights differ in shape, e.g. {first} "
            f"({theirs.get(first, none)} there, {own.get(first, none)} in the trained one)"
        )
    return None


def _shapes(net: nn.Module) -> dict[str, str]:
    """Name -> shape of parameters and buffers."""
    return {name: str(list(values.shape)) for name, values in net.state_dict().items()}


def _baselines(plain: Mapping[str, Any] | None) -> Baselines | None:
    return None if plain is None else Baselines.from_plain(plain)


def _settings(plain: Mapping[str, Any], path: Path, rules: Sequence[str | Rule] | None) -> Settings:
    others = plain["rules"] if rules is None else rules
    theirs = [name for name in map(str, plain["rules"]) if not by_name([name])]
    if theirs and rules is None:
        raise InputError(
            f"{path} was explained by {theirs[0]!r}, which is no rule of ours; name it again, "
            f"'rules=[{{_target_: my_package.my_rule}}]', or one of {', '.join(RULES)}"
        )
    try:
        known = plain.get("activation") or SOFTMAX  # older files have classes alone
        return Settings(**{**plain, "rules": list(others), "activation": known})
    except InputError as error:
        raise InputError(f"{path} cannot be explained as it was: {error}") from error


def _repeats(then: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Whether maps equal those of the training to the last bit; and, if not, why, for people."""
    now = environment()
    changed = [key for key in ("cpu", "threads", "packages") if now[key] != then.get(key)]
    if not changed:
        return "to the last bit: same CPU, packages and threads", []
    # The last bits of a sum depend on how many threads share it.
    counts = f" ({now['threads']} here, {then.get('threads', 'unknown')} there)"
    words = " and ".join(key + (counts if key == "threads" else "") for key in changed)
    return (
        f"within 1e-3 of each map's maximum: other {words} than in training",
        [f"the last bits of maps may differ from those of the training: other {words}"],
    )


def apply_settings(trained: TrainedNetwork, **given: Any) -> TrainedNetwork:
    """The network with the settings that the user gave, those that are not ``None``."""
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(trained, settings=replace(trained.settings, **changed))
