"""Trace and measures of a volume: seconds of the CPU, beside the floor of the same rounds.

    .venv/bin/python tests/benchmarks/bench_volumes.py [--rounds 3] [--side 96] [--threads 1]

One patch of 96 x 96 x 96, 8 organs, 10 stages: BasicUNet of 8 to 32 channels, in three
dimensions. The floor is a forward pass with graph and one backward pass an organ, no maps. Random
weights: trained ones take as long once denormals are flushed, as the scripts do.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from bench_trace import floor
from monai.networks.nets import BasicUNet
from promises import kept
from torch import Tensor, nn

import segtrace
from segtrace.attribution import targets
from segtrace.attribution.flow import Flow
from segtrace.measures.localisation import measure

ORGANS = {f"organ_{channel}": channel for channel in range(1, 9)}
RULES = ("seg_grad_cam", "grad_pam")


def network() -> nn.Module:
    torch.manual_seed(0)
    widths = (8, 8, 16, 16, 32, 8)
    return BasicUNet(3, 1, len(ORGANS) + 1, features=widths, norm="batch").eval()


def boxes(side: int) -> Tensor:
    """Labels (1, S, S, S): organs one above the other, each a tenth of the height."""
    truth = torch.zeros(1, side, side, side, dtype=torch.uint8)
    step, middle = side // 10, slice(side // 5, 3 * side // 5)
    for channel in ORGANS.values():
        truth[:, step * channel - step // 2 : step * channel + step // 2, middle, middle] = channel
    return truth


def timed(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of the CPU of every way, in turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.process_time()
            run()
            seconds[way].append(time.process_time() - start)
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    for way, spent in seconds.items():
        print(f"{way:20} {median(spent):6.2f} s of CPU")
    for way, beside in (("trace, one rule", "floor"), ("trace, two rules", "trace, one rule")):
        pairs = zip(seconds[way], seconds[beside], strict=True)
        ratio = median(one / other for one, other in pairs)
        print(f"{way}, beside {beside}: {ratio:.2f}; {kept(ratio, most=1.05)}")
    print(f"seconds of measures: {kept(median(seconds['measures, two rules']), most=1)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(options.threads)
    net, truth = network(), boxes(options.side)
    x = torch.rand(1, 1, *truth.shape[1:])
    asked = targets.organs(ORGANS, "gt", truth)
    masks = torch.stack([truth == channel for channel in ORGANS.values()])

    def traced(*rules: str) -> Flow:
        return segtrace.trace(net, None, x, asked, rules)

    flow = traced(*RULES)
    print(f"{options.side}³, {len(ORGANS)} organs, {len(flow.maps)} stages, {options.threads} "
          f"threads, median of {options.rounds} interleaved rounds")  # fmt: skip
    ways: dict[str, Callable[[], object]] = {
        "floor": lambda: floor(net, x, truth, 1),
        "trace, one rule": lambda: traced(*RULES[:1]),
        "trace, two rules": lambda: traced(*RULES),
        "measures, two rules": lambda: measure(flow, masks),
    }
    report(timed(ways, options.rounds))


if __name__ == "__main__":
    main()
