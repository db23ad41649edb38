"""A checkpoint that is not there, told before torch is imported."""

from collections.abc import Sequence

from segtrace.cli.command_line import parse
from segtrace.integrations import FOREIGN
from segtrace.studies.inputs.named_paths import paths_of


def refuse_missing(arguments: Sequence[str]) -> None:
    """Refuse ``checkpoint=`` where it names no file; what cannot be told yet is told later.

    Args:
        arguments: of ``explain.py``, each as Hydra takes it.

    Raises:
        InputError: see :func:`segtrace.studies.inputs.named_paths.paths_of`.
    """
    if any(argument.startswith("-") for argument in arguments):
        return  # help, a sweep, a folder of the user's own options
    typed = {override.key_or_group: override for override in map(parse, arguments)}
    if "checkpoint" not in typed or not typed.keys().isdisjoint(FOREIGN):
        return  # there it is a name within their folder
    value = typed["checkpoint"].value()
    names = value if isinstance(value, list) else [value]
    paths_of([name for name in names if isinstance(name, str) and name and "${" not in name])
