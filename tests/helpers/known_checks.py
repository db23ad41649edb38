"""What holds for every network of the table: gradients, maps, edges, cuts, by plain hooks."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch

import segtrace
from helpers.nets import labels
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.causal.baselines import collect
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.labelled import tensor
from segtrace.network import edges, stages
from segtrace.network.altering import altering
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.logits import logits_at
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import undisturbed

CHANNELS = {"a": 1, "b": 2}
RULES = ("seg_grad_cam", "grad_pam")


@dataclass(frozen=True)
class Known:
    """A network of the table, small.

    ``halves``: edge -> (module, argument, channels) where a hook by hand finds it: an input of
    the module, or with argument ``None`` its output; of a sum also what is added there to it.
    Written from the network's source.
    """

    build: object
    side: int = 32
    axes: int = 2
    encoders: int = 5
    decoders: int = 4
    channels: int = 1
    halves: dict = field(default_factory=dict)
    unaligned: tuple = ()  # edges that carry something made from their source, not the source
    tolerance: float = 1e-3

    def images(self, n=1, seed=0):
        generator = torch.Generator().manual_seed(seed)
        shape = (n, self.channels, *[self.side] * self.axes)
        return torch.rand(shape, generator=generator).double()


def logits(net, x):
    with torch.no_grad():
        return logits_at(net, x)


def check_gradients(net, known):
    described = segtrace.describe(net, known.images())
    names = [report.stage.name for report in described.stages]
    counted = [f"enc{i + 1}" for i in range(known.encoders)]
    counted += [f"dec{i + 1}" for i in range(known.decoders)]
    assert names == [*counted, "head"]
    assert described.gradient_cut == ()
    for report in described.stages:
        assert report.gradient == pytest.approx(report.quotient, rel=known.tolerance), report.stage
        assert report.gradient != 0
    return described


def check_maps(net, known):
    """At every stage the maps of plain hooks, in whatever layout the stage is."""
    x, found = known.images(), {}
    flow = segtrace.trace(net, None, x, targets.organ(1, "all"), RULES)
    dead = [not (maps[RULES.index("grad_pam")] > 0).any() for maps in flow.maps.values()]
    expected = [Status.DEAD if none else Status.OK for none in dead]
    assert flow.status[:, RULES.index("grad_pam"), 0, 0].tolist() == expected
    places = stages.resolve(net)
    handles = [
        net.get_submodule(place.module).register_forward_hook(
            lambda _m, _i, out, name=place.name: found.setdefault(name, out)
        )
        for place in places
    ]
    try:
        score = logits_at(net, x)[:, 1].sum()
        gradients = torch.autograd.grad(score, [found[place.name] for place in places])
    finally:
        for handle in handles:
            handle.remove()
    far = 0.0
    for place, gradient in zip(places, gradients, strict=True):
        a, g = (place.channels_first(t.detach()) for t in (found[place.name], gradient))
        mean = g.flatten(2).mean(2).reshape(*g.shape[:2], *[1] * (g.ndim - 2))
        for ours, theirs in zip(flow.maps[place.name][:, 0], (mean * a, g * a), strict=True):
            theirs = theirs.sum(1)
            largest = theirs.abs().max().clamp(min=1e-300)
            far = max(far, float((ours - theirs).abs().max() / largest))
    return far


def check_edges(net, known):
    """Looking changes nothing; each carries something; each is what its source puts out."""
    x, seen = known.images(), {}
    expected = logits(net, x)
    with undisturbed(net, x.device):
        found = settled(net, edges.resolve(net), x)
    look = {e: (lambda tensor, e=e: seen.setdefault(e.name, tensor)) for e in found}
    with altering(net, look):
        assert torch.equal(logits(net, x), expected)
    for edge in found:
        with altering(net, {edge: torch.zeros_like}):
            assert not torch.equal(logits(net, x), expected), edge.name
    assert torch.equal(logits(net, x), expected)  # and the wires are whole again
    at = stages.resolve(net)
    with torch.no_grad():
        seen = observe(net, [*found, *at], x).activations
    for edge in found:
        if edge.argument is None:
            assert edge.part is None
        elif edge.name not in known.unaligned and edge.source:
            torch.testing.assert_close(seen[edge.name], seen[edge.source])
    return found


@contextmanager
def by_hand(net, place, put):
    """The tensor at (module, argument, channels) passed through ``put``, by a hook of its own."""
    path, argument, part, *beside = place
    module, added = net.get_submodule(path), []
    others = [net.get_submodule(other) for other in beside]
    hold = [m.register_forward_hook(lambda _m, _i, out: added.append(out.clone())) for m in others]

    def altered(tensor):
        whole = tensor.clone()
        whole[part] = put(whole[part]) + (added[0] if added else 0)
        return whole

    def on_input(_module, args, kwargs):
        if isinstance(argument, str):
            return args, {**kwargs, argument: altered(kwargs[argument])}
        changed = list(args)
        changed[argument] = altered(args[argument])
        return tuple(changed), kwargs

    if argument is None:
        handle = module.register_forward_hook(lambda _m, _i, out: altered(out))
    else:
        handle = module.register_forward_pre_hook(on_input, with_kwargs=True)
    try:
        yield
    finally:
        for one in (handle, *hold):
            one.remove()


def check_cuts(net, known, n=2):
    """Cutting a site costs what a hook of one's own there, on that very half, costs."""
    x = known.images(n)
    truth = labels(n, known.side, 3)
    for _ in range(known.axes - 2):
        truth = truth[:, None].expand(-1, known.side, -1, -1)
    sites = sites_of(net)
    means = collect(net, sites, [x])
    found = necessity(net, sites, x, truth, CHANNELS, means, batch=n)
    assert {edge.name for edge in sites.edges} == set(known.halves)
    for s, site in enumerate(sites):
        place = known.halves.get(site.name, (site.module, None, ...))
        mean, axis = means.channels[site.name], 1 if site.layout == "nchw" else -1

        def put(part, mean=mean, axis=axis):
            shape = [1] * part.ndim
            shape[axis] = -1
            return mean.reshape(shape).expand_as(part)

        with by_hand(net, place, put), torch.no_grad():
            slow = Judge(CHANNELS, truth).of(logits_at(net, x))
        for name, theirs in (("dice", slow.dice), ("scores", slow.score)):
            ours = tensor(found.data[name])[s]
            torch.testing.assert_close(ours, theirs, equal_nan=True)
