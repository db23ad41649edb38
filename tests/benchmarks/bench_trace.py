"""Cost of a trace against the floor and the neighbours: median ratios of interleaved rounds.

    .venv/bin/python tests/benchmarks/bench_trace.py [--rounds 3] [--contiguous] [--full]
    .venv-foreign/bin/python tests/benchmarks/bench_trace.py --network smp.Unet

The full set is 11 stages x 8 organs x 8 slices at 224 x 224 on FlexibleUNet-ResNet-18, maps at
native resolution, on slices of a phantom; or on another network, of a package that
`make test-foreign` installs. The network is trained for some steps first, since
random weights are faster than trained ones, and lies in memory channels last, as train.py has it.
An organ that a slice lacks gets the region that it has in another slice. Denormals are flushed
for all alike. The floor is a forward pass with graph and one backward pass per present organ down
to the shallowest stage, no maps; the better of slice by slice and batched. The peak of memory is
of a process that runs one method alone, above what it holds before.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_epoch import slices, train
from captum.attr import LayerGradCam
from monai.visualize import GradCAM
from promises import kept
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchcamGradCAM

import segtrace
from segtrace.attribution import targets
from segtrace.checkpoint.loading import in_channels_last
from segtrace.models.flexible_unet import FlexibleUNet
from segtrace.network import stages as stages_of

ORGANS = 8


def everywhere(labels: Tensor) -> Tensor:
    """Labels (N, H, W) in which every organ is on every slice."""
    filled = labels.clone().long()
    for channel in range(1, ORGANS + 1):
        widest = (labels == channel).flatten(1).sum(1).argmax()
        for truth in filled:
            if not (truth == channel).any():
                truth[labels[widest] == channel] = channel
    return filled


def smp_unet() -> nn.Module:
    """segmentation-models-pytorch's, with a ResNet-18."""
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=ORGANS + 1)


def nnunet() -> nn.Module:
    """nnU-Net's plan for 2-D slices of this size, as it is used after training."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    widths = (32, 64, 128, 256, 512, 512)
    return PlainConvUNet(
        1, 6, widths, nn.Conv2d, 3, [1, 2, 2, 2, 2, 2], 2, ORGANS + 1, 2, True, nn.InstanceNorm2d,
        {"eps": 1e-5, "affine": True}, None, None, nn.LeakyReLU, {"inplace": True},
    )  # fmt: skip


BUILDS: dict[str, Callable[[], nn.Module]] = {
    "FlexibleUNet": lambda: FlexibleUNet(1, ORGANS + 1, "resnet18", spatial_dims=2),
    "smp.Unet": smp_unet,
    "nnU-Net": nnunet,
}


def prepared(name: str, weights: Path, side: int, steps: int) -> None:
    """Train a network for some steps on phantom slices; keep it with them."""
    with tempfile.TemporaryDirectory() as folder:
        _, probes = slices(Path(folder), side)
    torch.manual_seed(0)
    net = BUILDS[name]()
    train(net, probes, steps)
    truth = everywhere(probes.labels)
    torch.save({"net": net.state_dict(), "x": probes.images, "truth": truth}, weights)


def loaded(name: str, weights: Path, contiguous: bool) -> tuple[nn.Module, Tensor, Tensor]:
    saved = torch.load(weights, weights_only=True)
    net = BUILDS[name]()
    net.load_state_dict(saved["net"])
    return (net if contiguous else in_channels_last(net)).eval(), saved["x"], saved["truth"]


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


def methods(net: nn.Module, x: Tensor, truth: Tensor, full: bool) -> dict[str, Callable[[], None]]:
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
    if full:
        rows["captum, as documented"] = lambda: captum(net, x, truth)
        rows["MONAI, as documented"] = lambda: monai(net, x)
    return rows


def timed(rows: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds):
        for name, run in rows.items():
            if name.endswith("documented") and number:
                continue  # minutes each, and far from every target
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    return seconds


def peak_of(name: str, options: list[str]) -> float:
    """MiB that the method takes at most, in a process of its own."""
    command = [sys.executable, __file__, *options, "--peak-of", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak() -> float:
    """MiB, the most so far. Not ru_maxrss: a child starts with the peak of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def report(seconds: dict[str, list[float]], peaks: dict[str, float]) -> None:
    best = [min(pair) for pair in zip(*list(seconds.values())[:2], strict=True)]
    neighbour = seconds["torchcam, layers in one call"]

    def ratio(spent: list[float], others: list[float]) -> float:
        return statistics.median(s / o for s, o in zip(spent, others, strict=False))

    print(f"{'':34} CPU s   x floor  x torchcam  peak MiB")
    for name, spent in seconds.items():
        print(f"{name:34} {statistics.median(spent):6.2f} {ratio(spent, best):8.2f} "
              f"{ratio(spent, neighbour):10.2f} {peaks.get(name, float('nan')):10.0f}")  # fmt: skip
    one, four = seconds["segtrace, seg_grad_cam"], seconds["segtrace, 4 organs nowhere"]
    least, torchcams = ratio(one, best), ratio(one, neighbour)
    further = ratio(seconds["segtrace, + grad_pam"], one)
    spared = ratio(neighbour, four)
    print(f"\none rule, x floor: {least:.2f}; {kept(least, most=1.05)}")
    print(f"one rule, x torchcam: {torchcams:.2f}; {kept(torchcams, most=1)}")
    print(f"a further rule, x one rule: {further:.2f}; {kept(further, most=1.05)}")
    print(f"torchcam, x one rule with 4 organs nowhere: {spared:.2f}; {kept(spared, least=1.7)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--steps", type=int, default=8, help="of training beforehand")
    parser.add_argument("--contiguous", action="store_true", help="not channels last")
    parser.add_argument("--full", action="store_true", help="captum and MONAI too (minutes)")
    parser.add_argument("--network", choices=BUILDS, default="FlexibleUNet")
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(args.threads)
    if args.peak_of:
        rows = methods(*loaded(args.network, args.weights, args.contiguous), args.full)
        before = peak()
        rows[args.peak_of]()
        print(peak() - before)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pth")
        prepared(args.network, weights, args.side, args.steps)
        rows = methods(*loaded(args.network, weights, args.contiguous), args.full)
        options = [
            "--weights",
            str(weights),
            "--threads",
            str(args.threads),
            "--network",
            args.network,
        ]
        options += ["--contiguous"] * args.contiguous + ["--full"] * args.full
        peaks = {name: peak_of(name, options) for name in rows}
        layout = "contiguous" if args.contiguous else "channels last"
        print(f"{args.side} x {args.side}, {layout}, {args.threads} threads, median of "
              f"{args.rounds} interleaved rounds")  # fmt: skip
        report(timed(rows, args.rounds), peaks)


if __name__ == "__main__":
    main()
