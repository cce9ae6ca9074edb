"""A hand's surface: round cones between the joints, their pads, their webs and the arm.

A round cone is the hull of two balls, cheap to cast in closed form. One table lists between which
places of the hand every cone lies; the places move with the joints, and so do the cones. Radii are
our own estimates for an average adult, set by eye against depth images of hands.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.geometry.hand_shape import DIGIT_RADII_MM, DIGITS, FINGERS, tip_reach
from cadstn.synth.shape import Shape


class Cones(NamedTuple):
    """Round cones: the hull of two balls. ``a``, ``b`` (B, P, 3) mm; ``ra``, ``rb`` (B, P) mm."""

    a: Tensor
    b: Tensor
    ra: Tensor
    rb: Tensor


def join(*cones: Cones) -> Cones:
    """Return all cones (B, P) of several sets."""
    return Cones(*(torch.cat(fields, 1) for fields in zip(*cones, strict=True)))


def hide(cones: Cones, there: Tensor) -> Cones:
    """Put cones (B, P) behind the camera where ``there`` (B,) or (B, P) is false."""
    there = there if there.ndim == 2 else there[:, None]
    behind = cones.a.new_tensor([0.0, 0.0, -1e6])
    return cones._replace(
        a=torch.where(there[..., None], cones.a, behind),
        b=torch.where(there[..., None], cones.b, behind),
    )


Vector = tuple[float, float, float]


class Place(NamedTuple):
    """A point that moves with the hand: weighted joints, and a step in the palm's frame (mm).

    Beside the joints there are the roots of the metacarpals (``index_cmc`` ...) and, for every bone
    of a digit from its root on, its palmar direction (``index_palmar_0`` ...), whose weight is mm.
    """

    weights: dict[str, float]
    step_mm: Vector = (0.0, 0.0, 0.0)


class Cone(NamedTuple):
    """One row of the table: whose it is, its ends, their radii in mm, and what scales these."""

    part: str
    segment: int
    a: Place
    b: Place
    ra: float
    rb: float
    girth: str = "palm"


#: Places of the hand in the order in which `hand_cones` takes them.
PLACES = (
    *(f"{f}_cmc" for f in FINGERS),
    *(f"thumb_{joint}" for joint in ("cmc", "mcp", "ip", "tip")),
    *(f"{f}_{joint}" for f in FINGERS for joint in ("mcp", "pip", "dip", "tip")),
    *(f"{digit}_palmar_{i}" for digit in DIGITS for i in range(3)),
)


def _digit(digit: str) -> list[Cone]:
    """Three phalanges (of the thumb a metacarpal and two), each thickest where it begins.

    What follows a joint is thicker than what leads to it, so that joints bulge; the flesh lies
    rather on the palmar side of the bones, most of all at the tip.
    """
    row = DIGITS.index(digit)
    radii = DIGIT_RADII_MM[row]
    names = ("cmc", "mcp", "ip", "tip") if digit == "thumb" else ("mcp", "pip", "dip", "tip")
    cones = []
    for i in range(3):
        end = tip_reach(row) if i == 2 else 0.86
        here, there, out = f"{digit}_{names[i]}", f"{digit}_{names[i + 1]}", f"{digit}_palmar_{i}"
        start = Place({here: 1.0, out: 0.5})
        finish = Place({here: 1 - end, there: end, out: (0.8, 0.6, 0.9)[i]})
        last = radii[3] if i == 2 else 0.95 * radii[i + 1]
        cones.append(Cone(digit, i, start, finish, radii[i], last, digit))
    return cones


def _palm() -> list[Cone]:
    """Metacarpals with the flesh between them, the pads of thumb and little finger, the heel."""
    cones = []
    for finger, base, head in zip(
        FINGERS, (13.0, 13.5, 13.5, 12.5), (12.0, 12.0, 11.6, 11.5), strict=True
    ):
        cones.append(
            Cone("palm", -1, Place({f"{finger}_cmc": 1.0}, (0, -9, 1)),
                 Place({f"{finger}_mcp": 1.0}, (0, 0, 0.5)), base, head)
        )  # fmt: skip
    for one, other in itertools.pairwise(FINGERS):
        cones.append(
            Cone("palm", -1, Place({f"{one}_cmc": 0.5, f"{other}_cmc": 0.5}, (0, 0, 1)),
                 Place({f"{one}_mcp": 0.5, f"{other}_mcp": 0.5}, (0, -6, 1.0)), 13.8, 12.2)
        )  # fmt: skip
    pad = [Place({f"{f}_mcp": 1.0}, (0, -3, 3.8)) for f in FINGERS]
    cones += [
        Cone("palm", -1, pad[0], pad[1], 10.5, 10.8),
        Cone("palm", -1, pad[1], pad[2], 10.8, 10.4),
        Cone("palm", -1, pad[2], pad[3], 10.4, 9.5),
        # Thenar: the flexor and the opponens over the thumb's metacarpal, then the adductor.
        Cone("thenar", -1, Place({}, (12, 16, 7)),
             Place({"thumb_cmc": 0.25, "thumb_mcp": 0.75}, (-3, -1, 2)), 16.0, 13.0),
        Cone("thenar", -1, Place({}, (8, 24, 8)),
             Place({"thumb_cmc": 0.3, "thumb_mcp": 0.4, "index_mcp": 0.3}, (-4, 2, 3)), 14.0, 11.5),
        # Hypothenar: from the pisiform to the root of the little finger.
        Cone("palm", -1, Place({}, (-19, 19, 3)),
             Place({"pinky_mcp": 1.0}, (3, -16, 3)), 15.5, 12.5),
        # The heel, across the carpus.
        Cone("palm", -1, Place({}, (11, 9, 1)), Place({}, (-12, 9, 1)), 15.5, 15.5),
    ]  # fmt: skip
    return cones


def _webs() -> list[Cone]:
    """Skin from the thumb to the palm in three steps, and between the roots of the fingers."""
    steps = ((0.3, 0.2, 12.5, 12.5), (0.62, 0.42, 11.0, 11.0), (0.9, 0.62, 9.0, 9.0))
    cones = [
        Cone("thumb_web", -1,
             Place({"thumb_cmc": 1 - out, "thumb_mcp": out}, (0, 0, 0)),
             Place({"index_cmc": 1 - along, "index_mcp": along}, (3, 0, 2)), ra, rb)
        for out, along, ra, rb in steps
    ]  # fmt: skip
    for one, other in itertools.pairwise(FINGERS):
        a, b = (
            Place({f"{f}_mcp": 0.76, f"{f}_pip": 0.24, f"{f}_palmar_0": 1.5}) for f in (one, other)
        )
        cones.append(Cone("web", -1, a, b, 7.8, 7.8))
    return cones


TABLE: tuple[Cone, ...] = (
    *(cone for finger in FINGERS for cone in _digit(finger)),
    *_digit("thumb"),
    *_palm(),
    *_webs(),
)

#: What each cone belongs to, in order: a digit, "palm", "thenar", "thumb_web", "web" (between
#: fingers), "wrist", and last the two of the "forearm".
CONE_PARTS: tuple[str, ...] = (
    *(cone.part for cone in TABLE), "wrist", "wrist", "forearm", "forearm"
)  # fmt: skip
#: Which bone of its digit a cone is (0 nearest the palm), -1 for what belongs to no bone.
CONE_SEGMENT: tuple[int, ...] = (*(cone.segment for cone in TABLE), -1, -1, -1, -1)

_WRIST_MM = 45.0  # the bare stretch behind the wrist that is as slim as the wrist
_ARM_MM = 240.0
_WRIST_SIDE_MM, _ELBOW_SIDE_MM = 8.0, 13.0
_WRIST_RADIUS_MM, _ELBOW_RADIUS_MM = 18.5, 32.0


class _Table(NamedTuple):
    """`TABLE` as tensors: weights (2P, A), steps (2P, 3), radii (2, P), girth index (P,)."""

    weights: Tensor
    steps: Tensor
    radii: Tensor
    girth: Tensor


@functools.cache
def _tensors(device: torch.device, dtype: torch.dtype) -> _Table:
    """`TABLE` on a device, made once."""
    ends = [cone.a for cone in TABLE] + [cone.b for cone in TABLE]
    unknown = {name for place in ends for name in place.weights} - set(PLACES)
    assert not unknown, unknown
    weights = torch.tensor([[p.weights.get(name, 0.0) for name in PLACES] for p in ends])
    radii = torch.tensor([[c.ra for c in TABLE], [c.rb for c in TABLE]])
    girth = torch.tensor([(*DIGITS, "palm").index(c.girth) for c in TABLE])
    steps = torch.tensor([p.step_mm for p in ends])
    return _Table(
        weights.to(device, dtype),
        steps.to(device, dtype),
        radii.to(device, dtype),
        girth.to(device),
    )


def hand_cones(places: Tensor, wrist: Tensor, shape: Shape) -> Cones:
    """Cones of an adult-sized right hand, wrist and forearm in the palm's frame.

    Args:
        places: (B, A, 3) mm in the order of `PLACES`.
        wrist: (B, 2) radians, flexion and deviation.
        shape: whose ``size`` and ``left`` are left to the caller.
    """
    table = _tensors(places.device, places.dtype)
    ends = table.weights @ places + table.steps * shape.palm[:, None]
    a, b = ends.chunk(2, 1)
    girth = torch.cat([shape.girth, shape.palm[:, 2:]], 1)[:, table.girth]
    ra, rb = table.radii[0] * girth, table.radii[1] * girth
    return join(Cones(a, b, ra, rb), _arm(wrist, shape))


def _arm(wrist: Tensor, shape: Shape) -> Cones:
    """Two cones of the wrist and two of the forearm: both are wider than they are thick."""
    flex, side = wrist.unbind(-1)
    down = torch.stack([side.sin() * flex.cos(), -side.cos() * flex.cos(), flex.sin()], -1)
    across = torch.stack([side.cos(), side.sin(), torch.zeros_like(side)], -1)
    start, loose = shape.sleeve_mm.unbind(-1)
    start = torch.where(loose > 0, start, _WRIST_MM)
    one = torch.ones_like(shape.arm)

    def pair(distance: Tensor, offset: Tensor) -> Tensor:
        middle, beside = down * distance[:, None], across * offset[:, None]
        return torch.stack([middle + beside, middle - beside], 1)

    def radius(skin: Tensor | float, added: Tensor | float) -> Tensor:
        return (skin * shape.arm + added)[:, None].expand(-1, 2)

    # The bare stretch reaches to the sleeve; where there is none, to the forearm.
    bare = torch.where(loose > 0, start.clamp(min=_WRIST_MM), _WRIST_MM)
    near, far = _WRIST_SIDE_MM * shape.palm[:, 0], _ELBOW_SIDE_MM * shape.arm

    def along(distance: Tensor, wrist_mm: Tensor | float, elbow_mm: Tensor | float) -> Tensor:
        share = ((distance - _WRIST_MM) / (_ARM_MM - _WRIST_MM)).clamp(min=0)
        return wrist_mm + share * (elbow_mm - wrist_mm)

    def thick(distance: Tensor) -> Tensor:
        return along(distance, _WRIST_RADIUS_MM, _ELBOW_RADIUS_MM)

    end = torch.full_like(start, _ARM_MM)
    return Cones(
        torch.cat([pair(2 * one, near), pair(start, along(start, near, far))], 1),
        torch.cat([pair(bare, along(bare, near, far)), pair(end, far)], 1),
        torch.cat([radius(_WRIST_RADIUS_MM, 0.0), radius(thick(start), loose)], 1),
        torch.cat([radius(thick(bare), 0.0), radius(_ELBOW_RADIUS_MM, loose)], 1),
    )
