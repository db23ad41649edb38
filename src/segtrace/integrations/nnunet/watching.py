"""An nnU-Net training watched: fixed windows of its validation cases, explained every epoch."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segtrace.activation import SIGMOID
from segtrace.causal.baselines import ENOUGH, collect
from segtrace.checkpoint.reading import read
from segtrace.data.probes import AT_MOST, Probes
from segtrace.errors import InputError
from segtrace.integrations.chosen_windows import Shown, chosen
from segtrace.integrations.nnunet.plans import Labels, Plans
from segtrace.integrations.nnunet.result import PROBES, to_file
from segtrace.integrations.windows import padded, windows
from segtrace.progress import counted, say
from segtrace.report.files import check_writable, save_bytes
from segtrace.report.sinks import Sink, TensorBoardSink
from segtrace.tracking.cuts import Cuts
from segtrace.tracking.edges import sites
from segtrace.tracking.explained import Network, Settings, explain_probes, under
from segtrace.tracking.tracker import Epoch, Tracker
from segtrace.tracking.void import void_told
from segtrace.tracking.writer import Writer
from segtrace.training.callbacks.baselines import cut_epoch
from segtrace.training.callbacks.own_folder import claim

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the axes of SimpleITK to those of NIfTI."""
EVENTS = "tensorboard"
Load = Callable[[str], tuple[Any, Any, Mapping[str, Any]]]
"""Case -> image (C, D, H, W), label (1, D, H, W) and properties, as nnU-Net keeps them."""


class Watching:
    """What is seen of one training, in ``flow`` in the folder of its fold.

    Args:
        folder: where pictures, tables and TensorBoard's events go.
        net: the network.
        probes: the windows, see :func:`probes_of`.
        labels: what the channels of its logits mean.
        settings: what is explained.
        cut_every: epochs between two cuts; ``None`` for never.
        training: gives windows (n, C, *window) of training cases, anew each time, whose mean
            activations stand in the place of a cut one.

    Raises:
        InputError: ``cut_every`` below 1; a folder that cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        net: nn.Module,
        probes: Probes,
        labels: Labels,
        settings: Settings,
        cut_every: int | None = None,
        training: Callable[[], Iterable[Tensor]] = tuple,
    ) -> None:
        check_writable(folder)
        self.folder, self.tracker = folder, Tracker(cut_every=cut_every)
        self._training = training
        settings = under(labels.activation, settings)
        settings, void = void_told(net, None, probes.images[:1], settings)
        if void is not None:
            say(void)
        self.network = Network(net, None, probes, labels.organs, settings)
        self._sinks: tuple[Sink, ...] = ()

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Begin, or go on from what :meth:`state` said.

        Raises:
            InputError: the folder holds another training's results.
        """
        if state is not None:
            self.tracker.load_state_dict(state)
        writer, rules = Writer(self.folder), self.network.settings.rule_names
        claim(writer, self.tracker.history, rules)
        writer.truncate(dict.fromkeys(rules, -1) | self.tracker.reached)
        self._sinks = (TensorBoardSink(_events(self.folder / EVENTS)),)
        save_plain(self.folder / PROBES, self.network.probes.to_plain())
        count = counted(len(self.network.probes), "window")
        cases = ", ".join(dict.fromkeys(self.network.probes.cases))
        say(f"{count} of {cases} are explained, into {self.folder}")

    def update(
        self, epoch: int, *, final: bool, dice: Mapping[str, float], loss: float | None = None
    ) -> None:
        """Explain the weights that stand there.

        Args:
            epoch: finished passes.
            final: no epoch follows.
            dice: organ -> Dice, as far as known.
            loss: mean over the epoch.
        """
        explain = partial(explain_probes, *self.network, epoch=epoch)
        cut = partial(self._cut, epoch)
        told = Epoch(epoch, final, self.network, explain, cut, dice=dice, loss=loss)
        self.tracker.update(Writer(self.folder, self._sinks), told)
        points = {f"val/dice/{organ}": value for organ, value in dice.items()}
        points |= {} if loss is None else {"train/loss": loss}
        for sink in self._sinks:
            sink.scalars(points, epoch, {})

    def _cut(self, epoch: int) -> Cuts | None:
        net, stages = self.network.net, self.network.stages
        means = collect(net, sites(net, stages, None), self._training())
        return cut_epoch(self.network, None, means, epoch)

    def state(self) -> dict[str, Any]:
        """What a training that goes on needs: plain values and tensors."""
        return self.tracker.state_dict()


def save_plain(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain values and tensors, whole or not at all."""
    buffer = BytesIO()
    torch.save(dict(values), buffer)
    save_bytes(path, buffer.getvalue())


def read_state(path: Path) -> dict[str, Any] | None:
    """What was seen until a checkpoint was written; ``None`` where nothing was."""
    return read(path) if path.is_file() else None


def probes_of(load: Load, cases: list[str], plans: Plans, labels: Labels, n: int) -> Probes:
    """The windows of validation cases that show most organs, the first twelve cases looked at.

    Args:
        load: reads a case.
        cases: their names.
        plans: say the size of a window.
        labels: say which organs.
        n: how many windows.

    Raises:
        InputError: none of the cases shows an organ.
    """
    shown = [_shown(load, case, plans, labels) for case in sorted(cases)[:AT_MOST]]
    probes = chosen(shown, plans.patch, n, "val")
    if probes is None:
        raise InputError(
            f"the validation cases {', '.join(sorted(cases)[:AT_MOST])} show none of "
            f"{', '.join(labels.organs)}; train another fold"
        )
    return probes


def training_windows(
    load: Load, cases: Sequence[str], plans: Plans, n: int = ENOUGH
) -> Iterator[Tensor]:
    """Windows (1, C, *window) of training cases, drawn at random but the same each time.

    Args:
        load: see :func:`probes_of`.
        cases: their names.
        plans: say the size of a window.
        n: how many.
    """
    drawn = np.random.default_rng(0)
    for case, count in sorted(Counter(drawn.choice(sorted(cases), n).tolist()).items()):
        image, _ = padded(torch.from_numpy(np.asarray(load(case)[0][:], np.float32)), plans.patch)
        places = windows(image.shape[1:], plans.patch)
        for place in drawn.integers(len(places), size=count):
            yield image[(slice(None), *places[place])][None]


def _shown(load: Load, case: str, plans: Plans, labels: Labels) -> Shown:
    _, label, properties = load(case)
    affine, file_affine, size = _place(properties, label.shape[1:], plans)

    def image() -> Tensor:
        return torch.from_numpy(np.asarray(load(case)[0][:], np.float32))

    def truth() -> Tensor:
        values = torch.from_numpy(np.asarray(load(case)[1][:])[0].astype(np.int64)).clamp(min=0)
        if labels.activation != SIGMOID:
            return values.to(torch.uint8)
        return torch.stack([torch.isin(values, torch.tensor(own)) for own in labels.regions])

    def masks() -> Tensor:
        values = truth()
        if labels.activation == SIGMOID:
            return values
        return torch.stack([values == organ.label for organ in labels.organs.values()])

    return Shown(case, image, masks, truth, affine, file_affine, size)


def _place(properties: Mapping[str, Any], shape: tuple[int, ...], plans: Plans) -> Any:
    """Affines of image and file, and the file's size, where SimpleITK has read it."""
    said = properties.get("sitk_stuff")
    if not said or len(said["spacing"]) != 3:
        return None, None, ()
    file = np.eye(4)
    file[:3, :3] = np.reshape(said["direction"], (3, 3)) * np.array(said["spacing"])
    file[:3, 3] = said["origin"]
    box = [slice(int(low), int(high)) for low, high in properties["bbox_used_for_cropping"]]
    whole = [0, 0, 0]
    for axis, voxels in enumerate(properties["shape_before_cropping"]):
        whole[2 - plans.transposed[axis]] = int(voxels)
    return TO_RAS @ file @ to_file(box, shape, plans), TO_RAS @ file, tuple(whole)


def _events(folder: Path) -> Any:
    # Imported here: it takes a second, and who reads a trained model needs none.
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))
