"""A trained nnU-Net, read from the folder of its results."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nibabel import orientations
from numpy.typing import NDArray

from segtrace.checkpoint import loading
from segtrace.checkpoint.plain import plain, tensors_of
from segtrace.checkpoint.reading import read
from segtrace.data.files.nifti import Volume
from segtrace.data.probes import Probes
from segtrace.errors import InputError, printable
from segtrace.integrations.files import needed, read_json
from segtrace.integrations.foreign import Case, Foreign
from segtrace.integrations.nnunet.network import build
from segtrace.integrations.nnunet.plans import TURNED, Labels, Plans
from segtrace.integrations.nnunet.preprocessing import Prepared, back, laid, prepare
from segtrace.report.files import sha256

FINAL, BEST = "checkpoint_final.pth", "checkpoint_best.pth"
CHECKPOINTS = {
    FINAL: "",
    BEST: "its best epoch so far",
    "checkpoint_latest.pth": "the epoch that it saved last",
}
"""The weights that are explained, the first that there is -> which they are before the end."""
PROBES = "probes.pt"
"""In the folder of a watched training: the windows that it was watched on."""
_RAS = orientations.axcodes2ornt("RAS")


def read_result(folder: Path, fold: int | str = 0) -> Foreign:
    """The network of a fold, with what its plans say of it.

    Args:
        folder: of one configuration, ``…/Dataset001_X/nnUNetTrainer__nnUNetPlans__2d``.
        fold: its number, or ``all``.

    Raises:
        InputError: a file that is missing, damaged, or says what nnU-Net's own files do not.
    """
    if not folder.is_dir():
        raise InputError(f"nnunet={folder}: no such folder; name the one that holds plans.json")
    plans_file, place = folder / "plans.json", folder / f"fold_{fold}"
    if not plans_file.is_file() and (meant := _configurations(folder)):
        raise InputError(f"nnunet={folder} holds no plans.json; name {' or '.join(meant)}")
    plain_plans, dataset = read_json(plans_file), read_json(folder / "dataset.json")
    if not place.is_dir():
        there = sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*"))
        raise InputError(f"fold={fold}: {folder} has folds {', '.join(there) or 'none'}")
    path = next((place / name for name in CHECKPOINTS if (place / name).is_file()), place / FINAL)
    saved = read(path)
    said = needed(saved, "init_args", dict, str(path)).get("configuration")
    plans = Plans.of(plain_plans, str(said), str(plans_file))
    labels = Labels.of(dataset, str(folder / "dataset.json"))
    weights = tensors_of(needed(saved, "network_weights", dict, str(path)), "", str(path))
    weights = {name.removeprefix("module."): one for name, one in weights.items()}
    net = build(plans, labels.heads, weights, str(plans_file))
    loading.fill(net, weights, path)
    notes = () if path.name == FINAL else (
        f"the training has not ended: {path.name} is explained, {CHECKPOINTS[path.name]}",
    )  # fmt: skip
    return Foreign(
        name=f"fold_{fold}",
        net=net,
        organs=labels.organs,
        activation=labels.activation,
        patch=plans.patch,
        channels=plans.channels,
        prepared=partial(prepared_case, plans=plans),
        facts={
            "network": type(net).__name__,
            "nnunet": printable(folder.name),
            "configuration": plans.configuration,
            "fold": str(fold),
            "checkpoint": path.name,
            "sha256": sha256(path),
            "trainer": printable(str(saved.get("trainer_name")), 80),
        },
        probes=_watched(place / "flow" / PROBES),
        notes=notes,
    )


def _configurations(folder: Path) -> list[str]:
    """Folders above and below that hold plans: one was named that lies beside what is meant."""
    near = [*folder.resolve().parents[:2], *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    return [str(one) for one in near if (one / "plans.json").is_file()][:4]


def prepared_case(volume: Volume, plans: Plans) -> Case:
    """An image as nnU-Net's own reader and preprocessor make it.

    Raises:
        InputError: see :func:`~segtrace.integrations.nnunet.preprocessing.prepare`.
    """
    affine = np.array(volume.grid.affine)
    order = np.array([(0, 1), (1, 1), (2, 1)])
    if plans.reader == TURNED:
        order = orientations.ornt_transform(orientations.io_orientation(affine), _RAS)
    stored = [volume.grid.from_slices(one) for one in volume.channels]
    turned = [orientations.apply_orientation(one, order) for one in stored]
    mine = affine @ orientations.inv_ornt_aff(order, volume.grid.shape)
    spacing = np.linalg.norm(mine[:3, :3], axis=0)[::-1]
    prepared = prepare(np.stack([one.T for one in turned]), spacing.tolist(), plans)
    return Case(
        volume,
        torch.from_numpy(prepared.image),
        mine @ to_file(prepared.box, prepared.image.shape[1:], plans),
        partial(_back, prepared=prepared, plans=plans, order=order),
    )


def to_file(box: Sequence[slice], shape: Sequence[int], plans: Plans) -> NDArray[np.float64]:
    """4 x 4, from voxels of a prepared image to voxels (x, y, z) of the file.

    Args:
        box: of the file, by the order of the plans' axes.
        shape: of the image, which covers it.
        plans: say the order.
    """
    found = np.zeros((4, 4))
    found[3, 3] = 1
    for axis, (side, voxels) in enumerate(zip(box, shape, strict=True)):
        ratio = (side.stop - side.start) / voxels
        row = 2 - plans.transposed[axis]  # of z, y, x as x, y, z
        found[row, axis] = ratio
        found[row, 3] = ratio / 2 - 0.5 + side.start
    return found


def _back(
    values: NDArray[np.float32], prepared: Prepared, plans: Plans, order: NDArray[Any]
) -> NDArray[np.float32]:
    found = laid(back(values, prepared, plans), prepared, plans, -np.inf).T
    undone = np.empty_like(order)
    for axis, (target, flip) in enumerate(order.astype(int)):
        undone[target] = (axis, flip)
    turned: NDArray[np.float32] = orientations.apply_orientation(found, undone)
    return turned


def _watched(path: Path) -> Probes | None:
    """The windows that a training was watched on, where it was."""
    if not path.is_file():
        return None
    held: Mapping[str, Any] = plain(read(path), str(path))
    try:
        return Probes.from_plain(held)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} holds no windows of a training ({printable(error, 200)}); remove it, and say "
            "image=…"
        ) from error
