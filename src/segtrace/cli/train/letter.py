"""What sets a run of ``experiment=transunet_protocol`` apart from the published protocol.

Told from the configuration as it is: what the experiment's own YAML file asks for is the protocol,
and beside it the network, the weights it begins with, and the cases.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from segtrace.cli.command_line import parse
from segtrace.cli.configuration import CONF
from segtrace.cli.limits import leaves, protocols_of
from segtrace.cli.train.resume.run_config import may_change
from segtrace.data.cases import TEST12, TRAIN18, Split
from segtrace.data.sources import PhantomSource
from segtrace.progress import counted
from segtrace.training.construction import in_yaml
from segtrace.training.objective import BOTH

NAME = "transunet_protocol"
GROUP = "experiment"
DECIDES = ("data", "model", "trainer", "seed")
"""Keys on which the numbers depend; others watch, draw and keep."""
TOLD = (
    "data.split", "model.net._target_", "model.net.pretrained", "model.net.weights",
    "data.labels", "data.spacing", "data.sides", "data.images", "data.masks", "data.other",
)  # fmt: skip
"""Options of which more is told than their values; and those that say how files are read."""
THEIRS = ("TransUNet", "VisionTransformer")
"""The network, as it is called here and in their program."""
UNSAID = {
    "model.loss": BOTH,
    "model.dice_weight": 0.5,  # refused beside a loss of one term
    "trainer.max_steps": -1,
    "trainer.devices": 1,  # a batch is that of each
    "trainer.num_nodes": 1,
}
"""Theirs, and what holds where nothing is said."""
FROM_ELSEWHERE = ("pretrained", "weights")
"""Arguments with which a network begins with weights of another training."""
HARMLESS = ("soundness", "baselines", "flow", "checkpoints", "best", "learning_rate", "progress")
"""Callbacks that leave the training as it is."""


@dataclass(frozen=True)
class Letter:
    """The experiment as its file has it, and what was typed beside it.

    Attributes:
        asked: path -> value.
        typed: paths of the options on the command line.
    """

    asked: Mapping[str, Any]
    typed: Sequence[str]

    @classmethod
    def of(cls, choices: Mapping[str, Any], typed: Sequence[str]) -> "Letter | None":
        """``None`` where another experiment, or none, was chosen.

        Args:
            choices: group -> what was chosen of it.
            typed: the overrides of the command line.
        """
        if choices.get(GROUP) != NAME:
            return None
        asked = OmegaConf.to_container(OmegaConf.load(CONF / GROUP / f"{NAME}.yaml"))
        paths = [one.key_or_group for one in map(parse, typed)]
        return cls(_flat(asked), [path for path in paths if path not in choices])

    def differences(self, config: Mapping[str, Any], split: Split, source: object) -> list[str]:
        """In words, each of one thing; nothing where nothing differs.

        Args:
            config: plain values.
            split: part -> cases, as they are.
            source: of the cases.
        """
        return [
            *_of_network(config["model"]["net"]),
            *_of_cases(split, source),
            *self._of_options(_flat(config)),
            *_of_callbacks(config["callbacks"]),
            *_of_test(config["test"]),
        ]

    def _of_options(self, has: Mapping[str, Any]) -> Iterator[str]:
        for path, theirs in self.asked.items():
            if has.get(path) != theirs and path not in TOLD:
                yield f"{path}={in_yaml(has.get(path))}, theirs is {in_yaml(theirs)}"
        for path, theirs in UNSAID.items():
            if has.get(path) not in (None, theirs):
                yield f"{path}={in_yaml(has[path])}, theirs is {in_yaml(theirs)}"
        for path, value in has.items():
            if path.startswith("model.net.") and not _is_theirs(has["model.net._target_"]):
                continue  # the arguments of another network
            typed = any(path == one or path.startswith(f"{one}.") for one in self.typed)
            told = path in {**self.asked, **UNSAID} or path.startswith(TOLD) or may_change(path)
            if typed and value is not None and not told:
                yield f"{path}={in_yaml(value)} is not said in theirs"


def _flat(config: Any) -> dict[str, Any]:
    """Path -> value, lists whole."""
    found: dict[str, Any] = {}
    for path, value in leaves(config):
        name, bracket, _ = path.partition("[")
        if bracket:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return {path: value for path, value in found.items() if path.split(".")[0] in DECIDES}


def _is_theirs(target: str) -> bool:
    return str(target).rsplit(".", 1)[-1] in THEIRS


def _of_network(net: Mapping[str, Any]) -> Iterator[str]:
    if not _is_theirs(net["_target_"]):
        name = str(net["_target_"]).rsplit(".", 1)[-1]
        yield f"the network is {name}, theirs TransUNet (R50-ViT-B_16)"
    if not any(net.get(key) for key in FROM_ELSEWHERE):
        yield "it begins with random weights, theirs with those of ImageNet"


def _of_cases(split: Split, source: object) -> Iterator[str]:
    train, val, test = split["train"], split["val"], split["test"]
    if isinstance(source, PhantomSource):
        yield "the images are a generated phantom, theirs Synapse"
    else:
        for part, has, theirs in (("train", [*train, *val], TRAIN18), ("test", test, TEST12)):
            if {*has} != {*theirs}:
                cases = counted(len(has), "case")
                yield f"{cases} {part}, and not the {len(theirs)} published ones"
    if val:
        yield (
            f"{counted(len(val), 'case')} of {len(train) + len(val)} validate ({', '.join(val)}), "
            "theirs trains on all"
        )


def _of_test(test: Any) -> Iterator[str]:
    if "transunet" not in (names := protocols_of(test)):
        both = in_yaml([*names, "transunet"] if names else "transunet")
        yield f"the last epoch is not scored by transunet: say test={both}"


def _of_callbacks(callbacks: Mapping[str, Any]) -> Iterator[str]:
    for name, node in callbacks.items():
        if node is not None and name not in HARMLESS:
            yield f"callbacks.{name} takes part, which theirs has not"
