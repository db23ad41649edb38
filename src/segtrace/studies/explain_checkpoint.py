"""Explain a checkpoint of ``train.py`` from Python, on the slices that it was watched on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from segtrace.attribution.rules import Rule
from segtrace.errors import InputError, wrong
from segtrace.network import guards
from segtrace.processes import flushes_denormals
from segtrace.progress import say
from segtrace.report.page.page import About, Page
from segtrace.report.run_folder import taken
from segtrace.studies.inputs.trained_network import TrainedNetwork, apply_settings, from_checkpoint
from segtrace.tracking.explained import Explained, explain_probes
from segtrace.tracking.void import void_told


def _a_path(name: str, value: Any) -> None:
    if not isinstance(value, str | Path):
        raise wrong(name, value, "a path, '…/checkpoints/epoch_010.ckpt'")


@guards.held(
    path=_a_path,
    net=guards.optional(lambda _name, _value: None),
    rules=guards.optional(guards.rules),
    organs=guards.optional(guards.names),
    stages=guards.optional(guards.names),
)
def explain_checkpoint(
    path: str | Path,
    out: str | Path | None = None,
    *,
    net: str | type[nn.Module] | None = None,
    rules: Sequence[str | Rule] | None = None,
    region: str | None = None,
    score: str | None = None,
    organs: Sequence[str] | None = None,
    stages: Sequence[str] | None = None,
    measures: Literal["leading", "all"] | None = None,
    aggregate: Literal["minmax", "max", "minmax_all", "max_all"] | None = None,
) -> Explained:
    """What ``explain.py checkpoint=…`` does with the slices that the checkpoint holds.

    Without further options maps and measures equal those that the callback logged at this epoch:
    to the last bit on the same CPU, packages and number of threads. Nothing that the file names is
    imported.

    Args:
        path: a checkpoint, ``epoch_010.ckpt``; for several epochs call it once for each.
        out: folder for maps, measures, pictures and page; ``None`` writes nothing.
        net: the network's class, or ``"my_package:MyNet"``, for one outside the table of networks.
        rules: instead of those of the training; as are all that follow.
        region: ``gt``, ``pred``, …; see :class:`~segtrace.tracking.explained.Settings`.
        score: ``logit``, ``centered``, ``logprob`` or ``prob``.
        organs: names out of the network's organs.
        stages: names out of the network's stages.
        measures: ``leading``, or ``all`` of them.
        aggregate: a last column of pictures with several stages in one.

    Raises:
        InputError: no checkpoint, or one that cannot be read; one that holds no slices
            (``probes.embed=false``); an option that does not fit; a folder with results.
    """
    if not Path(path).is_file():
        raise InputError(f"path={path}: no such file; name one checkpoint, …/epoch_010.ckpt")
    found = from_checkpoint(Path(path), net, rules)
    if "images" not in (found.probes or {}):
        raise InputError(
            f"{path} holds no slices (probes.embed=false); explain it beside its data: "
            f"python explain.py checkpoint={path} data=… data.root=…"
        )
    probes = found.slices(None, None, "val")
    settings, void = void_told(found.net, found.stages, probes.images[:1], found.settings)
    trained = apply_settings(
        replace(found, settings=settings),
        region=region,
        score=score,
        organs=None if organs is None else list(organs),
        stages=None if stages is None else list(stages),
        measures=measures,
        aggregate=aggregate,
    )
    for note in (*trained.notes, *([] if void is None else [void])):
        say(f"{trained.name}: {note}")
    with _as_the_scripts():
        if out is None:
            return explain_probes(*trained.on(probes), epoch=trained.epoch)
        with taken(Path(out), "explain", named="out=…"):
            explained = explain_probes(*trained.on(probes), epoch=trained.epoch)
            _write(explained, trained, Path(out))
    return explained


def _write(explained: Explained, trained: TrainedNetwork, folder: Path) -> None:
    """Files and page."""
    explained.write(folder, trained.facts)
    page = Page(about=About(trained.facts, window=trained.preprocessing.shown))
    page.add(explained, trained.whole)
    page.write(folder / "index.html")


@contextmanager
def _as_the_scripts() -> Iterator[None]:
    """Numbers too small for their format are 0, as they were in ``train.py``."""
    before = flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
