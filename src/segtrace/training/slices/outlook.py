"""What is said of a training on volumes before it begins: what is seen, and what a step takes."""

import torch

from segtrace import room
from segtrace.axes import sized
from segtrace.data.datamodule import CaseDataModule
from segtrace.data.volumes.view import VolumeView
from segtrace.memory import bytes_of_pass, free_bytes
from segtrace.progress import counted, say
from segtrace.training.module import SegmentationModule


def tell_volumes(
    data: CaseDataModule, view: VolumeView, module: SegmentationModule, device: torch.device
) -> None:
    """Say how large a patch is, what is watched, and the memory that a step takes.

    Args:
        data: the cases.
        view: what the network sees of them.
        module: around the network.
        device: that is trained on.

    Raises:
        InputError: a step takes more memory than there is.
    """
    made, watched = view.preprocessing, module.description["probes"]["cases"]
    whole = view.whole_volumes
    spacing = "the files' own voxels" if made.spacing is None else f"{sized(made.spacing)} mm"
    patch = sized(made.patch or ())
    what = f"whole volumes in {patch} voxels" if whole else f"patches of {patch} voxels"
    say(f"The network sees {what} of {spacing} (left-right x front-back x feet-head).")
    which = "whole" if whole else "the patch with most of its organs"
    say(f"Watched are {counted(len(watched), 'case')}, of each {which}: {', '.join(watched)}.")
    shape = (data.batch_size, made.channels, *made.roi)
    needed = bytes_of_pass(module.net, shape, torch.float32, device)
    free = free_bytes(device)
    if needed is not None and free is not None:
        say(
            f"A step of {counted(data.batch_size, 'volume')} takes about {room.in_words(needed)} "
            f"of memory; {room.in_words(free)} are free."
        )
    smaller = [max(16, n // 2 // 16 * 16) for n in made.patch or ()]
    fewer = (
        f"data.batch_size={data.batch_size // 2}"
        if data.batch_size > 1
        else f"data.patch={str(smaller).replace(' ', '')}"
    )
    room.check(
        needed,
        free,
        f"data.batch_size={data.batch_size}: a step takes about",
        f"say {fewer}, or make voxels larger with data.spacing",
    )
