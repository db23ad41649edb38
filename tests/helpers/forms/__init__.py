"""The forms in which labelled CT circulates, made of a folder in the raw layout of Synapse.

Written without any code of the package. To make them all and see the line to type for each:

    PYTHONPATH=tests python -m helpers.forms RawData/Training OUT

"""

from collections.abc import Callable
from pathlib import Path

from helpers.forms import of_others, of_synapse
from helpers.forms.of_raw import Line, published_sizes

__all__ = ["FORMS", "make", "published_sizes"]

FORMS: dict[str, Callable[[Path, Path], Line]] = {
    "raw_zip": of_synapse.raw_zip,
    "raw_folder": of_synapse.raw_folder,
    "raw_bare": of_synapse.raw_bare,
    "transunet": of_synapse.transunet,
    "transunet_without_lists": of_synapse.transunet_without_lists,
    "transunet_endings": of_synapse.transunet_endings,
    "cascade": of_synapse.cascade,
    "cascade_nine": of_synapse.cascade_nine,
    "samed": of_synapse.samed,
    "nnunet": of_others.nnunet,
    "nnunet_folds": of_others.nnunet_folds,
    "nnunet_first": of_others.nnunet_first,
    "nnunet_channels": of_others.nnunet_channels,
    "decathlon": of_others.decathlon,
    "amos": of_others.amos,
    "amos_untold": of_others.amos_untold,
    "flare": of_others.flare,
    "total_segmentator": of_others.total_segmentator,
    "two_folders": of_others.two_folders,
    "patterns": of_others.patterns,
    "datalist": of_others.datalist,
    "turned": of_others.turned,
}
"""Name of a form -> what makes it of (a folder with ``img/`` and ``label/``, an empty folder)."""


def make(name: str, raw: Path, out: Path) -> Line:
    """One form in ``out``, and the options of train.py that take it."""
    out.mkdir(parents=True)
    return FORMS[name](raw, out)
