"""A data set that is still packed, as Synapse sends it: unpacked once, and whole or not at all.

An archive is data of unknown origin. Only its NIfTI files are taken, no name leads out of the
folder, nothing becomes a link, and no more is written than the archive declares and the disk holds.
"""

import hashlib
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from segtrace import room
from segtrace.data.cache.drafts import draft
from segtrace.errors import InputError, why
from segtrace.progress import counted, over

MOST_FILES = 10_000
LARGEST = 64 * 2**30
"""Bytes of all files together; Synapse takes about 3 GiB."""
PACKED = 1100
"""Deflate cannot make anything smaller than by about this factor."""
_USUAL = "RawData.zip"
_ENDINGS = (".nii", ".nii.gz")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


def unpacked(root: str | Path) -> Path:
    """The folder itself; or, of an archive or a folder that holds one in its place, what is in it.

    Raises:
        InputError: a file that is no zip archive; a damaged one, or one that is not safe to
            unpack; several; no room.
    """
    path = Path(root).expanduser()
    if path.is_dir():
        archives = [] if any(path.rglob("img")) else sorted(path.glob("*.zip"))
        usual = [archive for archive in archives if archive.name == _USUAL]
        if not archives:
            return path
        if len(usual or archives) > 1:
            names = ", ".join(archive.name for archive in archives)
            raise InputError(f"{path}: it holds {names}; give data.root=<one of them>")
        path = (usual or archives)[0]
    return _unpacked(path) if path.is_file() else path


def _unpacked(path: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            files = _files(path, archive.infolist())
            final = path.with_name(f"{path.stem}-{_digest(files)}")
            if not final.is_dir():
                _write(path, archive, files, final)
            return final
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a readable zip archive ({reason}); download it again, or give "
            "data.root=<the unpacked folder>"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({why(error)})") from error


def _files(path: Path, members: Sequence[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The NIfTI files of an archive, each of which can be unpacked without harm."""
    wanted = [one for one in members if one.filename.lower().endswith(_ENDINGS)]
    files = [one for one in wanted if not _left_behind(one)]
    if not files:
        raise InputError(f"{path}: no NIfTI file is in it; give the archive of the scans")
    for one in files:
        if (fault := _fault(one)) is not None:
            raise InputError(
                f"{path}: not unpacked, since {one.filename!r} in it {fault}; download it again"
            )
    size = sum(one.file_size for one in files)
    if len({one.filename for one in files}) < len(files):
        raise InputError(f"{path}: not unpacked, since two files in it have one name")
    if len(files) > MOST_FILES or size > LARGEST:
        raise InputError(
            f"{path}: not unpacked, since it declares {len(files)} files of "
            f"{room.in_words(size)}; at most {MOST_FILES} of {room.in_words(LARGEST)} are taken"
        )
    return files


def _left_behind(member: zipfile.ZipInfo) -> bool:
    """By an operating system, beside the files."""
    name = PurePosixPath(member.filename)
    return "__MACOSX" in name.parts or name.name.startswith(".")


def _fault(member: zipfile.ZipInfo) -> str | None:
    """Why a file must not be unpacked."""
    name = member.filename
    parts = name.split("/")
    if ".." in parts or "" in parts or "\\" in name or ":" in name:
        return "leads out of the folder"
    if not name.isprintable():
        return "holds control codes"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is no file but a link or a device"
    if member.file_size > PACKED * max(member.compress_size, 1):
        return f"declares {member.file_size} bytes of {member.compress_size}"
    return None


def _digest(files: Sequence[zipfile.ZipInfo]) -> str:
    """Of what an archive says it holds: another content is unpacked into another folder."""
    content = repr([(one.filename, one.file_size, one.CRC) for one in files])
    return hashlib.sha256(content.encode()).hexdigest()[:10]


def _write(
    path: Path, archive: zipfile.ZipFile, files: Sequence[zipfile.ZipInfo], final: Path
) -> None:
    size = sum(one.file_size for one in files)
    elsewhere = "unpack it yourself and give data.root=<that folder>"
    try:
        free = shutil.disk_usage(path.parent).free
        room.check(size, free, f"{path}: unpacked it takes", elsewhere, "disk")
        with draft(final) as partial:
            of = f"{counted(len(files), 'file')}, {room.in_words(size)}"
            words = f"Unpacking {path.name}: {of}, to {final}"
            for one in over(files, words):
                target = partial.joinpath(*one.filename.split("/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                # Ends with the checksum, and after as many bytes as were declared.
                with archive.open(one) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be unpacked beside itself ({why(error)}); {elsewhere}"
        ) from error
