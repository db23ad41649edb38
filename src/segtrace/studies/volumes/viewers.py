"""What viewers of volumes need beside NIfTI: names and colours of labels, and how to open them."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from segtrace.errors import printable
from segtrace.report.captions import titled
from segtrace.report.files import save_text
from segtrace.report.pictures.palette import colour_of
from segtrace.report.scene import RESEARCH_USE
from segtrace.studies.inputs.cautions import as_caution

PREDICTION = "prediction.nii.gz"
PREDICTIONS = "predictions"
ITKSNAP = "labels_itksnap.txt"
SLICER = "labels_slicer.ctbl"

_ITKSNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    MSH:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""

_README = """\
Where the evidence for each organ lies in one image, and what the network takes for the organ.
{cautions}
{prediction}   what the network takes for each organ: {labels}
{apart}maps/               {kind}
maps.csv            the file of each map, and the number that its value 1 stands for
slices.csv          measures of each slice, organ, rule and stage, and whether its map may be read
labels_itksnap.txt, labels_slicer.ctbl   names and colours of the labels
manifest.json       what made these files

A map runs from 0 to 1, its largest value in this image. It is 0 where the map is negative, and in
slices where it may not be read.

All files lie on the voxels of the image that was explained: put its path in the place of IMAGE, and
that of this folder in the place of FOLDER. {example}
is one of the maps.

ITK-SNAP, in a terminal in this folder:
    {itksnap}

FSLeyes, in a terminal in this folder:
    {fsleyes}

3D Slicer, in its Python console:
    {slicer}

{research}.
"""


_APART = f"""\
{PREDICTIONS}/        the same for each organ alone, where they overlap
"""


def save_for_viewers(
    folder: Path,
    channels: Mapping[str, int],
    example: Path,
    stages: Sequence[str],
    cautions: Sequence[str],
    *,
    apart: bool = False,
) -> None:
    """Write the tables of labels, and ``README.txt``.

    Args:
        folder: that of the prediction.
        channels: organ -> its number in the prediction.
        example: a map, seen from there.
        stages: of each volume of a 4-D map; none where a file holds one stage.
        cautions: sentences.
        apart: each organ has a prediction of its own too, since they may overlap.
    """
    save_label_tables(folder, channels)
    save_text(folder / "README.txt", _how_to_open(channels, example, stages, cautions, apart))


def save_label_tables(folder: Path, channels: Mapping[str, int]) -> None:
    """Write names and colours of the labels (organ -> number) for ITK-SNAP and 3D Slicer."""
    save_text(folder / ITKSNAP, itksnap_labels(channels))
    save_text(folder / SLICER, slicer_colours(channels))


def itksnap_labels(channels: Mapping[str, int]) -> str:
    """ITK-SNAP's label descriptions: a number, a colour, how it is seen, a name in quotes."""
    lines = [
        f'  {channel:3d}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "{name}"\n'
        for channel, (red, green, blue), name in _labels(channels)
    ]
    return _ITKSNAP_HEAD + "".join(lines)


def slicer_colours(channels: Mapping[str, int]) -> str:
    """3D Slicer's colour table: a number, a name without spaces, a colour and its opacity.

    Slicer shows ``_`` as a space.
    """
    lines = [
        f"{channel} {'_'.join(name.split())} {red} {green} {blue} 255\n"
        for channel, (red, green, blue), name in _labels(channels)
    ]
    head = f"# Color table file {SLICER}\n# {len(lines) + 1} values\n0 Background 0 0 0 0\n"
    return head + "".join(lines)


def _labels(channels: Mapping[str, int]) -> list[tuple[int, tuple[int, int, int], str]]:
    """(number, colour, name) in the order of the numbers; a name has letters and no quotes."""
    found = []
    for number, (organ, channel) in enumerate(sorted(channels.items(), key=lambda one: one[1])):
        name = printable(titled(organ)).replace('"', " ").replace("'", " ").strip()
        found.append((channel, colour_of(number), name or f"Label {channel}"))
    return found


def _how_to_open(
    channels: Mapping[str, int],
    example: Path,
    stages: Sequence[str],
    cautions: Sequence[str],
    apart: bool,
) -> str:
    typed, quoted = shlex.quote(example.as_posix()), json.dumps(example.as_posix())
    said = "".join(f"{as_caution(caution)}\n" for caution in cautions)
    labels = ", ".join(f"{channel} {name}" for channel, _, name in _labels(channels))
    volumes = ", ".join(f"{n} {printable(stage)}" for n, stage in enumerate(stages))
    shown = "a file for each rule and organ, with a volume for each stage: " + volumes
    slicer = (
        'import os; os.chdir("FOLDER")',
        f'colours = slicer.util.loadColorTable("{SLICER}")',
        'slicer.util.loadVolume("IMAGE")',
        f'slicer.util.loadSegmentation("{PREDICTION}", {{"colorNodeID": colours.GetID()}})',
        *_slicer_map(quoted, stages),
    )
    return _README.format(
        cautions=said,
        prediction=PREDICTION,
        apart=_APART * apart,
        labels=labels,
        kind=shown if stages else "a file for each rule, organ and stage",
        example=example.as_posix(),
        # ITK-SNAP lays a 3-D image over another, and opens a 4-D one by itself.
        itksnap=f"itksnap -g IMAGE -s {PREDICTION} -l {ITKSNAP} -o {typed}"
        if not stages
        else f"itksnap -g IMAGE -s {PREDICTION} -l {ITKSNAP}\n    itksnap -g {typed}",
        fsleyes=f"fsleyes IMAGE {PREDICTION} --overlayType label --outline "
        f"{typed} --cmap hot --displayRange 0 1 --alpha 60",
        slicer="\n    ".join(slicer),
        research=RESEARCH_USE.capitalize(),
    )


def _slicer_map(quoted: str, stages: Sequence[str]) -> tuple[str, ...]:
    """A map over the image. Slicer itself reads sequences of volumes from NRRD alone."""
    laid = "slicer.util.setSliceViewerLayers(foreground=evidence, foregroundOpacity=0.5)"
    if not stages:
        options = '{"colorNodeID": "vtkMRMLColorTableNodeFileInferno.txt", "show": False}'
        return f"evidence = slicer.util.loadVolume({quoted}, {options})", laid
    number = max(0, len(stages) - 2)
    name = json.dumps(printable(stages[number]))
    return (
        f"import SimpleITK, sitkUtils; stages = SimpleITK.ReadImage({quoted})",
        f"evidence = sitkUtils.PushVolumeToSlicer(stages[:, :, :, {number}], name={name})",
        laid,
    )
