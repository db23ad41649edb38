import warnings

import pytest
import torch

from helpers import routes as nets
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.batches import Batches, Clock
from segtrace.causal.necessity import necessity
from segtrace.causal.route import route
from segtrace.errors import is_out_of_memory
from segtrace.network.sites import sites_of


def fits(most):
    def run(part):
        if part.stop - part.start > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(part.start, part.stop))

    return run


def test_every_slice_runs_once_and_in_order():
    parts = [result for _, result in Batches(3).over(7, fits(3))]
    assert parts == [[0, 1, 2], [3, 4, 5], [6]]


def test_batches_halve_when_memory_runs_out_and_say_so_once():
    batches = Batches(8)
    with pytest.warns(UserWarning, match="batches of 4 slices") as said:
        parts = [result for _, result in batches.over(9, fits(2))]
    assert [number for part in parts for number in part] == list(range(9))
    assert len(said) == 1
    assert batches.size == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(batches.over(4, fits(1)))) == 4  # halves again, in silence


def test_memory_that_does_not_suffice_for_one_slice_is_an_error():
    with pytest.warns(UserWarning, match="memory"), pytest.raises(torch.OutOfMemoryError):
        list(Batches(2).over(2, fits(0)))


def test_other_errors_pass():
    def broken(_part):
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        list(Batches(4).over(4, broken))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried"))


def test_progress_begins_with_an_estimate_and_ends_with_nothing_left():
    told = []
    clock = Clock(4, 0.5, told.append)
    clock.step(1)
    clock.step(3)
    assert [t.done for t in told] == [0, 1, 4]
    assert told[0].left == 2.0
    assert told[-1].left == 0.0


@pytest.mark.parametrize("dims", [2, 3])
def test_volumes_go_through_one_by_one_unless_more_are_asked_for(dims):
    net, x, truth = nets.dimensional(dims)
    sites = sites_of(net, nets.DIMENSIONAL_STAGES, nets.DIMENSIONAL_EDGES)
    sizes = []
    handle = net.register_forward_pre_hook(lambda _m, given: sizes.append(len(given[0])))
    means = collect(net, sites, [x])
    trace(net, sites, x, targets.organs(nets.BOTH, "gt", truth))
    necessity(net, sites, x, truth, nets.BOTH, means)
    route(net, x, truth, nets.BOTH, means, edges=nets.DIMENSIONAL_EDGES, steps=2)
    assert max(sizes) == (1 if dims == 3 else len(x))
    sizes.clear()
    trace(net, sites, x, targets.organs(nets.BOTH, "gt", truth), batch=2)
    handle.remove()
    assert max(sizes) == 2
