"""Rooms, furniture, objects and people without a hand: what a detector must not take for one.

Everything is drawn with NumPy from one generator a sample, in a world frame whose y points down
(millimetres), and then moved into the camera's. Round shapes are the cones of the ray caster, flat
ones are boxes (`cadstn.synth.boxes`), walls and floors are planes. Sizes are our own estimates of
what rooms and people are like.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Rng = np.random.Generator

#: At most so many cones and boxes a room; what comes later is left out.
MOST_CONES, MOST_BOXES = 112, 64


@dataclass
class Room:
    """What stands in a room."""

    # rows of a (3), b (3), radius at a, radius at b
    cones: list[Float] = field(default_factory=list)
    # rows of centre (3), half edges (3), axes (9, row by row)
    boxes: list[Float] = field(default_factory=list)
    planes: list[Float] = field(default_factory=list)  # rows of normal (3) and offset

    def cone(self, a: Float, b: Float, ra: float, rb: float | None = None) -> None:
        """Add a round cone."""
        self.cones.append(np.concatenate([a, b, [ra, ra if rb is None else rb]]))

    def box(self, center: Float, size: Float, axes: Float) -> None:
        """Add a box of edges ``size`` along the rows of ``axes`` (3, 3)."""
        self.boxes.append(np.concatenate([center, np.asarray(size) / 2, axes.ravel()]))

    def moved(self, rotation: Float, shift: Float) -> Room:
        """Return the room in another frame: ``rotation @ p + shift``."""
        out = Room()
        for row in self.cones:
            a, b = rotation @ row[:3] + shift, rotation @ row[3:6] + shift
            out.cones.append(np.concatenate([a, b, row[6:]]))
        for row in self.boxes:
            axes = row[6:].reshape(3, 3) @ rotation.T
            center = rotation @ row[:3] + shift
            out.boxes.append(np.concatenate([center, row[3:6], axes.ravel()]))
        for row in self.planes:
            normal = rotation @ row[:3]
            out.planes.append(np.append(normal, row[3] + normal @ shift))
        return out


def yaw(angle: float) -> Float:
    """(3, 3) rotation about the vertical."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def random_rotation(rng: Rng) -> Float:
    """(3, 3) rotation, uniform over all."""
    q = rng.normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def mug(room: Room, rng: Rng, at: Float) -> None:
    """A cup on a surface, most with a handle of a ring of cones."""
    r, h = rng.uniform(28, 50), rng.uniform(70, 130)
    room.cone(at + [0, -r, 0], at + [0, -h, 0], r, r * rng.uniform(0.9, 1.1))
    if rng.random() < 0.8:
        towards = yaw(rng.uniform(0, math.tau)) @ [1.0, 0, 0]
        ring = np.linspace(-0.5, 0.5, 6) * math.pi
        reach, tall = rng.uniform(22, 38), rng.uniform(25, 40)
        points = [
            at + towards * (r - 4 + reach * math.cos(t)) + [0, -h / 2 - tall * math.sin(t), 0]
            for t in ring
        ]
        for one, two in itertools.pairwise(points):
            room.cone(one, two, rng.uniform(4, 8))


def bottle(room: Room, rng: Rng, at: Float) -> None:
    """A bottle or a jar with a neck."""
    r, h = rng.uniform(22, 48), rng.uniform(120, 300)
    room.cone(at + [0, -r, 0], at + [0, -h * 0.65, 0], r)
    room.cone(at + [0, -h * 0.65, 0], at + [0, -h, 0], r * 0.8, r * rng.uniform(0.25, 0.5))


def ball(room: Room, rng: Rng, at: Float) -> None:
    """A ball, a fruit, a bowl."""
    r = rng.uniform(20, 130)
    room.cone(at + [0, -r, 0], at + [rng.uniform(0, r), -r, 0], r)


def plant(room: Room, rng: Rng, at: Float) -> None:
    """A pot with thin stems and leaves, which resemble fingers."""
    r, h = rng.uniform(40, 90), rng.uniform(60, 140)
    room.cone(at + [0, -r, 0], at + [0, -h, 0], r)
    for _ in range(rng.integers(4, 11)):
        tip = at + [*rng.normal(0, 90, 1), -h - rng.uniform(60, 300), *rng.normal(0, 90, 1)]
        room.cone(at + [0, -h, 0], tip, rng.uniform(3, 9), rng.uniform(4, 14))


def lamp(room: Room, rng: Rng, at: Float) -> None:
    """A pole with a shade."""
    h = rng.uniform(250, 600)
    room.cone(at, at + [0, -h, 0], 12)
    room.cone(at + [0, -h, 0], at + [0, -h + 90, 0], rng.uniform(40, 80), rng.uniform(60, 130))


def hat(room: Room, rng: Rng, at: Float) -> None:
    """A hat or a heap of cloth: flat lumps."""
    r = rng.uniform(70, 110)
    room.cone(at + [0, -r * 0.5, 0], at + [r * 0.3, -r * 0.6, 0], r * 0.8)
    room.box(at + [0, -6.0, 0], np.array([r * 3, 8, r * 3.2]), yaw(rng.uniform(0, 3)))


def cable(room: Room, rng: Rng, at: Float) -> None:
    """A cable or a strap that hangs or lies about."""
    point, heading = at.copy(), rng.normal(size=3)
    for _ in range(rng.integers(4, 9)):
        heading = heading / np.linalg.norm(heading) + rng.normal(0, 0.5, 3)
        after = point + heading / np.linalg.norm(heading) * rng.uniform(40, 110)
        room.cone(point, after, rng.uniform(2.5, 7))
        point = after


def bars(room: Room, rng: Rng, at: Float) -> None:
    """Parallel bars: a rack, a comb, cutlery in a cup, pens; like fingers side by side."""
    rotation = random_rotation(rng)
    r, gap, long = rng.uniform(4, 14), rng.uniform(1.2, 2.6), rng.uniform(60, 220)
    for k in range(rng.integers(2, 7)):
        a = at + rotation @ [k * gap * 2 * r, 0, 0]
        room.cone(a, a + rotation @ [0, long * rng.uniform(0.8, 1.1), 0], r)
    if rng.random() < 0.5:
        room.box(
            at + rotation @ [2 * gap * r, -20, 0], np.array([5 * gap * r, 50, 2 * r]), rotation.T
        )


def carton(room: Room, rng: Rng, at: Float) -> None:
    """A box, a book, a screen, a speaker."""
    size = np.exp(rng.uniform(math.log(25), math.log(420), 3))
    size[rng.integers(3)] *= rng.uniform(0.1, 1)
    room.box(at + [0, -size[1] / 2, 0], size, yaw(rng.uniform(0, math.tau)))


def board(room: Room, rng: Rng, at: Float) -> None:
    """A thin board, upright or leaning: posters, screens, doors, cards."""
    size = np.array([rng.uniform(80, 900), rng.uniform(80, 900), rng.uniform(2, 30)])
    lean = yaw(rng.uniform(-1.2, 1.2)).T
    room.box(at + [0, -size[1] / 2, 0], size, lean)


def stick_figure(room: Room, rng: Rng, at: Float) -> None:
    """Lumps and rods joined anyhow: tools, toys, taps, game controllers."""
    point = at + [0, -40.0, 0]
    for _ in range(rng.integers(2, 6)):
        after = point + rng.normal(0, 45, 3)
        room.cone(point, after, rng.uniform(8, 38), rng.uniform(6, 30))
        if rng.random() < 0.6:
            point = after


OBJECTS: tuple[Callable[[Room, Rng, Float], None], ...] = (
    mug, bottle, ball, plant, lamp, hat, cable, bars, carton, board, stick_figure,
)  # fmt: skip


def table(room: Room, rng: Rng, at: Float) -> None:
    """A table with legs and things on it; ``at`` lies on the floor."""
    rotation = yaw(rng.uniform(0, math.tau))
    wide, deep, high = rng.uniform(500, 1800), rng.uniform(400, 900), rng.uniform(400, 800)
    top = at + [0, -high, 0]
    room.box(top + [0, 12.0, 0], np.array([wide, 24, deep]), rotation.T)
    for x in (-0.46, 0.46):
        for z in (-0.46, 0.46):
            leg = at + rotation @ [x * wide, 0, z * deep]
            room.cone(leg, leg + [0, -high, 0], rng.uniform(14, 32))
    for _ in range(rng.integers(0, 7)):
        place = top + rotation @ [
            rng.uniform(-0.45, 0.45) * wide,
            0,
            rng.uniform(-0.45, 0.45) * deep,
        ]
        OBJECTS[rng.integers(len(OBJECTS))](room, rng, place)


def chair(room: Room, rng: Rng, at: Float) -> None:
    """A chair whose back has slats with slits between."""
    rotation = yaw(rng.uniform(0, math.tau))
    wide, high = rng.uniform(380, 560), rng.uniform(400, 520)
    room.box(at + [0, -high, 0], np.array([wide, 40, wide]), rotation.T)
    for x in (-0.45, 0.45):
        for z in (-0.45, 0.45):
            leg = at + rotation @ [x * wide, 0, z * wide]
            room.cone(leg, leg + [0, -high, 0], rng.uniform(12, 24))
    slats, tall = rng.integers(1, 7), rng.uniform(300, 600)
    share = rng.uniform(0.35, 0.9)
    for k in range(slats):
        x = ((k + 0.5) / slats - 0.5) * wide
        middle = at + rotation @ [x, 0, -0.46 * wide] + [0, -high - tall / 2, 0]
        room.box(middle, np.array([wide / slats * share, tall, 22]), rotation.T)


def shelf(room: Room, rng: Rng, at: Float) -> None:
    """Shelves full of cartons and bottles."""
    rotation = yaw(rng.uniform(-0.6, 0.6))
    wide = rng.uniform(500, 1400)
    for level in np.cumsum(rng.uniform(220, 380, rng.integers(2, 5))):
        place = at + [0, -level, 0]
        room.box(place, np.array([wide, 20, 280]), rotation.T)
        for _ in range(rng.integers(1, 5)):
            spot = place + rotation @ [rng.uniform(-0.45, 0.45) * wide, -10, rng.uniform(-80, 80)]
            (carton, bottle, mug, ball)[rng.integers(4)](room, rng, spot)


FURNITURE: tuple[Callable[[Room, Rng, Float], None], ...] = (table, chair, shelf, carton, board)


def person(room: Room, rng: Rng, head: Float, facing: Float) -> None:
    """Head with face and hair, neck, chest, shoulders, some with bare upper arms, knees or feet.

    Args:
        room: gets the person.
        rng: draws.
        head: (3,) middle of the head.
        facing: (3, 3) columns: to the person's left, down, and out of the back of the head.
    """
    r = rng.uniform(72, 98)

    def at(x: float, y: float, z: float) -> Float:
        place: Float = head + facing @ np.array([x, y, z])
        return place

    room.cone(at(0, -12, 8), at(0, 40, -12), r, r * 0.72)  # skull to chin
    room.cone(at(0, 2, -r * 0.92), at(0, 26, -r * 1.02), 9, rng.uniform(11, 18))  # nose
    room.cone(at(0, 62, -r * 0.62), at(0, 74, -r * 0.6), 20, 18)  # chin
    for side in (-1, 1):
        room.cone(at(side * r * 0.95, -8, 12), at(side * r * 0.98, 22, 8), 9, 8)  # ears
    if rng.random() < 0.7:  # hair, a fringe or a tail
        for _ in range(rng.integers(2, 7)):
            x, z = rng.normal(0, r * 0.5), rng.uniform(-0.4, 0.9) * r
            lower = rng.choice([0.0, rng.uniform(20, 200)])
            room.cone(at(x, -r * 0.75, z), at(x * 1.3, -r * 0.5 + lower, z), rng.uniform(18, 48))
    if rng.random() < 0.25:  # headphones, glasses, a cap
        room.cone(at(-r * 1.05, 5, 0), at(-r * 1.1, 5, 0), 34)
        room.cone(at(r * 1.05, 5, 0), at(r * 1.1, 5, 0), 34)
    wide, deep = rng.uniform(140, 210), rng.uniform(90, 140)
    room.cone(at(0, 80, 20), at(0, 170, 25), rng.uniform(48, 66))  # neck
    room.cone(at(-wide * 0.5, 300, 30), at(wide * 0.5, 300, 30), deep)
    room.cone(at(0, 330, 30), at(0, 700, 30), wide * 0.8, wide * 0.75)
    for side in (-1, 1):
        shoulder = at(side * wide, 230, 30)
        room.cone(at(side * wide * 0.4, 200, 30), shoulder, 65)
        bent = rng.random()
        elbow = shoulder + facing @ (rng.normal(0, 90, 3) + [side * 40, 270, -30])
        room.cone(shoulder, elbow, rng.uniform(42, 58), rng.uniform(33, 44))
        if bent < 0.4:  # an elbow held towards the camera; the forearm goes back and out of sight
            room.cone(elbow, elbow + facing @ [side * 120, 200, 160], 38, 30)
    if rng.random() < 0.3:  # knees of somebody who sits
        for side in (-1, 1):
            knee = at(side * 130, 780, rng.uniform(-480, -250))
            room.cone(at(side * 110, 720, 20), knee, 85, 62)
            room.cone(knee, knee + facing @ [0, 420, 30], 58, 42)


def bare_limb(room: Room, rng: Rng, at: Float) -> None:
    """An arm without its hand: forearm and upper arm, bent, at any angle."""
    rotation = random_rotation(rng)
    upper, fore = rng.uniform(200, 320), rng.uniform(180, 260)
    bend = rng.uniform(0.2, 2.4)
    elbow_end = at + rotation @ [upper, 0, 0]
    wrist_end = at + rotation @ [fore * math.cos(bend), fore * math.sin(bend), 0]
    room.cone(at, elbow_end, rng.uniform(32, 44), rng.uniform(40, 62))
    room.cone(at, wrist_end, rng.uniform(32, 42), rng.uniform(26, 34))


def foot(room: Room, rng: Rng, at: Float) -> None:
    """A foot and its shin."""
    rotation = yaw(rng.uniform(0, math.tau))
    heel, toe = at + rotation @ [0, -35, 0], at + rotation @ [0, -25, 170]
    room.cone(heel, toe, 34, 24)
    room.cone(heel + [0, -20, 0], heel + [0, -350, 0] + rotation @ [0, 0, -60], 36, 55)


def sample_room(rng: Rng) -> Room:
    """Draw a room in the camera's frame: floor, walls, furniture, objects, people."""
    world = Room()
    height = rng.uniform(400, 1700)  # of the camera over the floor
    back = math.exp(rng.uniform(math.log(600), math.log(5500)))
    sides = rng.uniform(600, 3500, 2)
    world.planes.append(np.array([0.0, -1.0, 0.0, -height]))
    world.planes.append(np.array([0.0, 0.0, -1.0, -back]))
    if rng.random() < 0.6:
        world.planes.append(np.array([1.0, 0.0, 0.0, -sides[0]]))
        world.planes.append(np.array([-1.0, 0.0, 0.0, -sides[1]]))
    if rng.random() < 0.15:  # open space: nothing behind
        world.planes.clear()
    depths = (0.35, 1.0) if rng.random() < 0.5 else (0.1, 1.0)
    for _ in range(rng.integers(0, 5)):
        z = back * rng.uniform(*depths)
        at = np.array([rng.uniform(-0.6, 0.6) * z, height, z])
        FURNITURE[rng.integers(len(FURNITURE))](world, rng, at)
    for _ in range(rng.integers(0, 7)):  # things anywhere in view, on supports that are not drawn
        z = math.exp(rng.uniform(math.log(300), math.log(max(350.0, min(3500.0, back)))))
        at = np.array([rng.uniform(-0.5, 0.5) * z, rng.uniform(-0.3, 0.45) * z, z])
        kinds = (*OBJECTS, bare_limb, foot)
        kinds[rng.integers(len(kinds))](world, rng, at)
    for _ in range(rng.choice(3, p=[0.45, 0.4, 0.15])):
        z = math.exp(rng.uniform(math.log(380), math.log(2600)))
        head = np.array([rng.uniform(-0.4, 0.4) * z, rng.uniform(-0.4, 0.15) * z, z])
        person(world, rng, head, yaw(rng.normal(0, 0.7)))
    pitch = rng.choice([rng.normal(0, 0.15), rng.uniform(0, 0.9), rng.uniform(0.9, 1.5)])
    c, s = math.cos(pitch), math.sin(pitch)
    roll = rng.normal(0, 0.1)
    tilt = np.array([[1.0, 0, 0], [0, c, s], [0, -s, c]])
    level = np.array([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0],
                      [0.0, 0, 1]])  # fmt: skip
    # The camera rotates about a point in the scene, so that what was drawn stays in view.
    pivot = np.array([0.0, 0.0, min(back, 1500.0) * 0.5])
    rotation = level @ tilt
    return world.moved(rotation, pivot - rotation @ pivot)
