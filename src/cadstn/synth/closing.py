"""Digits that close until they touch: the fingers first, then the thumb.

By conservative advancement (Mirtich, "Impulse-based dynamic simulation of rigid body systems",
1996): no joint ever rotates farther than the nearest ball of its digit is away from the thing, over
that ball's lever. A phalanx that touches stops its own joint and those before it; the joints beyond
go on, and so fingers wrap.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.geometry.hand_shape import FINGERS
from cadstn.synth.draws import Draws
from cadstn.synth.hand import forward
from cadstn.synth.shape import Shape, constant
from cadstn.synth.solids import Solids, cone_distance_mm
from cadstn.synth.surface import TABLE, Cones
from cadstn.synth.things import Thing

BALLS = 7
"""Balls along each cone by which gaps are measured."""

_DEG = math.pi / 180
_FLESH_MM = 0.3  # how deep a closed digit presses into what it touches
_TOUCHES_MM = 0.15  # nearer than this, a phalanx is stopped
_TOWARDS = 1.3  # a ball moves at most so many times its lever: splay and arch go with the bend
_ARCH_MM = (0.0, 0.0, 8.0, 16.0)  # what the arch adds to the levers of a knuckle
_FINGERS, _THUMB = 12, 9  # steps
#: From where thumbs start: mostly the first that is clear of the thing and of the fingers.
_THUMB_STARTS_DEG = (
    (32, 60, 6, 12), (62, 62, -4, -10), (50, 48, 0, 6), (52, 16, 0, -4), (62, 4, -4, -12),
    (6, 12, 2, 2),
)  # fmt: skip
_STARTS = (0.0, 0.35, 0.7, 1.0)  # of fingers, from open to closed


class Links(NamedTuple):
    """Places of the cones that move with fingers and thumb, and of those of the palm."""

    fingers: Tensor  # (12,)
    thumb: Tensor  # metacarpal and what moves with it, then the two phalanges
    palm: Tensor  # all others of the hand


@functools.cache
def hand_links(device: torch.device) -> Links:
    """Return them for cones in the order of `TABLE`."""
    parts = [cone.part for cone in TABLE]
    thumb = [i for i, part in enumerate(parts) if part in ("thenar", "thumb_web", "thumb")]
    bones = [i for i in thumb if parts[i] == "thumb"]
    thumb = [i for i in thumb if i not in bones[1:]] + bones[1:]
    fingers = [i for i, part in enumerate(parts) if part in FINGERS]
    palm = [i for i, part in enumerate(parts) if part in ("palm", "thenar")]
    return Links(*(torch.tensor(rows, device=device) for rows in (fingers, thumb, palm)))


def balls(cones: Cones, which: Tensor, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """Balls along some cones: centres (G, C * `BALLS`, 3) and radii, cone by cone."""
    a, b, ra, rb = (field[rows][:, which] for field in cones)
    share = torch.linspace(0, 1, BALLS, device=ra.device)
    centers = a[:, :, None] + share[:, None] * (b - a)[:, :, None]
    radii = ra[..., None] + share * (rb - ra)[..., None]
    return centers.flatten(1, 2), radii.flatten(1, 2)


def close_fingers(opened: Tensor, closed: Tensor, shape: Shape, thing: Thing) -> Tensor:
    """Close the four fingers from the first start that is clear of the thing; (G, A)."""
    batch, links = len(opened), hand_links(opened.device)
    change = closed - opened

    def at(progress: Tensor) -> Tensor:
        """Angles of (..., 4, 3) joints that are so far on their way: splay goes with the bend."""
        share = progress[..., [0, 0, 1, 2]].flatten(-2)
        return torch.cat([opened[:, :16] + share * change[:, :16], opened[:, 16:]], -1)

    def gaps(progress: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joints, cones = forward(at(progress), shape)
        points, radii = balls(cones, links.fingers)
        gap = thing.distance_mm(points) - radii + _FLESH_MM
        return joints, points.view(batch, 4, 3, BALLS, 3), gap.view(batch, 4, 3, BALLS)

    progress = torch.zeros_like(opened[:, :12]).view(-1, 4, 3)
    found = torch.zeros_like(progress[..., 0], dtype=torch.bool)
    start = progress[..., 0]
    for share in _STARTS:
        clear = gaps(torch.full_like(progress, share))[2].flatten(2).amin(-1) > 0
        start = torch.where(clear & ~found, share, start)
        found = found | clear
    progress = start[..., None] + progress
    rate = change[:, :16].abs().view(-1, 4, 4)
    rate = torch.stack([rate[..., 0] + rate[..., 1], rate[..., 2], rate[..., 3]], -1)
    arch = constant(_ARCH_MM, rate)[:, None, None]
    knuckle = torch.tensor([1.0, 0.0, 0.0], device=rate.device)
    for _ in range(_FINGERS):
        joints, points, gap = gaps(progress)
        pivots = joints[:, 5:].view(batch, 4, 4, 3)[:, :, :3]
        progress = _advanced(progress, rate, points, pivots, gap, arch[..., None] * knuckle)
    return at(progress)


def _advanced(
    progress: Tensor,
    rate: Tensor,
    points: Tensor,
    pivots: Tensor,
    gap: Tensor,
    extra: Tensor | float,
) -> Tensor:
    """Rotate the joints of digits as far as they certainly can.

    Args:
        progress: (G, D, 3) of the three joints, 0 to 1.
        rate: (G, D, 3) radians that each rotates in all.
        points: (G, D, 3, M, 3) balls of the three bones.
        pivots: (G, D, 3, 3) where the joints are.
        gap: (G, D, 3, M) mm between balls and things.
        extra: mm added to the levers.
    """
    stopped = gap.amin(-1) < _TOUCHES_MM  # (G, D, 3) bones
    # A bone that touches stops the joints before it.
    stopped = stopped.flip(-1).cummax(-1).values.flip(-1)
    free = (~stopped & (progress < 1)).to(rate.dtype)
    lever = (points[..., None, :] - pivots[:, :, None, None]).square().sum(-1).sqrt() + extra
    before = torch.ones(3, 3, device=rate.device).tril()[:, None]
    speed = (lever * (free * rate)[:, :, None, None] * before).sum(-1) * _TOWARDS
    step = (gap.clamp(min=0) / speed.clamp(min=1e-3)).where(speed > 0, torch.inf)
    step = step.flatten(2).amin(-1).clamp(max=1)
    return (progress + step[..., None] * free).clamp(max=1)


def close_thumb(draws: Draws, angles: Tensor, closed: Tensor, shape: Shape, thing: Thing) -> Tensor:
    """Close the thumb on the thing and on the fingers, from a start that is clear; (G, A)."""
    links, batch, count = hand_links(angles.device), len(angles), len(_THUMB_STARTS_DEG)
    starts = constant(_THUMB_STARTS_DEG, angles) * _DEG

    def gaps(pose: Tensor, hands: Shape, things: Thing, bent: Cones) -> tuple[Tensor, ...]:
        joints, cones = forward(pose, hands)
        points, radii = balls(cones, links.thumb)
        gap = things.distance_mm(points) - radii
        # What the thumb's root moves lies in the palm, beside the fingers.
        beyond = gap.shape[1] - 2 * BALLS
        fist = cone_distance_mm(points[:, beyond:], bent) - radii[:, beyond:]
        return joints, points, torch.cat([gap[:, :beyond], gap[:, beyond:].minimum(fist)], 1)

    def each(field: Tensor) -> Tensor:
        return field.repeat_interleave(count, 0)

    bent = Cones(*(field[:, links.fingers] for field in forward(angles, shape)[1]))
    first = torch.cat([each(angles[:, :16]), starts.repeat(batch, 1), each(angles[:, 20:])], 1)
    things = Thing(Cones(*map(each, thing.rods)), Solids(*map(each, thing.blocks)))
    gap = gaps(first, Shape(*map(each, shape)), things, Cones(*map(each, bent)))[2]
    order = torch.arange(count, device=gap.device) + 1.8 * draws.uniform(count)
    start = starts[(order + 10 * (gap.amin(1) <= 0).view(batch, count)).argmin(1)]
    change = closed[:, 16:20] - start
    rate = change.abs()
    rate = torch.stack([rate[:, 0] + rate[:, 1], rate[:, 2], rate[:, 3]], -1)[:, None]
    progress = torch.zeros_like(rate)

    def at(progress: Tensor) -> Tensor:
        share = progress[:, 0][:, [0, 0, 1, 2]]
        return torch.cat([angles[:, :16], start + share * change, angles[:, 20:]], 1)

    many = (len(links.thumb) - 2) * BALLS
    spans = ((0, many), (many, many + BALLS), (many + BALLS, many + 2 * BALLS))
    for _ in range(_THUMB):
        joints, points, gap = gaps(at(progress), shape, thing, bent)
        gap = gap + _FLESH_MM
        # The metacarpal and what moves with it count as one bone of many balls.
        apart = torch.stack([_padded(gap[:, a:b], many, torch.inf) for a, b in spans], 1)
        places = torch.stack([_padded(points[:, a:b].mT, many, 0.0).mT for a, b in spans], 1)
        pivots = joints[:, None, 1:4]
        progress = _advanced(progress, rate, places[:, None], pivots, apart[:, None], 0.0)
    return at(progress)


def _padded(values: Tensor, width: int, fill: float) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[-1]), value=fill)
