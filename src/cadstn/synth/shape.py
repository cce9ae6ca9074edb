"""How hands differ: the average hand's measures, and hands drawn as people's vary around it.

Where the figures come from; what names no source here is our own estimate.

- Bones: Buryanov & Kotiuk, "Proportions of hand segments", Int. J. Morphol. 28(3), 2010: lengths in
  radiographs of 66 adults, means and standard deviations, and the soft tissue at the fingertips.
- Hand length and breadth of adults: Gordon et al., "1988 Anthropometric Survey of US Army
  Personnel", NATICK/TR-89/044 (the survey whose hands Greiner describes in NATICK/TR-92/011).
- From the wrist's joint to the middle metacarpal: the carpus is 0.54 of that bone's length high
  (Youm et al., J. Bone Joint Surg. Am. 60, 1978).
- Children: hand length and breadth grow in proportion from five years on (Hall et al., Handbook of
  Physical Measurements); index fingers are 15 mm thick and 69 mm long on average between three and
  ten years (Hohendorff et al., Ann. Anat. 192(3), 2010), slimmer for their length than an adult's.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.geometry.hand_shape import (
    BONES_MM,
    DIGIT_RADII_MM,
    DIGITS,
    MCP_MM,
    tip_reach,
)
from cadstn.synth.draws import Draws

#: Joints between metacarpal and carpus, in the palm's frame. From them to `MCP_MM` are the same
#: source's metacarpals, less the round of their heads.
CMC_MM = ((13.0, 28.0, -2.0), (3.0, 31.0, -4.0), (-7.5, 30.0, -4.0), (-16.5, 28.0, -1.0))

#: Flesh beside the heads of the outer metacarpals (index, little finger).
EDGE_MM = (12.0, 11.5)

#: (mean, standard deviation) in mm: hand length, hand breadth; men, then women (TR-89/044).
ADULT_LENGTH_MM = ((193.8, 9.8), (180.5, 9.7))
ADULT_BREADTH_MM = ((90.4, 4.2), (79.4, 3.8))
# How bones differ beyond hand and finger, as shares of their length, in the order of `BONES_MM`: so
# that with these the whole spread is near that of the radiographs, which holds measuring errors.
_BONE_SPREAD = ((0.045, 0.05, 0.03), *((0.05, 0.06, 0.08),) * 4)
_CHILD_LENGTH_MM = (125.0, 170.0)  # some six to thirteen years
_CHILD_BREADTH = (0.45, 0.022)  # of the hand's length


#: Numbers in rows, rows in tables.
Table = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Table, like: Tensor) -> Tensor:
    """Return a table as a tensor of another's kind, sent to its device only once."""
    return _constant(values, like.device, like.dtype)


@functools.cache
def _constant(values: Table, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, device=device, dtype=dtype)


class Shape(NamedTuple):
    """How a hand differs from the average adult's; every field's first dimension is the batch."""

    size: Tensor  # (B,) factor on everything
    bones: Tensor  # (B, 5, 3) further factors on the bones of `BONES_MM`
    palm: Tensor  # (B, 3) further factors on the palm's breadth, length and thickness
    girth: Tensor  # (B, 5) further factors on the digits' radii
    arm: Tensor  # (B,) further factor on the radii of wrist and forearm
    # (B, 2) where a sleeve begins beyond the wrist, and how far it stands off the arm: 0 for a bare
    # arm
    sleeve_mm: Tensor
    left: Tensor  # (B,) 1 for a left hand, 0 for a right one


def average_shape(count: int = 1) -> Shape:
    """Return ``count`` average adult right hands with bare arms."""

    def ones(*shape: int) -> Tensor:
        return torch.ones(count, *shape)

    none = torch.zeros(count, 2)
    return Shape(ones(), ones(5, 3), ones(3), ones(5), ones(), none, torch.zeros(count))


def hand_length_mm(shape: Shape) -> Tensor:
    """Return the length (B,) from wrist to the middle finger's end, as callipers measure it."""
    middle = DIGITS.index("middle")
    first, second, last = BONES_MM[middle]
    along = constant((first, second, last * tip_reach(middle)), shape.size)
    finger = (shape.bones[:, middle] * along).sum(-1)
    tip = DIGIT_RADII_MM[middle][3] * shape.girth[:, middle]
    return shape.size * (MCP_MM[1][1] * shape.palm[:, 1] + finger + tip)


def sample_shape(draws: Draws) -> Shape:
    """Draw men's, women's and children's hands, left and right, one for every stream.

    Hand length and breadth follow the survey's means and deviations and go together as they do
    (correlation 0.5); fingers differ in length and girth from the hand as a whole.
    Two men and two women come to one child; three arms in ten wear a sleeve.
    """
    group = draws.choice((2, 2, 1))
    length, breadth = _length_and_breadth(draws, group)
    stout = breadth / length * (_mean(ADULT_LENGTH_MM) / _mean(ADULT_BREADTH_MM))

    all_fingers, one_finger = _vary(draws, 0.03, 1, 1), _vary(draws, 0.025, 5, 1)
    one_bone = 1 + constant(_BONE_SPREAD, length) * _bounded(draws, 5, 3)
    bones = all_fingers * one_finger * one_bone
    slim = torch.where(group == 2, 0.95, 1.0)
    girth = (slim * stout * _vary(draws, 0.05))[:, None] * _vary(draws, 0.025, 5)
    thickness = stout * _vary(draws, 0.06)
    palm = torch.stack([torch.ones_like(length), _vary(draws, 0.03), thickness], -1)
    arm = stout * _vary(draws, 0.07)
    shape = Shape(
        torch.ones_like(length), bones, palm, girth, arm, _sleeve(draws), draws.chance(0.5).float()
    )
    size = length / hand_length_mm(shape)
    # What the flesh at both edges leaves of the breadth is the distance of the joints.
    joints = breadth / size - sum(EDGE_MM) * thickness
    palm = torch.cat([joints[:, None] / (MCP_MM[0][0] - MCP_MM[3][0]), palm[:, 1:]], 1)
    return shape._replace(size=size, palm=palm)


def _length_and_breadth(draws: Draws, group: Tensor) -> tuple[Tensor, Tensor]:
    """Hand length and breadth (B,) in mm of a man (group 0), a woman (1) or a child (2)."""
    first, second = _bounded(draws), _bounded(draws)
    second = 0.5 * first + 0.75**0.5 * second
    adult = group.clamp(max=1)

    def of(table: tuple[tuple[float, float], ...], score: Tensor) -> Tensor:
        mean, spread = constant(table, score)[adult].unbind(-1)
        return mean + spread * score

    young = draws.uniform(low=_CHILD_LENGTH_MM[0], high=_CHILD_LENGTH_MM[1])
    length = torch.where(group == 2, young, of(ADULT_LENGTH_MM, first))
    ratio = _CHILD_BREADTH[0] + _CHILD_BREADTH[1] * second
    breadth = torch.where(group == 2, young * ratio, of(ADULT_BREADTH_MM, second))
    return length, breadth


def _sleeve(draws: Draws) -> Tensor:
    """Where sleeves begin and how wide they are (B, 2) mm; width 0 for bare arms."""
    worn = draws.chance(0.3)
    start, width = draws.uniform(low=0.0, high=90.0), draws.uniform(low=2.0, high=16.0)
    return torch.stack([start, width * worn], -1)


def _bounded(draws: Draws, *shape: int) -> Tensor:
    """Standard scores (B, *shape), none beyond 2.8: nobody wants the one hand in a thousand."""
    return draws.normal(*shape).clamp(-2.8, 2.8)


def _vary(draws: Draws, spread: float, *shape: int) -> Tensor:
    """Factors (B, *shape) around 1."""
    return 1 + spread * _bounded(draws, *shape)


def _mean(table: tuple[tuple[float, float], ...]) -> float:
    """Mean of the means of both sexes."""
    return sum(mean for mean, _ in table) / len(table)
