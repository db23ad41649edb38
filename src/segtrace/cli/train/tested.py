"""The test cases of ``test=true``: scored once, at the end, by the weights that are left."""

from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl

from segtrace.data.datamodule import SliceDataModule
from segtrace.data.preprocessing import Preprocessing
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
    data: SliceDataModule,
    module: SegmentationModule,
    trainer: pl.Trainer,
    settings: Settings,
) -> Evaluation:
    """What ``explain.py evaluate=true`` would leave of the last checkpoint, in ``test/``.

    Args:
        folder: of the run.
        data: with test cases in its split.
        module: whose network is scored.
        trainer: says the epoch, and on which device.
        settings: those of the explanation, for the activation.

    Raises:
        InputError: see :func:`segtrace.studies.evaluation.cases.evaluate`.
    """
    settings = replace(settings, organs=None)
    trained = TrainedNetwork(
        name=f"epoch_{finished_epochs(trainer):03d}",
        net=module.net,
        stages={},
        channels=channels_of(module.organs, settings),
        preprocessing=Preprocessing.from_plain(data.preprocessing),
        settings=settings,
        probes=module.description["probes"],
        facts={"network": module.description["network"], "data": module.description["source"]},
    )
    cases, source = data.split[PART], data.source
    found = evaluate(
        trained, source.load, cases, PART, source.numbering, Scoring(), folder / PART,
        trainer.strategy.root_device,
    )  # fmt: skip
    found = replace(found, within=Path(PART))
    page = Page()
    for result in (found, Beside([found], found.within)):
        result.write(folder)
        result.show(page)
    page.write(folder / PART / "index.html")
    return found
