"""Planted evidence: train on every task and seed, put the rules to it, print the README's tables.

    .venv/bin/python tests/benchmarks/planted_table.py [--seeds 0 1 2] [--why logit]

A run that is already in the folder is not trained again. All numbers go to CSV files there.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import torch

from segtrace.labelled import names_along
from segtrace.planted.benchmark import WHY, score_rules
from segtrace.planted.images import TAGS, TASKS
from segtrace.planted.network import PlantedNetwork
from segtrace.planted.route import planted_route
from segtrace.report.tables import save_table

ROOT = Path(__file__).parents[2]
RULES = ("seg_grad_cam", "grad_pam", "layer_cam")


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
    """Dice, and the part of the discs with the right class, with the tag in all its states."""
    rows = []
    for task, own in networks.items():
        for tag in TAGS if task == "shortcut" else TAGS[:1]:
            dice, right = [], []
            for network in own:
                slices = network.slices(tag)
                dice.append(network.dice(slices))
                right.append(float((slices.margin(network.logits(slices)) > 0).double().mean()))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--folder", type=Path, default=Path("outputs/planted"))
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


if __name__ == "__main__":
    main()
