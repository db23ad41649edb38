"""Runs that differ in their seed: mean and range of every stage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from segtrace.errors import InputError
from segtrace.studies.inputs.images import Images, LooksAt
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.seeds.comparison import Comparison
from segtrace.studies.seeds.runs import folders_of, read_run
from segtrace.studies.study import refuse_beside


@dataclass(frozen=True)
class Seeds:
    """Compare runs by the tables that they left behind; no network is read.

    Attributes:
        runs: folders of runs, or globs.
    """

    looks_at: ClassVar[LooksAt] = "tables"
    of_one_run: ClassVar[bool] = True
    runs: str | list[str]

    def check(self, options: Mapping[str, Any]) -> None:
        """Some run, and nothing that says what is explained: nothing is."""
        if not self.runs:
            raise InputError("runs names no run; give a folder, or a glob in quotes, runs='…/*'")
        others = ("checkpoint", "net", "image", "data", "log_dir")
        refuse_beside(options, "runs", others, "runs are compared by the tables they left")

    def run(self, networks: Networks, images: Images) -> Iterator[Comparison]:
        """One comparison of all runs."""
        yield Comparison([read_run(folder) for folder in folders_of(self.runs)])
