"""A MONAI bundle, read from its folder: nothing in it is run."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from torch import Tensor

from segtrace.activation import SIGMOID, SOFTMAX, Organ
from segtrace.checkpoint import loading
from segtrace.checkpoint.own_network import fitted
from segtrace.checkpoint.plain import stored
from segtrace.checkpoint.reading import read
from segtrace.data.files.nifti import Volume
from segtrace.data.labels import check_names
from segtrace.errors import InputError, printable, unknown
from segtrace.integrations.bundle.references import TARGET, Config
from segtrace.integrations.bundle.transforms import Preprocessing
from segtrace.integrations.files import read_config, read_json
from segtrace.integrations.foreign import Case, Foreign
from segtrace.integrations.windows import check_patch
from segtrace.models import networks, table
from segtrace.report.files import sha256

ROOM, SLACK = 4, 2**20
"""As many times the bytes of the weights in the file, and beside, may a network take."""
CONFIGS = ("inference.json", "inference.yaml", "inference.yml")
WEIGHTS, SCRIPT = "model.pt", "model.ts"
"""In ``models/``: weights, which are read, and a TorchScript, which would have to be run."""
BACKGROUND = "background"
OBSOLETE = {"SwinUNETR": ("img_size",)}
"""Arguments that today's MONAI does not take, and that change nothing."""
SHORT = {
    path.rpartition(".")[2]: key
    for path, key in table.PATHS.items()
    if path.startswith("monai.networks.nets.")
}
"""Name of a class of MONAI -> its key in our table."""


def read_bundle(folder: Path) -> Foreign:
    """The network of a bundle, with what it says of images and labels.

    Args:
        folder: that holds ``configs/inference.json`` (or ``.yaml``), ``configs/metadata.json`` and
            ``models/model.pt``.

    Raises:
        InputError: a file that is missing or damaged; a network outside the table; what is needed
            and is no plain value.
    """
    if not folder.is_dir():
        raise InputError(f"bundle={folder}: no such folder; name the one that holds configs/")
    configs = [folder / "configs" / name for name in CONFIGS]
    path = next((one for one in configs if one.is_file()), configs[0])
    config = Config(read_config(path), str(path))
    metadata = read_json(folder / "configs" / "metadata.json")
    key, arguments = _network(config)
    weights_file = _weights(folder / "models")
    saved = read(weights_file)
    most = ROOM * stored(_tensors(saved)) + SLACK
    net = networks.build(key, arguments, f"{path}: network_def", most)
    loading.fill(net, fitted(saved, net), weights_file)
    preprocessing = Preprocessing.of(config)
    patch = _patch(config, metadata, int(arguments["spatial_dims"]))
    activation, doubt = _activation(config, int(arguments["out_channels"]))
    organs = _organs(metadata, activation, int(arguments["out_channels"]), str(folder))
    notes = [doubt] if doubt else []
    if preprocessing.left_out:
        notes.append(
            f"not run of the bundle's preprocessing, since they are not in the table: "
            f"{', '.join(preprocessing.left_out)}; where they change the image, its maps are of "
            "another one"
        )
    return Foreign(
        name=printable(folder.resolve().name, 80),
        net=net.eval(),
        organs=organs,
        activation=activation,
        patch=patch,
        channels=int(arguments["in_channels"]),
        prepared=partial(_prepared, preprocessing=preprocessing, planar=len(patch) == 2),
        facts={
            "network": key,
            "bundle": printable(folder.resolve().name),
            "checkpoint": weights_file.name,
            "sha256": sha256(weights_file),
            "version": printable(str(metadata.get("version")), 80),
        },
        notes=tuple(notes),
    )


def _weights(folder: Path) -> Path:
    """The file of the weights.

    Raises:
        InputError: it is not there, with what is.
    """
    path = folder / WEIGHTS
    if path.is_file():
        return path
    others = sorted(one.name for one in folder.glob("*") if one.suffix in (".pt", ".pth", ".ts"))
    if others == [SCRIPT]:
        raise InputError(
            f"{path} does not exist, and {SCRIPT} is a program, which is not run; take its weights "
            f"yourself: torch.save(torch.jit.load({str(folder / SCRIPT)!r}).state_dict(), "
            f"{str(path)!r})"
        )
    there = f"rename {' or '.join(map(printable, others))}" if others else "download it"
    raise InputError(f"{path} does not exist; {there}")


def _network(config: Config) -> tuple[str, dict[str, Any]]:
    """Key in the table, and arguments."""
    place = "network_def" if "network_def" in config.values else "network"
    node = config.followed(config.values.get(place), place)
    if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str):
        raise config.refused(place, node, "a class of MONAI, _target_, and its arguments are read")
    target = node[TARGET]
    key = table.PATHS.get(target) if "." in target else SHORT.get(target)
    if key is None or not table.NETWORKS[key].module.startswith("monai."):
        raise unknown("network", printable(target, 120), sorted(SHORT), f"{config.where}: MONAI")
    own = {
        name: config.plain(value, f"{place}#{name}")
        for name, value in node.items()
        if not name.startswith("_") and name not in OBSOLETE.get(key, ())
    }
    for name, usual in _usual(key).items():
        if name not in own and usual is inspect.Parameter.empty:
            raise InputError(f"{config.where}: {place} lacks {name}; write it there")
        own.setdefault(name, usual)
    return key, own


def _usual(key: str) -> dict[str, Any]:
    """The shape of a class of our table where nothing is said of it."""
    known = table.NETWORKS[key]
    parameters = inspect.signature(getattr(import_module(known.module), known.name)).parameters
    return {name: parameters[name].default for name in table.SHAPE}


def _tensors(saved: Mapping[str, Any], depth: int = 3) -> list[Tensor]:
    found: list[Tensor] = []
    for value in saved.values():
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, Mapping) and depth:
            found += _tensors(value, depth - 1)
    return found


def _patch(config: Config, metadata: Mapping[str, Any], sides: int) -> tuple[int, ...]:
    """Sides of a window: of the inferer, or as the metadata say."""
    node = config.followed(config.values.get("inferer", {}), "inferer")
    place = "inferer#roi_size"
    if isinstance(node, Mapping) and "roi_size" in node:
        given = config.plain(node["roi_size"], place)
        given = [given] * sides if isinstance(given, int) else given
    else:
        place = "network_data_format#inputs#image#spatial_shape"
        given = _within(metadata, place)
    whole = isinstance(given, list) and all(type(n) is int and n > 0 for n in given)
    if not whole or len(given) < sides:
        raise InputError(
            f"{config.where}: {place}={printable(repr(given), 80)}; {sides} sides of a window are "
            "needed: write them as inferer#roi_size"
        )
    check_patch(given[:sides], f"{config.where}: {place}")
    return tuple(given[:sides])


def _activation(config: Config, channels: int) -> tuple[str, str]:
    """As the postprocessing says; and a doubt, where it does not."""
    node = config.followed(config.values.get("postprocessing", {}), "postprocessing")
    listed = node.get("transforms", []) if isinstance(node, Mapping) else []
    for one in listed if isinstance(listed, list) else []:
        for name, found in (("softmax", SOFTMAX), ("argmax", SOFTMAX), ("sigmoid", SIGMOID)):
            if isinstance(one, Mapping) and one.get(name) in (True, [True, False], [True]):
                return found, ""
    found = SIGMOID if channels == 1 else SOFTMAX
    return found, f"the bundle's postprocessing names no activation: read as a {found}"


def _organs(
    metadata: Mapping[str, Any], activation: str, channels: int, where: str
) -> dict[str, Organ]:
    """Organ -> channel, as the metadata say."""
    place = "network_data_format#outputs#pred#channel_def"
    given = _within(metadata, place)
    named = given if isinstance(given, Mapping) else {}
    organs: dict[str, Organ] = {}
    for number, name in named.items():
        if not (number.isdecimal() and int(number) < channels and isinstance(name, str)):
            raise InputError(
                f"{where}: {place} has {printable(number, 40)}={printable(repr(name), 80)}; the "
                f"network has channels 0 to {channels - 1}, each of which is named"
            )
        if name.lower() == BACKGROUND or (activation == SOFTMAX and number == "0"):
            continue
        if name in organs:
            raise InputError(f"{where}: {place} names {printable(name, 80)} twice")
        organs[name] = Organ(int(number), int(number) + (activation == SIGMOID))
    if not organs:
        raise InputError(f"{where}: {place} in metadata.json names no organ; name each channel")
    check_names(organs)
    return organs


def _within(values: Any, place: str) -> Any:
    for part in place.split("#"):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _prepared(volume: Volume, preprocessing: Preprocessing, planar: bool) -> Case:
    """An image as the bundle's transforms make it; of a network of slices planes of its last axis.

    Raises:
        InputError: a transform fails on it.
    """
    file = np.array(volume.grid.affine)
    stored_values = np.stack([volume.grid.from_slices(one) for one in volume.channels])
    try:
        found = preprocessing(MetaTensor(torch.from_numpy(stored_values), torch.from_numpy(file)))
    except (RuntimeError, ValueError, TypeError) as error:
        line = printable(str(error).strip().split("\n")[0], 200)
        raise InputError(f"{volume.where}: the bundle's preprocessing fails: {line}") from error
    affine = np.asarray(found.affine, np.float64)
    image = found.as_tensor().float().contiguous()
    if planar:
        order = (2, 0, 1)
        image = image.permute(0, *(1 + axis for axis in order)).contiguous()
        affine = affine[:, [*order, 3]]
    to_image = np.linalg.inv(affine) @ file
    return Case(volume, image, affine, partial(_back, to_image=to_image, size=volume.grid.shape))


def _back(
    values: NDArray[np.float32], to_image: NDArray[np.float64], size: Sequence[int]
) -> NDArray[np.float32]:
    """Linear between voxels; beyond the image nothing."""
    matrix, offset = to_image[:3, :3], to_image[:3, 3]
    found = affine_transform(values, matrix, offset, tuple(size), order=1, mode="nearest")
    inside = affine_transform(
        np.ones(values.shape, np.float32), matrix, offset, tuple(size), order=0,
        mode="grid-constant",
    )  # fmt: skip
    beyond: NDArray[np.float32] = np.where(inside > 0, found, -np.inf).astype(np.float32)
    return beyond
