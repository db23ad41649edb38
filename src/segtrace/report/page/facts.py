"""Names of cases and what made the page, as it says them: without folders, and no file's name."""

from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

from segtrace.report.record import Record


def case_names(record: Record) -> list[str]:
    """Names of the slices' cases; numbers where the name is a file's, which may be a person's."""
    cases = record.scene.cases
    if record.scene.truth is not None:
        names = [base_name(case) for case in cases]
    else:
        numbered = {case: f"image {i + 1}" for i, case in enumerate(dict.fromkeys(cases))}
        names = [numbered[case] for case in cases]
    if not record.scene.planes:
        return names
    return [f"{name}, volume {n}" for name, n in zip(names, record.scene.slices, strict=True)]


def base_name(value: str) -> str:
    """The last part of what may be a path."""
    return PurePosixPath(PureWindowsPath(value).as_posix()).name or value


def fact_rows(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Facts as (name, words) lines, without folders and without what is empty."""
    said = {name.replace("_", " "): _words(value) for name, value in facts.items()}
    return [(name, words) for name, words in said.items() if words]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(below)}" for key, below in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    return " ".join(map(base_name, str(value).split(" ")))
