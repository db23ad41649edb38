"""Which options of ``explain.py`` go together: none is taken and then left aside."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from segtrace.attribution.forward import SCORES
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.targets import REGIONS
from segtrace.checkpoint import loading as checkpoint
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.explain.options import listed
from segtrace.cli.limits import check_devices
from segtrace.cli.train.plan import check_probes
from segtrace.errors import InputError, unknown
from segtrace.studies.cut_subject import check_cut
from segtrace.studies.subject import paths_of
from segtrace.training.construction import in_yaml
from segtrace.training.precision import refuse_half

SLICES: dict[str, Any] = {"n": 8, "from": "val"}
"""Which slices of a data set are explained where nothing else is said."""
PARTS = ("val", "train", "test")
FILES = ("image", "untrained", "weights", "edges")
"""Options that name one file."""
FITTED = ("size", "window", "organs")
"""What a checkpoint's network has of its own, and a data set is made to fit."""
TASKS = ("checkpoint", "net", "image", "cases", "volume", "data", "cut", "verdict", "log_dir")
"""What is explained, and how it is told; a comparison of runs has none of them."""


def check_together(plain: Mapping[str, Any]) -> None:
    """Hold the options of ``explain.py`` against one another.

    Args:
        plain: option -> value, each of its option's kind.

    Raises:
        InputError: names that do not exist; options that exclude one another, or need another.
    """
    _check_names(plain)
    if plain["runs"] is not None:
        _refuse_beside(plain, "runs", TASKS, "runs are compared by the tables they left")
        return
    if plain["verdict"] and plain["checkpoint"] is None:
        raise InputError("verdict=true needs checkpoint=…, which holds what stands for a cut")
    if plain["checkpoint"] is None and plain["net"] is None:
        raise InputError(
            "say what to explain: checkpoint=…, or net=module:builder weights=…; or runs=… to "
            "compare seeds"
        )
    if plain["checkpoint"] is not None:
        _check_checkpoint(plain)
    else:
        _check_own_network(plain)
    check_cut(plain)
    refuse_half(plain["trainer"].get("precision"), "trainer.precision")
    check_devices(plain["trainer"])
    _check_slices(plain)


def _check_names(plain: Mapping[str, Any]) -> None:
    for option, allowed in (("region", REGIONS), ("score", SCORES)):
        if plain[option] is not None and plain[option] not in allowed:
            raise unknown(option, plain[option], allowed)
    if plain["rules"] is not None:
        resolve_rules(rules_of(listed(plain["rules"]) or []))
    check_probes(SLICES | given_of(plain["probes"]), PARTS, {"n": int, "from": str})


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not null."""
    return {option: value for option, value in options.items() if value is not None}


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
    if plain["image"] is not None and plain.get("data"):
        raise InputError("image=… and data=… are two answers to one question; leave one out")


def _check_own_network(plain: Mapping[str, Any]) -> None:
    """A network of the user's own brings files and data."""
    if isinstance(plain["stages"], list):
        raise InputError(
            f"stages={plain['stages']}: a network of your own needs a YAML file with lines such as "
            "enc1: encoder.layer1; say stages=stages.yaml"
        )
    if not plain.get("data"):
        raise InputError("net=… needs data=… data.root=…, which says organs and slices")
    if plain["weights"] is None:
        raise InputError(f"net={plain['net']} needs weights=…, the file with its state dict")
    if plain["log_dir"] is not None:
        raise InputError(
            f"log_dir={plain['log_dir']}: TensorBoard's step is the epoch, which checkpoints of "
            "train.py know; say checkpoint=…"
        )


def _check_slices(plain: Mapping[str, Any]) -> None:
    """One answer to the question which slices."""
    if plain["image"] is not None and plain["cases"] is not None:
        raise InputError("image=… and cases=… are two answers to one question; leave one out")
    if plain["cases"] is not None and not plain.get("data"):
        raise InputError("say which volumes: image=…, or cases=[…] data=… data.root=…")
    if plain["volume"] and plain["image"] is None and plain["cases"] is None:
        raise InputError("say which volumes: image=…, or cases=[…] data=… data.root=…")
    if plain["verdict"]:
        others = ("image", "cases", "volume", "cut", "log_dir")
        _refuse_beside(plain, "verdict", others, "maps are judged on labelled slices, by cuts")
    whole = plain["volume"] or plain["cases"] is not None
    if whole:
        what = "volume" if plain["volume"] else "cases"
        _refuse_beside(plain, what, ("log_dir",), "no training is told")
    given = list(given_of(plain["probes"]))
    if not given or plain["verdict"]:
        return
    if whole:
        raise InputError(f"probes.{given[0]} chooses slices, and all are explained; leave it out")
    if not plain.get("data") and (plain["image"] is None or "from" in given):
        raise InputError(
            f"probes.{given[-1]}={plain['probes'][given[-1]]} is for slices of data=…, and "
            + ("an image has no parts" if plain["image"] else "a checkpoint brings its own")
            + "; leave it out"
        )


def check_files(plain: Mapping[str, Any]) -> None:
    """Refuse a file that is named and is not there, before any work.

    Raises:
        InputError: there is no such file.
    """
    for option in FILES:
        path = None if plain[option] is None else Path(plain[option])
        if path is None or path.is_file():
            continue
        if option != "image" or not path.is_dir():  # of a folder of DICOM files more is told
            raise InputError(f"{option}={path}: {_instead_of_a_file(path)}")


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
    if plain["checkpoint"] is None or not plain.get("data") or not asked:
        return
    path = paths_of(plain["checkpoint"])[0]
    own = checkpoint.describe(path)["preprocessing"]
    for key in asked:
        needed, given = own[key], plain["data"].get(key)
        if list(needed) != listed(given) if key == "organs" else needed != given:
            remedy = ", and say which with organs=[…]" if key == "organs" else ""
            shown = list(needed) if key == "organs" else needed
            raise InputError(
                f"data.{key}={in_yaml(given)}: the network of {path} takes {in_yaml(shown)}, so "
                f"that its slices are made so; leave data.{key} out{remedy}"
            )


def _refuse_beside(
    plain: Mapping[str, Any], option: str, others: tuple[str, ...], why: str
) -> None:
    for other in others:
        if plain.get(other) not in (None, False, {}):
            raise InputError(f"{option} and {other} do not go together: {why}; leave {other} out")
