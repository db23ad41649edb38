"""How the two scripts start, and how they end when the user made a mistake."""

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import torch
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from segtrace.errors import InputError
from segtrace.report.checksums import hasten_tensorboard
from segtrace.training.construction import running
from segtrace.training.endings import listening, say, told
from segtrace.training.run_config import in_its_folder


def answering(main: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Answer a user's mistake inside the script with one line; Hydra would add its own."""

    @wraps(main)
    def answered(config: DictConfig) -> None:
        try:
            with told(), running():
                main(config)
        except InputError as error:
            _stop(str(error))
        except HydraException as error:
            if not (mistake := _mistake(error)):
                raise
            _stop(str(mistake))

    return answered


def start(main: Callable[[], None]) -> None:
    """Run a script: a user's mistake is one line and exit code 1, a defect keeps its traceback."""
    # Hydra then raises what it would print over several lines.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    _quiet()
    # A trained network on real CT is several times slower while tiny numbers are kept exact.
    torch.set_flush_denormal(True)
    hasten_tensorboard()
    try:
        with listening():
            sys.argv[1:] = in_its_folder([opened(argument) for argument in sys.argv[1:]])
            main()
    except (ConfigCompositionException, OmegaConfBaseException) as error:
        _stop(_one_line(error))
    except OSError as error:
        if not _raised_by_hydra(error):
            raise
        _stop(
            f"the run's folder cannot be written: {error.strerror}: {error.filename}; "
            "choose another with hydra.run.dir=…"
        )


def _quiet() -> None:
    """Keep advice of the packages that a user of these scripts can do nothing with."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # what cannot be imported is told
    for advice in (".*LeafSpec.*", ".*does not have many workers.*", ".*logging interval.*"):
        warnings.filterwarnings("ignore", advice)


def opened(argument: str) -> str:
    """An override that may name any option, not only those which the YAML files list.

    The constructors are the schema: :func:`segtrace.training.schema.check` knows every option and
    lists the nearest ones, where Hydra would only ask for a plus sign.

    >>> opened("trainer.max_epochs=3"), opened("data=synapse"), opened("hydra.run.dir=here")
    ('++trainer.max_epochs=3', 'data=synapse', 'hydra.run.dir=here')
    """
    key, equals, _ = argument.partition("=")
    plain = key[:1].isalpha() and "." in key and "/" not in key and not key.startswith("hydra.")
    return f"++{argument}" if plain and equals else argument


def _mistake(error: BaseException) -> InputError | None:
    """The user's mistake behind an exception that Hydra wrapped."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__
    return cause


def _stop(message: str) -> None:
    say(message)
    sys.exit(1)


def _one_line(error: BaseException) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return "; ".join(line for line in lines if not line.startswith(("full_key", "object_type")))


def _raised_by_hydra(error: OSError) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any("hydra" in Path(frame.filename).parts for frame in frames[-4:])
