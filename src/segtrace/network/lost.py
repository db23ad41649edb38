"""Weights that are no numbers any more: which they are, and what becomes of maps behind them."""

from collections.abc import Iterator

from torch import Tensor, nn


def unsound(net: nn.Module) -> Iterator[str]:
    """Names of the parameters and buffers that hold NaN or an infinite value.

    A buffer may hold -inf, as a mask of attention does.
    """
    parameters = dict(net.named_parameters(remove_duplicate=False))
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and bool(_lost(tensor, name in parameters).any()):
            yield name


def _lost(tensor: Tensor, is_parameter: bool) -> Tensor:
    return tensor.isnan() | (tensor.isinf() if is_parameter else tensor.isposinf())


def lost_told(net: nn.Module, when: str = "") -> str | None:
    """What is said of a network with such weights, the first by its name; ``None`` of others.

    Args:
        net: the network.
        when: behind the words, as `` at epoch 3``.
    """
    lost = list(unsound(net))
    if not lost:
        return None
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return (
        f"weights {lost[0]}{more} hold NaN or infinity{when}: the network explains nothing, and "
        "its maps are grey cells with the status nonfinite; take another checkpoint, or train with "
        "a lower learning rate"
    )
