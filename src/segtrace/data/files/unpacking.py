"""What a file holds, told by its content: its name may say something else."""

import bz2
import errno
import math
import stat
import zlib
from pathlib import Path

import nibabel
from nibabel.spatialimages import HeaderDataError

from segtrace import room
from segtrace.errors import InputError, why
from segtrace.processes import free_memory

_AGAIN = "copy or download it again"
_OTHERS = {
    b"\x1f\x8b": "compressed twice; unpack it once",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"\xfd7zXZ": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"version https://git-lfs": "a pointer of git LFS; fetch the file with: git lfs pull",
    b"<": "a web page, such as a site sends instead of a file; log in and download it again",
    b"NRRD": "an NRRD file; save it as NIfTI",
    b"ObjectTy": "a MetaImage; save it as NIfTI",
    b"\0\0\0\1\0\0": "a FreeSurfer volume (.mgh, .mgz); save it as NIfTI, e.g. with mri_convert",
    b"\x89HDF": "an HDF5 file; save it as NIfTI",
    b"\x93NUMPY": "a numpy array; save it as NIfTI, with its affine",
    b"\x89PNG": "a picture; save the scan as NIfTI",
    b"\xff\xd8\xff": "a picture; save the scan as NIfTI",
}
"""How other files start -> what they are, and what to do."""
_GZIP, _BZIP2 = b"\x1f\x8b", b"BZh"
_MARKS = {348: (344, b"n+1"), 540: (4, b"n+2")}
"""Bytes of a header -> where the mark of a NIfTI file stands in it, and how it starts."""
_HEADERS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_BEGIN, _MORE = 1024, 2**20
"""Bytes by which a packed file is known; those that may follow the voxels which it describes."""


def read_nifti_bytes(path: Path) -> bytes:
    """An uncompressed NIfTI file, header first; a packed one is unpacked and its checksum checked.

    No more is unpacked than the header describes: a small file can pack gigabytes of zeros.

    Raises:
        InputError: no such file, an empty one, a damaged one, or one that is something else; each
            with its own remedy.
    """
    content = _content(path)
    packed = content.startswith((_GZIP, _BZIP2))
    if packed:
        content = _unpacked(path, content)
    if not _is_nifti(content):
        raise InputError(f"{path}: {_what(path, content)}")
    if packed and path.suffix.lower() == ".nii":
        raise InputError(
            f"{path}: compressed, which its name does not say; rename it to {path.name}.gz"
        )
    if not packed and path.suffix.lower() in (".gz", ".bz2"):
        raise InputError(
            f"{path}: a plain NIfTI file, not compressed as its name says; rename it to {path.stem}"
        )
    return content


def check_file(path: Path, needed: str) -> None:
    """Refuse what is no file to read, by what it is; links to files are files.

    Args:
        path: what should be one.
        needed: how "no such file" goes on: who needs it, and what to do.

    Raises:
        InputError: nothing, a folder, a link to nothing or to itself, a pipe or a device; or
            nobody may look.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{path}: {_not_there(path, error, needed)}") from error
    if stat.S_ISDIR(mode):
        raise InputError(
            f"{path}: a folder; name one NIfTI file (dcm2niix makes one of a DICOM series)"
            if ".nii" in path.suffixes
            else f"{path}: a folder; a file is needed in its place"
        )
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: a pipe or a device; write what it gives into a file")


def _not_there(path: Path, error: OSError, needed: str) -> str:
    if error.errno == errno.ELOOP:
        return "a link that leads back to itself; mend the link"
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return f"cannot be read ({why(error)})"
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there; mend the link"
    return f"no such file{needed}"


def _content(path: Path) -> bytes:
    check_file(path, "; every case needs its image and its label")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not content:
        raise InputError(f"{path}: the file is empty; {_AGAIN}")
    return content


def _unpacked(path: Path, content: bytes) -> bytes:
    """All of it; of what is no NIfTI file the beginning. No more than its header describes."""
    unpack = _gunzipped if content.startswith(_GZIP) else _bunzipped
    try:
        begin = unpack(content, _BEGIN, whole=False)
        if not _is_nifti(begin):
            return begin
        most = _described(begin) + _MORE
        room.check(most, free_memory(), f"{path}: what its header describes takes", _AGAIN)
        return unpack(content, most)
    except InputError:
        raise
    except _TooLongError as error:
        raise InputError(
            f"{path}: it unpacks to more than the {most - _MORE} bytes that its header describes; "
            f"{_AGAIN}"
        ) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = " ".join(str(error).split())
        if "incorrect data check" in reason:
            reason = "its checksum is wrong"
        raise InputError(f"{path}: not a readable NIfTI file ({reason}); {_AGAIN}") from error


class _TooLongError(Exception):
    """It unpacks to more bytes than were allowed."""


def _gunzipped(content: bytes, most: int, *, whole: bool = True) -> bytes:
    """To the last byte, unlike a reader that stops where the image ends, before the checksum.

    Args:
        content: packed.
        most: bytes that it may unpack to.
        whole: raise where there are more; else the first of them are enough.

    Raises:
        EOFError: it ends too early.
        zlib.error: it is damaged.
        _TooLongError: there are more.
    """
    parts: list[bytes] = []  # mostly one, which is then not copied
    there = 0
    while content.startswith(_GZIP):
        unpacker = zlib.decompressobj(wbits=31)  # 15 + 16: with gzip's header and checksum
        while not unpacker.eof:
            part = unpacker.decompress(content, most - there + 1)
            parts.append(part)
            there += len(part)
            if _is_enough(there, most, whole):
                return b"".join(parts)[:most]
            content = unpacker.unconsumed_tail
            if not (part or content or unpacker.eof):
                raise EOFError("it ends too early")
        content = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)  # whatever follows the last part is ignored, as gunzip does


def _bunzipped(content: bytes, most: int, *, whole: bool = True) -> bytes:
    """The same of bzip2."""
    unpacked = bytearray()
    while content.startswith(_BZIP2):
        unpacker = bz2.BZ2Decompressor()
        while not unpacker.eof:
            part = unpacker.decompress(content, most - len(unpacked) + 1)
            unpacked += part
            if _is_enough(len(unpacked), most, whole):
                return bytes(unpacked[:most])
            content = b""
            if unpacker.needs_input:
                raise EOFError("it ends too early")
        content = unpacker.unused_data
    return bytes(unpacked)


def _is_enough(there: int, most: int, whole: bool) -> bool:
    if there > most and whole:
        raise _TooLongError
    return there > most


def _described(begin: bytes) -> int:
    """Bytes of a NIfTI file by its header, up to the last voxel; 0 where that says nothing."""
    kind = _HEADERS[_size_of_header(begin)]
    try:
        header = kind(begin[: kind.sizeof_hdr], check=False)
        bits = int(header["bitpix"]) * math.prod(map(int, header.get_data_shape()))
        return max(0, int(header["vox_offset"]) + bits // 8)
    except (HeaderDataError, ValueError, OverflowError):  # told when all of it is read
        return 0


def _size_of_header(content: bytes) -> int:
    """As the file says, in whichever byte order; 0 for none that is known."""
    sizes = {int.from_bytes(content[:4], "little"), int.from_bytes(content[:4], "big")}
    return next((size for size in _MARKS if size in sizes), 0)


def _is_nifti(content: bytes) -> bool:
    place, mark = _MARKS.get(_size_of_header(content), (0, b""))
    return bool(mark) and content[place : place + len(mark)] == mark


def _what(path: Path, content: bytes) -> str:
    """What a file is that is no NIfTI file, and what to do."""
    size = _size_of_header(content)
    if len(content) < size:
        return f"not a readable NIfTI file (it ends after {len(content)} bytes); {_AGAIN}"
    if size or (path.suffix == ".img" and path.with_suffix(".hdr").is_file()):
        return (
            "half of an ANALYZE or NIfTI pair (.hdr and .img); save it as one file, in Python: "
            "nibabel.save(nibabel.load(<the .hdr>), <a new name, x.nii.gz>)"
        )
    if content[128:132] == b"DICM":
        return "a DICOM slice; make one NIfTI file of the whole series, e.g. with dcm2niix"
    for start, words in _OTHERS.items():
        if content.lstrip().startswith(start):
            return words
    return f"not a readable NIfTI file (it starts with {content[:8]!r}); {_AGAIN}"
