"""A network of the user's own: built, filled, and described by what stands beside it."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from segtrace.activation import SIGMOID, Organ, OrganLike, activation_of
from segtrace.checkpoint import loading as checkpoint
from segtrace.checkpoint.mapping_file import read_mapping
from segtrace.checkpoint.own_network import built, fitted, named
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.views.windowing import TRANSUNET_WINDOW, window_of
from segtrace.data.volumes.preprocessing import (
    AnyPreprocessing,
    VolumePreprocessing,
    triple,
    whole_triple,
)
from segtrace.errors import InputError, unknown, users_code
from segtrace.network.guards import PROPOSED
from segtrace.network.logits import Output, picked, tell_other_size
from segtrace.network.stages import known, resolve
from segtrace.network.undisturbed import unwrapped
from segtrace.progress import say
from segtrace.report.files import sha256
from segtrace.studies.inputs.trained_network import TrainedNetwork, channels_of
from segtrace.tracking.edges import chosen_places
from segtrace.tracking.explained import DEFAULT, Settings
from segtrace.training.construction import in_yaml
from segtrace.training.slices.entering import Entering
from segtrace.training.slices.taking import check_own_network

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule

PATCH, SPACING, OVERLAP = "patch", "spacing", "overlap"
OF_VOLUMES = (PATCH, SPACING, OVERLAP)
"""What is said of a network of volumes, beside what is done to values."""
EDGE = "skip_1: {stage: dec1, module: up1, argument: 1}"
"""How a line of a file of edges looks."""


def windowed(preprocessing: Mapping[str, Any] | None) -> bool:
    """Whether a network of the user's own is said to take volumes, window by window."""
    return (preprocessing or {}).get(PATCH) is not None


def from_user(options: Mapping[str, Any], data: "CaseDataModule | None") -> TrainedNetwork:
    """A network of the user's own.

    Args:
        options: of ``explain.py``. ``net``: ``module:function`` (or class) that returns the
            network, importable from here; ``weights``: file with a state dict, bare or under a
            usual key, prefixes are stripped; ``stages``: YAML file, name: module.path, ``None``
            for a network of the table, names to keep of those, ``"proposed"`` to take what is
            proposed; ``edges``: YAML file, name: {stage: …, module: …, argument: …}, ``None`` for
            the table, or what is proposed, as ``"proposed"``; ``output``: what picks the
            logits; ``model``: activation and channels of the logits; ``preprocessing``: what the
            network was trained on, see :class:`~segtrace.training.slices.entering.Entering`; of a
            network of volumes also ``patch``, ``spacing`` and ``overlap``, see
            :class:`~segtrace.data.volumes.preprocessing.VolumePreprocessing`.
        data: says organs and preprocessing; ``None`` for a network of volumes, of which
            ``model.channels`` says the organs.

    Raises:
        InputError: a builder that cannot be imported or builds no network; weights that do not
            fit; a file that is no mapping; a network that does not take the slices.
    """
    builder, weights, stages, edges = (
        options[key] for key in ("net", "weights", "stages", "edges")
    )
    if builder is None:
        raise InputError("say which network: checkpoint=…, or net=module:builder weights=…")
    net = built(builder)
    if isinstance(stages, list):
        _check_in_table(net, stages)
    if weights is None:
        raise InputError(f"net={builder} needs weights=…, the file with its state dict")
    path = Path(weights)
    checkpoint.fill(net, fitted(checkpoint.read(path), net), path)
    if options["output"] is not None:
        _return_alone(net, options["output"])
    preprocessing = _preprocessing(options, data)
    if preprocessing.channels > 1:
        raise InputError(
            f"these data have {preprocessing.channels} channels, and a network of your own is "
            "shown one here; explain it in Python, segtrace.explain(net, loader, …)"
        )
    if isinstance(preprocessing.window, str):
        raise InputError(
            f"data.window={preprocessing.window} is for networks trained here; say what yours was "
            "trained on, e.g. 'preprocessing={percentile: [0.5, 99.5]}'"
        )
    facts = {"network": builder, "weights": path.name, "sha256": sha256(path)}
    if options["preprocessing"] is None:
        low, high = preprocessing.window
        say(
            f"The network sees slices from {low:g} to {high:g} HU as 0 to 1, since nothing says "
            "what it was trained on: 'preprocessing={window: [low, high], mean: …, std: …}'"
        )
    else:
        own = {"window": list(preprocessing.window)} | dict(options["preprocessing"])
        Entering.of(entering_of(own), net).stand_before(net)
        facts["preprocessing"] = own
    made = TrainedNetwork(path.stem, net.eval(), None, {}, preprocessing)
    logits = check_own_network(builder, net, made.blank)
    asked = options["model"]["activation"]
    known = activation_of(logits.shape[1], asked)
    # A softmax that nobody has asked for is held against the logits of the slices themselves.
    settings = replace(DEFAULT, activation=known if asked or known == SIGMOID else None)
    joins = edges if edges in (None, PROPOSED) else _mapping("edges", edges, EDGE)
    if isinstance(stages, str) and stages != PROPOSED:
        stages = _mapping("stages", stages, "enc1: encoder.layer1")
    stages, joins = chosen_places(net, made.blank, stages, joins)
    channels = _organs(options["model"]["channels"], data, settings, logits.shape[1])
    return replace(made, stages=stages, edges=joins, channels=channels, settings=settings,
                   facts=facts)  # fmt: skip


def entering_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is done to a window's values: all but which windows there are, and of which mm."""
    return {name: value for name, value in given.items() if name not in OF_VOLUMES}


def _preprocessing(options: Mapping[str, Any], data: "CaseDataModule | None") -> AnyPreprocessing:
    if data is not None:
        return Preprocessing.from_plain(data.preprocessing)
    given, channels = options["preprocessing"], options["model"]["channels"]
    if channels is None:
        raise InputError(
            "a network of volumes is told its organs by the channels of its logits: "
            "'model.channels={liver: 6, spleen: 1}'"
        )
    try:
        return VolumePreprocessing(
            window=window_of(given.get("window", TRANSUNET_WINDOW)),
            organs={name: n for n, name in enumerate(channels, 1)},
            spacing=triple(SPACING, _three(given.get(SPACING))),
            patch=whole_triple(PATCH, _three(given[PATCH])),
            overlap=_overlap(given.get(OVERLAP, 0.5)),
        )
    except InputError as error:  # which names the options of a data set
        raise InputError(str(error).replace("data.", "preprocessing.")) from error


def _three(given: Any) -> Any:
    """One number stands for all three axes."""
    return [given] * 3 if type(given) in (int, float) else given


def _overlap(given: Any) -> float:
    if type(given) not in (int, float):
        raise InputError(f"preprocessing.{OVERLAP}={in_yaml(given)}; give a share, 0 to 0.9")
    return float(given)


def _organs(
    given: Mapping[str, Any] | None,
    data: "CaseDataModule | None",
    settings: Settings,
    there: int,
) -> Mapping[str, OrganLike]:
    """Organ -> its channel, and its number in the labels of the data.

    Args:
        given: organ -> channel of the logits, or channel and label, its number in the files of the
            data; those that are not named are not explained.
        data: knows the organs; ``None`` where the channels alone say them.
        settings: with the activation.
        there: channels of the logits.

    Raises:
        InputError: an organ that the data lack, or number otherwise; a channel that the logits
            lack.
    """
    if data is None:
        return {name: _alone(name, value, n, settings, there)
                for n, (name, value) in enumerate((given or {}).items(), 1)}  # fmt: skip
    if given is None and settings.activation != SIGMOID and len(data.organs) >= there:
        raise InputError(
            f"the data has {len(data.organs)} organs, and the network {there} channels, the "
            "background's among them: name those that it knows in the order of its channels, "
            f"'data.organs=[{next(iter(data.organs))}]', or their channels, "
            f"'model.channels={{{next(iter(data.organs))}: 1}}'; where channels may overlap say "
            "model.activation=sigmoid as well"
        )
    if given is None:
        return channels_of(data.organs, settings, there)
    found = {}
    for name, value in given.items():
        if name not in data.organs:
            raise unknown("organ", name, data.organs, "the data")
        number = data.source.numbering[name]
        apart = value if isinstance(value, Mapping) else {"channel": value, "label": number}
        if apart["label"] != number:
            raise InputError(
                f"model.channels: {name} has label {apart['label']}; in the data it has {number}: "
                "say that, or leave the label out"
            )
        _check_channel(name, apart["channel"], there)
        found[name] = Organ(apart["channel"], data.organs[name])
    return found


def _alone(name: str, given: Any, number: int, settings: Settings, there: int) -> OrganLike:
    """A channel that no data number; where channels may overlap, with a number of its own."""
    organ = Organ(**given) if isinstance(given, Mapping) else Organ(given, number)
    _check_channel(name, organ.channel, there)
    bare = not isinstance(given, Mapping) and settings.activation != SIGMOID
    return organ.channel if bare else organ


def _check_channel(name: str, channel: int, there: int) -> None:
    if not 0 <= channel < there:
        raise InputError(
            f"model.channels: {name} has channel {channel}; the network has channels 0 to "
            f"{there - 1}"
        )


def _return_alone(net: nn.Module, output: str | int) -> None:
    """Let a network return its logits alone; modules and weights keep their names.

    Args:
        net: the network, which is changed: a hook stands behind its forward, inside a wrapper.
        output: an index, a key or a field of what it returns; or ``module:function``, as the user
            typed it, imported here.

    Raises:
        InputError: nothing of that name can be imported, or it is no function.
    """
    is_function = isinstance(output, str) and ":" in output
    pick: Output = named(str(output), "output") if is_function else output

    def alone(_module: nn.Module, inputs: Any, returned: Any) -> Any:
        with users_code(f"output={output}") if is_function else nullcontext():
            found = picked(returned, pick)
        tell_other_size(returned, found, inputs[0], output)
        return found

    unwrapped(net).register_forward_hook(alone)


def _check_in_table(net: nn.Module, names: list[str]) -> None:
    """Names to keep are those that the table has for this network."""
    inner = unwrapped(net)
    if not known(inner):
        raise InputError(
            f"stages={names}: a network of your own needs a YAML file with lines such as "
            "enc1: encoder.layer1; say stages=stages.yaml, or stages=proposed"
        )
    resolve(inner, names)


def _mapping(option: str, file: str, example: str) -> dict[str, Any]:
    found = read_mapping(Path(file), f"{option}={file}")
    if not found:
        raise InputError(f"{option}={file}: give one line for each of the {option}, e.g. {example}")
    return found
