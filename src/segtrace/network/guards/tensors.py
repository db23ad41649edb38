"""Networks and tensors: images, labels, what a stage holds."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from segtrace.errors import InputError, wrong
from segtrace.network.labels import whole_numbers


def a_network(name: str, value: Any) -> None:
    """A module, not its class and not a function."""
    if isinstance(value, type) and issubclass(value, nn.Module):
        raise InputError(f"{name} is the class {value.__name__}; call it: {value.__name__}(…)")
    if not isinstance(value, nn.Module):
        raise wrong(name, value, "a network, a torch.nn.Module")


def a_tensor(name: str, value: Any) -> None:
    """A tensor of real numbers that holds some."""
    if not isinstance(value, Tensor):
        hint = f"a tensor, torch.as_tensor({name})"
        raise wrong(name, value, hint if hasattr(value, "__array__") else "a tensor")
    if value.is_complex() or value.is_sparse or value.is_quantized:
        raise wrong(name, value, "a dense tensor of real numbers")
    if value.is_meta:
        raise wrong(name, value, "a tensor with values; this one is on the meta device")


def an_image(name: str, value: Any) -> None:
    """Slices or volumes, with an axis that counts them and one of channels."""
    a_tensor(name, value)
    if value.ndim < 3 or value.ndim > 5:
        advice = f"; of one slice (H, W) take {name}[None, None]" if value.ndim == 2 else ""
        raise wrong(name, value, f"slices (N, C, H, W) or volumes (N, C, D, H, W){advice}")
    if not value.numel():
        raise wrong(name, value, "at least one slice with at least one pixel")


def a_finite_image(name: str, value: Any) -> None:
    """The same without NaN or infinity, of which nothing that is counted means anything."""
    an_image(name, value)
    if broken := int((~value.isfinite()).sum()):
        raise InputError(f"{name} holds {broken} values that are NaN or infinite; repair them")


def labels(name: str, value: Any) -> Tensor:
    """A label map (N, *image), or masks (N, C, *image), as the whole numbers that it holds."""
    a_tensor(name, value)
    if value.ndim < 2 or not value.numel():
        raise wrong(name, value, "a label map (N, H, W) in channel numbers")
    return whole_numbers(name, value)


def tensors(name: str, value: Any) -> None:
    """Name -> tensor."""
    if not isinstance(value, Mapping):
        raise wrong(name, value, "a mapping name -> tensor")
    for one, tensor in value.items():
        a_tensor(f"{name}[{one!r}]", tensor)


def batches(name: str, value: Any) -> None:
    """Several batches of images; which are looked at when they are read."""
    if isinstance(value, Tensor | str | Mapping) or not isinstance(value, Iterable):
        hint = f"a list of batches (n, C, H, W), [{name}]"
        raise wrong(name, value, hint if isinstance(value, Tensor) else "batches (n, C, H, W)")


def of_one_stage(given: Mapping[str, Any]) -> None:
    """Activation and gradient have one shape, (N, K, *cells).

    Raises:
        InputError: they have not.
    """
    activation, gradient = (given[name] for name in ("activation", "gradient"))
    if activation.shape != gradient.shape or not 3 <= activation.ndim <= 5:
        raise InputError(
            f"activation and gradient have the shapes {tuple(activation.shape)} and "
            f"{tuple(gradient.shape)}; give those of one stage, (N, K, *cells) both"
        )
    if not activation.is_floating_point() or not gradient.is_floating_point():
        raise InputError("activation and gradient must hold floating-point numbers; say .float()")
