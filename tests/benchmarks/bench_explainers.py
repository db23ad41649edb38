"""Methods of other papers: our passes beside one image a pass, as the authors' programs take them.

    .venv/bin/python tests/benchmarks/bench_explainers.py [--slices 2] [--side 128] [--rounds 3]

The same masks, coalitions and channels both ways, whose maps are held against each other. Random
weights: trained ones take as long once denormals are flushed, as the scripts do.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from promises import kept

from segtrace import explainers
from segtrace.explainers.image_maps import ImageMaps
from segtrace.explainers.stage_maps import StageMaps
from segtrace.models.flexible_unet import FlexibleUNet

ORGANS = {f"organ_{channel}": channel for channel in range(1, 9)}
AT_ONCE = [
    f"segtrace.{module}.SLICES"
    for module in ("causal.batches", "explainers.scores", "explainers.channels")
]
"""How many images a pass takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=2)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    net = FlexibleUNet(1, len(ORGANS) + 1, "resnet18", spatial_dims=2)
    net = net.to(memory_format=torch.channels_last).eval()
    x = torch.rand(options.slices, 1, options.side, options.side)
    truth = torch.randint(0, len(ORGANS) + 1, (options.slices, options.side, options.side))
    given = {"image": x, "organs": ORGANS, "truth": truth, "region": "gt"}
    methods = {
        "RISE, 60 masks": lambda: explainers.rise(net, **given, masks=60),
        "KernelSHAP, 3 x 3, 74 coalitions": lambda: explainers.kernel_shap(
            net, **given, cells=3, samples=74
        ),
        "Ablation-CAM, dec4, 32 channels": lambda: explainers.ablation_cam(
            net, {"dec4": "decoder.blocks.3"}, **given
        ),
    }
    print(
        f"{len(ORGANS)} organs, {len(x)} slices of {options.side}²; CPU seconds, median of rounds"
    )
    for name, method in methods.items():
        print(beside(name, method, options.rounds), flush=True)


def beside(name: str, method: Callable[[], ImageMaps | StageMaps], rounds: int) -> str:
    """Both ways in turn, and how far their maps are apart."""
    took: dict[str, list[float]] = {"ours": [], "one a pass": []}
    maps = {}
    for _ in range(rounds):
        for way, seconds in took.items():
            start = time.process_time()
            maps[way] = one_a_pass(method) if way == "one a pass" else found(method)
            seconds.append(time.process_time() - start)
    ours, theirs = (statistics.median(seconds) for seconds in took.values())
    apart = float((maps["ours"] - maps["one a pass"]).abs().max() / maps["ours"].abs().max())
    return (
        f"{name:36s} ours {ours:6.2f}  one a pass {theirs:6.2f}  ratio {theirs / ours:.2f}, "
        f"{kept(theirs / ours, least=1)}  maps apart {apart:.0e}, {kept(apart, most=1e-3)}"
    )


def one_a_pass(method: Callable[[], ImageMaps | StageMaps]) -> torch.Tensor:
    """The maps, with one image in every pass."""
    patches = [patch(place, 1) for place in AT_ONCE]
    for one in patches:
        one.start()
    try:
        return found(method)
    finally:
        for one in patches:
            one.stop()


def found(method: Callable[[], ImageMaps | StageMaps]) -> torch.Tensor:
    """The maps of the one stage."""
    (maps,) = method().explained.record.flow.maps.values()
    return maps


if __name__ == "__main__":
    main()
