"""Train a segmentation network and watch, epoch by epoch, where its evidence comes from.

python train.py                                             the phantom, 10 epochs
python train.py data=synapse data.root=/data/Abdomen        the raw Synapse download
python train.py resume=outputs/…                            goes on where a run was broken off
python train.py --help                                      every option
"""

import segtrace.cli.start_up  # noqa: F401 (from here on, Ctrl-C is answered)

# isort: split
import hydra
from omegaconf import DictConfig

from segtrace.cli.entry import answering, start


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@answering
def main(config: DictConfig) -> None:
    """Data, network, callbacks, training, summary."""
    # Imported here: what was mistyped is answered before torch and Lightning are there.
    import pytorch_lightning as pl

    from segtrace.cli.train import run
    from segtrace.cli.train.train_config import checked

    plan = checked(config)
    data = run.data(plan)
    probes = run.probes(plan, data)
    pl.seed_everything(plan.seed, workers=True, verbose=False)
    module = run.module(plan, data, probes)
    trainer = run.trainer(plan, module, probes)
    run.take_up(plan, data, module, trainer)
    run.announce(plan, data, module, trainer)
    run.note_hyperparameters(plan, trainer)
    if plan.resume is None:
        trainer.validate(module, data, verbose=False)
    trainer.fit(module, data, ckpt_path=plan.resume, weights_only=True)
    run.score(plan, data, module, trainer)
    run.test(plan, data, module, trainer)
    run.summarise(plan, module, trainer)


if __name__ == "__main__":
    start(main)
