"""The folder of a run that goes on, known before Hydra makes one."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from segtrace.cli.command_line import parse
from segtrace.names import CONFIG


def run_of(resume: str) -> Path | None:
    """The folder of the run that is named by itself, or by a checkpoint in it.

    >>> print(run_of("/nowhere/checkpoints/last.ckpt"))
    None
    """
    path = Path(resume).expanduser().absolute()
    above = [path, path.parent, path.parent.parent] if path.suffix == ".ckpt" else [path]
    return next((folder for folder in above if (folder / CONFIG).is_file()), None)


def in_its_folder(arguments: Sequence[str]) -> list[str]:
    """The arguments of a script, with the folder of the run that goes on.

    Hydra makes the folder of a run before any of ours is called. What it cannot read, and what says
    itself where to go, is left for it or for us to refuse.
    """
    try:
        given = {override.key_or_group: override for override in map(parse, arguments)}
    except HydraException:  # flags among them, or what Hydra will refuse
        return list(arguments)
    if "resume" not in given or "hydra.run.dir" in given:
        return list(arguments)
    folder = run_of(str(given["resume"].value()))
    if folder is None:
        return list(arguments)
    quoted = QuotedString(text=str(folder), quote=Quote.double).with_quotes()
    return [*arguments, f"hydra.run.dir={quoted}"]
