"""The full necessity table, and what replaying spares: only what lies behind a cut is computed.

    .venv/bin/python tests/benchmarks/bench_necessity.py [--slices 16] [--side 128] [--rounds 3]

All stages and edges of FlexibleUNet-ResNet-18. Random weights: trained ones take as long once
denormals are flushed, as the scripts do.
"""

import argparse
import statistics
import time

import torch
from promises import kept

from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.models.flexible_unet import FlexibleUNet
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import edit
from segtrace.network.sites import sites_of

ORGANS = 8


def seconds(run) -> float:
    """Of the CPU."""
    start = time.process_time()
    run()
    return time.process_time() - start


def saving(net, sites, x, rounds: int) -> tuple[float, float]:
    """Median seconds of one pass a site, computed whole and replayed; rounds interleaved."""
    cached = CachedForward.of(net, x, Timetable.of(net, x[:1]), sites)

    def whole() -> None:
        for site in sites:
            with torch.no_grad(), edit(net, {site: torch.clone}):
                net(x)

    def replayed() -> None:
        for site in sites:
            with edit(net, {site: torch.clone}):
                cached.run(site)

    pairs = [(seconds(whole), seconds(replayed)) for _ in range(rounds)]
    one, other = zip(*pairs, strict=True)
    return statistics.median(one), statistics.median(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    net = FlexibleUNet(1, ORGANS + 1, "resnet18", spatial_dims=2)
    net = net.to(memory_format=torch.channels_last).eval()
    x = torch.rand(options.slices, 1, options.side, options.side)
    truth = torch.randint(0, ORGANS + 1, (options.slices, options.side, options.side))
    organs = {f"organ_{channel}": channel for channel in range(1, ORGANS + 1)}
    sites = sites_of(net)
    means = collect(net, sites, [x])
    took = seconds(lambda: necessity(net, sites, x, truth, organs, means))
    print(f"necessity of {len(sites)} sites, {ORGANS} organs, {len(x)} slices: {took:.1f} s of CPU")
    whole, replayed = saving(net, sites, x[:8], options.rounds)
    print(f"one pass a site over {len(x[:8])} slices: whole {whole:.2f} s, replayed", end=" ")
    spared = 1 - replayed / whole
    print(f"{replayed:.2f} s: {spared:.0%} spared; as a share, {kept(spared, least=0.5)}")


if __name__ == "__main__":
    main()
