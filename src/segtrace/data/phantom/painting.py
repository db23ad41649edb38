"""Painting the shapes of a generated abdomen into HU and labels: later lies on top."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrace.data.labels import BTCV
from segtrace.data.phantom import anatomy, surroundings
from segtrace.data.phantom.anatomy import Build
from segtrace.data.phantom.fields import Field, Space

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
"""Numbers of voxels in the flat volume: most shapes are small in it."""


def places(field: Field, within: Mask | None = None, depth: float = 0.0) -> Places:
    """The voxels more than ``depth`` mm below a shape's surface, of those ``within``."""
    found = np.flatnonzero(field < -depth)
    return found if within is None else found[within.reshape(-1)[found]]


@dataclass(frozen=True)
class Canvas:
    """A volume being painted.

    Attributes:
        hu: (A, B, C) without noise.
        labels: (A, B, C) BTCV numbers.
        texture: (A, B, C) smooth, of standard deviation 1: how tissue varies within itself.
    """

    hu: Field
    labels: NDArray[np.uint8]
    texture: Field

    @classmethod
    def of_air(cls, texture: Field) -> "Canvas":
        """Nothing but air."""
        air = np.full(texture.shape, -1000, np.float32)
        return cls(air, np.zeros(texture.shape, np.uint8), texture)

    def paint(self, where: Places, hu: float, organ: str = "", grain: float = 4.0) -> None:
        """Cover a place with a tissue; one that is no organ takes the label away.

        Args:
            where: of its voxels.
            hu: its mean.
            organ: a BTCV name, or nothing.
            grain: HU by which the texture moves it.
        """
        self.hu.reshape(-1)[where] = hu + grain * self.texture.reshape(-1)[where]
        self.labels.reshape(-1)[where] = BTCV.get(organ, 0)

    def paint_hollow(
        self, where: Field, cavity: Mask, build: Build, y: Field, organ: str = ""
    ) -> None:
        """A wall, its content, and gas on top of that, which is in front.

        Args:
            where: the shape, outer side of its wall.
            cavity: where anything may be painted.
            build: for the content.
            y: mm from front to back.
            organ: a BTCV name, or nothing.
        """
        random, lumen = build.random, places(where, cavity, depth=3.5)
        self.paint(places(where, cavity), random.normal(78, 14), organ)
        self.paint(lumen, random.uniform(5, 110), organ, 10)
        if random.random() < 0.65 and lumen.size:
            height = y.reshape(-1)[lumen]
            level = np.quantile(height, random.uniform(0.05, 0.35))
            self.paint(lumen[height < level], -850, organ, 15)


def paint(space: Space, build: Build, texture: Field) -> Canvas:
    """One patient, before noise."""
    canvas = Canvas.of_air(texture)
    trunk = surroundings.trunk(space, build)
    _paint_trunk(canvas, trunk, build)
    inside, wall = trunk["cavity"] < 0, trunk["wall"] < 0
    cavity = inside & (trunk["dome"] < 3)
    _paint_bowel(canvas, space, build, cavity)
    _paint_digestive_organs(canvas, space, build, cavity)
    _paint_vessels(canvas, space, build, cavity)
    canvas.paint(places(surroundings.muscles(space, build), wall), build.random.normal(60, 5))
    # Last of the soft tissue: what lies over one kidney and not the other would tell them apart.
    _paint_kidneys(canvas, space, build, inside)
    _paint_bones(canvas, surroundings.bones(space, build), trunk["wall"] < -3, build)
    return canvas


def _paint_trunk(canvas: Canvas, trunk: dict[str, Field], build: Build) -> None:
    random, body = build.random, trunk["body"]
    canvas.paint(places(trunk["table"]), 200, grain=0)
    canvas.paint(places(body), 10)  # skin
    canvas.paint(places(body, depth=2.5), -100, grain=6)
    canvas.paint(places(trunk["wall"]), random.normal(58, 5))
    canvas.paint(places(trunk["cavity"]), -98, grain=8)
    canvas.paint(places(trunk["lungs"]), -830, grain=25)
    canvas.paint(places(trunk["mediastinum"]), random.normal(105, 12), grain=12)


def _paint_bowel(canvas: Canvas, space: Space, build: Build, cavity: Mask) -> None:
    for loop in surroundings.small_bowel(space, build):
        canvas.paint_hollow(loop, cavity, build, space.y)
    colon = surroundings.colon(space, build)
    canvas.paint_hollow(colon, cavity, build, space.y)
    stool = places(colon, cavity & (canvas.hu > -300), depth=5)
    bubbles = build.random.random(stool.size, np.float32)
    canvas.hu.reshape(-1)[stool] -= 500 * np.square(np.square(bubbles))
    fat = cavity & (canvas.hu < -60) & (canvas.hu > -200)
    canvas.paint(places(surroundings.mesentery(space, build), fat), build.random.normal(140, 12))


def _paint_digestive_organs(canvas: Canvas, space: Space, build: Build, cavity: Mask) -> None:
    random = build.random
    canvas.paint_hollow(anatomy.stomach(space, build), cavity, build, space.y, "stomach")
    liver, liver_hu = anatomy.liver(space, build), random.normal(106, 11)
    canvas.paint(places(liver, cavity), liver_hu, "liver")
    veins = anatomy.hepatic_veins(space, build)
    canvas.paint(places(np.maximum(liver, veins), cavity), liver_hu + 38, "liver")
    spleen_hu = random.normal(118, 11)
    canvas.paint(places(anatomy.spleen(space, build), cavity), spleen_hu, "spleen")
    if random.random() < 0.3:  # an accessory spleen: one organ in two components
        spot = space.ellipsoid(build.at(84, -12, 120), build.radii(9, 9, 9))
        canvas.paint(places(spot, cavity), spleen_hu, "spleen")
    for name, field, hu, grain in (
        ("gallbladder", anatomy.gallbladder(space, build), random.normal(12, 6), 4),
        ("pancreas", anatomy.pancreas(space, build), random.normal(95, 10), 9),
    ):
        canvas.paint(places(field, cavity), hu, name, grain)


def _paint_vessels(canvas: Canvas, space: Space, build: Build, cavity: Mask) -> None:
    """The vessels, and what lies along them: oesophagus and adrenals."""
    random = build.random
    blood = random.normal(150, 13)
    vessels = anatomy.vessels(space, build)
    for name, hu in (
        ("portal_splenic_vein", blood + random.normal(4, 5)),
        ("inferior_vena_cava", blood - random.uniform(8, 35)),
        ("aorta", blood + random.normal(0, 5)),
        ("esophagus", random.normal(52, 6)),
    ):
        canvas.paint(places(vessels[name]), hu, name)
    for side, name in ((-1, "right_adrenal"), (1, "left_adrenal")):
        adrenal = places(anatomy.adrenal(space, build, side), cavity)
        canvas.paint(adrenal, random.normal(80, 9), name)


def _paint_kidneys(canvas: Canvas, space: Space, build: Build, cavity: Mask) -> None:
    """Fat around, cortex, a slightly darker medulla, and a sinus of fat that is not labelled."""
    random = build.random
    hu = random.normal(165, 16)
    for side, name in ((-1, "right_kidney"), (1, "left_kidney")):
        whole, sinus = anatomy.kidney(space, build, side)
        own = hu + random.normal(0, 4)
        # The liver lies on one kidney, bowel on the other: partial volume must not tell.
        canvas.paint(places(whole, cavity, depth=-5), -100)
        canvas.paint(places(whole, cavity), own, name)
        canvas.paint(places(whole, cavity, depth=9), own - 18, name)
        canvas.paint(places(sinus, cavity), random.normal(-40, 15))


def _paint_bones(canvas: Canvas, bones: dict[str, Field], deep: Mask, build: Build) -> None:
    canvas.paint(places(bones["column"], deep), 420, grain=30)
    canvas.paint(places(bones["column"], deep, depth=3), build.random.normal(230, 25), grain=25)
    canvas.paint(places(bones["disc"], deep), 95)
    canvas.paint(places(bones["canal"], deep), 25)
    canvas.paint(places(bones["ribs"], deep), build.random.normal(330, 30), grain=30)
