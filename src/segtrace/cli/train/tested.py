"""The test cases of ``test=true``: scored once, at the end, by the weights that are left."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl

from segtrace.data.datamodule import CaseDataModule
from segtrace.evaluation.protocols import TRANSUNET
from segtrace.report.page.page import Page
from segtrace.studies.evaluation.cases import Scoring, evaluate
from segtrace.studies.evaluation.result import Beside, Evaluation
from segtrace.studies.inputs.trained_network import TrainedNetwork, channels_of
from segtrace.tracking.explained import Settings
from segtrace.training.epochs import finished_epochs
from segtrace.training.module import SegmentationModule

PART = "test"


def score_whole_cases(
    folder: Path,
    data: CaseDataModule,
    module: SegmentationModule,
    trainer: pl.Trainer,
    settings: Settings,
    protocols: Sequence[str],
) -> list[Evaluation]:
    """What ``explain.py evaluate=true`` would leave of the last checkpoint, in ``test/``.

    Of several protocols each has a folder in it; on the page they stand one below the other.

    Args:
        folder: of the run.
        data: with test cases in its split.
        module: whose network is scored.
        trainer: says the epoch, and on which device.
        settings: those of the explanation, for the activation.
        protocols: by which.

    Raises:
        InputError: see :func:`segtrace.studies.evaluation.cases.evaluate`.
    """
    settings = replace(settings, organs=None)
    trained = TrainedNetwork(
        name=f"epoch_{finished_epochs(trainer):03d}",
        net=module.net,
        stages={},
        channels=channels_of(module.organs, settings),
        preprocessing=data.view.preprocessing,
        settings=settings,
        probes=module.description["probes"],
        split=data.split,
        facts={"network": module.description["network"], "data": module.description["source"]},
    )
    cases, source = data.split[PART], data.source
    found = []
    for protocol in protocols:
        within = Path(PART, *[protocol] * (len(protocols) > 1))
        scores = evaluate(
            trained, source.load, cases, PART, source.numbering, Scoring(protocol),
            folder / within, trainer.strategy.root_device,
        )  # fmt: skip
        found.append(replace(scores, within=within))
    page = Page()
    comparable = [one for one in found if one.protocol == TRANSUNET]
    results: list[Evaluation | Beside] = [*found, Beside(comparable or found, Path(PART))]
    for result in results:
        result.write(folder)
        result.show(page)
    page.write(folder / PART / "index.html")
    return found
