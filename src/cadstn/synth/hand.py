"""A hand of round cones: bone lengths, joint angles -> 21 joints and the cones around them.

The palm's own frame (millimetres, origin at the wrist): x to the thumb, y along the fingers, z out
of the palm. For a right hand this frame is right-handed; a left hand is its mirror image in x.

Bone lengths are the averages of Buryanov & Kotiuk, "Proportions of Hand Segments" (Int. J.
Morphol. 28(3), 2010), the distal ones lengthened by the soft tissue of the tip; radii and the
palm's layout are our own estimates for an adult.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FINGERS = ("index", "middle", "ring", "pinky")

# Proximal, middle, distal phalanx in mm, a row a finger in the order of FINGERS.
_PHALANGES_MM = ((39.8, 22.4, 21.5), (44.6, 26.3, 22.5), (41.4, 25.7, 22.0), (32.7, 18.1, 20.0))
_THUMB_MM = (46.2, 31.6, 26.0)  # metacarpal, proximal, distal
_MCP_MM = ((23.0, 91.0, -2.0), (3.0, 93.0, -4.0), (-16.0, 87.0, -2.0), (-33.0, 77.0, 2.0))
_THUMB_BASE_MM = (23.0, 22.0, 9.0)
_CARPAL_MM = ((14.0, 14.0, 0.0), (5.0, 12.0, -1.0), (-5.0, 12.0, -1.0), (-15.0, 13.0, 1.0))
# Radii at MCP, PIP, DIP and tip.
_FINGER_RADII_MM = (
    (10.5, 9.2, 8.0, 6.6),
    (10.8, 9.4, 8.2, 6.8),
    (10.2, 8.8, 7.8, 6.4),
    (9.2, 7.8, 6.8, 5.8),
)
_THUMB_RADII_MM = (15.0, 12.0, 10.2, 8.0)
_SPLAY_REST_DEG = (4.0, 0.0, -5.0, -11.0)

#: Joint angles in a pose, in order, in radians (see `forward`).
ANGLES = (
    *(f"{f}_{a}" for f in FINGERS for a in ("flex", "splay", "pip", "dip")),
    "thumb_radial", "thumb_palmar", "thumb_mcp", "thumb_ip",
    "wrist_flex", "wrist_side",
)  # fmt: skip

#: Limits of each angle in degrees, (low, high): usual active ranges of motion of an adult hand.
LIMITS_DEG = (
    *((-20.0, 90.0), (-18.0, 18.0), (-5.0, 105.0), (-5.0, 75.0)) * 4,
    (-15.0, 65.0), (0.0, 65.0), (-10.0, 60.0), (-15.0, 80.0),
    (-75.0, 65.0), (-30.0, 25.0),
)  # fmt: skip


class Shape(NamedTuple):
    """How a hand differs from the average one; every field is (B,).

    Attributes:
        size: factor on everything.
        length: further factor on finger lengths.
        girth: further factor on radii.
        palm: further factor on the palm's width.
        arm: factor on the forearm's radius (a sleeve is a thick arm).
        left: 1 for a left hand, 0 for a right one.
    """

    size: Tensor
    length: Tensor
    girth: Tensor
    palm: Tensor
    arm: Tensor
    left: Tensor


class Cones(NamedTuple):
    """Round cones: the hull of two balls. ``a``, ``b`` (B, P, 3) mm; ``ra``, ``rb`` (B, P) mm."""

    a: Tensor
    b: Tensor
    ra: Tensor
    rb: Tensor


def forward(angles: Tensor, shape: Shape) -> tuple[Tensor, Cones]:
    """Forward kinematics in the palm's frame.

    Args:
        angles: (B, 22) radians in the order of `ANGLES`. ``flex``, ``pip``, ``dip`` bend a finger
            towards the palm; ``splay`` turns it towards the thumb; ``thumb_radial`` opens the thumb
            away from the index, ``thumb_palmar`` lifts it out of the palm's plane.
        shape: the hand's shape, (B,) each.

    Returns:
        joints (B, 21, 3) mm in MediaPipe's order, and the 26 cones of hand and forearm.
    """
    like = angles.new_tensor
    batch = angles.shape[0]
    one = torch.ones_like(shape.palm)
    palm = torch.stack([shape.palm, one, one], -1)
    mcp = like(_MCP_MM) * palm[:, None]
    carpal = like(_CARPAL_MM) * palm[:, None]
    thumb_base = like(_THUMB_BASE_MM) * palm

    fingers = angles[:, :16].reshape(batch, 4, 4)
    flex, splay = fingers[..., 0], fingers[..., 1]
    # Bent fingers cannot be spread: the collateral ligaments tighten with flexion.
    splay = (splay + torch.deg2rad(like(_SPLAY_REST_DEG))) * flex.clamp(0, 1.5).cos()
    along = torch.stack([splay.sin(), splay.cos(), torch.zeros_like(splay)], -1)
    out = like([0.0, 0.0, 1.0]).expand_as(along)
    bend = torch.stack([flex, flex + fingers[..., 2], flex + fingers[..., 2] + fingers[..., 3]], -1)
    direction = bend.cos()[..., None] * along[:, :, None] + bend.sin()[..., None] * out[:, :, None]
    bones = direction * like(_PHALANGES_MM)[..., None] * shape.length[:, None, None, None]
    chain = torch.cat([mcp[:, :, None], mcp[:, :, None] + bones.cumsum(2)], 2)  # (B, 4, 4, 3)

    thumb = _thumb(angles[:, 16:20], thumb_base, shape.length)
    wrist = torch.zeros(batch, 1, 3, dtype=angles.dtype, device=angles.device)
    joints = torch.cat([wrist, thumb, chain.flatten(1, 2)], 1)
    cones = _cones(chain, thumb, carpal, angles[:, 20:22], shape)

    scale = shape.size[:, None, None]
    mirror = torch.stack([1 - 2 * shape.left, one, one], -1)[:, None]
    radius = scale[..., 0] * shape.girth[:, None]
    arms = cones.ra.shape[1] - 2
    factor = torch.cat(
        [radius.expand(-1, arms), (scale[..., 0] * shape.arm[:, None]).expand(-1, 2)], 1
    )
    return joints * scale * mirror, Cones(
        cones.a * scale * mirror, cones.b * scale * mirror, cones.ra * factor, cones.rb * factor
    )


def _thumb(angles: Tensor, base: Tensor, length: Tensor) -> Tensor:
    """CMC, MCP, IP and tip (B, 4, 3) of the thumb."""
    radial, palmar, mcp, ip = angles.unbind(-1)
    like = angles.new_tensor
    metacarpal = torch.stack(
        [radial.sin() * palmar.cos(), radial.cos() * palmar.cos(), palmar.sin()], -1
    )
    # The thumb bends across the palm, towards the little finger and the palm's own front.
    across = like([-0.85, 0.0, 0.5]).expand_as(metacarpal)
    across = across - (across * metacarpal).sum(-1, keepdim=True) * metacarpal
    across = across / across.norm(dim=-1, keepdim=True)
    bend = torch.stack([torch.zeros_like(mcp), mcp, mcp + ip], -1)[..., None]
    direction = bend.cos() * metacarpal[:, None] + bend.sin() * across[:, None]
    bones = direction * like(_THUMB_MM)[:, None] * length[:, None, None]
    return torch.cat([base[:, None], base[:, None] + bones.cumsum(1)], 1)


def _cones(chain: Tensor, thumb: Tensor, carpal: Tensor, wrist: Tensor, shape: Shape) -> Cones:
    """Cones around the bones: fingers, thumb, palm, pads, web; the forearm's two come last."""
    like = chain.new_tensor
    batch = chain.shape[0]
    a, b, ra, rb = [], [], [], []

    def add(start: Tensor, end: Tensor, r0: float, r1: float) -> None:
        a.append(start)
        b.append(end)
        ra.append(r0)
        rb.append(r1)

    for i, radii in enumerate(_FINGER_RADII_MM):
        for j in range(3):
            add(chain[:, i, j], chain[:, i, j + 1], radii[j], radii[j + 1])
        add(carpal[:, i], chain[:, i, 0], 14.0, radii[0] + 1.5)
    for j in range(3):
        add(thumb[:, j], thumb[:, j + 1], _THUMB_RADII_MM[j], _THUMB_RADII_MM[j + 1])
    index, pinky = chain[:, 0, 0], chain[:, 3, 0]
    offset = like([0.0, -6.0, 3.0])
    add(index + offset, pinky + offset, 11.0, 10.0)  # the pad behind the fingers
    add((index + carpal[:, 1]) / 2, (pinky + carpal[:, 3]) / 2, 12.5, 12.5)  # the palm's middle
    add(carpal[:, 0] + like([4.0, 8.0, 6.0]), thumb[:, 1], 16.0, 11.0)  # thenar pad
    add(carpal[:, 3] + like([-7.0, 6.0, 5.0]), pinky + like([-1.0, -14.0, 3.0]), 13.0, 10.5)
    web = (thumb[:, 0] + 2 * thumb[:, 1]) / 3
    add(web, (2 * index + carpal[:, 0]) / 3, 10.0, 9.0)  # the web of the thumb

    flex, side = wrist.unbind(-1)
    down = torch.stack([side.sin() * flex.cos(), -side.cos() * flex.cos(), flex.sin()], -1)
    across = torch.stack([side.cos(), side.sin(), torch.zeros_like(side)], -1)
    width = (12.0 * shape.palm)[:, None]
    for sign in (1.0, -1.0):  # two cones side by side: a forearm is wider than it is thick
        start = sign * across * width + down * -4.0
        add(start, start + down * 230.0 + sign * across * 6.0, 20.0, 30.0)
    radii_a, radii_b = like(ra), like(rb)
    return Cones(
        torch.stack(a, 1), torch.stack(b, 1), radii_a.expand(batch, -1), radii_b.expand(batch, -1)
    )
