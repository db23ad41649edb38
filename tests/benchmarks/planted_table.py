"""Planted evidence: train on every task and seed, put rules and explainers to it, print tables.

    .venv/bin/python tests/benchmarks/planted_table.py [--seeds 0 1 2] [--why logit]
        [--tasks triangle maze] [--explainers rise misure]

A run that is already in the folder is not trained again. All numbers go to CSV files there.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch

from segtrace.attribution.flow import Flow
from segtrace.attribution.targets import Target
from segtrace.attribution.trace import trace
from segtrace.explainers.dardouillet2022.kernel_shap import KernelShap
from segtrace.explainers.desai2020 import AblationCam
from segtrace.explainers.explainer import Explainer, maps_by
from segtrace.explainers.hasany2024.misure import Misure
from segtrace.explainers.mullan2023 import KernelWeighted
from segtrace.explainers.nanda2023.attribution_patching import AttributionPatching
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.labelled import names_along
from segtrace.measures.over_cases import in_words, over_cases
from segtrace.network.stages import resolve
from segtrace.planted.benchmark import WHY, MapsOf, score_maps, score_rules
from segtrace.planted.images.tasks import TAGS, TASKS
from segtrace.planted.network import PlantedNetwork
from segtrace.planted.route import planted_route
from segtrace.report.tables import save_table
from segtrace.tracking.explained import Network

ROOT = Path(__file__).parents[2]
RULES = ("seg_grad_cam", "grad_pam", "layer_cam")
EXPLAINERS: dict[str, Explainer] = {
    "rise": Rise(masks=500, cells=8, baseline="mean"),
    "kernel_shap": KernelShap(baseline="mean"),
    "misure": Misure(baseline="mean", moves=1),
    "ablation_cam": AblationCam(),
    "kernel_weighted": KernelWeighted(),
    "attribution_patching": AttributionPatching(cut="zero", check=False),
}
"""Hidden by the mean: 0 would be a dark mark, which is evidence of class B."""
SHALLOW = ["enc1"]
"""Where explainers of stages and rules stand beside those of the image: all is held there too."""


def trained(task: str, seed: int, folder: Path) -> Path:
    """The last checkpoint of a run, which is trained unless it is there."""
    run = folder / f"{task}-{seed}"
    if not (run / "dice.csv").is_file():
        words = ["experiment=planted", f"data.task={task}", f"seed={seed}", "callbacks.flow=null"]
        places = [f"hydra.run.dir={run}", f"data.cache_dir={folder / 'cache'}"]
        command = [sys.executable, str(ROOT / "train.py"), *words, *places]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return sorted((run / "checkpoints").glob("epoch_*.ckpt"))[-1]


def spread(values: list[float]) -> str:
    """Mean and range over seeds."""
    mean = f"{sum(values) / len(values):.2f}"
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return mean if low == high else f"{mean} ({low} to {high})"


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print as Markdown."""
    for cells in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(cells)} |")
    print()


def learned(networks: dict[str, list[PlantedNetwork]]) -> None:
    """Dice, and the part of the slices with the right class, with the tag in all its states."""
    rows = []
    for task, own in networks.items():
        for tag in TAGS if task == "shortcut" else TAGS[:1]:
            dice, right = [], []
            for network in own:
                slices = network.slices(tag)
                dice.append(network.dice(slices))
                right.append(network.right(slices))
            name = f"{task}, tag {tag}" if task == "shortcut" else task
            rows.append([name, spread(dice), spread(right)])
    table(["task", "Dice", "class right"], rows)


def edges(networks: dict[str, list[PlantedNetwork]], folder: Path) -> None:
    """What cutting every edge costs, and the sentence of each run."""
    rows: dict[str, list[str]] = {}
    every, sentences = [], []
    for task, own in networks.items():
        found = [planted_route(network) for network in own]
        for network, one in zip(own, found, strict=True):
            seed = network.source.seed
            every += [{"task": task, "seed": seed, **row} for row in one.rows()]
            sentences += [f"* {task}, seed {seed}: {said}" for said in one.sentences()]
        for name in names_along(found[0].necessity.data, "site"):
            own_rows = [row for one in found for row in one.rows() if row["edge"] == name]
            start = [f"`{name}` {own_rows[0]['source']} → {own_rows[0]['stage']}"]
            rows.setdefault(name, start).extend(
                spread([row[key] for row in own_rows]) for key in ("dice_lost", "class_right")
            )
    save_table(folder / "edges.csv", every)
    head = [f"{task}: {what}" for task in networks for what in ("Dice lost", "class right")]
    table(["edge cut", *head], list(rows.values()))
    print("\n".join(sentences), end="\n\n")


def rules(networks: dict[str, list[PlantedNetwork]], folder: Path, why: str) -> None:
    """One table a task: what each stage holds at the mark, and what each rule's maps show."""
    every = []
    for task, own in networks.items():
        runs = [score_rules(RULES, network.path, why=why) for network in own]
        scores = dict(zip(RULES, zip(*runs, strict=True), strict=True))
        every += [row for found in scores.values() for one in found for row in one.rows()]
        rows = []
        for s, stage in enumerate(scores[RULES[0]][0].stages):
            row = [stage.stage, spread([one.stages[s].held for one in scores[RULES[0]]])]
            for found in scores.values():
                mine = [one.stages[s] for one in found]
                gain, decoy, before = (
                    f"{sum(getattr(one, key) for one in mine) / len(mine):.2f}"
                    for key in ("gain", "decoy", "untrained")
                )
                words = Counter(one.verdict for one in mine).most_common()
                said = ", ".join(f"{word} {count}/{len(mine)}" for word, count in words)
                row += [f"{gain} / {decoy} / {before}", said]
            rows.append(row)
        print(f"{task}, explained: {why}. Gain on mark / on decoy / of the untrained network\n")
        head = [cell for rule in RULES for cell in (f"`{rule}`", "verdict")]
        table(["stage", "held", *head], rows)
    save_table(folder / f"rules_{why}.csv", every)


def explainers(
    networks: dict[str, list[PlantedNetwork]], folder: Path, why: str, names: list[str], count: int
) -> None:
    """One table a task: every explainer beside the rules, on the image or at the first stage."""
    every = []
    for task, own in networks.items():
        rows = []
        for name in (*names, *RULES):
            maps = _of_rule(name) if name in RULES else maps_by(EXPLAINERS[name])
            found = [
                score_maps(maps, network.path, why=why, stages=SHALLOW, count=count)
                for network in own
            ]
            every += [row for one in found for row in one.rows()]
            stages = [one.stages[0] for one in found]
            words = Counter(one.verdict for one in stages).most_common()
            numbers = [_over([getattr(one, key) for one in stages])
                       for key in ("gain", "decoy", "untrained")]  # fmt: skip
            said = ", ".join(f"{word} {times}/{len(stages)}" for word, times in words)
            rows.append([f"`{name}`", stages[0].stage, *numbers, said])
        print(f"{task}, explained: {why}; {count} slices a case. Mean over networks (95 % t)\n")
        head = ["method", "map of", "gain on the evidence", "on the decoy", "untrained", "verdict"]
        table(head, rows)
        save_table(folder / f"explainers_{why}.csv", every)


def _of_rule(name: str) -> MapsOf:
    def maps(network: Network, asked: Mapping[str, Target]) -> Flow:
        kept = resolve(network.net, network.stages)
        stages = {stage.name: stage for stage in kept if stage.name in SHALLOW}
        return trace(network.net, stages, network.probes.images, asked, name).cpu()

    return maps


def _over(values: list[float]) -> str:
    """Mean and interval over networks."""
    names = [str(number) for number in range(len(values))]
    found = over_cases(torch.tensor(values, dtype=torch.float64), names)
    ends = in_words(float(found.low), float(found.high), len(values)).replace("case", "network")
    return f"{float(found.mean):.2f} ({ends})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--folder", type=Path, default=Path("outputs/planted"))
    parser.add_argument("--explainers", nargs="*", default=list(EXPLAINERS), choices=EXPLAINERS)
    parser.add_argument("--count", type=int, default=2, help="slices of a case for explainers")
    parser.add_argument("--why", default="margin", choices=WHY, help="what is explained")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    networks = {
        task: [
            PlantedNetwork.load(trained(task, seed, options.folder.resolve()))
            for seed in options.seeds
        ]
        for task in options.tasks
    }
    learned(networks)
    edges(networks, options.folder)
    rules(networks, options.folder, options.why)
    explainers(networks, options.folder, options.why, options.explainers, options.count)


if __name__ == "__main__":
    main()
