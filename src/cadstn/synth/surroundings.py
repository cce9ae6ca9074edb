"""What is around a hand: an upper arm, a body and a head, a wall, a table, something that is held.

All in the camera frame, in millimetres, still during a clip unless the hand carries it. Sizes and
chances are our own estimates of what people and rooms are like.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cadstn.synth.draws import Draws
from cadstn.synth.surface import Cones, hide


class Surroundings(NamedTuple):
    """Chances of what is around a hand.

    Attributes:
        body, head: that they are close behind it; else they are where its arm ends.
        wall, table: that there is one.
        held: that something lies between thumb and fingers.
        second: that there is another hand.
        wall_from_mm: a wall is no nearer to the camera.
    """

    body: float = 0.4
    head: float = 0.2
    wall: float = 0.35
    table: float = 0.25
    held: float = 0.15
    second: float = 0.15
    wall_from_mm: float = 60.0

    def alone(self) -> Surroundings:
        """Return the same without a second hand, and with nothing between thumb and fingers."""
        return self._replace(held=0.0, second=0.0)


EVERYDAY = Surroundings()

HELD_CONES = 4
_TOWARDS = 0.3  # sine of the angle at which an arm may come towards the camera, at most
_LEAST_MM, _LARGEST_MM = 5.0, 42.0
_CAMERA_ABOVE_MM = EVERYDAY.wall_from_mm
_FLESH_MM = 15.0  # behind a joint


def swing_arm(arm: Cones, wrist: Tensor) -> Cones:
    """Swing an arm about the wrist where it would come straight at the camera and hide its hand.

    Args:
        arm: (B, 4) cones of wrist and forearm, the forearm's two last.
        wrist: (B, 3) mm.
    """
    down = normalize(arm.b[:, -2:].mean(1) - wrist, dim=-1)
    ray = normalize(wrist, dim=-1)
    towards = -(down * ray).sum(-1, keepdim=True)
    # An arm exactly along the ray has no side of its own: it then goes down.
    aside = down + towards * ray + ray.new_tensor([0.0, 1e-3, 0.0])
    aside = normalize(aside - (aside * ray).sum(-1, keepdim=True) * ray, dim=-1)
    swung = aside * (1 - _TOWARDS**2) ** 0.5 - _TOWARDS * ray
    new = torch.where(towards > _TOWARDS, swung, down)

    def rotate(points: Tensor) -> Tensor:
        away = points - wrist[:, None]
        along = (away * down[:, None]).sum(-1, keepdim=True)
        beside = away - along * down[:, None]
        beside = beside - (beside * new[:, None]).sum(-1, keepdim=True) * new[:, None]
        return wrist[:, None] + along * new[:, None] + beside

    return arm._replace(a=rotate(arm.a), b=rotate(arm.b))


def upper_arm(arm: Cones) -> Cones:
    """Go on (B, 1) from the elbow, on and down and away: no arm in a frame ends in a stub."""
    elbow = arm.b[:, -2:].mean(1, keepdim=True)
    forearm = normalize(elbow - arm.a[:, :2].mean(1, keepdim=True), dim=-1)
    shoulder = elbow + 180.0 * forearm + elbow.new_tensor([0.0, 150.0, 150.0])
    radius = arm.rb[:, -2:].amax(1, keepdim=True) * 1.35
    return Cones(elbow, shoulder, radius, radius * 1.15)


def sample_person(
    draws: Draws,
    joints_mm: Tensor,
    shoulder_mm: Tensor,
    left: Tensor,
    frames: int,
    around: Surroundings,
) -> tuple[Cones, Tensor]:
    """Draw whose arm it is: chest and head, some of them close behind the hand.

    Neither is ever nearer than the farthest joint of the clip, so that no finger is inside a body.

    Args:
        draws: B streams.
        joints_mm: (B * T, K, 3) of the hand.
        shoulder_mm: (B * T, 3) where the arm would end that is free to end anywhere.
        left: (B,) 1 for a left hand.
        frames: T.
        around: what there is.

    Returns:
        chest and head (B * T, 2), and their shoulders (B * T, 2, 3): the hand's, and the other.
    """
    batch = len(left)
    chest_r, head_r = draws.uniform(low=110, high=190), draws.uniform(low=78, high=102)
    radius = torch.stack([chest_r, head_r], 1)
    near = draws.uniform(2) < radius.new_tensor([around.body, around.head])
    gap = draws.uniform(low=10, high=300)
    aside = draws.normal(2) * draws.uniform(1, low=60, high=160)
    height = torch.stack([draws.uniform(low=-120, high=220), draws.normal(std=90)], 1)
    back = torch.stack([gap, gap * draws.uniform()], 1) + radius
    lean, nod = draws.normal(3, std=80), draws.normal(3, std=25)
    # Bent away from the camera, neither comes nearer than its middle.
    away = torch.stack([lean, nod], 1)
    lean, nod = torch.cat([away[..., :2], away[..., 2:].abs()], -1).unbind(1)
    hand, shoulder = joints_mm.view(batch, frames, -1, 3), shoulder_mm.view(batch, frames, 3)
    farthest = hand[..., 2].flatten(1).amax(1, keepdim=True) + _FLESH_MM
    start = hand[:, 0].mean(1)
    behind = torch.stack([start[:, :1] + aside, start[:, 1:2] + height, farthest + back], -1)
    # Facing the camera, the left shoulder is to the right in the image.
    outward = torch.stack([(2 * left - 1) * (chest_r + 20), 0 * left - 40, 0 * left - 40], -1)
    flip = outward.new_tensor([1.0, -1.0, -1.0])  # to the other shoulder: x alone changes its sign
    swayed = (shoulder + shoulder.mean(1, keepdim=True)) / 2
    own = swayed - outward[:, None]
    clear = farthest + (chest_r + draws.uniform(low=20, high=400))[:, None]
    own = torch.cat([own[..., :2], torch.maximum(own[..., 2:], clear[..., None])], -1)
    chest = torch.where(near[:, 0, None, None], behind[:, :1], own)
    neck = torch.stack([0 * left, -(chest_r + 0.9 * head_r), 0 * left], -1) + nod
    head = torch.where(near[:, 1, None, None], behind[:, 1:], chest + neck[:, None])
    a = torch.stack([chest, head], 2)
    down = torch.stack([lean + lean.new_tensor([0.0, 700.0, 0.0]), 0.6 * nod], 1)
    down[:, 1, 1] += 60.0
    spread = radius[:, None].expand(-1, frames, -1).flatten(0, 1)
    shoulders = torch.stack([chest + outward[:, None], chest - flip * outward[:, None]], 2)
    b = a + down[:, None]
    return Cones(a.flatten(0, 1), b.flatten(0, 1), spread, spread), shoulders.flatten(0, 1)


def sample_planes(draws: Draws, cones: Cones, frames: int, around: Surroundings) -> Tensor:
    """Draw a wall and a table that hand and forearm stay in front of.

    The person is drawn after them: the upper arm may go through the wall to its shoulder.

    Args:
        draws: B streams.
        cones: (B * T, P) of hand and arm.
        frames: T.
        around: what there is.

    Returns:
        (B, 2, 4) planes as `cadstn.synth.raster.cast` takes them, facing the camera; those that
        are not there have an infinite offset.
    """
    wall = draws.normal(3, std=0.25) * cones.a.new_tensor([1.0, 1.0, 0.0])
    # From a table seen straight from above to one that the camera sees almost edge on.
    tilt, roll = draws.uniform(low=0.1, high=1.45), draws.normal(std=0.25)
    table = torch.stack([tilt.sin() * roll.sin(), -tilt.sin() * roll.cos(), -tilt.cos()], -1)
    normal = torch.stack([wall - wall.new_tensor([0.0, 0.0, 1.0]), table], 1)
    normal = normalize(normal, dim=-1)
    spread = normal.repeat_interleave(frames, 0)[:, :, None]
    ends = ((cones.a, cones.ra), (cones.b, cones.rb))
    lows = [((spread * p[:, None]).sum(-1) - r[:, None]).amin(-1) for p, r in ends]
    lowest = torch.minimum(*lows).view(-1, frames, 2).amin(1)
    gap = torch.stack([
        draws.uniform(low=3.7, high=7.3).exp(),  # 40 to 1,500 mm
        draws.uniform(low=0.5, high=5.0).exp(),
    ], 1)  # fmt: skip
    nearest = gap.new_tensor([-around.wall_from_mm, -_CAMERA_ABOVE_MM])
    offset = torch.minimum(lowest - gap, nearest)
    there = draws.uniform(2) < gap.new_tensor([around.wall, around.table])
    return torch.cat([normal, torch.where(there, offset, torch.inf)[..., None]], -1)


def sample_held(
    draws: Draws,
    joints: Tensor,
    hand: Cones,
    rotation: Tensor,
    frames: int,
    around: Surroundings,
) -> Cones:
    """Draw what a hand holds: a ball, a bar, a bottle or a box between thumb and fingers.

    It is as thick as there is room at the clip's narrowest moment. Room is measured at seven places
    along it: 15 of 345 things cut more than 2 mm into a finger between two of them, or with the
    neck of a bottle. Where there is no room there is nothing.

    Args:
        draws: B streams.
        joints: (B * T, 21, 3) mm.
        hand: (B * T, P) cones without the arm.
        rotation: (B * T, 3, 3) palm frame -> camera frame.
        frames: T.
        around: what there is.
    """
    wrist = joints[:, :1]

    def still(points: Tensor) -> Tensor:
        """Put points (B * T, N, 3) at their clip's mean place in the palm's frame."""
        own = (points - wrist) @ rotation
        mean = own.view(-1, frames, *own.shape[1:]).mean(1)
        return mean.repeat_interleave(frames, 0) @ rotation.mT + wrist

    kind = draws.choice([1, 1, 1, 1])
    reach = torch.where(kind == 0, 0.0, draws.uniform(low=25, high=75))
    tilt = draws.normal(std=0.3)
    axis = torch.stack([tilt.cos(), tilt.sin(), torch.zeros_like(tilt)], -1)
    there = draws.chance(around.held)
    axis, reach, kind, there = (
        field.repeat_interleave(frames, 0) for field in (axis, reach, kind, there)
    )
    middle = still((joints[:, 4:5] + joints[:, [8, 12]].mean(1, keepdim=True)) / 2)
    direction = axis[:, None] @ rotation.mT * reach[:, None, None]
    along = torch.linspace(-1, 1, 7, device=joints.device)[:, None]
    room = _room(middle + along * direction, hand).amin(1)
    room = room.view(-1, frames).amin(1).repeat_interleave(frames, 0)
    radius = (room - 0.5).clamp(max=_LARGEST_MM)
    a, b = middle - direction, middle + direction
    neck = b + 0.5 * direction
    out = rotation[:, None, :, 2] * radius[:, None, None] * 0.45
    side = torch.linalg.cross(out, normalize(direction + 1e-6, dim=-1))
    corners = torch.cat([out + side, out - side, -out + side, -out - side], 1)
    box = (kind == 3)[:, None]
    used = torch.stack([kind >= 0, (kind == 2) | box[:, 0], box[:, 0], box[:, 0]], 1)
    first = torch.cat([a, b, a, a], 1)
    second = torch.cat([b, neck, b, b], 1)
    first = torch.where(box[..., None], a + corners, first)
    second = torch.where(box[..., None], b + corners, second)
    thick = radius[:, None].expand(-1, HELD_CONES)
    thin = torch.where(box, 0.36, thick.new_tensor([1.0, 0.8, 1.0, 1.0]))
    end = torch.where(box, 0.36, thick.new_tensor([1.0, 0.4, 1.0, 1.0]))
    used = used & (there & (radius > _LEAST_MM))[:, None]
    return hide(Cones(first, second, thick * thin, thick * end), used)


def _room(points: Tensor, cones: Cones) -> Tensor:
    """Distance (B, N) in mm of points (B, N, 3) to the nearest surface of cones (B, P).

    A cone's surface is taken at the foot of the perpendicular: at most a few tenths of a millimetre
    from the nearest point at a finger's taper.
    """
    axis = cones.b - cones.a
    away = points[:, :, None] - cones.a[:, None]
    square = (axis * axis).sum(-1).clamp(min=1e-6)[:, None]
    share = ((away * axis[:, None]).sum(-1) / square).clamp(0, 1)
    gap = (away - share[..., None] * axis[:, None]).norm(dim=-1)
    radius = cones.ra[:, None] + share * (cones.rb - cones.ra)[:, None]
    nearest: Tensor = (gap - radius).amin(-1)
    return nearest
