"""Write results so that a file is whole or absent, and read the maps back."""

import errno
import hashlib
import io
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from segtrace.errors import InputError, why
from segtrace.report.pictures.cells import Picture
from segtrace.report.record import Record, pack, unpack

PACKAGES = (
    "segtrace",
    "torch",
    "monai",
    "pytorch-lightning",
    "hydra-core",
    "numpy",
    "scipy",
    "nibabel",
    "tensorboard",
    "matplotlib",
    "pillow",
)
FEW_COLOURS = 96
"""A diagram of 1074 pixels across then takes about 35 KiB."""
JPEG_QUALITY = 75
"""Ten pictures of 2 x 12 cells then take under 2 MiB; letters and contours stay clean."""
REMEDIES = {
    errno.ENOSPC: "free some space or name another folder",
    errno.EDQUOT: "free some space or name another folder",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "choose a folder you may write to",
    errno.ENOTDIR: "a part of this path is a file; name another folder",
    errno.EEXIST: "a part of this path is a file; name another folder",
    errno.EISDIR: "this is a folder; name a file",
    errno.ENAMETOOLONG: "choose a shorter name",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into one line with a remedy.

    Raises:
        InputError: for any ``OSError`` raised inside.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose another place")
        raise InputError(f"cannot write {path}: {why(error)}; {remedy}") from error


@contextmanager
def atomic(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file that takes its name only when the block has ended well.

    It is written beside its place under a hidden name; after an exception nothing is left, and
    what stood at ``path`` before still does. Missing folders are made.

    Raises:
        InputError: if it cannot be written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("wb") as file:
                yield file
            draft.replace(path)
        finally:
            _discard(draft)


@contextmanager
def growing(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file to add to; after an exception it is as long as it was before.

    Unlike :func:`atomic` it copies nothing, so that adding costs the same however long the file
    is; a process that is killed meanwhile may leave a part of what it added.

    Raises:
        InputError: if it cannot be written.
    """
    path = Path(path)
    with writing(path):
        before = path.stat().st_size
        try:
            with path.open("ab") as file:
                yield file
        except BaseException:
            os.truncate(path, before)
            raise


def _discard(draft: Path) -> None:
    if draft.exists():
        draft.unlink()


def check_writable(folder: Path | str) -> None:
    """Make the folder and prove that a file can be written there, before any work is done.

    Raises:
        InputError: if not, with the reason.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"segtrace")


def check_could_be_written(folder: Path | str) -> None:
    """Prove that the folder could be made, or written to where it is there; nothing is left.

    Raises:
        InputError: if not, with the reason.
    """
    folder = Path(folder)
    with writing(folder):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        TemporaryFile(dir=there).close()


def remove(path: Path | str) -> None:
    """Take away a file, or a folder with all it holds; nothing happens where there is none.

    Raises:
        InputError: if that is not allowed.
    """
    path = Path(path)
    with writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def save_bytes(path: Path | str, content: bytes) -> None:
    """Write what is encoded already."""
    with atomic(path) as file:
        file.write(content)


def save_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text; half letters, which a file's name may hold, are spelled out."""
    with atomic(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def save_png(path: Path | str, picture: Picture) -> None:
    """Write (H, W, 3) as PNG, lossless, packed lightly: drawing must not slow training."""
    with atomic(path) as file:
        Image.fromarray(picture).save(file, "PNG", compress_level=1)


def jpeg(picture: Picture, quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) as JPEG with full colour resolution, since contours are a pixel wide."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    return buffer.getvalue()


def small_png(picture: Picture) -> bytes:
    """(H, W, 3) as PNG in few colours, for pages and notebooks that hold their pictures."""
    buffer = io.BytesIO()
    few = Image.fromarray(picture).quantize(
        FEW_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    few.save(buffer, "PNG")
    return buffer.getvalue()


def png(picture: Picture) -> bytes:
    """(H, W, 3) as PNG, packed fairly: for charts, whose few colours a JPEG would smear."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def save_maps(path: Path | str, record: Record, *, embed: bool = True) -> None:
    """Write a flow and its scene to one ``.npz`` that loads with ``allow_pickle=False``.

    One array per stage, (rule, organ, slice, h, w), signed, at native resolution, with the dtype
    of the flow; the other names are listed in :func:`segtrace.report.record.pack`.

    Args:
        path: ``maps.npz``.
        record: the flow, its scene, the region and the epoch.
        embed: include the CT slices and labels (patient images).

    Raises:
        InputError: if it cannot be written.
    """
    save_arrays(path, pack(record, embed=embed))


def save_arrays(path: Path | str, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays to one ``.npz`` that loads with ``allow_pickle=False``.

    Raises:
        InputError: if it cannot be written.
    """
    with atomic(path) as file, ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            # An entry made from its name alone bears no date: equal maps make equal files.
            with archive.open(ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)


def load_maps(path: Path | str) -> Record:
    """Read what :func:`save_maps` wrote, bit for bit.

    Raises:
        InputError: if the file is missing, damaged or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}; expected the maps.npz that explain.py writes")
    try:
        with ZipFile(path) as archive:
            return unpack(
                {name.removesuffix(".npy"): _entry(archive, name) for name in archive.namelist()}
            )
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(
            f"{path}: not a whole maps.npz of segtrace ({error}); write it again with explain.py"
        ) from error


def _entry(archive: ZipFile, name: str) -> NDArray:
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def sha256(path: Path | str) -> str:
    """The file's hash in hexadecimal, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def version_of(package: str) -> str | None:
    """Of an installed package; ``None`` where it runs without being installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The CPU's name as the system gives it; the architecture where it gives none."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def environment() -> dict[str, object]:
    """What the bits of a result depend on besides the configuration: plain values."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _processor(),
        "threads": torch.get_num_threads(),
        "packages": {name: version for name in PACKAGES if (version := version_of(name))},
    }


def save_manifest(path: Path | str, facts: Mapping[str, object]) -> None:
    """Write JSON: the facts (configuration, hashes) and the environment they held in.

    Args:
        path: ``manifest.json``.
        facts: plain values; the key ``environment`` is filled in unless it is given.

    Raises:
        InputError: if it cannot be written.
        TypeError: if a fact is no plain value.
    """
    whole = {"environment": environment(), **facts}
    save_text(path, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
