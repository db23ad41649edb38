"""Whether a network can be compiled and trained so, asked before any training."""

import copy

import torch
from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.logits import known_logits
from segtrace.network.undisturbed import unchanged_generators


@unchanged_generators()
def check_compiles(net: nn.Module, images: Tensor, device: torch.device) -> None:
    """Take one step with a compiled copy; no mark is left on the network.

    What the compiler makes is kept by torch, so that the training itself finds it made.

    Args:
        net: the network.
        images: (N, C, H, W), as large as a batch of the training.
        device: that it will be trained on.

    Raises:
        InputError: the compiler, or what it made, fails; the reason, and what to type.
    """
    trial, images = copy.deepcopy(net).to(device).train(), images.to(device)
    trial.compile()
    try:
        with torch.enable_grad():
            known_logits(trial(images), images, trial).float().square().mean().backward()
    except Exception as error:  # of the compiler, or of the compiled network, which runs uncompiled
        words = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(
            f"model.compile=true: {type(net).__name__} cannot be trained compiled on {device.type} "
            f"({words}); say model.compile=false"
        ) from error
