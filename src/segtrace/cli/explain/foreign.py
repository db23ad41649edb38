"""What goes with a network of another framework, which brings nearly all with it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from segtrace.cli.limits import check_devices
from segtrace.errors import InputError
from segtrace.studies.inputs.images import given_of
from segtrace.studies.slices import Slices
from segtrace.studies.study import Study
from segtrace.training.construction import in_yaml

BESIDE = (
    "checkpoint", "nnunet", "bundle", "net", "weights", "edges", "output", "preprocessing", "data",
    "untrained", "log_dir",
)  # fmt: skip
"""What the folder says itself, or what belongs to another kind of network."""


def check_foreign(
    plain: Mapping[str, Any], option: str, study: Study, explainers: Collection[str]
) -> None:
    """Hold the other options against it, before any work.

    Raises:
        InputError: one that it needs, or would leave aside.
    """
    named = f"{option}={plain[option]}"
    for other in BESIDE:
        if other != option and plain.get(other):
            raise InputError(f"{named} says all of its network itself; leave {other} out")
    if plain["fold"] is not None and option != "nnunet":
        raise InputError(f"fold={plain['fold']} is of nnunet=FOLDER; leave it out")
    for key, value in plain["model"].items():
        if value is not None:
            said = f"model.{key}={in_yaml(value)}"
            raise InputError(f"{said}: {option} knows its {key}; leave it out")
    if explainers:
        raise InputError(f"{named} is explained by maps; leave explainer out")
    if not isinstance(study, Slices) or study.cut is not None:
        raise InputError(
            f"{named} is explained by maps alone, study=slices or paper_figure without cuts; the "
            "others are called from Python: segtrace.explain, necessity, route"
        )
    _check_images(plain, option)
    check_devices(plain["trainer"])


def _check_images(plain: Mapping[str, Any], option: str) -> None:
    if isinstance(stages := plain["stages"], str) and stages.endswith((".yaml", ".yml")):
        raise InputError(f"stages={stages}: {option} knows its stages; give names, [enc1,dec4]")
    if plain["image"] is not None and Path(plain["image"]).is_dir():
        raise InputError(f"image={plain['image']}: with {option} name one file of the folder")
    given = given_of(plain["probes"])
    if plain["image"] is None and (option == "bundle" or given):
        asked = f"probes.{next(iter(given))} is of an image" if given else "a bundle has none"
        raise InputError(f"say which image, image=ct.nii.gz: {asked}")
    if "from" in given:
        raise InputError("probes.from: an image has no parts; leave it out")
