"""What stands in TensorBoard and under which name; the step of everything is the epoch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from torch.utils.tensorboard.summary import Summary, hparams
from torch.utils.tensorboard.summary import text as text_summary

from segtrace.names import file_name
from segtrace.report.files import jpeg
from segtrace.report.pictures.cells import Picture

SCALAR_BUDGET = 400
"""Charts that a person still scrolls through; TensorBoard itself turns slow above."""
BY_EPOCH = (
    "train/loss", "val/", "test/", "1_overview", "2_flow/", "3_timeline/", "4_cut/", "5_leak/",
    "z_measure/", "_hparams_",
)  # fmt: skip
"""How the tags begin whose step is the epoch; loggers sort by them, the most telling first."""
PAPERS = "seg_grad_cam"
"""The rule of the paper, which stands before others."""
RGB = 3
LINKS = re.compile(r"[\[\]`\\]")
"""What begins or ends a link, a picture or code in Markdown."""

Block = tuple[str, str]
"""(measure, rule): one chart for every organ and stage."""


class FileWriter(Protocol):
    """What adds a record to an event file."""

    def add_summary(self, summary: Summary, global_step: int | None = None) -> None:
        """Append the summary under the step."""
        ...


class Board(Protocol):
    """The part of ``torch.utils.tensorboard.SummaryWriter`` that is used."""

    def _get_file_writer(self) -> FileWriter: ...

    def close(self) -> None:
        """Write what is left."""
        ...


def flow_tag(rule: str, organ: str) -> str:
    """The picture of an organ: probes x stages."""
    return f"{flow_group(rule)}{file_name(organ)}"


def flow_group(rule: str) -> str:
    """How the tags of a rule's pictures begin."""
    return f"{_tag('2_flow', _ranked(rule))}/"


def timeline_tag(measure: str, rule: str, organ: str) -> str:
    """The picture of a measure: stages x epochs."""
    return _tag("3_timeline", measure, _ranked(rule), organ)


def leak_tag(rule: str, stage: str) -> str:
    """The picture of the leakage: organ x organ."""
    return _tag("5_leak", "density", _ranked(rule), stage)


def events_tag(rule: str) -> str:
    """The text of the events that were found."""
    return _tag("5_leak", "events", _ranked(rule))


def route_tag(organ: str) -> str:
    """The route diagram of an organ."""
    return _tag("4_cut", "route", organ)


def loss_timeline_tag(organ: str) -> str:
    """The picture of the Dice lost by cuts: stages and edges x epochs."""
    return _tag("4_cut", "timeline", organ)


LEARNING_RATE_TAG = "z_learning_rate"
"""The curve of the learning rate, a point a step: the last of all."""
OVERVIEW_TAG = "1_overview"
"""The picture of an epoch as a whole."""
ESTIMATE_TAG = "4_cut/estimate"
"""The picture of what cuts would cost at every epoch, and of what they did cost at some."""
NECESSITY_TAG = "4_cut/dice_lost"
"""The picture of what cuts cost: stages and edges x organs."""
ROUTES_TAG = "4_cut/sentences"
"""The text of all routes."""


def estimate_tag(organ: str, site: str) -> str:
    """The curve of what cutting a site would cost an organ."""
    return _tag("z_measure", "estimate", organ, site)


def scalar_tag(measure: str, rule: str, organ: str, stage: str) -> str:
    """The curve of a measure at a stage."""
    return _tag("z_measure", measure, rule, organ, stage)


def dice_tag(split: str, organ: str) -> str:
    """The curve of an organ's Dice, and of the ``mean``."""
    return _tag(split, "dice", organ)


def leading(rules: Sequence[str]) -> str:
    """The first: the paper's, but where the network makes it void or the user says otherwise."""
    return rules[0]


def _ranked(rule: str) -> str:
    """A name that sorts the paper's rule before others."""
    return f"{1 if rule == PAPERS else 2}_{rule}"


def _tag(group: str, *names: str) -> str:
    """A tag of its own for these names, whatever slashes they hold."""
    return "/".join([group, *map(file_name, names)])


def scalar_blocks(
    blocks: Iterable[Block],
    organs: Sequence[str],
    stages: Sequence[str],
    budget: int = SCALAR_BUDGET,
) -> tuple[list[Block], list[Block]]:
    """Which (measure, rule) pairs get charts, in the order of their importance.

    Args:
        blocks: the pairs, the most important first.
        organs: each pair has a chart for every organ and stage.
        stages: see ``organs``.
        budget: the most charts there may be.

    Returns:
        The pairs that fit, and those left out: their numbers stand in the CSV alone, and whoever
        calls says so.
    """
    wanted = list(dict.fromkeys(blocks))
    fitting = budget // max(1, len(organs) * len(stages))
    return wanted[:fitting], wanted[fitting:]


def add_picture(writer: Board, tag: str, picture: Picture, epoch: int) -> None:
    """Add (H, W, 3) as a JPEG: a fifth of a PNG's size, which ``add_image`` would write."""
    _add_image(writer, tag, picture, jpeg(picture), epoch)


def add_chart(writer: Board, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
    """Add (H, W, 3) of few colours as the PNG it is: smaller than a JPEG and without its smear."""
    _add_image(writer, tag, picture, encoded, epoch)


def _add_image(writer: Board, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
    height, width = picture.shape[:2]
    image = Summary.Image(height=height, width=width, colorspace=RGB, encoded_image_string=encoded)
    _add(writer, Summary(value=[Summary.Value(tag=tag, image=image)]), epoch)


def add_text(writer: Board, tag: str, text: str, epoch: int) -> None:
    """Add Markdown under the tag itself (``SummaryWriter.add_text`` appends to the name).

    Names in it are shown as they are: no links, no pictures, no HTML.
    """
    shown = LINKS.sub(r"\\\g<0>", text).replace("<", "&lt;")
    summary = text_summary(tag, shown)
    summary.value[0].tag = tag
    _add(writer, summary, epoch)


def add_scalars(
    writer: Board, values: Mapping[str, float], epoch: int, words: Mapping[str, str] | None = None
) -> None:
    """Add one point to each curve, tag -> value; NaN is kept: a gap, not a zero.

    One record for all: hundreds would take longer to write and more room. ``words``, tag -> what
    the curve shows, stand beside a chart where they came with its first point.
    """
    said = words or {}
    points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    for point in points:
        if point.tag in said:
            point.metadata.summary_description = said[point.tag]
    _add(writer, Summary(value=points), epoch)


def add_hyperparameters(
    writer: Board, values: Mapping[str, float | str | bool], metrics: Iterable[str]
) -> None:
    """Fill a row of the hyper-parameters page, once a run; the metrics are tags of its curves.

    ``SummaryWriter.add_hparams`` would open a second run and repeat the metrics there.
    """
    for summary in hparams(dict(values), dict.fromkeys(metrics, 0.0)):
        _add(writer, summary, 0)


def _add(writer: Board, summary: Summary, epoch: int) -> None:
    # The attribute `file_writer` is None after close(), and Lightning closes between two fits.
    writer._get_file_writer().add_summary(summary, epoch)
