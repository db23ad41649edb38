"""The study of ``explain.py``: cases of a data set, by a protocol."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from segtrace.data.cases import PARTS
from segtrace.data.volumes.preprocessing import AnyPreprocessing
from segtrace.errors import InputError, unknown
from segtrace.evaluation.prediction import check_protocol
from segtrace.evaluation.protocols import protocol_of
from segtrace.evaluation.scores import TOLERANCE_MM
from segtrace.studies.evaluation.cases import Scoring, evaluate
from segtrace.studies.evaluation.result import ALL, Beside, Evaluation
from segtrace.studies.inputs.images import Images, LooksAt, given_of
from segtrace.studies.inputs.networks import Networks
from segtrace.studies.study import refuse_beside

if TYPE_CHECKING:
    from segtrace.data.datamodule import CaseDataModule

OF_MAPS = ("rules", "region", "score", "measures", "aggregate", "image", "log_dir")
"""Options that say how, and on what, maps are made."""


@dataclass(frozen=True)
class Evaluate:
    """Whole cases scored against their truth, at the files' own size.

    Several checkpoints are those of several runs: of one run, the best on test cases would be
    chosen by them.

    Attributes:
        protocol: ``strict``, or ``transunet``.
        part: of the split: ``test``, ``val``, ``train``, or ``all`` cases; ``None`` for test, or
            val where there is no test.
        tolerance: of the surface Dice, mm.
    """

    looks_at: ClassVar[LooksAt] = "volumes"
    of_one_run: ClassVar[bool] = False
    goes_on: ClassVar[bool] = True  # where it was broken off
    protocol: str = "strict"
    part: str | None = None
    tolerance: float = TOLERANCE_MM

    def check(self, options: Mapping[str, Any]) -> None:
        """Labelled cases, and nothing that is said of maps."""
        self._scoring  # noqa: B018 (checks the values)
        if self.part not in (None, ALL, *PARTS):
            raise unknown("study.part", self.part, [*PARTS, ALL])
        refuse_beside(options, "evaluate", OF_MAPS, "whole labelled cases are scored, no map made")
        if given := given_of(options["probes"]):
            raise InputError(
                f"probes.{next(iter(given))} chooses slices, and whole cases are scored; say "
                "study.part=val for another part of the split"
            )
        if not options.get("data"):
            raise InputError(
                "say whose cases: evaluate=true needs data=… data.root=…, since a checkpoint "
                "holds none"
            )

    def run(self, networks: Networks, images: Images) -> Iterator[Evaluation | Beside]:
        """Every network on every case, one after the other."""
        module, numbering = images.module, images.numbering or {}
        part, cases = self._cases(module)
        device, scored = networks.device, list[Evaluation]()
        for trained, within in networks:
            if networks.options["organs"] is None:  # what a training draws is no choice of ours
                trained = replace(trained, settings=replace(trained.settings, organs=None))
            place = within / part
            found = evaluate(
                trained, module.source.load, cases, part, numbering, self._scoring,
                networks.folder / place, device, networks.processes, module.source.files,
            )  # fmt: skip
            scored.append(replace(found, within=place))
            yield scored[-1]
        yield Beside(scored, Path(part))

    def check_network(self, preprocessing: AnyPreprocessing) -> None:
        """Refuse volumes for a protocol of slices.

        Args:
            preprocessing: of the network.

        Raises:
            InputError: that.
        """
        check_protocol(preprocessing, protocol_of(self.protocol))

    def _cases(self, module: "CaseDataModule") -> tuple[str, Sequence[str]]:
        """Which part is scored, and its cases.

        Raises:
            InputError: there are none, or no split; with what to say instead.
        """
        if self.part == ALL:
            return ALL, module.source.cases()
        try:
            split = module.split
        except InputError as error:
            raise InputError(f"{error}; or, to score every case, say study.part=all") from error
        part = self.part or ("test" if split.get("test") else "val")
        if not split[part]:
            other = next((one for one in ("val", "test", "train") if split[one]), ALL)
            raise InputError(f"the split has no {part} cases; say study.part={other}, or all")
        return part, split[part]

    @property
    def _scoring(self) -> Scoring:
        return Scoring(self.protocol, self.tolerance)
