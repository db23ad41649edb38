"""What explain.py does with what it is asked: networks, slices, maps, files."""

from segtrace.cli.explain.request import Request
from segtrace.cli.explain.trial_request import trials
from segtrace.names import file_name
from segtrace.report.page.page import Page
from segtrace.studies import results, seeds
from segtrace.studies.cut_subject import cut_alone, routes
from segtrace.studies.faithfulness import files as trial_files
from segtrace.studies.faithfulness.trial import try_subject
from segtrace.studies.volumes import explain_volume
from segtrace.tracking.explained import explain_probes, of_failures


def compare_runs(asked: Request) -> None:
    """Runs that differ in their seed: mean and range of every stage."""
    seeds.compare([seeds.read_run(folder) for folder in asked.runs], asked.folder)


def put_to_the_test(asked: Request) -> None:
    """Whether cutting what the maps mark costs more than cutting elsewhere."""
    for subject, untrained, probes, folder in trials(asked):
        trial_files.write_trial(try_subject(subject, untrained, probes, asked.seed), folder)
        print(f"{subject.name}: {folder}")


def explain_volumes(asked: Request) -> None:
    """All slices of an image, or of cases of a data set, as NIfTI in the image's own grid."""
    for subject, folder in asked.subjects():
        for volume in asked.slices.volumes():
            place = folder / file_name(volume.name)
            explain_volume(subject, volume, place, asked.trainer, asked.slices.numbering)


def explain_slices(asked: Request) -> None:
    """Every network asked for: its slices, their maps, the files; of a training, its epochs."""
    page, run = Page(), asked.run()
    for subject, folder in asked.subjects():
        network = subject.on(asked.slices.of(subject))
        if untrained := asked.beside(subject):
            before = explain_probes(*untrained.on(network.probes), epoch=untrained.epoch)
            results.write(before, folder / "untrained", untrained.facts)
            page.add(before, untrained.whole)
        explained = explain_probes(*network, epoch=subject.epoch)
        results.write(explained, folder, subject.facts, shared_scale=asked.shared_scale)
        if run is None:
            cuts = cut_alone(asked.cuts, subject, network.probes, folder)
        else:
            run.update(network, explained, subject.dice, asked.cuts.of(subject, network.probes))
            cuts = run.tracker.cuts, run.tracker.untrained
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
        events=None if run is None else run.events,
        routes=routes(cuts[0]),
        window=subject.preprocessing.window,
        cautions=subject.facts.get("cautions", ()),
    )
