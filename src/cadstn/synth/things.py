"""Things that hands hold: each a few round cones and flat solids in a frame of its own (mm).

A thing's frame: its origin is where it is held, x its long way, z its thickness: out of the palm
for what lies against the palm, from the thumb to the fingers for what is between their pads. Five
numbers are drawn for each thing, and every end, radius and extent is a sum of multiples of them.
Sizes are our own estimates of everyday things.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.synth.draws import Draws
from cadstn.synth.solids import Solids, cone_distance_mm, solid_distance_mm
from cadstn.synth.surface import Cones, hide

RODS, BLOCKS = 8, 2
"""Cones and solids of a thing, at most."""

NOTHING_MM = -1e4
"""Radius of a cone that is not there."""

Form = NDArray[np.float64]
# A number of a thing is a sum over these: 1, its radius or half thickness, how far it reaches
# behind and in front of where it is held, and its half width.
ONE, R, BACK, FRONT, WIDE = np.eye(5)
NO: Form = 0 * ONE
Range = tuple[float, float]


class Rod(NamedTuple):
    """A round cone between two points."""

    a: tuple[Form, Form, Form]
    b: tuple[Form, Form, Form]
    ra: Form
    rb: Form


class Block(NamedTuple):
    """A box, a cylinder along x, or (``disc``) a cylinder along z whose ``half`` has z first."""

    center: tuple[Form, Form, Form]
    half: tuple[Form, Form, Form]
    shape: str = "box"


class Kind(NamedTuple):
    """A kind of thing."""

    grasp: str  # how it is held: "wrap" against the palm, "pinch" between pads, "pen"
    weight: float  # how often it occurs
    # radius, back, front, wide: least and most of the drawn numbers in mm
    radius: Range
    back: Range
    front: Range
    wide: Range = (0.0, 0.0)
    # rods, blocks: what it is made of
    rods: tuple[Rod, ...] = ()
    blocks: tuple[Block, ...] = ()
    # least and most it is rotated about its long axis, in radians
    spin: Range = (-math.pi, math.pi)


def _along(x: Form) -> tuple[Form, Form, Form]:
    return x, NO, NO


_LONG, _MIDDLE = (BACK + FRONT) / 2, _along((FRONT - BACK) / 2)
_ROUND = Block(_MIDDLE, (_LONG, R, R), "cylinder")
_FLAT = Block(_MIDDLE, (_LONG, WIDE, R))
_ROD = Rod(_along(-BACK), _along(FRONT), R, R)
_LEVEL = (-0.12, 0.12)
_MUG_MM = 38.0  # radius of a mug's body
_WHEEL_DEG = (-60, -36, -12, 12, 36, 60)


def _wheel() -> tuple[Rod, ...]:
    """Five chords of a ring of radius BACK that bends away in z."""
    points = [
        (math.sin(a) * BACK, NO, (1 - math.cos(a)) * BACK) for a in map(math.radians, _WHEEL_DEG)
    ]
    return tuple(Rod(one, two, R, R) for one, two in itertools.pairwise(points))


def _hand() -> tuple[Rod, ...]:
    """Somebody's fingers side by side, the palm they grow from, and its arm."""
    sides = [step * 0.97 * R for step in (-3, -1, 1, 3)]
    fingers = [Rod((-BACK, y, NO), (FRONT, y, NO), 0.85 * R, 1.1 * R) for y in sides]
    end = FRONT + 75 * ONE
    palm = [Rod((FRONT, y, NO), (end, 0.8 * y, NO), 1.2 * R, 1.5 * R) for y in sides[::3]]
    palm.append(Rod(_along(FRONT), _along(end), 1.3 * R, 1.7 * R))
    return (*fingers, *palm, Rod(_along(end), _along(end + 220 * ONE), 2.4 * R, 3.6 * R))


_BODY = R + WIDE + _MUG_MM * ONE  # of a mug, beyond the fingers in its handle

#: What there is to hold.
KINDS: dict[str, Kind] = {
    "bar": Kind("wrap", 2, (5, 20), (60, 450), (60, 450), blocks=(_ROUND,)),
    "can": Kind("wrap", 2, (24, 45), (35, 75), (35, 75), blocks=(_ROUND,)),
    "bottle": Kind(
        "wrap", 3, (20, 45), (45, 110), (40, 90), blocks=(_ROUND,),
        rods=(
            Rod(_along(FRONT), _along(FRONT + 0.9 * R), 0.95 * R, 0.4 * R),
            Rod(_along(FRONT + 0.9 * R), _along(FRONT + R + 25 * ONE), 0.36 * R, 0.36 * R),
        ),
    ),
    "ball": Kind("wrap", 2, (18, 45), (0.5, 0.5), (0.5, 0.5), rods=(_ROD,)),
    "box": Kind("wrap", 3, (10, 40), (25, 110), (25, 110), (15, 45), blocks=(_FLAT,), spin=_LEVEL),
    "phone": Kind("wrap", 2, (3.5, 6), (60, 85), (60, 85), (32, 40), blocks=(_FLAT,), spin=_LEVEL),
    "tool": Kind(
        "wrap", 1, (7, 16), (20, 90), (70, 180), (10, 22),
        blocks=(_ROUND, Block(_along(FRONT), (0.8 * WIDE, 0.8 * WIDE, 2.6 * WIDE))),
    ),
    "screwdriver": Kind(
        "wrap", 1, (9, 17), (30, 60), (35, 70),
        rods=(_ROD, Rod(_along(FRONT), _along(FRONT + 110 * ONE), 0.3 * R, 0.25 * R)),
    ),
    "mug": Kind(
        "wrap", 1.5, (5, 8), (28, 42), (28, 42), (23, 31), spin=(-0.3, 0.3),
        rods=(
            _ROD,
            Rod(_along(FRONT), (FRONT, NO, R + WIDE + 5 * ONE), R, R),
            Rod(_along(-BACK), (-BACK, NO, R + WIDE + 5 * ONE), R, R),
        ),
        blocks=(
            Block(
                ((FRONT - BACK) / 2, NO, _BODY),
                (_LONG + 8 * ONE, _MUG_MM * ONE, _MUG_MM * ONE), "cylinder",
            ),
        ),
    ),
    "wheel": Kind("wrap", 1, (10, 16), (150, 200), (0, 0), rods=_wheel(), spin=(-1.7, 1.7)),
    "hand": Kind("wrap", 1, (7, 9.5), (25, 60), (10, 40), rods=_hand()),
    "card": Kind("pinch", 1.5, (0.4, 1), (6, 16), (45, 80), (24, 30), blocks=(_FLAT,), spin=_LEVEL),
    "board": Kind("pinch", 1, (1, 8), (6, 25), (80, 250), (40, 130), blocks=(_FLAT,), spin=_LEVEL),
    "slab": Kind("pinch", 1, (3.5, 6), (8, 30), (100, 140), (32, 40), blocks=(_FLAT,), spin=_LEVEL),
    "lid": Kind(
        "pinch", 1, (1, 10), (7, 14), (0, 0), (12, 60),
        blocks=(Block(_along(WIDE - BACK), (R, WIDE, WIDE), "disc"),), spin=_LEVEL,
    ),
    "marble": Kind("pinch", 1.5, (5, 35), (0.5, 0.5), (0.5, 0.5), rods=(_ROD,)),
    "cube": Kind("pinch", 1.5, (5, 30), (5, 25), (5, 40), (5, 30), blocks=(_FLAT,), spin=_LEVEL),
    "stick": Kind("pinch", 1.5, (3, 22), (15, 250), (15, 250), blocks=(_ROUND,)),
    "pen": Kind(
        "pen", 2, (3, 6), (15, 50), (85, 130),
        rods=(
            Rod(_along(-BACK), _along(14 * ONE - BACK), 0.3 * R, R),
            Rod(_along(14 * ONE - BACK), _along(FRONT), R, R),
        ),
    ),
}  # fmt: skip


class Thing(NamedTuple):
    """One thing a row: ``rods`` (B, `RODS`) and ``blocks`` (B, `BLOCKS`) in one frame, mm."""

    rods: Cones
    blocks: Solids

    def pick(self, which: Tensor | slice) -> Thing:
        """Return some rows."""
        return Thing(Cones(*(field[which] for field in self.rods)), self.blocks.rows(which))

    def moved(self, rotation: Tensor, place: Tensor) -> Thing:
        """Return them rotated by (B, 3, 3) and then moved by (B, 3)."""
        transposed = rotation.mT

        def put(points: Tensor) -> Tensor:
            return points @ transposed + place[:, None]

        rods = self.rods._replace(a=put(self.rods.a), b=put(self.rods.b))
        axes = (self.blocks.axes.flatten(1, 2) @ transposed).view_as(self.blocks.axes)
        return Thing(rods, self.blocks._replace(center=put(self.blocks.center), axes=axes))

    def mirrored(self, left: Tensor) -> Thing:
        """Return the mirror image in x where ``left`` (B,) is 1."""
        flip = torch.stack([1 - 2 * left, torch.ones_like(left), torch.ones_like(left)], -1)
        flip = flip[:, None]
        rods = self.rods._replace(a=self.rods.a * flip, b=self.rods.b * flip)
        blocks = self.blocks._replace(
            center=self.blocks.center * flip, axes=self.blocks.axes * flip[:, None]
        )
        return Thing(rods, blocks)

    def distance_mm(self, points: Tensor) -> Tensor:
        """Signed distance (B, N) of points (B, N, 3), negative inside."""
        return cone_distance_mm(points, self.rods).minimum(solid_distance_mm(points, self.blocks))


def shown_rods(thing: Thing, there: Tensor | bool = True) -> Cones:
    """Return a thing's cones (B, `RODS`), behind the camera where there is none.

    Args:
        thing: B things in the camera frame.
        there: (B, 1) whether each is shown at all.
    """
    rods = thing.rods
    real = (rods.ra > 0) & there
    return hide(rods._replace(ra=rods.ra.clamp(min=1e-3), rb=rods.rb.clamp(min=1e-3)), real)


class Held(NamedTuple):
    """What `sample_things` draws: the things, which of `KINDS`, and the numbers, (B, 5) mm."""

    thing: Thing
    kind: Tensor
    numbers: Tensor


class _Table(NamedTuple):
    """`KINDS` as tensors: forms (K, fields, 5), cylinders (K, BLOCKS), ranges (K, 5, 2)."""

    rods: Tensor
    blocks: Tensor
    round: Tensor
    disc: Tensor
    low: Tensor
    high: Tensor
    spin: Tensor


@functools.cache
def _tensors(device: torch.device) -> _Table:
    rods = np.zeros((len(KINDS), RODS, 8, 5))
    rods[:, :, 6:, 0] = NOTHING_MM
    blocks = np.zeros((len(KINDS), BLOCKS, 6, 5))
    blocks[:, :, 3:, 0] = NOTHING_MM
    curved, disc = np.zeros((2, len(KINDS), BLOCKS))
    for row, kind in enumerate(KINDS.values()):
        for i, rod in enumerate(kind.rods):
            rods[row, i] = np.stack([*rod.a, *rod.b, rod.ra, rod.rb])
        for i, block in enumerate(kind.blocks):
            blocks[row, i] = np.stack([*block.center, *block.half])
            curved[row, i], disc[row, i] = block.shape != "box", block.shape == "disc"
    ranges = [
        ((1.0, 1.0), kind.radius, kind.back, kind.front, kind.wide) for kind in KINDS.values()
    ]
    both = torch.tensor(ranges)
    spin = torch.tensor([kind.spin for kind in KINDS.values()])
    fields = (rods, blocks, curved, disc)
    made = [torch.tensor(field, dtype=torch.float32) for field in fields]
    return _Table(*(f.to(device) for f in (*made, both[..., 0], both[..., 1], spin)))


def sample_things(draws: Draws, kind: Tensor) -> Held:
    """Draw one thing a row, of given kinds, in its own frame.

    Args:
        draws: B streams.
        kind: (B,) places in `KINDS`.
    """
    table = _tensors(draws.device)
    low, high = table.low[kind], table.high[kind]
    numbers = low + (high - low) * draws.uniform(5)
    low, high = table.spin[kind].unbind(-1)
    spin = low + (high - low) * draws.uniform()
    rods = (table.rods[kind] * numbers[:, None, None]).sum(-1)
    blocks = (table.blocks[kind] * numbers[:, None, None]).sum(-1)
    cones = Cones(rods[..., :3], rods[..., 3:6], rods[..., 6], rods[..., 7])
    identity = torch.eye(3, device=draws.device)
    axes = identity.expand(len(draws), BLOCKS, 3, 3)
    upright = identity[[2, 1, 0]]
    axes = torch.where((table.disc[kind] > 0)[..., None, None], upright, axes)
    solids = Solids(blocks[..., :3], axes, blocks[..., 3:], table.round[kind])
    one, zero = torch.ones_like(spin), torch.zeros_like(spin)
    cos, sin = spin.cos(), spin.sin()
    rotation = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], -1).view(-1, 3, 3)
    # What lies between pads is rotated by how it is held.
    rotated = Thing(cones, solids).moved(rotation, torch.zeros_like(numbers[:, :3]))
    return Held(rotated, kind, numbers)
