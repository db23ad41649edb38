"""What tells the files of one data set from those of another: their bytes."""

import hashlib
from collections.abc import Iterable

from segtrace.data.sources import CaseSource
from segtrace.errors import InputError

CHUNK = 1 << 20


def fingerprints(source: CaseSource, cases: Iterable[str]) -> dict[str, str]:
    """Case -> a hash of its files, whatever they are called and wherever they lie.

    A generated case without files is known by the settings of its source alone.

    Raises:
        InputError: a file that is not there or cannot be read.
    """
    return {case: _of(source, case) for case in cases}


def _of(source: CaseSource, case: str) -> str:
    digest = hashlib.sha256()
    for path in source.files(case):
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; case {case} needs it") from error
    return digest.hexdigest()[:16]
