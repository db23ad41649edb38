"""What the callback costs an epoch: seconds by step, and bytes of event file.

    .venv/bin/python tests/benchmarks/bench_epoch.py [--epochs 30] [--threads 2]

8 probes, 8 organs, 11 stages at 224 x 224, FlexibleUNet-ResNet-18 after a few training steps, on
slices of two generated phantoms. The maps of a handful of trained networks are told as if they
were those of all the epochs, with everything drawn when the defaults say so.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from segtrace.data.modules import PhantomData
from segtrace.data.probes import Probes
from segtrace.measures.localisation import measure
from segtrace.models.flexible_unet import FlexibleUNet
from segtrace.training.course import Course, Network
from segtrace.training.explanation import DEFAULT, Explained, organ_masks, traced
from segtrace.training.sink import Sink

SIDE = 224
NETWORKS = 3
"""As many different networks; noise that repeats would compress too well in no file here."""


def slices(folder: Path, side: int = SIDE) -> tuple[PhantomData, Probes]:
    data = PhantomData(
        str(folder / "phantom"), phantom_cases=2, size=side, cache_dir=str(folder / "cache"),
        split={"train": ["0001"], "val": ["0002"]},
    )  # fmt: skip
    return data, data.probes(8)


def train(net: nn.Module, probes: Probes, steps: int) -> None:
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    for _ in range(steps):
        logits = net(probes.images)
        nn.functional.cross_entropy(logits, probes.labels.long()).backward()
        optimizer.step()
        optimizer.zero_grad()
    net.eval()


def explained(network: Network, seconds: dict[str, list[float]]) -> Explained:
    began = time.perf_counter()
    record = traced(*network)
    middle = time.perf_counter()
    masks = organ_masks(record, record.flow.organs)
    values = measure(record.flow, masks, network.probes.spacing)
    seconds.setdefault("trace", []).append(middle - began)
    seconds.setdefault("measures", []).append(time.perf_counter() - middle)
    return Explained(record, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, probes = slices(folder)
        net = FlexibleUNet(1, 1 + len(data.organs), "resnet18", spatial_dims=2).eval()
        network = Network(net, None, probes, data.organs, DEFAULT)
        kinds = [explained(network, seconds)]
        for _ in range(NETWORKS - 1):
            train(net, probes, 8)
            kinds.append(explained(network, seconds))
        writer = SummaryWriter(str(folder / "log"))
        sink, course = Sink(folder / "flow", writer), Course()
        for epoch in range(options.epochs + 1):
            kind = kinds[0] if epoch == 0 else kinds[1 + epoch % (NETWORKS - 1)]
            now = replace(kind, record=replace(kind.record, epoch=epoch))
            began = time.perf_counter()
            leaks = course.leaks(network, now, epoch == options.epochs)
            middle = time.perf_counter()
            course.tell(sink, now, leaks, {}, epoch == options.epochs)
            what = (
                "charts" if leaks else "maps" if course.pace.last["grad_pam"] != epoch else "both"
            )
            seconds.setdefault(f"draw and write, {what}", []).append(time.perf_counter() - middle)
            if leaks:
                seconds.setdefault("leakage, centred trace", []).append(middle - began)
        writer.close()
        written = sum(path.stat().st_size for path in (folder / "log").iterdir())
        files = sum(p.stat().st_size for p in (folder / "flow").rglob("*") if p.is_file())
    for step, taken in seconds.items():
        print(f"{step:32} median {sorted(taken)[len(taken) // 2]:6.2f} s  ({len(taken)} times)")
    epochs = options.epochs + 1
    drawn = sum(sum(t) for step, t in seconds.items() if step.startswith(("draw", "leakage")))
    print(f"{'all but trace and measures':32} mean   {drawn / epochs:6.2f} s an epoch")
    written, files = written / epochs / 2**20, files / epochs / 2**20
    print(f"event file {written:.2f} MiB an epoch, files {files:.2f}")


if __name__ == "__main__":
    main()
