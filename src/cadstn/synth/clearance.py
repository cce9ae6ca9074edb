"""Rotates joints until fingers no longer pass through one another and through the palm.

What is removed is the contact that `cadstn.synth.contact` measures: of the cones that are rendered.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from cadstn.synth.contact import Touch, cross, dot, norm, relevant_pairs, touch
from cadstn.synth.hand import CONE_PARTS, CONE_SEGMENT, FINGERS, LIMITS_DEG, THUMB_ACROSS, Shape
from cadstn.synth.shape import constant

#: Contact comes in gradually over this depth, half of which remains: flesh gives way.
SOFT_MM = 0.4
_OPEN_DEG = (4.0, 0.0, 10.0, 6.0) * 4 + (46.0, 26.0, 0.0, 0.0)
# One step for each: from which depth on it does something, in mm.
_SLACK_MM = (0.0, 0.2, 0.3, 0.3)
# From which depth on digits part before they are pushed, and over how much more wholly, in mm.
_DEEP_MM = (6.0, 7.0)
_CONTACTS = 12  # how many of the nearest pairs are kept apart
_STEPS = 16  # of the dual's projected Jacobi iteration
# What contacts leave to joints with hardly any lever on them, in mm^2: such do not move.
_GIVE = 10.0
_PINCH_GIVE = 2000.0  # mm^2: of the order of a lever's square
_LARGEST_STEP = 0.35  # radians a step: beyond this the contacts are no longer linear
# How readily joints give way, rows index to pinky and thumb: flexion, splay, PIP, DIP; of the thumb
# the two of its root, MCP, IP. Fingers rather part than bend, and their last joint follows.
_YIELD = ((1.0, 1.5, 1.0, 0.3),) * 4 + ((1.2, 1.2, 0.7, 0.5),)


def clamp_angles(angles: Tensor) -> Tensor:
    """Bring angles (..., A) in radians back into the hand's limits."""
    low, high = torch.deg2rad(constant(LIMITS_DEG, angles)).unbind(-1)
    return torch.minimum(torch.maximum(angles, low), high)


def opened(angles: Tensor) -> Tensor:
    """The same hand (..., A) with straight fingers and the thumb out of their way."""
    digits = torch.deg2rad(constant(_OPEN_DEG, angles))
    return torch.cat([digits.expand(*angles.shape[:-1], -1), angles[..., len(_OPEN_DEG) :]], -1)


def resolve(angles: Tensor, shape: Shape, pinch: Tensor) -> Tensor:
    """Rotate the joints as little as needed for digits to be clear of one another and of the palm.

    Each of a fixed number of steps makes the deepest contacts linear in the angles and finds the
    smallest change of angles that ends them: a small quadratic programme, solved through its dual
    by a fixed number of projected Jacobi iterations. Contacts come in gradually, so a motion that
    is smooth before stays so.

    Args:
        angles: (N, A) radians.
        shape: of the hands, N of them.
        pinch: (N, 4) how much index, middle, ring and pinky are to touch the thumb's tip, 0 to 1.

    Returns:
        (N, A) radians within the limits.
    """
    out, rows = clamp_angles(angles), torch.arange(len(angles), device=angles.device)
    for step, slack in enumerate(_SLACK_MM):
        hands = Shape(*(field[rows] for field in shape))
        depth = touch(out[rows], hands).depth
        if angles.device.type == "cpu":
            # Most hands need no help: their step would be nothing. A device that must not be
            # waited for takes these steps all the same.
            busy = ((depth.amax(1) > slack) | (pinch[rows] > 0).any(1)).nonzero()[:, 0]
            rows, depth = rows[busy], depth[busy]
            hands = Shape(*(field[busy] for field in hands))
        start = _parted(out[rows], depth, pinch[rows]) if step == 0 else out[rows]
        out[rows] = _moved_apart(start, hands, pinch[rows], depth, slack)
    return out


def _parted(angles: Tensor, depth: Tensor, pinch: Tensor) -> Tensor:
    """Open hands whose digits are right through one another: pushed, they might go on through."""
    deepest = (depth * _among_digits(angles.device)).amax(1, keepdim=True)
    apart = ((deepest - _DEEP_MM[0]) / _DEEP_MM[1]).clamp(0, 1)
    # Tips that are to meet pull by themselves.
    return torch.lerp(angles, opened(angles), apart * (1 - pinch.amax(1, keepdim=True)))


def _moved_apart(
    angles: Tensor, shape: Shape, pinch: Tensor, depth: Tensor, slack_mm: float
) -> Tensor:
    """Take one step, for the pairs that were nearest when all were measured."""
    meeting = _tips(angles.device).expand(len(angles), -1)
    chosen = torch.cat([meeting, depth.topk(_CONTACTS, 1).indices], 1)
    found = touch(angles, shape, chosen)
    levers = _levers(angles, found, shape.left, chosen)
    change = _push(levers, found.depth, pinch, slack_mm)
    return clamp_angles(torch.cat([angles[:, :20] + change, angles[:, 20:]], 1))


@functools.cache
def _among_digits(device: torch.device) -> Tensor:
    """(Q,) 1 for pairs of digits, 0 where one is the palm."""
    return torch.tensor(
        [float(CONE_SEGMENT[j] >= 0) for j in relevant_pairs(device).second.tolist()], device=device
    )


@functools.cache
def _tips(device: torch.device) -> Tensor:
    """Which of `relevant_pairs` are the last phalanges of each finger and of the thumb."""
    pairs = relevant_pairs(device)
    bones = [
        (name, CONE_SEGMENT[i], CONE_SEGMENT[j])
        for name, i, j in zip(pairs.names, pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    return torch.tensor([bones.index((f"{f}-thumb", 2, 2)) for f in FINGERS], device=device)


@functools.cache
def _moved(device: torch.device) -> tuple[Tensor, Tensor]:
    """Which of the digits' 20 angles move the first, the second cone of a pair: (Q, 20) each."""
    pairs = relevant_pairs(device)
    masks = []
    for cones in (pairs.first.tolist(), pairs.second.tolist()):
        mask = torch.zeros(len(cones), 5, 4, device=device)
        for row, cone in zip(mask, cones, strict=True):
            if CONE_SEGMENT[cone] >= 0:
                digit = (*FINGERS, "thumb").index(CONE_PARTS[cone])
                row[digit, : CONE_SEGMENT[cone] + 2] = 1.0
        masks.append(mask.flatten(1))
    return masks[0], masks[1]


def _hinges(angles: Tensor, joints: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Axes of the digits' 20 angles and points on them, each (3, N, 20).

    To a few degrees: the lean of a finger's bending and its resting splay are left out. In the end
    only `forward` counts.
    """
    mirror = 1 - 2 * left
    f, thumb = angles[:, :16].reshape(-1, 4, 4), angles[:, 16:20]
    zero, one = torch.zeros_like(f[..., 0]), torch.ones_like(f[..., 0])
    held = f[..., 0].clamp(0, 1.5).cos()  # splay vanishes as a finger bends
    splay = f[..., 1] * held
    bend = torch.stack([splay.cos(), -splay.sin(), zero])
    part = torch.stack([zero, zero, -held])
    fingers = torch.stack([bend, part, bend, bend], -1).flatten(2)

    radial, nil = thumb[:, 0], zero[:, 0]
    lift = torch.stack([radial.cos(), -radial.sin(), nil])
    root = torch.stack([nil, nil, -one[:, 0]])
    points = joints.permute(2, 0, 1)
    # Axes move with the joints of a left hand only after these are mirrored to a right one's.
    points = torch.cat([points[:1] * mirror[:, None], points[1:]])
    bone = points[..., 2] - points[..., 1]
    across = constant(THUMB_ACROSS, bone)[:, None].expand_as(bone)
    fold = cross(bone, across)
    fold = fold / norm(fold).clamp(min=1e-6)
    axes = torch.cat([fingers, torch.stack([root, lift, fold, fold], -1)], -1)
    return axes, points[..., _PIVOTS]


#: The joint about which each of the 20 angles rotates, among MediaPipe's 21.
_PIVOTS = [j for mcp in (5, 9, 13, 17) for j in (mcp, mcp, mcp + 1, mcp + 2)] + [1, 1, 2, 3]


def _levers(angles: Tensor, found: Touch, left: Tensor, chosen: Tensor) -> Tensor:
    """How fast two balls part as each angle grows, mm a radian; (N, K, 20).

    Args:
        angles: (N, A).
        found: where the balls are.
        left: (N,) 1 for a left hand.
        chosen: (N, K) which pairs.
    """
    one = torch.ones_like(left)
    mirror = torch.stack([1 - 2 * left, one, one])[..., None]
    x, y = (ball.mT * mirror for ball in (found.first, found.second))
    normal = (x - y) / norm(x - y).clamp(min=1e-3)
    axes, pivots = _hinges(angles, found.joints, left)
    moment = cross(pivots, axes)
    levers = [cross(point, normal) for point in (x, y)]
    # A point x moves along n by n . (h x (x - P)) = h . (x x n) + n . (P x h).
    shared = dot(normal[..., None], moment[:, :, None])
    one, two = (shared + dot(lever[..., None], axes[:, :, None]) for lever in levers)
    moves_first, moves_second = _moved(angles.device)
    return one * moves_first[chosen] - two * moves_second[chosen]


def _push(levers: Tensor, depth: Tensor, pinch: Tensor, slack_mm: float) -> Tensor:
    """The smallest change of the digits' angles (N, 20) that ends contacts and lets tips meet.

    Args:
        levers: (N, 4 + C, 20) mm a radian, of the tips that may meet and then of contacts.
        depth: (N, 4 + C) mm.
        pinch: (N, 4).
        slack_mm: how deep a contact may be before anything is done.
    """
    # Gradual: a parabola first, then the depth less half the softness.
    deep = depth - slack_mm
    want = torch.where(
        deep < SOFT_MM, deep.clamp(min=0).square() / (2 * SOFT_MM), deep - SOFT_MM / 2
    )
    want[:, :4] = depth[:, :4] - SOFT_MM / 2
    give = torch.full_like(depth, _GIVE)
    # Half meant, a pinch pulls half; not meant, not at all.
    give[:, :4] = _PINCH_GIVE * (1 / pinch.clamp(min=1e-6) - 1)
    least = torch.zeros_like(depth)
    least[:, :4] = -torch.inf
    ready = levers * constant(_YIELD, levers).flatten()
    system = ready @ levers.mT
    scale = system.abs().sum(-1) + give + 1e-3
    force = torch.zeros_like(depth)
    for _ in range(_STEPS):
        miss = want - (system @ force[..., None])[..., 0] - give * force
        force = torch.maximum(force + miss / scale, least)
    change = (ready * force[..., None]).sum(1)
    largest = change.abs().amax(1, keepdim=True).clamp(min=1e-9)
    return change * (_LARGEST_STEP / largest).clamp(max=1)
