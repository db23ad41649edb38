"""How the two scripts start, and how they end when the user made a mistake.

What takes seconds to import, torch and Lightning among it, waits until Hydra has looked at the
arguments: ``--help`` and a misspelt option are answered at once.
"""

import logging
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from segtrace.cli import start_up
from segtrace.cli.command_line import opened, readable
from segtrace.cli.configuration import CONF
from segtrace.cli.lasting import lasting_output
from segtrace.cli.resumed import in_its_folder
from segtrace.cli.start_up import say
from segtrace.cli.taken_back import take_back
from segtrace.errors import BrokenOffError, InputError, UsersCodeError, unknown

OURS = Path(__file__).parents[1]
_WHOLE = warnings.formatwarning
STAGES = (
    "stages=stages.yaml, a file with lines such as enc1: path.of.a.module, or say stages=proposed "
    "to take what is proposed, and told"
)
"""How a user of explain.py names stages."""
PATIENCE = 2.0
"""Seconds until a process of a training that the first has started says what it alone found."""
TRACEBACK = "traceback.txt"
"""What the user's own code raised, in the folder of the run that it ended."""

__all__ = ["answering", "opened", "start"]


def answering(main: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Answer a user's mistake inside the script with one line; Hydra would add its own."""

    @wraps(main)
    def answered(config: DictConfig) -> None:
        try:
            _return_to_where_it_was_typed()
            from segtrace.cli.work import at_work

            with at_work():
                main(config)
        except UsersCodeError as error:
            _stop(f"{error}{_traceback_kept(error)}")
        except (InputError, OmegaConfBaseException, HydraException) as error:
            if (words := _of_a_mistake(error)) is None:
                raise
            if not isinstance(error, BrokenOffError):
                take_back(start_up.made)
            _stop(words)

    return answered


def _of_a_mistake(error: Exception) -> str | None:
    """What is told of a user's mistake; ``None`` of anything else."""
    if isinstance(error, OmegaConfBaseException):
        return _told(error)
    mistake = _mistake(error)
    return None if mistake is None else _typable(str(mistake))


def _traceback_kept(error: UsersCodeError) -> str:
    """Where the traceback of what the user's own code raised now lies, in words."""
    lines = traceback.format_exception(error.__cause__)
    file = Path(HydraConfig.get().runtime.output_dir) / TRACEBACK
    with suppress(OSError):
        file.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        return f"; its traceback: {file}"
    return ""


def _typable(said: str) -> str:
    """What a command line cannot take of a remedy for Python, as it can."""
    if not start_up.is_explaining():
        return said
    from segtrace.network.stages import NAMING  # torch: what raised has imported it

    said = said.replace(NAMING, STAGES)
    if "output=lambda" not in said:
        return said
    return f"{said}; here: a function of that in a file my_module.py, and output=my_module:pick"


def start(
    main: Callable[[], None],
    name: str,
    written_out: Callable[[Sequence[str]], Sequence[str]] = list,
    short: Sequence[str] = (),
    refuse: Callable[[Sequence[str]], None] = lambda _arguments: None,
) -> None:
    """Run a script: a user's mistake is one line and exit code 1, a defect keeps its traceback.

    Args:
        main: of the script.
        name: of its YAML file.
        written_out: puts what short options stand for in their place.
        short: names of the short options.
        refuse: raises what can be told of the arguments before torch is imported.
    """
    # Hydra then raises what it would print over several lines.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    lasting_output()
    _quiet()
    try:
        groups, keys = _groups(), [*_keys(name), *short]
        readable(sys.argv[1:], groups, keys, lambda: _deeper(name), _needed(name))
        sys.argv[1:] = in_its_folder(readable(written_out(sys.argv[1:]), groups, keys))
        refuse(sys.argv[1:])
        main()
    except Exception as error:
        if _has_begun(error):
            raise
        _stop(_told(error))  # nothing of ours has run: it is about what was typed


def _groups() -> dict[str, list[str]]:
    """The groups of options, and their options."""
    folders = CONF.glob("*/")
    return {path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in folders}


def _keys(name: str) -> list[str]:
    """The keys of a script's own YAML file, and the groups that it chooses from."""
    own = _own(name)
    keys = (*own, *_chosen(own))
    return [key for key in keys if key not in ("defaults", "hydra") and " " not in key]


def _own(name: str) -> dict[str, Any]:
    """What a script's own YAML file holds."""
    own: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return own


def _chosen(own: Mapping[str, Any]) -> list[str]:
    """The groups that it chooses from."""
    entries = own.get("defaults", ())
    return [group for entry in entries if isinstance(entry, dict) for group in entry]


def _needed(name: str) -> list[str]:
    """The groups of which it chooses something; without a study slices are explained."""
    entries = [entry for entry in _own(name)["defaults"] if isinstance(entry, dict)]
    chosen = {group: option for entry in entries for group, option in entry.items()}
    return [group for group, option in chosen.items() if option is not None and group != "study"]


def _deeper(name: str) -> list[str]:
    """The options below a key of a script's YAML file, or a group of it, in full, each once."""
    own = _own(name)
    found = dict.fromkeys(_options(own, ""))
    for file in (file for group in _chosen(own) for file in sorted((CONF / group).rglob("*.yaml"))):
        text = file.read_text(encoding="utf-8")
        package = re.match(r"# @package (\S+)", text)
        place = package[1].removeprefix("_global_") if package else file.parent.name
        found |= dict.fromkeys(_options(yaml.safe_load(text), place))
    return [key for key in found if "." in key and key.split(".")[0] not in ("hydra", "defaults")]


def _options(node: Any, place: str) -> Iterator[str]:
    """Every option below a place of a YAML file, in full."""
    for key, inner in node.items() if isinstance(node, dict) else ():
        if isinstance(key, str) and re.fullmatch(r"[a-z]\w*", key):
            full = f"{place}.{key}" if place else key
            yield full
            yield from _options(inner, full)


def _return_to_where_it_was_typed() -> None:
    """Undo ``hydra.job.chdir=true``: relative paths mean what they meant on the command line.

    Everything that a run writes goes to its folder by that folder's full name.
    """
    runtime = HydraConfig.get().runtime
    os.chdir(runtime.cwd)
    folder, here = Path(runtime.output_dir), Path(runtime.cwd)
    above = [place for place in folder.parents if here in place.parents]
    # By Hydra, for a run that has not begun; not what somebody has filled before.
    start_up.made[:] = [] if any(folder.iterdir()) else [folder, *above]


def _quiet() -> None:
    """Keep advice of the packages that a user of these scripts can do nothing with.

    Of ours a line is told, without the place in our source that it comes from.
    """
    warnings.formatwarning = _in_a_line
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # what cannot be imported is told
    for advice in (
        ".*LeafSpec.*",
        ".*does not have many workers.*",
        ".*logging interval.*",
        ".*Using `DistributedSampler`.*",  # a slice that it repeats is counted once
        ".*Total length of `list` across ranks is zero.*",  # a split where no case validates
    ):
        warnings.filterwarnings("ignore", advice)
    if start_up.is_explaining():  # which says so once, at its start
        warnings.filterwarnings("ignore", "weights .* hold NaN or infinity.*")


def _in_a_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    if OURS in Path(filename).parents:
        return f"{Path(sys.argv[0]).name}: {message}\n"
    return _WHOLE(message, category, filename, lineno, line)


def _mistake(error: BaseException) -> InputError | None:
    """The user's mistake behind an exception that Hydra wrapped."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__
    return cause


def _has_begun(error: Exception) -> bool:
    """Whether a script's main had been called when this was raised."""
    return any(frame.name == "answered" for frame in traceback.extract_tb(error.__traceback__))


def _told(error: Exception) -> str:
    """What a command line cannot be, as one line."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _missing(error)
    if isinstance(error, OSError) and error.filename:
        return (
            f"the run's folder cannot be written: {error.strerror}: {error.filename}; "
            "choose another with hydra.run.dir=…"
        )
    if isinstance(error, AssertionError) or not str(error):
        return f"Hydra refuses this command line ({type(error).__name__}); see --hydra-help"
    if found := re.match(r"Could not delete '(.+)'\. No match in the defaults", str(error)):
        return f"{found[1]} cannot be taken out; leave {found[1]}=null, or ~{found[1]}, out"
    if found := re.match(r"Error merging override \+*([^=]+)=(.*)", str(error)):
        named = "name explainers in explainer=[…], and " if found[1] == "explainers" else ""
        return (
            f"{found[1]}={found[2]}: options lie under {found[1]}, each with a name; {named}give "
            f"them one by one, {found[1]}.…=…; see --help"
        )
    key = getattr(error, "full_key", None)
    return (f"{key}: " if key else "") + _one_line(error) + _of_the_environment(error)


def _missing(error: MissingConfigException) -> str:
    """A group has no such option, or there is no such configuration at all."""
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if error.options is None and group and not group.startswith("hydra"):
        return f"no {group} {name!r}; see --help"  # one of several, of which Hydra lists none
    if error.options is None:
        return f"{_one_line(error).partition('; Config search path')[0]}; leave its flag out"
    return str(unknown(group, name, error.options))


def _of_the_environment(error: Exception) -> str:
    """``${HOME}`` in single quotes is left to OmegaConf, which reads it as an option's name."""
    names = re.findall(r"Interpolation key '(\w+)'", str(error))
    if not names or names[0] not in os.environ:
        return ""
    return f"; for the variable say '${{oc.env:{names[0]}}}', or leave the single quotes out"


def _stop(message: str) -> None:
    if start_up.helps():  # the first process, which ends this one, may well say the same
        time.sleep(PATIENCE)
    say(message)
    sys.exit(1)


def _one_line(error: Exception) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return "; ".join(line for line in lines if not line.startswith(("full_key", "object_type")))
