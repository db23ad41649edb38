"""Explain a trained network: the callback's maps again, on new images, or any other network.

python explain.py checkpoint=outputs/…/checkpoints/epoch_010.ckpt
python explain.py checkpoint='outputs/…/epoch_*.ckpt' log_dir=logs    the course of a training
python explain.py checkpoint=… image=any_ct.nii.gz
python explain.py net=my_module:build weights=my.pth stages=stages.yaml data=synapse data.root=…
python explain.py --help
"""

import hydra
from omegaconf import DictConfig

from segtrace.report.page import Page
from segtrace.training import request, results
from segtrace.training.entry import answering, start
from segtrace.training.explanation import explain_probes


@hydra.main(version_base="1.3", config_path="conf", config_name="explain")
@answering
def main(config: DictConfig) -> None:
    """Every network asked for: its slices, their maps, the files."""
    asked = request.checked(config)
    page = Page()
    replay = asked.replay()
    for subject, folder in asked.subjects():
        network = subject.on(asked.slices(subject))
        explained = explain_probes(*network, epoch=subject.epoch)
        results.write(explained, folder, subject.facts)
        if replay is not None:
            replay.add(network, explained, subject.dice)
        if asked.figure:
            results.draw_paper_figure(explained.record, folder)
        print(f"{subject.name}: {folder}")
        page.add(explained)
    page.write(asked.folder / "index.html", subject.facts, window=subject.preprocessing.window)


if __name__ == "__main__":
    start(main)
