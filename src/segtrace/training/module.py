"""The Lightning module: a network, its loss, its Dice, and a checkpoint that describes itself."""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segtrace.activation import (
    ACTIVATIONS,
    SIGMOID,
    SOFTMAX,
    Organ,
    organs_of,
    predicted,
    true_masks,
)
from segtrace.checkpoint.description import FORMAT
from segtrace.checkpoint.loading import DESCRIPTION, in_channels_last
from segtrace.data.labels import check_names
from segtrace.data.limits import LARGEST_SEED, check_range
from segtrace.errors import InputError, unknown
from segtrace.network.logits import known_logits
from segtrace.report.tensorboard import LEARNING_RATE_TAG, dice_tag
from segtrace.training.averaging import kept_weights
from segtrace.training.epochs import finished_epochs
from segtrace.training.losses import Losses
from segtrace.training.metrics import CaseDice, Counted
from segtrace.training.objective import BOTH, loss_of
from segtrace.training.randomness import seed_of
from segtrace.training.weights import fingerprint


class SegmentationModule(pl.LightningModule):
    """Train a segmentation network with Dice and cross-entropy, or another loss.

    Args:
        net: (N, C, H, W) slices -> (N, 1 + organs, H, W) logits; under a sigmoid (N, organs, H, W).
            Or volumes, with another axis.
        organs: organ -> its number in labels, and channel; channel 0 is the background. Under a
            sigmoid, which has none, channels count from 0 in this order.
        optimizer: parameters -> optimiser.
        scheduler: (optimiser, number of steps) -> schedule stepped after every step, or ``None``.
        dice_weight: weight of the Dice term; the other has the rest. ``None`` for 0.5, TransUNet's.
        channels_last: memory format of the network; faster on CPU, and part of the description,
            since the last bits of a map depend on it. Of slices alone.
        seed: the origin of all randomness of a training step (dropout).
        activation: how logits become a prediction: ``softmax``, classes that exclude each other;
            ``sigmoid``, every channel for itself, trained with binary cross-entropy.
        description: plain values that the checkpoint carries: how to rebuild the network, the
            stages and edges, labels, preprocessing, probes and settings of the explanation.
        loss: ``dice_ce``, ``dice_focal``, ``dice`` or ``ce``, see
            :func:`segtrace.training.objective.loss_of`.
        inferer: (images, network) -> logits of whole cases, which are larger than what is trained
            on, as MONAI's sliding window; ``None`` where they go through the network as they are.
        compile: whether the network is compiled for the training (``torch.compile``, in place, so
            that its names stay). It is explained as it is written.

    Raises:
        InputError: see :func:`segtrace.training.objective.loss_of`; a seed that is none; an organ
            of a reserved name; an unknown activation.

    Logged with the epoch (finished passes) as step: ``train/loss``, mean over its batches;
    ``val/dice/{organ}`` and ``val/dice/mean``, per case, absent organs left out, mean over cases,
    then organs.
    """

    def __init__(
        self,
        net: nn.Module,
        organs: Mapping[str, int],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = torch.optim.AdamW,
        scheduler: Callable[[Optimizer, int], LRScheduler] | None = None,
        dice_weight: float | None = None,
        channels_last: bool = True,
        seed: int = 0,
        activation: str = SOFTMAX,
        description: Mapping[str, Any] | None = None,
        loss: str = BOTH,
        compile: bool = False,
        inferer: Callable[[Tensor, Callable[[Tensor], Tensor]], Any] | None = None,
    ) -> None:
        super().__init__()
        check_range("model.seed", seed, 0, LARGEST_SEED)
        check_names(organs)
        if activation not in ACTIVATIONS:
            raise unknown("model.activation", activation, ACTIVATIONS)
        self.activation = activation
        self.net = in_channels_last(net) if channels_last else net
        self.organs = dict(organs)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.inferer = inferer
        self.seed = seed
        self.description = dict(description or {})
        self.dice: CaseDice | None = None
        self._losses = Losses()
        self.counted: Counted | None = None
        """What the last validation counted, of whatever weights."""
        self.tested: Counted | None = None
        """What the last test counted, likewise."""
        self._validating = ""
        self._validated: tuple[str, Counted] | None = None
        self.baselines: dict[str, Any] | None = None
        """Mean activations of the weights as they are, as plain values; see ``KeepBaselines``."""
        self.loss = loss_of(activation, dice_weight, loss)
        if compile:
            self.net.compile()

    def forward(self, image: Tensor) -> Tensor:
        """Logits of a batch of slices."""
        logits: Tensor = known_logits(self.net(image), image, self.net)
        return logits

    @property
    def validated(self) -> Counted | None:
        """What validation counted of the weights as they are; ``None`` where it did not see them.

        Known by the weights themselves: validation may come in the middle of an epoch, every other
        epoch, or before a callback averages once more.
        """
        if self._validated is None or self._validated[0] != fingerprint(self.net):
            return None
        return self._validated[1]

    @property
    def organ_dice(self) -> dict[str, float]:
        """Validation Dice of the weights as they are; empty where they were not validated."""
        known = self.validated
        return {} if known is None else known.per_organ()

    def on_train_epoch_start(self) -> None:
        """Forget what was found out about the weights that are about to change."""
        self.baselines, self._losses = None, Losses()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Make dropout a function of (seed, epoch, batch), so that a resumed run repeats it."""
        place = (self.seed, self.current_epoch, batch_idx)
        # Processes that train side by side see other slices, and drop out other cells.
        torch.manual_seed(seed_of(*place, *[self.global_rank] * (self.global_rank > 0)))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        truth = batch["label"]
        if self.activation == SIGMOID:
            truth = true_masks(truth[:, 0], self._organs).float()
        loss: Tensor = self.loss(self(batch["image"]).float(), truth)
        # Each batch counts once, as in what is logged: for who monitors it, or says it.
        self.log(
            "train/loss", loss, on_step=False, on_epoch=True, logger=False, batch_size=1,
            sync_dist=True,
        )  # fmt: skip
        self._losses.add(loss)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting anew; callbacks have put the weights in place that are validated."""
        self._validating = fingerprint(self.net)
        self.dice = self._counter("val")

    def on_test_epoch_start(self) -> None:
        """Start counting anew."""
        self.dice = self._counter("test")

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Count one batch."""
        self._count(batch)

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Count one batch."""
        self._count(batch)

    def on_validation_epoch_end(self) -> None:
        """Keep what was counted, unless it is only a check that validation runs."""
        if self.dice is None or self.trainer.sanity_checking:
            return
        self.counted = self.dice.counted()
        self._validated = self._validating, self.counted
        means = self.counted.per_organ()
        self._show("val", means)
        if self.trainer.state.fn != "fit":
            self._log_dice("val", means)

    def on_train_epoch_end(self) -> None:
        """Log the mean loss, and the Dice of the weights left behind, if they were validated."""
        if (loss := self._losses.mean()) is not None:
            self._log_at_epoch({"train/loss": loss})
        with kept_weights(self.trainer, self):
            means = self.organ_dice
        if means:
            self._log_dice("val", means)

    def on_test_epoch_end(self) -> None:
        """Log the Dice of the test cases."""
        if self.dice is not None:
            self.tested = self.dice.counted()
            means = self.tested.per_organ()
            self._show("test", means)
            self._log_dice("test", means)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and its schedule over all steps of the training.

        Raises:
            InputError: a schedule over a training without an end.
        """
        optimizer = self.optimizer(self.parameters())
        if self.scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if steps == inf:
            raise InputError(
                "model.scheduler runs over all steps of the training, and nothing says how many "
                "there are; say trainer.max_epochs=10, trainer.max_steps=1000 or "
                "model.scheduler=null"
            )
        schedule = self.scheduler(optimizer, int(steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step", "name": LEARNING_RATE_TAG},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write what is needed to rebuild the network and repeat the explanation."""
        with kept_weights(self.trainer, self):
            known = self.validated
        checkpoint[DESCRIPTION] = self.description | {
            "format": FORMAT,
            "epoch": finished_epochs(self.trainer),
            "dice": {} if known is None else known.per_organ(),
            "found": {} if known is None else known.whole_cases(),
            "baselines": self.baselines,
        }

    def _counter(self, split: str) -> CaseDice:
        cases = getattr(self.trainer, "datamodule").split[split]  # noqa: B009 (untyped in Lightning)
        return CaseDice(cases, self._organs).to(self.device)

    @property
    def _organs(self) -> dict[str, Organ]:
        return organs_of(self.organs, self.activation)

    def _count(self, batch: Mapping[str, Any]) -> None:
        if self.dice is not None:
            image = batch["image"]
            logits = self(image) if self.inferer is None else self.inferer(image, self)
            prediction = predicted(logits, self.activation)
            self.dice.update(prediction, batch["label"][:, 0], batch["case"], batch["slice"])

    def _show(self, split: str, means: Mapping[str, float]) -> None:
        """For the progress bar, and for what stops or chooses by it: the same in all processes."""
        self.log(f"{split}/dice/mean", means["mean"], prog_bar=True, logger=False, sync_dist=True)

    def _log_dice(self, split: str, means: Mapping[str, float]) -> None:
        self._log_at_epoch({dice_tag(split, name): value for name, value in means.items()})

    def _log_at_epoch(self, values: dict[str, float]) -> None:
        # Lightning's own logging would use the optimiser's step; ours is the epoch everywhere.
        epoch = finished_epochs(self.trainer)
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step=epoch)
