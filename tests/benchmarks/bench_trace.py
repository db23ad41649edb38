"""Cost of a trace against the floor and the neighbours: median ratios of interleaved rounds.

    .venv/bin/python tests/benchmarks/bench_trace.py [--rounds 3] [--weights my.pth] [--full]

The full set is 11 stages x 8 organs x 8 slices at 224 x 224 on FlexibleUNet-ResNet-18, maps at
native resolution. Without ``--weights`` the network is trained for a few steps on smooth random
scenes first, since random weights are faster than trained ones. Denormals are flushed for all
alike. The floor is a forward pass with graph and one backward pass per present organ down to the
shallowest stage, no maps; the better of slice by slice and batched.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable

import torch
from captum.attr import LayerGradCam
from monai.visualize import GradCAM
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchcamGradCAM

import segtrace
from segtrace.attribution import stages as stages_of
from segtrace.attribution import targets
from segtrace.models.flexible_unet import FlexibleUNet

ORGANS = 8


def scenes(n: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Smooth random images whose grey value and place decide the label 0 … 8."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 1, side // 16, side // 16, generator=generator)
    image = nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    half = (torch.arange(side) * 2 // side).expand(side, side)
    labels = (image[:, 0] * 5).long().clamp(max=4) + 4 * half * (image[:, 0] >= 0.2)
    return image, labels


def trained(weights: str | None, side: int, steps: int = 25) -> nn.Module:
    torch.manual_seed(0)
    net = FlexibleUNet(1, ORGANS + 1, "resnet18", spatial_dims=2)
    if weights:
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net.eval()
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    for step in range(steps):
        image, labels = scenes(4, side // 64 * 32, step)
        nn.functional.cross_entropy(net(image), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return net.eval()


def floor(net: nn.Module, x: Tensor, truth: Tensor, size: int) -> None:
    """One forward and one backward pass per present organ; no maps."""
    modules = [net.get_submodule(stage.module) for stage in stages_of.resolve(net)]
    for part, labels in zip(x.split(size), truth.split(size), strict=True):
        kept: list[Tensor] = []
        handles = [
            module.register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
            for module in modules
        ]
        logits = net(part.clone().requires_grad_())
        for handle in handles:
            handle.remove()
        for channel in labels.unique().tolist():
            if channel:
                seed = torch.zeros_like(logits)
                seed[:, channel] = labels == channel
                torch.autograd.grad(logits, kept, seed, retain_graph=True)


OutputTarget = Callable[[Tensor], Tensor]


def torchcam(net: nn.Module, x: Tensor, truth: Tensor) -> None:
    """Its call for many layers, a callable target an organ, on one forward pass."""
    layers = [net.get_submodule(stage.module) for stage in stages_of.resolve(net)]
    with TorchcamGradCAM(net, target_layer=layers) as method:
        logits = net(x.clone().requires_grad_())
        for channel in range(1, ORGANS + 1):
            mask = truth == channel

            def score_of(n: int, channel: int = channel, mask: Tensor = mask) -> OutputTarget:
                return lambda out: (out[channel] * mask[n]).sum()

            per_slice = [score_of(n) for n in range(len(x))]
            method(None, logits, normalized=False, targets=per_slice, retain_graph=True)


def captum(net: nn.Module, x: Tensor, truth: Tensor) -> None:
    """As documented: a layer and a class a call."""
    for stage in stages_of.resolve(net):
        for channel in range(1, ORGANS + 1):
            mask = truth == channel

            def score(image: Tensor, channel: int = channel, mask: Tensor = mask) -> Tensor:
                return (net(image)[:, channel] * mask).flatten(1).sum(1)

            LayerGradCam(score, net.get_submodule(stage.module)).attribute(x.requires_grad_())


def monai(net: nn.Module, x: Tensor) -> None:
    """As documented: a layer and a class a call (it has no regions)."""
    for stage in stages_of.resolve(net):
        method = GradCAM(net, target_layers=stage.module)
        for channel in range(1, ORGANS + 1):
            method(x.clone(), class_idx=channel)


def ours(net: nn.Module, x: Tensor, truth: Tensor, *rules: str) -> None:
    organs = {f"organ{c}": c for c in range(1, ORGANS + 1)}
    segtrace.trace(net, None, x, targets.organs(organs, "gt", truth), rules or ("seg_grad_cam",))


def without(truth: Tensor, how: str) -> Tensor:
    """Labels with 4 of 8 organs absent from all slices, or with half of the pairs absent."""
    gone = truth.clone()
    for n, labels in enumerate(gone):
        absent = range(5, 9) if how == "four" else [1 + (n + c) % ORGANS for c in range(4)]
        labels[torch.isin(labels, torch.tensor(list(absent)))] = 0
    return gone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", help="state dict of FlexibleUNet(1, 9, resnet18)")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--full", action="store_true", help="captum and MONAI too (minutes)")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    net = trained(args.weights, args.side)
    x, truth = scenes(args.slices, args.side, 99)
    four, half = without(truth, "four"), without(truth, "half")
    rows: dict[str, Callable[[], None]] = {
        "floor, slice by slice": lambda: floor(net, x, truth, 1),
        "floor, batched": lambda: floor(net, x, truth, len(x)),
        "segtrace, seg_grad_cam": lambda: ours(net, x, truth),
        "segtrace, + grad_pam": lambda: ours(net, x, truth, "seg_grad_cam", "grad_pam"),
        "torchcam, layers in one call": lambda: torchcam(net, x, truth),
        "segtrace, 4 organs nowhere": lambda: ours(net, x, four),
        "segtrace, half the pairs absent": lambda: ours(net, x, half),
        "floor, half the pairs absent": lambda: floor(net, x, half, 1),
    }
    if args.full:
        rows["captum, as documented"] = lambda: captum(net, x, truth)
        rows["MONAI, as documented"] = lambda: monai(net, x)
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(args.rounds):
        for name, run in rows.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    best = [min(pair) for pair in zip(*list(seconds.values())[:2], strict=True)]
    print(f"CPU seconds, median of {args.rounds} rounds; ratio to the floor, median of rounds")
    for name, spent in seconds.items():
        ratio = statistics.median(s / f for s, f in zip(spent, best, strict=True))
        print(f"{name:34} {statistics.median(spent):8.2f} s {ratio:8.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of the whole process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
