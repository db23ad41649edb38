"""Small networks on a small phantom that learnt nothing, or only where organs usually lie."""

from functools import cache

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet

from segtrace.causal.baselines import collect
from segtrace.data.files.geometry import Grid
from segtrace.data.labels import BTCV, organ_table
from segtrace.data.phantom.phantom import CASES, generate
from segtrace.data.probes import Probes
from segtrace.report.page.page_data import PageData
from segtrace.report.page.page_epoch import PageEpoch, body
from segtrace.tracking.cuts import cut_network
from segtrace.tracking.edges import sites
from segtrace.tracking.explained import DEFAULT, Network, explain_probes
from segtrace.tracking.leaks import LeakMeter, Leaks

SIZE, DEPTH = 32, 16
ORGANS = organ_table("synapse8", BTCV)


@cache
def slices(first, last, each):
    """The richest slices of phantom cases: images (N, 1, H, W) and labels (N, H, W)."""
    images, labels = [], []
    for case in CASES[first:last]:
        hu, numbers, affine = generate(case, 0, (SIZE, SIZE, DEPTH))
        grid = Grid.from_affine(hu.shape, affine, case)
        numbers = grid.to_slices(numbers)
        channels = np.zeros_like(numbers)
        for organ, channel in ORGANS.items():
            channels[numbers == BTCV[organ]] = channel
        rich = np.argsort([-len(np.unique(one)) for one in channels], kind="stable")[:each]
        images += [*((grid.to_slices(hu)[rich].astype(np.float32) + 125) / 400).clip(0, 1)]
        labels += [*channels[rich]]
    return torch.from_numpy(np.stack(images))[:, None], torch.from_numpy(np.stack(labels))


def probes():
    """A slice of each of 12 cases."""
    images, labels = slices(0, 12, 1)
    mm = torch.full((12, 2), 384.0 / SIZE).double()
    return Probes(images, labels, CASES[:12], (0,) * 12, mm, "val", True)


def untrained(seed):
    """A small U-Net with batch normalisation, evaluation mode."""
    torch.manual_seed(seed)
    return BasicUNet(2, 1, len(ORGANS) + 1, features=(8, 8, 16, 16, 24, 8), norm="batch").eval()


def taught(seed, shuffled, steps=80):
    """The same after some steps on 12 other cases; ``shuffled``: each slice with labels of any."""
    images, labels = slices(12, 24, 4)
    generator = torch.Generator().manual_seed(seed)
    if shuffled:
        labels = labels[torch.randperm(len(labels), generator=generator)]
    net, loss = untrained(seed).train(), DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(steps):
        batch = torch.randint(len(images), (8,), generator=generator)
        optimizer.zero_grad()
        loss(net(images[batch]), labels[batch][:, None].long()).backward()
        optimizer.step()
    return net.eval()


def claims(before, now):
    """What an epoch claims beside its untrained network: kind -> claims, and Dice per organ."""
    shown = probes()
    then, explained = (explain_probes(net, None, shown, ORGANS, DEFAULT, epoch=epoch)
                       for epoch, net in ((0, before), (10, now)))  # fmt: skip
    box = body(shown.images)
    page = PageData(then.record, box, [PageEpoch.of(one, box) for one in (then, explained)])
    told, flow = page.headlines(page.epochs[1]), explained.record.flow
    headlines = [told.network(rule) for rule in flow.rules]
    headlines += [told.of(rule, organ) for rule in flow.rules for organ in flow.organs]
    meter = LeakMeter()
    plain, own = (meter.of(one.record) for one in (then, explained))
    network = Network(now, None, shown, ORGANS, DEFAULT)
    leaks = Leaks(explained.record, own, meter.of_centred(network), plain).all_events
    means = collect(now, sites(now, None, None), [slices(12, 24, 4)[0]])
    cuts = cut_network(network, None, means, 10)
    routes = [cuts.routes.network(), *map(cuts.routes.of, cuts.organs)]
    kinds = {"headline": headlines, "leak": leaks, "route": filter(None, routes)}
    dice = dict(zip(flow.organs, page.organ_dice(page.epochs[1]).tolist(), strict=True))
    return {kind: [one for one in all_of if one.holds] for kind, all_of in kinds.items()}, dice
