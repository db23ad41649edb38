"""Memory of a volume's trace, in a process of its own, since a peak never falls again.

A patch of 64 voxels a side stands for one of 96, at (64 / 96)³ of the memory, to save time.
"""

import subprocess
import sys
from pathlib import Path

import pytest

SIDE = 64
SHARE = (SIDE / 96) ** 3
TRACE = f"""
from pathlib import Path
import torch
from monai.networks.nets import BasicUNet
import segtrace
from segtrace.attribution import targets

def peak():
    # Not ru_maxrss: a child starts with the peak of the process that made it.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

torch.set_flush_denormal(True)
torch.manual_seed(0)
net = BasicUNet(3, 1, 9, norm="batch")
patch = torch.rand(1, 1, {SIDE}, {SIDE}, {SIDE})
truth = torch.zeros(1, {SIDE}, {SIDE}, {SIDE}, dtype=torch.uint8)
truth[:, 10:20], truth[:, 30:40] = 1, 8
organs = targets.organs({{str(c): c for c in range(1, 9)}}, "gt", truth)
before = peak()
kept = []
handle = net.conv_0.register_forward_hook(lambda _m, _i, out: kept.append(out))
logits = net.eval()(patch.clone().requires_grad_())
handle.remove()
seed = torch.zeros_like(logits)
seed[:, 1] = truth == 1
torch.autograd.grad(logits, kept, seed, retain_graph=True)
del kept, logits, seed
floor = peak()
flow = segtrace.trace(net, None, patch, organs, ("seg_grad_cam", "grad_pam"))
of_one, maps = peak(), sum(maps.nbytes for maps in flow.maps.values())
del flow
few = targets.organs({{"1": 1}}, "gt", truth.repeat(3, 1, 1, 1))
segtrace.trace(net, None, patch.repeat(3, 1, 1, 1, 1), few)
print(before, floor, of_one, maps, peak())
"""


def peaks():
    """Bytes before the passes; that one organ's passes took; that the trace of a volume took; of
    its maps; that the trace of three took, of one organ.
    """
    ran = subprocess.run(
        [sys.executable, "-c", TRACE], capture_output=True, text=True, check=True, timeout=100
    )
    before, floor, peak, maps, of_three = map(int, ran.stdout.split())
    return before, floor - before, peak - before, maps, of_three - before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read a peak from")
def test_a_volume_stays_below_four_gibibytes_and_near_one_organ_s_passes():
    """Near what one forward and one backward pass take that keeps its graph for another organ.

    How the allocator lays out blocks differs by a tenth from one process to the next (1.07 to 1.18
    of one network, seen in six), so that of three the least counts.
    """
    tries = (peaks() for _ in range(3))
    assert any(
        0 < peak < (4 * 2**30 - before) * SHARE
        and peak - maps < 1.2 * floor
        and of_three < 1.2 * peak  # one after the other
        for before, floor, peak, maps, of_three in tries
    )
