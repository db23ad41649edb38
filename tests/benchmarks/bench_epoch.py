"""What the callback costs an epoch: seconds by step, and bytes of event file.

    .venv/bin/python tests/benchmarks/bench_epoch.py [--epochs 150] [--threads 2]

8 probes, 8 organs, 11 stages at 224 x 224, FlexibleUNet-ResNet-18 after a few training steps, in
channels-last memory format, on slices of two generated phantoms. The network is traced and measured
a few times; then every epoch is drawn and written as the defaults say, with the maps of these few
networks in turn.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from promises import kept
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from segtrace.data.modules import PhantomData
from segtrace.data.probes import Probes
from segtrace.measures.localisation import measure
from segtrace.models.flexible_unet import FlexibleUNet
from segtrace.report.checksums import hasten_tensorboard
from segtrace.report.sinks import TensorBoardSink
from segtrace.tracking.explained import DEFAULT, Explained, Network, traced
from segtrace.tracking.leaks import Leaks
from segtrace.tracking.tracker import Epoch, Tracker
from segtrace.tracking.writer import Writer

SIDE = 224
NETWORKS = 3
"""As many different networks; pictures that come again take as many bytes as new ones."""
Seconds = dict[str, list[float]]


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


def explained(network: Network, seconds: Seconds) -> Explained:
    began = time.perf_counter()
    record = traced(network)
    middle = time.perf_counter()
    masks = record.masks(record.flow.organs)
    measured = measure(record.flow, masks, network.probes.spacing)
    seconds.setdefault("trace", []).append(middle - began)
    seconds.setdefault("measures", []).append(time.perf_counter() - middle)
    return Explained(record, measured)


class Timed(Tracker):
    """Knows what the leakage of the last epoch took, which holds a trace."""

    leakage = 0.0

    def _leaks(self, epoch: Epoch, explained: Explained) -> Leaks | None:
        began = time.perf_counter()
        found = super()._leaks(epoch, explained)
        self.leakage = time.perf_counter() - began
        return found


def draw(network: Network, kinds: list[Explained], folder: Path, epochs: int) -> Seconds:
    """Draw and write all epochs; by step, the seconds that each took."""
    seconds: Seconds = {}
    board = SummaryWriter(str(folder / "log"))
    writer, tracker = Writer(folder / "flow", (TensorBoardSink(board),)), Timed()
    for epoch in range(epochs + 1):
        kind = kinds[0] if epoch == 0 else kinds[1 + epoch % (NETWORKS - 1)]
        now = replace(kind, record=replace(kind.record, epoch=epoch))
        tracker.leakage = 0.0  # of an epoch without charts
        began = time.perf_counter()
        leaks = tracker.update(writer, Epoch(epoch, epoch == epochs, network, lambda now=now: now))
        whole = time.perf_counter() - began
        seconds.setdefault("draw and write", []).append(whole - tracker.leakage)
        if leaks:
            seconds.setdefault("leakage", []).append(tracker.leakage)
    board.close()
    return seconds


def size(folder: Path) -> float:
    """MiB of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def row(what: str, measured: float, unit: str, most: float | None, remark: str = "") -> None:
    promise = "" if most is None else kept(measured, most)
    print(f"{what:34} {measured:7.2f} {unit:3}  {promise:20}  {remark}".rstrip())


def report(seconds: Seconds, epochs: int, log: float, files: float) -> None:
    drawing, leakage = seconds["draw and write"], seconds["leakage"]
    print("cost of an epoch")
    row("trace", median(seconds["trace"]), "s", 3, "median")
    row("measures", median(seconds["measures"]), "s", 1, "median")
    row("drawing and writing", sum(drawing) / epochs, "s", 1, f"mean over {epochs} epochs")
    row("  the slowest epoch", max(drawing), "s", None, "all rules and charts")
    row("leakage, every 10th epoch", median(leakage), "s", None, "median; holds a trace")
    row("event file", log / epochs, "MiB", 2, f"mean over {epochs} epochs; {log:.0f} MiB in all")
    row("pictures and tables as files", files / epochs, "MiB", None, "mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    hasten_tensorboard()
    torch.manual_seed(0)
    began, worked = time.perf_counter(), time.process_time()
    seconds: Seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, probes = slices(folder)
        net = FlexibleUNet(1, 1 + len(data.organs), "resnet18", spatial_dims=2).eval()
        net.to(memory_format=torch.channels_last)  # as train.py does
        network = Network(net, None, probes, data.organs, DEFAULT)
        kinds = [explained(network, seconds)]
        for _ in range(NETWORKS - 1):
            train(net, probes, 8)
            kinds.append(explained(network, seconds))
        seconds |= draw(network, kinds, folder, options.epochs)
        log, files = size(folder / "log"), size(folder / "flow")
    report(seconds, options.epochs + 1, log, files)
    passed, worked = time.perf_counter() - began, time.process_time() - worked
    print(f"{passed:.0f} s by the clock, {worked:.0f} s of processor time", end="")
    print(": another process was at work, so these times are too long" * (worked < 0.8 * passed))


if __name__ == "__main__":
    main()
