"""The numbers that organs have in the data sets which circulate, by name.

Files of Synapse come in four orders that share most of their numbers, so that a wrong one trains
and scores without an error; see :mod:`segtrace.data.files.plausible_labels`.
"""

from collections.abc import Mapping, Sequence

from segtrace.data.labels import BTCV, TRANSUNET, check_numbering
from segtrace.errors import InputError, unknown


def _counted(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names, start=1)}


_KEPT = ("spleen", "right_kidney", "left_kidney", "gallbladder")

NUMBERINGS: dict[str, dict[str, int]] = {
    "transunet": TRANSUNET,
    "btcv": BTCV,
    # Loaded by CASCADE, MERIT and EMCAD: pancreas in the place of the oesophagus.
    "cascade": _counted((*_KEPT, "pancreas", "liver", "stomach", "aorta")),
    # Written by SAMed's preparation and others: the eight organs in BTCV's own order.
    "samed": _counted((*_KEPT, "liver", "stomach", "aorta", "pancreas")),
    "amos": _counted(
        (*_KEPT, "esophagus", "liver", "stomach", "aorta", "inferior_vena_cava", "pancreas",
         "right_adrenal", "left_adrenal", "duodenum", "bladder", "prostate_uterus")
    ),
    "flare22": _counted(
        ("liver", "right_kidney", "spleen", "pancreas", "aorta", "inferior_vena_cava",
         "right_adrenal", "left_adrenal", "gallbladder", "esophagus", "stomach", "duodenum",
         "left_kidney")
    ),
}  # fmt: skip
"""Name of a numbering -> organ -> number in the files."""


def numbering_of(labels: str | Mapping[str, int]) -> dict[str, int]:
    """The numbers that are named, or given organ by organ.

    Raises:
        InputError: a name that none has; a table that cannot be right.

    >>> numbering_of("cascade")["pancreas"], numbering_of({"liver": 3})
    (5, {'liver': 3})
    """
    if isinstance(labels, str):
        if labels not in NUMBERINGS:
            raise unknown("numbering of organs (data.labels)", labels, NUMBERINGS)
        return dict(NUMBERINGS[labels])
    if not isinstance(labels, Mapping):
        raise InputError(
            f"data.labels={labels!r}; give a table, e.g. '{{liver: 1, spleen: 2}}', or one of "
            f"{', '.join(NUMBERINGS)}"
        )
    return check_numbering(labels)
