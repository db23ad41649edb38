"""A GIF has 256 colours and one size; the pictures must not suffer from either."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segtrace.report.figures.animation import FRAME_MS, LAST_MS, Animation
from segtrace.report.pictures.cells import PREDICTION, TRUTH
from segtrace.report.pictures.mosaic import flow_picture


@pytest.fixture
def pictures(record):
    """The organ at three epochs, whose titles differ in length."""
    return [flow_picture(replace(record, epoch=e), "grad_pam", "liver") for e in (0, 1, 100)]


def played(pictures):
    animation = Animation()
    for picture in pictures:
        animation.add(picture)
    assert len(animation) == len(pictures)
    frames, times = [], []
    with Image.open(io.BytesIO(animation.gif())) as gif:
        for i in range(gif.n_frames):
            gif.seek(i)
            times.append(gif.info["duration"])
            frames.append(np.asarray(gif.convert("RGB")))
    return frames, times


def test_every_epoch_is_a_frame_and_the_last_stands_longest(pictures):
    frames, times = played(pictures)
    assert times == [FRAME_MS, FRAME_MS, LAST_MS]
    assert len(frames) == 3


def test_the_colours_survive_the_palette(pictures):
    frames, _ = played(pictures)
    for frame, picture in zip(frames, pictures, strict=True):
        away = np.abs(frame[: len(picture)].astype(int) - picture)
        assert away.mean() < 3
        assert np.quantile(away, 0.999) < 32


def test_contours_keep_their_very_colour(pictures):
    (frame, *_), _ = played(pictures)
    for colour in (TRUTH, PREDICTION):
        there = (pictures[0] == colour).all(-1)
        assert there.sum() > 20
        assert (frame[: len(pictures[0])][there] == colour).all()


def test_frames_of_several_heights_share_the_largest(pictures):
    taller = np.pad(pictures[1], ((0, 30), (0, 0), (0, 0)), constant_values=255)
    frames, _ = played([pictures[0], taller])
    assert {frame.shape for frame in frames} == {taller.shape}
    assert (frames[0][len(pictures[0]) :] == 255).all()
