"""A process group of this process alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future
from torch.testing._internal.distributed.fake_pg import FakeStore


@contextmanager
def group_of_one() -> Iterator[None]:
    """Inside the block a network can be wrapped for several processes.

    Nothing is sent, and no thread waits: gloo's asks for the interpreter's lock to let go of the
    last reduction, and a wrapper that is dropped holds it while it waits for that thread.
    """
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def reductions_of(wrapped: nn.parallel.DistributedDataParallel) -> list[int]:
    """Sizes of the buckets of gradients that the wrapper has sent to be summed, as they come."""
    sent: list[int] = []

    def sum_of_one(_: object, bucket: dist.GradBucket) -> Future[Tensor]:
        sent.append(bucket.buffer().numel())
        done: Future[Tensor] = Future()
        done.set_result(bucket.buffer())
        return done

    wrapped.register_comm_hook(None, sum_of_one)
    return sent
