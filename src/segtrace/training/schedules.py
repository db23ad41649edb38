"""Learning-rate schedules, stepped after every optimiser step."""

from math import nextafter

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, PolynomialLR

from segtrace.errors import InputError


def polynomial(
    optimizer: Optimizer, steps: int, power: float = 0.9, *, late: bool = False
) -> LRScheduler:
    """The rate falls as (1 - step/steps)^power: the schedule of the Synapse benchmark.

    Args:
        optimizer: whose rate it is.
        steps: of the training.
        power: by which it falls.
        late: as TransUNet's program has it: a step's number sets the rate of the one after it, so
            that the first two have the whole.

    Raises:
        InputError: a power of 0 or less, with which it would not fall.
    """
    if power <= 0:
        raise InputError(f"model.scheduler.power={power}; give more than 0")
    if late:
        return LambdaLR(optimizer, lambda step: max(1 - max(step - 1, 0) / steps, 0.0) ** power)
    return PolynomialLR(optimizer, total_iters=steps, power=power)


def one_cycle(optimizer: Optimizer, steps: int, warmup: float = 0.2) -> LRScheduler:
    """Up to the optimiser's rate in the first ``warmup`` share of the steps, then down to zero.

    The rate is cycled alone; momentum stays as the optimiser has it.

    Raises:
        InputError: a share that leaves no step to go up, or none to go down.
    """
    if not 0 < warmup < 1:
        raise InputError(f"model.scheduler.warmup={warmup}; give more than 0 and less than 1")
    if warmup * steps == 1:  # a rise of one step, by whose length torch would divide
        warmup = nextafter(warmup, 0)
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=warmup,
        cycle_momentum=False,
    )
