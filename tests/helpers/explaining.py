"""What the tests of explainers share: a small network with its slices, and time that runs out."""

from contextlib import contextmanager

import torch

from helpers import nets
from segtrace.data.probes import Probes
from segtrace.explainers.explainer import Budget
from segtrace.tracking.explained import Network, Settings, settled, targets_of

X, TRUTH = nets.images(3, 16), nets.labels(3, 16, 3)
ORGANS = {"a": 1, "b": 2}
NET = nets.plain()


@contextmanager
def unseen(_words):
    yield None


def network(region="gt", net=NET, x=X, truth=TRUTH, organs=ORGANS, stages=("enc1", "enc2"), **more):
    probes = Probes(
        images=x, labels=truth.to(torch.uint8), cases=("c",) * len(x), slices=tuple(range(len(x))),
        spacing=torch.ones(len(x), 2).double(), split="val", phantom=True,
    )  # fmt: skip
    chosen = Settings(rules=["grad_pam"], region=region, stages=list(stages), **more)
    return settled(Network(net, nets.PLAIN_STAGES, probes, organs, chosen))


def explained(explainer, of=None, max_seconds=None):
    of = of or network()
    targets = targets_of(of.probes, of.channels, of.settings)
    return explainer.explain(of, targets, Budget(max_seconds, unseen), epoch=4)


class Additive(torch.nn.Module):
    """Two channels: nothing, and the image times a weight a pixel. Its score is additive."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(weight)

    def forward(self, x):
        return torch.cat([torch.zeros_like(x[:, :1]), x[:, :1] * self.weight], 1)


def clock(monkeypatch):
    """Every question whether the time is over comes a second later."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("segtrace.explainers.explainer.perf_counter", lambda: next(seconds))
    monkeypatch.setattr("segtrace.explainers.scores.perf_counter", lambda: 0)
