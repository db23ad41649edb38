"""Learning-rate schedules, stepped after every optimiser step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, PolynomialLR


def polynomial(optimizer: Optimizer, steps: int, power: float = 0.9) -> LRScheduler:
    """The rate falls as (1 - step/steps)^power: the schedule of the Synapse benchmark."""
    return PolynomialLR(optimizer, total_iters=steps, power=power)


def one_cycle(optimizer: Optimizer, steps: int, warmup: float = 0.2) -> LRScheduler:
    """Up to the optimiser's rate in the first ``warmup`` share of the steps, then down to zero.

    The rate is cycled alone; momentum stays as the optimiser has it.
    """
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=warmup,
        cycle_momentum=False,
    )
