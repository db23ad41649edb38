"""``segtrace-train`` and ``train.py``: data, network, callbacks, training, summary."""

import segtrace.cli.start_up as start_up  # from here on, Ctrl-C is answered

# isort: split
import hydra
from omegaconf import DictConfig

from segtrace.cli.configuration import CONF
from segtrace.cli.entry import answering, start


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
@answering
def train(config: DictConfig) -> None:
    """Each step in its order."""
    # Imported here: what was mistyped is answered before torch and Lightning are there.
    import pytorch_lightning as pl

    from segtrace.cli.train import announcement, run, summary
    from segtrace.cli.train.train_config import checked

    start_up.imported()
    plan = checked(config)
    data = run.data(plan)
    pl.seed_everything(plan.seed, workers=True, verbose=False)
    net = run.network(plan, data)
    probes = run.prepare(plan, data)
    module = run.module(plan, data, probes, net)
    trainer = run.trainer(plan, module, probes)
    run.take_up(plan, data, module, trainer)
    announcement.announce(plan, data, module, trainer)
    run.note_hyperparameters(plan, trainer)
    if plan.resume is None:
        trainer.validate(module, data, verbose=False)
    trainer.fit(module, data, ckpt_path=plan.resume, weights_only=True)
    summary.score(plan, data, module, trainer)
    summary.test(plan, data, module, trainer)
    summary.summarise(plan, module, trainer)


def main() -> None:
    """Train by what was typed; ends the process with 1 where that was a mistake."""
    start(train, "train")
