"""Cases that are scored: each is kept whole, so that an evaluation that was stopped goes on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segtrace.evaluation.scores import Score
from segtrace.names import file_name
from segtrace.plain_files import check_plain
from segtrace.report.files import save_text, sha256

WHOLE = "whole"
"""Folder of a file a case, which is written when everything else of the case is."""
PREDICTIONS = "predictions"
"""Folder of a folder a case."""
_OTHER = (OSError, ValueError, KeyError, TypeError, RecursionError)
"""What is raised where a file holds something else than a case."""


@dataclass(frozen=True)
class Case:
    """What one case gave.

    Attributes:
        name: of the case.
        scores: of every organ.
        cautions: what must be said of its images.
        phantom: they were generated.
        placed: its prediction was written.
        seen: the network was trained on it, by its name.
    """

    name: str
    scores: Mapping[str, Score]
    cautions: Sequence[str]
    phantom: bool
    placed: bool
    seen: bool

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Case":
        """Undoes :func:`dataclasses.asdict`."""
        scores = {organ: Score(**values) for organ, values in plain["scores"].items()}
        return cls(**{**plain, "scores": scores})


@dataclass(frozen=True)
class Kept:
    """The cases of a part that are whole, each by the bytes of all that it is made of.

    Attributes:
        folder: of the part's files.
        files: name of a case -> its files.
        by: what else decides, by its name: weights, see :func:`hash_of`, protocol, settings.
    """

    folder: Path
    files: Callable[[str], Sequence[Path]]
    by: Mapping[str, str]

    def read(self, name: str) -> Case | None:
        """A case that is whole; ``None`` where it is not, or of other files, network, settings."""
        try:
            check_plain(self._file(name))
            found = json.loads(self._file(name).read_text(encoding="utf-8"))
            plain = found["case"]
            whole = found == {**self._known(name), "case": plain, "check": _check(plain)}
            return Case.from_plain(plain) if whole else None
        except _OTHER:
            return None

    def others(self, name: str) -> list[str]:
        """What of ``by``, or ``files``, was another when a case was kept; none of what is not."""
        try:
            check_plain(self._file(name))
            before = json.loads(self._file(name).read_text(encoding="utf-8"))["key"]
            return [what for what, now in self._key(name).items() if before[what] != now]
        except _OTHER:
            return []

    def write(self, name: str, case: Case) -> None:
        """Keep a case whose files are all written.

        Raises:
            InputError: it cannot be written.
        """
        plain = asdict(case)
        found = {**self._known(name), "case": plain, "check": _check(plain)}
        save_text(self._file(name), json.dumps(found, indent=1) + "\n")

    def sweep(self) -> None:
        """Take away what a process that was killed has left half written of tables."""
        for folder in (self.folder, self.folder / WHOLE):
            for draft in folder.glob(".*.part"):
                draft.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.folder / WHOLE / f"{file_name(name)}.json"

    def _known(self, name: str) -> dict[str, object]:
        """What must be as it was when the case was kept."""
        return {"key": self._key(name), "written": self._written(name)}

    def _key(self, name: str) -> dict[str, object]:
        return {**self.by, "files": [*map(sha256, self.files(name))]}

    def _written(self, name: str) -> dict[str, str]:
        """The files of its prediction, and their bytes."""
        place = self.folder / PREDICTIONS / file_name(name)
        files = sorted(path for path in place.rglob("*") if path.is_file())
        return {path.relative_to(place).as_posix(): sha256(path) for path in files}


def _check(case: object) -> str:
    """Of what a case gave, so that no number changes unseen."""
    return hashlib.sha256(json.dumps(case).encode()).hexdigest()


def hash_of(net: nn.Module) -> str:
    """Of a network's weights, by their names."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def whole_in(folder: Path) -> int:
    """Cases that are kept below the folder of all results, of every network and part."""
    return len([path for path in folder.rglob(f"{WHOLE}/*.json") if path.name[0] != "."])
