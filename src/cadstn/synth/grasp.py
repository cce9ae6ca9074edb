"""Hands that hold something: the thing comes first, and each digit closes until it touches it.

A thing is laid against the palm or between the pads of a pinch (`cadstn.synth.things`); then the
fingers close, and after them the thumb (`cadstn.synth.closing`). Several grasps are tried for each
hand, and the first that holds is kept.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cadstn.geometry.hand_shape import DIGITS
from cadstn.synth.clearance import clamp_angles
from cadstn.synth.closing import BALLS, balls, close_fingers, close_thumb, hand_links
from cadstn.synth.contact import touch
from cadstn.synth.draws import Draws
from cadstn.synth.gestures import FINGER_STATES, SPREAD_DEG, THUMB_STATES, gesture
from cadstn.synth.hand import ANGLES, forward
from cadstn.synth.shape import Shape, constant
from cadstn.synth.solids import Solids, solid_cones
from cadstn.synth.surface import TABLE, Cones, join
from cadstn.synth.things import KINDS, NOTHING_MM, Held, Thing, sample_things, shown_rods

TRIES = 3
"""Grasps tried for each hand."""

_DEG = math.pi / 180
_DEEPEST_MM, _DEEPEST_DIGITS_MM = 0.8, 1.5  # in the thing, and among digits: more is no grasp
_HOLDS_MM = 1.0  # a digit nearer than this helps to hold
_PLACING = 7  # steps
_FAR_MM = 130.0
_THUMB_ENDS = ("over", "over", "across", "side", "up")
#: Pinches by the gesture that closes them and the joints that face the thumb's tip.
_PINCHES: dict[str, tuple[int, ...]] = {
    "pinch_index": (8,), "pinch_middle": (12,), "tripod": (8, 12), "quadpod": (8, 12, 16),
    "letter_o": (8, 12, 16, 20), "lateral_key": (6, 7), "pencil": (8,),
}  # fmt: skip
_PENS = ("tripod", "pencil", "quadpod")


class Grasps(NamedTuple):
    """What G hands hold and how, in the palm's frame of each hand, left ones mirrored."""

    angles: Tensor  # (G, 20) radians of the digits
    lift: Tensor  # (G, 4) radians by which a finger may leave the thing, at its knuckle
    thing: Thing  # G of them
    kind: Tensor  # (G,) which of `cadstn.synth.things.KINDS`
    there: Tensor  # (G,) whether a grasp was found


def sample_grasps(draws: Draws, shape: Shape) -> Grasps:
    """Draw one grasp for every hand."""
    found = _try(draws.fork("try 0"), shape)
    for number in range(1, TRIES):
        rows = (~found.there).nonzero()[:, 0]
        if not len(rows):
            break
        hands = Shape(*(field[rows] for field in shape))
        again = _try(draws.pick(rows).fork(f"try {number}"), hands)
        for field, new in zip(_fields(found), _fields(again), strict=True):
            field[rows] = new
    return found


def _fields(grasps: Grasps) -> list[Tensor]:
    """All tensors of grasps, in an order of its own."""
    return [
        grasps.angles, grasps.lift, *grasps.thing.rods, *grasps.thing.blocks, grasps.kind,
        grasps.there,
    ]  # fmt: skip


def _try(draws: Draws, shape: Shape) -> Grasps:
    """Draw one grasp a hand, whether it holds or not."""
    left, right = shape.left, shape._replace(left=torch.zeros_like(shape.left))
    kind = draws.choice([kind.weight for kind in KINDS.values()])
    held = sample_things(draws.fork("thing"), kind)
    opened, closed, facing = _ends(draws.fork("pose"), kind)
    thing = _placed(draws.fork("place"), held, opened, closed, facing, right)
    angles = close_fingers(opened, closed, right, thing)
    angles = close_thumb(draws.fork("thumb"), angles, closed, right, thing)
    clear, holds = _check(angles, right, thing)
    lift = draws.fork("lift").uniform(4, high=0.6) * draws.chance(0.12, 4)
    loose, _ = _check(lifted(angles, lift), right, thing)
    lift = lift * loose[:, None]
    return Grasps(angles[:, :20], lift, thing.mirrored(left), kind, clear & holds)


def lifted(angles: Tensor, lift: Tensor) -> Tensor:
    """Straighten the knuckles of digits (..., 20) by (..., 4) radians, within the limits."""
    change = torch.nn.functional.pad(lift[..., None], (0, 3)).flatten(-2)
    fingers = angles[..., :16] - change
    full = torch.cat([fingers, angles[..., 16:20]], -1)
    return clamp_angles(torch.nn.functional.pad(full, (0, len(ANGLES) - 20)))[..., :20]


def over_time(draws: Draws, grasps: Grasps, frames: int, fps: float) -> Tensor:
    """Angles (G, frames, 20) of digits that hold on, some fingers leaving and coming back."""
    beat, phase = draws.uniform(4, low=0.2, high=1.2), draws.uniform(4)
    time_s = torch.arange(frames, device=draws.device)[:, None] / fps
    angle = 2 * math.pi * (beat[:, None] * time_s + phase[:, None])
    lift = grasps.lift[:, None] * (0.5 - 0.5 * angle.cos())
    return lifted(grasps.angles[:, None].expand(-1, frames, -1), lift)


def carried(
    rows: Tensor,
    grasps: Grasps,
    wrist: Tensor,
    rotation: Tensor,
    frames: int,
    *,
    nearest_mm: float,
) -> tuple[Cones, Solids, Tensor]:
    """What hands grasp, in the camera frame.

    Args:
        rows: (G,) in whose clips.
        grasps: G of them.
        wrist: (B * T, 3) mm, camera frame.
        rotation: (B * T, 3, 3) palm frame -> camera frame.
        frames: T.
        nearest_mm: what would come nearer to the camera is left out.

    Returns:
        cones and solids of B * T frames, and (B * T,) where nothing is grasped.
    """
    step = torch.arange(frames, device=rows.device)
    spread = (rows[:, None] * frames + step).flatten()
    thing = grasps.thing.pick(torch.arange(len(rows), device=rows.device).repeat_interleave(frames))
    thing = thing.moved(rotation[spread], wrist[spread])
    edges = solid_cones(thing.blocks)
    ends = join(thing.rods, edges)
    nearest = torch.minimum(ends.a[..., 2] - ends.ra, ends.b[..., 2] - ends.rb)
    real = torch.cat([thing.rods.ra > 0, edges.ra >= 0], 1)
    nearest = torch.where(real, nearest, torch.inf).amin(1).view(-1, frames).amin(1)
    there = (grasps.there & (nearest > nearest_mm)).repeat_interleave(frames)
    rods = shown_rods(thing, there[:, None])
    blocks = thing.blocks._replace(
        half=torch.where(there[:, None, None], thing.blocks.half, NOTHING_MM)
    )

    def full(part: Tensor, fill: Tensor) -> Tensor:
        out = fill.expand(len(rotation), *part.shape[1:]).clone()
        out[spread] = part
        return out

    one = rotation.new_ones(())
    behind = rotation.new_tensor([0.0, 0.0, -1e6])
    cones = Cones(*(full(f, v) for f, v in zip(rods, (behind, behind, one, one), strict=True)))
    fills = (behind, one, one * NOTHING_MM, one)
    solids = Solids(*(full(f, v) for f, v in zip(blocks, fills, strict=True)))
    without = full(~there, one > 0)
    return cones, solids, without


@functools.cache
def _poses(device: torch.device) -> tuple[Tensor, Tensor]:
    """Angles (P, A) of `_PINCHES`, and which joints face the thumb's tip: weights (P, 21)."""
    angles = torch.stack([gesture(name) for name in _PINCHES])
    facing = torch.zeros(len(_PINCHES), 21)
    for row, joints in enumerate(_PINCHES.values()):
        facing[row, list(joints)] = 1 / len(joints)
    return angles.to(device), facing.to(device)


@functools.cache
def _held_as(device: torch.device) -> Tensor:
    """(K,) 0 for kinds that are wrapped, 1 for pinched ones, 2 for pens."""
    ways = ("wrap", "pinch", "pen")
    return torch.tensor([ways.index(kind.grasp) for kind in KINDS.values()], device=device)


def _ends(draws: Draws, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw from where to where digits close: angles (G, A) twice; and what faces the thumb."""
    way = _held_as(draws.device)[kind]
    pinches, facing = _poses(draws.device)
    pens = [list(_PINCHES).index(name) for name in _PENS]
    which = draws.choice([3, 2, 3, 2, 2, 1, 0])
    pen = torch.tensor(pens, device=draws.device)[draws.choice([1.0] * len(pens))]
    which = torch.where(way == 2, pen, which)
    noise = draws.normal(len(ANGLES), std=4 * _DEG)
    pinch = pinches[which] + noise
    straight = (-4 * _DEG + 0 * noise[:, 0], 3 * _DEG + 0 * noise[:, 0])
    spread = draws.uniform(1, low=-0.4, high=0.9) * constant(SPREAD_DEG, noise) * _DEG
    fist = (
        constant(tuple(FINGER_STATES["F"]), noise) * _DEG * draws.uniform(4, 1, low=0.9, high=1.1)
    )
    zero = 0 * spread
    wrapped = torch.stack([fist[..., 0], spread, fist[..., 1], fist[..., 2]], -1).flatten(1)
    ends = tuple(tuple(map(float, THUMB_STATES[name])) for name in _THUMB_ENDS)
    thumb = constant(ends, noise)[draws.choice([1.0] * len(ends))] * _DEG + noise[:, 16:20]
    flat = torch.stack(
        [zero + straight[0][:, None], spread, zero + straight[1][:, None], zero], -1
    ).flatten(1)
    wrap = (way == 0)[:, None]
    closed = torch.cat([torch.where(wrap, torch.cat([wrapped, thumb], 1), pinch[:, :20]),
                        0 * noise[:, 20:]], 1)  # fmt: skip
    # A pinch keeps a quarter of its bend and splay when it opens.
    half = torch.lerp(pinch[:, :16], flat, 0.75)
    opened = torch.cat([torch.where(wrap, flat, half), closed[:, 16:]], 1)
    return clamp_angles(opened), clamp_angles(closed), facing[which]


def _placed(
    draws: Draws, held: Held, opened: Tensor, closed: Tensor, facing: Tensor, shape: Shape
) -> Thing:
    """Lay things against the palm, or between the pads of the closed pinch."""
    thing, kind, numbers = held
    way = _held_as(draws.device)[kind]
    batch = len(kind)
    both = Shape(*(torch.cat([field, field]) for field in shape))
    joints, cones = forward(torch.cat([opened, closed]), both)
    knuckles = joints[:batch, 5::4].mean(1)
    _, radius, _, _, wide = numbers.unbind(-1)

    # Against the palm: across it along the knuckles, where the fingers will bend round it.
    bend = draws.uniform(low=20, high=75) * _DEG
    bend = torch.where(radius > 25, bend * 0.6, bend)
    reach = knuckles[:, 1] - (radius + 11) * (bend / 2).tan()
    edge = knuckles[:, 1] + draws.uniform(low=-15, high=32) - wide
    flat = torch.tensor([name in ("box", "phone") for name in KINDS], device=draws.device)[kind]
    y = torch.where(flat, edge, reach)
    x = knuckles[:, 0] + draws.normal(std=7)
    angle = 0.2 + draws.normal(std=0.22) + math.pi * draws.chance(0.5)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    cos, sin = angle.cos(), angle.sin()
    across = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1).view(-1, 3, 3)
    on_palm = torch.stack([x, y, one * _FAR_MM], -1)

    # Between the pads of the closed pinch: z from thumb to fingers, x away from the palm.
    tips = joints[batch:]
    face, thumb = (facing[..., None] * tips).sum(1), tips[:, 4]
    between = (face + thumb) / 2
    z = normalize(face - thumb, dim=-1)
    away = between - torch.stack([zero, 0.6 * knuckles[:, 1], zero], -1)
    # A pen leans on the side of the index finger's root.
    root = tips[:, 5] + draws.normal(3, std=5) + constant((17.0, -6.0, 6.0), x)
    away = torch.where((way == 2)[:, None], root - between, away)
    out = normalize(away - (away * z).sum(-1, keepdim=True) * z, dim=-1)
    stick = torch.tensor([name in ("stick", "cube") for name in KINDS], device=draws.device)[kind]
    spin = torch.where(stick, draws.uniform(low=-math.pi, high=math.pi), draws.normal(std=0.45))
    spin = spin * (way == 1)
    out = spin.cos()[:, None] * out + spin.sin()[:, None] * torch.linalg.cross(z, out, dim=-1)
    pinched = torch.stack([out, torch.linalg.cross(z, out, dim=-1), z], -1)

    wrap = way == 0
    rotation = torch.where(wrap[:, None, None], across, pinched)
    thing = thing.moved(rotation, torch.where(wrap[:, None], on_palm, between))
    along = torch.where(wrap[:, None], torch.stack([zero, zero, one], -1), out)
    # What is laid down must clear the open hand, and the palm as bent fingers arch it.
    links = hand_links(draws.device)
    palm = [balls(cones, links.palm, rows) for rows in (slice(batch), slice(batch, None))]
    finger, finger_r = balls(cones, links.fingers, slice(batch))
    points = torch.cat([finger, *(p for p, _ in palm)], 1)
    radii = torch.cat([finger_r + torch.where(wrap, 0.0, NEVER)[:, None], *(r for _, r in palm)], 1)
    shift = torch.zeros_like(x)
    for _ in range(_PLACING):
        gap = (thing.distance_mm(points - shift[:, None, None] * along[:, None]) - radii).amin(1)
        shift = shift - torch.where(wrap, gap, gap.clamp(max=0))
    still = torch.eye(3, device=draws.device).expand(batch, 3, 3)
    return thing.moved(still, shift[:, None] * along)


NEVER = -1e4
"""Added to a radius: such a ball touches nothing."""


def _check(angles: Tensor, shape: Shape, thing: Thing) -> tuple[Tensor, Tensor]:
    """Whether hands (G, 20 or A) are clear of things and of themselves, and whether they hold."""
    full = torch.nn.functional.pad(angles, (0, len(ANGLES) - angles.shape[1]))
    _, cones = forward(full, shape)
    points, radii = balls(cones, torch.arange(len(TABLE), device=angles.device))
    gap = (thing.distance_mm(points) - radii).view(len(angles), len(TABLE), BALLS).amin(-1)
    clear = (gap.amin(1) > -_DEEPEST_MM) & (touch(full, shape).depth.amax(1) < _DEEPEST_DIGITS_MM)
    digits = [
        gap[:, [i for i, cone in enumerate(TABLE) if cone.part == digit]].amin(1)
        for digit in DIGITS
    ]
    return clear, (torch.stack(digits, 1) < _HOLDS_MM).sum(1) >= 2
