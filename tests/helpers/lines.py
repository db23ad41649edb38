"""What the scripts say: a line a step, and at last the file to open."""

import re
from pathlib import Path

LINE = re.compile(r"\[(\d+:)?\d+:\d\d\] (?P<words>.+?)(, about (?P<left>[\d:]+) left)?")
BARS = ("\r", "\x1b", "it/s", "%|", "s/it")
"""What only a bar, or a terminal, has."""


def said(out: str) -> list[tuple[str, str | None]]:
    """(words, time left) of every line, each of which has the form."""
    found = [LINE.fullmatch(line) for line in out.splitlines()]
    assert all(found), out
    return [(line["words"], line["left"]) for line in found]


def check_log(out: str, err: str) -> None:
    """Hold what a script wrote into files against the form: no bars, the last line a file."""
    assert not [bar for bar in BARS if bar in out + err], (out, err)
    steps = said("\n".join(line for line in out.splitlines() if line.startswith("[")))
    assert len(steps) > 1, out
    words = steps[-1][0]
    assert out.splitlines()[-1].endswith(words), out
    assert words.startswith("Done: open "), out
    assert Path(words.removeprefix("Done: open ")).is_file(), words
