"""What makes any trainer of nnU-Net v2 explain while it trains."""

from pathlib import Path
from typing import Any

import numpy as np

from segtrace.errors import InputError
from segtrace.integrations.chosen_windows import usual
from segtrace.integrations.nnunet.plans import Labels, Plans
from segtrace.integrations.nnunet.watching import (
    Load,
    Watching,
    probes_of,
    read_state,
    save_plain,
    training_windows,
)
from segtrace.network.undisturbed import unchanged_generators
from segtrace.tracking.explained import DEFAULT, Settings


class FlowMixin:
    """Stands before one of nnU-Net's trainers: ``class Mine(FlowMixin, nnUNetTrainer_250epochs)``.

    At the start and after every epoch it explains fixed windows of the validation cases, slices of
    a ``2d`` configuration and patches of a ``3d`` one, into ``flow`` in the folder of the fold:
    pictures, tables and TensorBoard's events, as :class:`~segtrace.FlowCallback` does. Weights are
    to the last bit those of a training without it. Under DDP the first process explains.

    Attributes:
        flow_probes: how many windows; ``None`` for 8 slices or 2 patches.
        flow_every_n_epochs: how often; the untrained network and the last epoch always.
        flow_cut_every: epochs between two cuts of all stages and edges, which show what the network
            relies on, as :class:`~segtrace.FlowCallback` cuts; ``None`` for never. Only epochs that
            are explained are cut.
        flow_settings: rules, region, score, …
    """

    flow_probes: int | None = None
    flow_every_n_epochs: int = 1
    flow_cut_every: int | None = None
    flow_settings: Settings = DEFAULT

    _watching: Watching | None = None
    _flow_state: dict[str, Any] | None = None

    def on_train_start(self) -> None:
        """Begin as ever; then choose the windows, and explain what the training starts from."""
        nnunet: Any = self
        super().on_train_start()  # type: ignore[misc]
        if nnunet.local_rank != 0:
            return
        with unchanged_generators():
            self._watching = self._begun()
            seen = self._watching.tracker.epoch
            if seen is None or seen < nnunet.current_epoch:  # a checkpoint is written before
                self._explain()

    def on_epoch_end(self) -> None:
        """End it as ever; then explain the weights that it has left."""
        super().on_epoch_end()  # type: ignore[misc]
        if self._watching is not None:
            with unchanged_generators():
                self._explain()

    def save_checkpoint(self, filename: str) -> None:
        """Save it as ever, and beside it what was seen so far."""
        super().save_checkpoint(filename)  # type: ignore[misc]
        if self._watching is not None and Path(filename).is_file():
            save_plain(self._state_of(filename), self._watching.state())

    def load_checkpoint(self, filename_or_checkpoint: Any) -> None:
        """Load it as ever, and with it what was seen until then."""
        super().load_checkpoint(filename_or_checkpoint)  # type: ignore[misc]
        if isinstance(filename_or_checkpoint, str):
            self._flow_state = read_state(self._state_of(filename_or_checkpoint))

    def _begun(self) -> Watching:
        nnunet: Any = self
        if self.flow_every_n_epochs < 1:
            raise InputError(f"flow_every_n_epochs={self.flow_every_n_epochs}; give 1 or more")
        where = nnunet.plans_manager.plans_name
        plans = Plans.of(nnunet.plans_manager.plans, nnunet.configuration_name, where)
        labels = Labels.of(nnunet.dataset_json, "dataset.json")
        training, validation = nnunet.get_tr_and_val_datasets()
        n = self.flow_probes or usual(plans.patch)
        probes = probes_of(_loading(validation), list(validation.identifiers), plans, labels, n)
        watching = Watching(
            Path(nnunet.output_folder) / "flow", nnunet.network, probes, labels, self.flow_settings,
            self.flow_cut_every,
            lambda: training_windows(_loading(training), list(training.identifiers), plans),
        )  # fmt: skip
        watching.begin(self._flow_state)
        return watching

    def _explain(self) -> None:
        nnunet: Any = self
        epoch, watching = int(nnunet.current_epoch), self._watching
        final = epoch >= nnunet.num_epochs
        if watching is None or not (epoch % self.flow_every_n_epochs == 0 or final):
            return
        if epoch == 0:
            watching.update(0, final=final, dice={})
            return
        found = nnunet.logger.get_value("dice_per_class_or_region", step=-1)
        organs = watching.network.channels
        dice = {name: float(one) for name, one in zip(organs, found, strict=False)}
        dice["mean"] = float(np.nanmean(found))
        loss = float(nnunet.logger.get_value("train_losses", step=-1))
        watching.update(epoch, final=final, dice=dice, loss=loss)

    def _state_of(self, filename: str) -> Path:
        path = Path(filename)
        return path.parent / "flow" / f"{path.stem}.pt"


def _loading(cases: Any) -> Load:
    """What reads a case of one of nnU-Net's data sets."""

    def load(case: str) -> tuple[Any, Any, Any]:
        image, label, _, properties = cases.load_case(case)
        return image, label, properties

    return load
