"""Hand poses drawn at random: gestures with variation, blends of them, and free ones.

Everything is a pure function of the `Draws` it is given. Shares and spreads are our own choices;
the limits are `cadstn.synth.hand.LIMITS_DEG`. Contact is not considered here, see
`cadstn.synth.clearance`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.synth.clearance import clamp_angles, opened
from cadstn.synth.draws import Draws
from cadstn.synth.gestures import SPREAD_DEG, vocabulary
from cadstn.synth.hand import ANGLES, DIP_PER_PIP
from cadstn.synth.shape import constant

_DEG = math.pi / 180
#: Shares of poses near a gesture, between two gestures, and free within the limits.
_SHARES = (0.55, 0.15, 0.30)


class Poses(NamedTuple):
    """Hand poses, any leading dimensions."""

    angles: Tensor  # (..., A) radians within the limits
    # (..., 4) 1 where index, middle, ring or pinky meets the thumb, 0 where it does not
    pinch: Tensor


def sample_poses(draws: Draws, count: int = 1) -> Poses:
    """Draw ``count`` poses a sample.

    Returns:
        Poses of (B, count, A) and (B, count, 4); pose k does not depend on ``count``.
    """
    table, pinches = vocabulary(draws.device)
    names = draws.fork("gesture").choice([1.0] * len(table), count, 2)
    first, second = names.unbind(-1)
    u = draws.fork("kind").uniform(count, 3)
    kind = torch.bucketize(u[..., 0].contiguous(), constant((_SHARES[0], 1 - _SHARES[2]), u))
    blended = (kind == 1)[..., None]
    # Either a mixture of the whole hands or some fingers of one and the rest of the other.
    whole = (0.25 + 0.5 * u[..., 1])[..., None].expand(-1, -1, 5)
    parts = draws.fork("parts").chance(0.5, count, 5).to(u.dtype)
    mix = torch.where((u[..., 2] < 0.5)[..., None], whole, parts) * blended
    mix = torch.cat([mix[..., :4].repeat_interleave(4, -1), mix[..., 4:].expand(-1, -1, 4)], -1)
    mix = torch.nn.functional.pad(mix, (0, len(ANGLES) - 20))
    angles = table[first] + mix * (table[second] - table[first])
    angles = torch.where((kind == 2)[..., None], _free(draws.fork("free"), count), angles)
    pinch = torch.where((kind == 0)[..., None], pinches[first], u.new_zeros(()))
    return Poses(clamp_angles(_varied(draws.fork("varied"), count, angles)), pinch)


def _free(draws: Draws, count: int) -> Tensor:
    """Every finger for itself, or all alike; (B, count, A) radians, not yet within the limits."""
    # Numbers of pose k stand in row k of each stream, however many poses follow.
    u = draws.fork("all").uniform(count, 7)
    alike = u[..., :1] < 0.35
    own = (1 - (math.pi * u[..., 1:5]).cos()) / 2  # mostly quite straight or quite bent
    curl = torch.where(alike, u[..., 5:6], own)
    # The knuckle and the joint beyond it mostly bend together, sometimes one alone.
    lone = draws.fork("lone").uniform(count, 4)
    root = torch.where(lone < 0.12, 0.2 * curl, curl)
    bend = torch.where(lone > 0.88, 0.2 * curl, curl)
    spread = (1.6 * u[..., 6:7] - 0.6) * constant(SPREAD_DEG, u)
    flex, pip = -10 + 95 * root, 100 * bend
    fingers = torch.stack([flex, spread, pip, DIP_PER_PIP * pip], -1).flatten(-2)
    t = draws.fork("thumb").uniform(count, 5)
    thumb = torch.stack(
        [
            4 + 56 * t[..., 0],
            62 * t[..., 1],
            -6 + 58 * t[..., 2] * t[..., 4],
            -12 + 80 * t[..., 3] * t[..., 4],
        ],
        -1,
    )
    angles = torch.cat([fingers, thumb], -1) * _DEG
    return torch.nn.functional.pad(angles, (0, len(ANGLES) - 20))


def _varied(draws: Draws, count: int, angles: Tensor) -> Tensor:
    """No two people hold a gesture alike: add spread to every joint, and a wrist of its own."""
    noise = draws.fork("noise").normal(count, 24)
    amount = (0.4 + draws.fork("amount").uniform(count, 1)) * _DEG
    # A part that the fingers share, and one of each finger.
    flex = 7 * noise[..., 0:4] + 5 * noise[..., 20:21]
    pip = 8 * noise[..., 4:8] + 5 * noise[..., 21:22]
    dip = DIP_PER_PIP * pip + 4 * noise[..., 8:12]
    splay = 2.5 * noise[..., 12:16]
    fingers = torch.stack([flex, splay, pip, dip], -1).flatten(-2)
    thumb = noise[..., 16:20] * constant((6.0, 6.0, 6.0, 8.0), noise)
    wrist = (noise[..., 22:24] * constant((28.0, 10.0), noise) - constant((8.0, 0.0), noise)) * _DEG
    return angles + torch.cat([torch.cat([fingers, thumb], -1) * amount, wrist], -1)


def detour(angles: Tensor) -> Tensor:
    """Lead a thumb round bent fingers: open the hand where it would go through them.

    A thumb that changes sides of bent fingers must let them open first, or pass through them.

    Args:
        angles: (B, K, A) control points of a motion.

    Returns:
        (B, K, A), with control points at changes moved towards an open hand as far as needed.
    """
    before = torch.cat([angles[:, :1], angles[:, :-1]], 1)
    middle = (before + angles) / 2
    bent = torch.maximum(_bent(before), _bent(angles))
    moved = (angles - before)[..., 16:20].abs().sum(-1, keepdim=True)
    amount = (bent * moved / (60 * _DEG)).clamp(max=1)
    parted = middle + amount * (opened(angles) - middle)
    return torch.where((angles != before).any(-1, keepdim=True), parted, angles)


def _bent(angles: Tensor) -> Tensor:
    """How far index and middle are bent: 0 straight, 1 in a fist; (..., 1)."""
    pip = angles[..., 2:8:4].amax(-1, keepdim=True)
    return ((pip - 25 * _DEG) / (45 * _DEG)).clamp(0, 1)
