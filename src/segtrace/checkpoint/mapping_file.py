"""A YAML file as plain values: nothing in it is made, resolved, or named a second time."""

from pathlib import Path
from typing import Any

import yaml

from segtrace.checkpoint.plain import plain
from segtrace.errors import InputError, printable
from segtrace.plain_files import check_plain

MOST = 2**20
"""Bytes; the configuration of a run takes some thousands."""


class _NoAliases(yaml.SafeLoader):
    """A value that is named again and again could become a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not allowed", mark)
        return super().compose_node(parent, index)


def read_mapping(path: Path, where: str) -> dict[str, Any]:
    """The values of a file, text and numbers alone; ``${…}`` in it is text.

    Args:
        path: the file.
        where: what it was given as, for messages.

    Raises:
        InputError: it cannot be read, is no mapping, or holds more than plain values.
    """
    try:
        check_plain(path)
        if path.stat().st_size > MOST:
            raise InputError(f"{where} has more than {MOST >> 20} MiB; it is no such file")
        found = yaml.load(path.read_text(encoding="utf-8"), _NoAliases)  # a safe loader
    except OSError as error:
        raise InputError(f"{where}: {error.strerror or error}") from error
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: not readable as YAML: {_words(error)}") from error
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise InputError(f"{where} holds a {type(found).__name__}; lines of name: value are needed")
    values: dict[str, Any] = plain(found, where)
    return values


def _words(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return printable(f"{error.problem} (line {error.problem_mark.line + 1})", 300)
    return printable(error, 300) or type(error).__name__
