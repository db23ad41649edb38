"""Which options of ``explain.py`` go together: none is taken and then left aside."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from segtrace.activation import ACTIVATIONS
from segtrace.attribution.forward import SCORES
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.targets import OF_TRUTH, check_region
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.foreign import check_foreign
from segtrace.cli.explain.missing import NOTHING
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.limits import check_devices, check_probes
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.volumes.preprocessing import preprocessing_of
from segtrace.errors import InputError, unknown
from segtrace.explainers.explainer import Explainer
from segtrace.explainers.scores import OF_VOLUMES as EXPLAINERS
from segtrace.integrations import FOREIGN
from segtrace.network.guards import PROPOSED, refuse_misspelt
from segtrace.studies.ablation import Ablation
from segtrace.studies.evaluation.study import Evaluate
from segtrace.studies.inputs.images import given_of, listed
from segtrace.studies.inputs.named_paths import paths_of
from segtrace.studies.inputs.users_network import entering_of, windowed
from segtrace.studies.slices import Slices
from segtrace.studies.study import Study
from segtrace.studies.volumes.study import Volumes
from segtrace.training.construction import in_yaml
from segtrace.training.precision import refuse_half
from segtrace.training.slices.entering import Entering

PARTS = ("val", "train", "test")
FILES = ("image", "untrained", "weights", "edges")
"""Options that name one file."""
FITTED = ("size", "window", "organs", "resizing")
"""What a checkpoint's network has of its own, and a data set is made to fit."""


def check_together(
    plain: Mapping[str, Any], study: Study, explainers: Collection[str] = ()
) -> None:
    """Hold the options of ``explain.py`` against one another.

    Args:
        plain: option -> value, each of its option's kind.
        study: what is asked.
        explainers: names of those beside it.

    Raises:
        InputError: names that do not exist; options that exclude one another, or need another.
    """
    _check_names(plain)
    foreign = [option for option in FOREIGN if plain[option] is not None]
    if foreign:
        check_foreign(plain, foreign[0], study, explainers)
    study.check(plain)
    if foreign:
        return
    if explainers and study.looks_at not in ("slices", "spread"):
        raise InputError(
            f"explainer={','.join(explainers)} explains slices, and this study has none; leave "
            "explainer out"
        )
    if study.looks_at == "tables":
        return
    if plain["fold"] is not None:
        raise InputError(f"fold={plain['fold']} is of nnunet=FOLDER; leave it out")
    if plain["checkpoint"] is None and plain["net"] is None:
        raise InputError(NOTHING)
    if plain["checkpoint"] is not None:
        _check_checkpoint(plain)
    else:
        _check_own_network(plain)
    refuse_half(plain["trainer"].get("precision"), "trainer.precision")
    check_devices(plain["trainer"])


OF_VOLUMES = (Slices, Ablation, Volumes, Evaluate)
"""Studies that a network of volumes can be asked; not those that are a further kind of one."""


def check_volumes(
    plain: Mapping[str, Any], study: Study, explainers: Mapping[str, Explainer]
) -> None:
    """Refuse what is of slices alone for a network that takes volumes.

    Args:
        plain: option -> value.
        study: what is asked.
        explainers: those beside it, by name.

    Raises:
        InputError: the study, its protocol or an explainer.
    """
    if study.looks_at == "tables":
        return
    if plain["checkpoint"] is None:
        volumes = windowed(plain["preprocessing"])
    else:
        described = checkpoint.describe(paths_of(plain["checkpoint"])[0])["preprocessing"]
        volumes = "patch" in described
        if volumes and isinstance(study, Evaluate):
            study.check_network(preprocessing_of(described))
    if volumes and type(study) not in OF_VOLUMES:
        raise InputError(
            "this study explains slices, and this network takes volumes: leave study out, or say "
            "study=ablation, volumes or evaluate"
        )
    for name, explainer in explainers.items():
        if volumes and not explainer.of_volumes:
            raise InputError(
                f"explainer={name}: {explainer.title} explains slices, and this network takes "
                f"volumes; take {EXPLAINERS}"
            )


def check_processes(plain: Mapping[str, Any], study: Study, *, several: bool) -> None:
    """Refuse processes that would have nothing to do.

    Raises:
        InputError: neither cases nor a folder of images is gone through.
    """
    if plain["processes"] > 1 and not (isinstance(study, Evaluate) or several):
        raise InputError(
            f"processes={plain['processes']}: they share the cases of evaluate=true, or the images "
            "of image=FOLDER; leave it out"
        )


NAMED_ONCE = ("stages", "organs", "measures")
"""Options that list names."""


def _check_names(plain: Mapping[str, Any]) -> None:
    for option in NAMED_ONCE:
        names = plain[option] if isinstance(plain[option], list) else []
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(
                f"{option}={in_yaml(names)}: {in_yaml(twice[0])} is named twice; name each once"
            )
    if plain["region"] is not None:
        check_region(plain["region"])
    if plain["region"] in OF_TRUTH and plain["image"] is not None:
        raise InputError(
            f"region={plain['region']} needs labels, which an image has not; say region=pred"
        )
    if plain["score"] not in (None, *SCORES):
        raise unknown("score", plain["score"], SCORES)
    if plain["rules"] is not None:
        resolve_rules(rules_of(listed(plain["rules"]) or []))
    for key in plain["model"]:
        if key not in ("activation", "channels"):
            raise unknown("option", f"model.{key}", ["model.activation", "model.channels"])
    if (activation := plain["model"]["activation"]) not in (None, *ACTIVATIONS):
        raise unknown("model.activation", activation, ACTIVATIONS)
    _check_channels(plain["model"]["channels"])
    probes = {"n": None, "from": "val"} | given_of(plain["probes"])
    check_probes(probes, PARTS, {"n": int, "from": str})


def _check_channels(given: Any) -> None:
    if given is None:
        return
    if not (isinstance(given, Mapping) and given and all(map(_is_organ, given.values()))):
        raise InputError(
            f"model.channels={in_yaml(given)}; give each organ the number of its channel, "
            "'model.channels={liver: 6}', or that and its number in the label files, "
            "{liver: {channel: 6, label: 6}}"
        )


def _is_organ(value: Any) -> bool:
    """A channel, or channel and label."""
    apart = isinstance(value, Mapping) and set(value) == {"channel", "label"}
    numbers = value.values() if apart else [value]
    return all(type(number) is int and number >= 0 for number in numbers)


def _check_checkpoint(plain: Mapping[str, Any]) -> None:
    """What a checkpoint holds is not given beside it."""
    if isinstance(plain["stages"], str):
        raise InputError(
            f"stages={plain['stages']}: a checkpoint knows its stages; give names to keep, "
            "e.g. stages=[enc1,dec4]"
        )
    if plain["weights"] is not None:
        raise InputError(
            f"weights={plain['weights']}: the checkpoint holds its weights; leave weights out, or "
            "checkpoint"
        )
    if plain["edges"] is not None:
        raise InputError(f"edges={plain['edges']}: a checkpoint knows its edges; leave it out")
    if plain["output"] is not None:
        raise InputError(
            f"output={plain['output']}: train.py trains networks that return their logits alone; "
            "leave it out"
        )
    if plain["preprocessing"] is not None:
        raise InputError(
            "preprocessing=…: a checkpoint knows what its network was trained on; leave it out"
        )
    for key, value in plain["model"].items():
        if value is not None:
            raise InputError(
                f"model.{key}={in_yaml(value)}: a checkpoint knows its {key}; leave it out"
            )
    if plain["image"] is not None and plain.get("data"):
        raise InputError("image=… and data=… are two answers to one question; leave one out")


def _check_own_network(plain: Mapping[str, Any]) -> None:
    """A network of the user's own brings files and data."""
    for option in ("stages", "edges"):
        if not Path(str(plain[option])).is_file():
            refuse_misspelt(option, plain[option], ["a YAML file"])
    if plain["edges"] == PROPOSED != plain["stages"]:
        raise InputError(
            "edges=proposed lie between proposed stages; say stages=proposed, or edges=edges.yaml"
        )
    if plain["preprocessing"] is not None:
        Entering.of({**entering_of(plain["preprocessing"]), "channels": None})
    if windowed(plain["preprocessing"]):
        _check_own_volumes(plain)
    elif not plain.get("data"):
        raise InputError("net=… needs data=… data.root=…, which says organs and slices")
    if plain["weights"] is None:
        raise InputError(f"net={plain['net']} needs weights=…, the file with its state dict")
    if plain["log_dir"] is not None:
        raise InputError(
            f"log_dir={plain['log_dir']}: TensorBoard's step is the epoch, which checkpoints of "
            "train.py know; say checkpoint=…"
        )


def _check_own_volumes(plain: Mapping[str, Any]) -> None:
    """A network of volumes is shown images, and told its organs."""
    if plain["image"] is None or plain.get("data"):
        raise InputError(
            "preprocessing.patch=…: a network of volumes of your own explains image=any_ct.nii.gz, "
            "or a folder of them, here, without data=…; labelled volumes in Python, "
            "segtrace.explain(net, loader, …, window=(96, 96, 96))"
        )
    if plain["preprocessing"].get("percentile") is not None:
        raise InputError(
            "preprocessing.percentile would be each window's own; leave it out, and give window=…"
        )


def check_files(plain: Mapping[str, Any]) -> None:
    """Refuse a file that is named and is not there, before any work.

    Raises:
        InputError: there is no such file.
    """
    for option in FILES:
        path = None if plain[option] is None else Path(plain[option])
        if path is None or path.is_file() or (option, plain[option]) == ("edges", PROPOSED):
            continue
        if option != "image" or not path.is_dir():  # of a folder of DICOM files more is told
            raise InputError(f"{option}={path}: {_instead_of_a_file(path)}")


def check_organs(plain: Mapping[str, Any]) -> None:
    """Refuse an organ that the checkpoint's network does not know, before any data is prepared.

    Raises:
        InputError: a name that it lacks.
    """
    if plain["checkpoint"] is None or plain["organs"] is None:
        return
    known = checkpoint.describe(paths_of(plain["checkpoint"])[0])["organs"]
    for organ in listed(plain["organs"]) or []:
        if organ not in known:
            raise unknown("organ", organ, known, "this network")


def _instead_of_a_file(path: Path) -> str:
    if path.is_dir():
        return "a folder; name a file"
    return "no file with contents to read; name another" if path.exists() else "no such file"


def check_asked_of_data(typed: Collection[str], plain: Mapping[str, Any]) -> None:
    """Refuse what was asked of slices and is decided by the network of a checkpoint.

    Args:
        typed: names of the options on the command line; what a YAML file has is no question.
        plain: option -> value.

    Raises:
        InputError: another size or window, or other organs, than the network was trained on.
    """
    asked = [key for key in FITTED if f"data.{key}" in typed]
    if "window" in asked and "window" in (plain["preprocessing"] or {}):
        raise InputError(
            f"data.window={in_yaml(plain['data']['window'])} and preprocessing.window are two "
            "answers to one question; leave data.window out"
        )
    if plain["checkpoint"] is None or not plain.get("data") or not asked:
        return
    path = paths_of(plain["checkpoint"])[0]
    own = checkpoint.describe(path)["preprocessing"]
    own = {**own, "resizing": Preprocessing.from_plain(own).resizing}
    for key in asked:
        needed, given = own[key], plain["data"].get(key)
        if list(needed) != listed(given) if key == "organs" else needed != given:
            remedy = ", and say which with organs=[…]" if key == "organs" else ""
            shown = list(needed) if key == "organs" else needed
            raise InputError(
                f"data.{key}={in_yaml(given)}: the network of {path} takes {in_yaml(shown)}, so "
                f"that its slices are made so; leave data.{key} out{remedy}"
            )
