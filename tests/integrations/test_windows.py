import numpy as np
import torch
from torch import nn

from segtrace.integrations.windows import importance, padded, steps, stitched, windows


def test_windows_cover_an_axis_evenly_and_end_with_it():
    assert steps(110, 64) == [0, 23, 46]  # nnU-Net's own example
    assert steps(64, 64) == [0]
    for size in range(7, 60):
        found = steps(size, 7)
        assert found[0] == 0
        assert found[-1] == size - 7
        assert max(np.diff(found), default=0) <= 4  # half a window, rounded


def test_padding_stands_around_an_image_that_is_smaller():
    image, before = padded(torch.ones(1, 2, 3, 4), (5, 4))
    assert image.shape == (1, 2, 5, 4)
    assert before == (0, 1, 0)
    assert image[0, :, 1:4].eq(1).all()
    assert image.sum() == 24


def test_of_two_sides_a_window_lies_in_a_plane():
    found = windows((2, 6, 4), (4, 4))
    assert found == [
        (plane, slice(row, row + 4), slice(0, 4)) for plane in (0, 1) for row in (0, 2)
    ]


class Blurs(nn.Module):
    """What it says of a voxel depends on the window's edge."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


def test_stitched_logits_are_the_weighted_mean_over_windows_in_a_slow_loop():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, image = Blurs().double(), torch.randn(1, 5, 7, 6, dtype=torch.float64)
    patch = (4, 4, 8)  # larger than the image along one axis
    large, before = padded(image, patch)
    weights = importance(patch).double()
    total = torch.zeros(large.shape[1:], dtype=torch.float64)
    sums = torch.zeros(2, *large.shape[1:], dtype=torch.float64)
    for z in steps(5, 4):
        for y in steps(7, 4):
            with torch.no_grad():
                logits = net(large[None, :, z : z + 4, y : y + 4])[0]
            for a in range(4):
                for b in range(4):
                    for c in range(8):
                        sums[:, z + a, y + b, c] += logits[:, a, b, c] * weights[a, b, c]
                        total[z + a, y + b, c] += weights[a, b, c]
    expected = (sums / total)[..., before[2] : before[2] + 6]
    assert torch.allclose(stitched(net, image, patch).double(), expected, atol=1e-5)
    one = stitched(net, image, (5, 7, 6))  # a window that covers all gives what the network says
    with torch.no_grad():
        assert torch.allclose(one.double(), net(image[None])[0], atol=1e-6)
