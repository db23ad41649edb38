"""Explain a trained network: the callback's maps again, on new images, or any other network.

python explain.py checkpoint=outputs/…/checkpoints/epoch_010.ckpt
python explain.py checkpoint='outputs/…/epoch_*.ckpt' log_dir=logs     the course of a training
python explain.py checkpoint=… net=my_package:MyNet     a network that is in no table of known ones
python explain.py checkpoint=… image=any_ct.nii.gz volume=true         every slice, as NIfTI
python explain.py net=my_module:build weights=my.pth stages=stages.yaml data=synapse data.root=…
python explain.py checkpoint=… study=verdict data=phantom              do cuts bear out the maps?
python explain.py runs='multirun/…/*'                                  mean and band over seeds
python explain.py --help
"""

import segtrace.cli.start_up  # noqa: F401 (from here on, Ctrl-C is answered)

# isort: split
import hydra
from omegaconf import DictConfig

from segtrace.cli.entry import answering, start
from segtrace.cli.explain import request
from segtrace.cli.explain.trial_request import trials
from segtrace.names import file_name
from segtrace.report.page.page import Page
from segtrace.studies import results, seeds
from segtrace.studies.faithfulness import files as trial_files
from segtrace.studies.faithfulness.trial import try_subject
from segtrace.studies.volumes import explain_volume
from segtrace.tracking.explained import explain_probes, of_failures


@hydra.main(version_base="1.3", config_path="conf", config_name="explain")
@answering
def main(config: DictConfig) -> None:
    """Runs that differ in their seed, maps put to the test, whole volumes, or telling slices."""
    asked = request.checked(config)
    if asked.runs:
        seeds.compare([seeds.read_run(folder) for folder in asked.runs], asked.folder)
    elif asked.tries:
        for subject, untrained, probes, folder in trials(asked):
            trial_files.write_trial(try_subject(subject, untrained, probes, asked.seed), folder)
            print(f"{subject.name}: {folder}")
    elif asked.slices.whole:
        for subject, folder in asked.subjects():
            for volume in asked.slices.volumes():
                place = folder / file_name(volume.name)
                explain_volume(subject, volume, place, asked.trainer, asked.slices.numbering)
    else:
        explain_slices(asked)


def explain_slices(asked: request.Request) -> None:
    """Every network asked for: its slices, their maps, the files; of a training, its course."""
    page, replay, cutting = Page(), asked.replay(), asked.cutting()
    for subject, folder in asked.subjects():
        network = subject.on(asked.slices.of(subject))
        if untrained := asked.beside(subject):
            before = explain_probes(*untrained.on(network.probes), epoch=untrained.epoch)
            results.write(before, folder / "untrained", untrained.facts)
            page.add(before, untrained.whole)
        explained = explain_probes(*network, epoch=subject.epoch)
        results.write(explained, folder, subject.facts)
        cutting.add(subject, network.probes, folder, replay.sink)
        replay.add(network, explained, subject.dice)
        if asked.figure:
            results.draw_paper_figure(explained.record, folder, asked.shared_scale)
        page.add(explained, subject.whole)
        print(f"{subject.name}: {folder}")
    if asked.failures:
        for settings in of_failures(network.probes, network.settings):
            wrong = explain_probes(*network._replace(settings=settings), epoch=subject.epoch)
            results.write(wrong, folder / settings.region, subject.facts)
            page.also(wrong)
    page.write(
        asked.folder / "index.html",
        subject.facts,
        events=replay.events,
        routes=cutting.routes(),
        window=subject.preprocessing.window,
        cautions=subject.facts.get("cautions", ()),
    )


if __name__ == "__main__":
    start(main)
