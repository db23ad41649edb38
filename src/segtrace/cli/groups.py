"""Groups of options, as ``data`` and ``callbacks``: which may be named, and how many."""

from collections.abc import Collection, Sequence

from hydra.core.override_parser.types import Override

from segtrace.errors import InputError, unknown

LISTED = ("callbacks", "logger", "explainer", "experiment")
"""Groups of which several options may be named."""


def check_choice(override: Override, options: Sequence[str], *, all_there_are: bool) -> None:
    """A group takes names or null. Hydra looks one up, and of several lists none that there are."""
    value = override.value()
    if value is None or override.is_sweep_override() or override.is_delete():
        return
    names = value if isinstance(value, list) else [value]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{override.input_line}: {twice[0]} is named twice; name each once")
    for name in names:
        missing = isinstance(value, list) and all_there_are and name not in options
        if missing or not isinstance(name, str):
            raise unknown(override.key_or_group, name, options)
    if len(names) > 1 and override.key_or_group not in LISTED:
        raise InputError(
            f"{override.input_line}: one at a time; to run each of them, say "
            f"-m {override.key_or_group}={','.join(map(str, names))}"
        )


def check_named(override: Override, argument: str, options: Sequence[str]) -> None:
    """A group that is needed is neither taken out nor left empty."""
    value = override.value()
    if override.is_delete() or value is None or value == []:
        group = override.key_or_group
        how = "one or several" if group in LISTED else "one"
        raise InputError(f"{argument}: {group} is needed; name {how} of {', '.join(options)}")


def without_null(argument: str, groups: Collection[str]) -> str:
    """``group=null``, which Hydra has no reading of, as the ``~group`` that it means."""
    key, _, value = argument.partition("=")
    return f"~{key}" if key in groups and value.strip().lower() == "null" else argument
