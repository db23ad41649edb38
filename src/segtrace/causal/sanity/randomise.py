"""Fresh weights for a part of a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segtrace.network.undisturbed import unchanged_generators


def randomise(net: nn.Module, modules: Sequence[str], seed: int) -> tuple[str, ...]:
    """Draw the weights of some modules anew, in place; the global generators stay as they are.

    By ``reset_parameters``, which sets the statistics of a batch normalisation back to 0 and 1 as
    well; where a module has none, every parameter of its own is permuted.

    Args:
        net: the network; give a copy.
        modules: paths of modules, see :class:`segtrace.causal.sanity.groups.Group`.
        seed: of the draw.

    Returns:
        The paths whose parameters were permuted.
    """
    permuted = []
    with unchanged_generators(), torch.no_grad():
        torch.manual_seed(seed)
        for path in modules:
            module = net.get_submodule(path)
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
            elif own := list(module.parameters(recurse=False)):
                for parameter in own:
                    parameter.copy_(_permuted(parameter))
                permuted.append(path)
    return tuple(permuted)


def _permuted(values: Tensor) -> Tensor:
    order = torch.randperm(values.numel()).to(values.device)
    return values.flatten()[order].view_as(values)
