"""How hands move: between poses, rotating and travelling, with rests and strokes.

A clip is a uniform cubic B-spline over control points that are drawn at random: twice
differentiable everywhere, and never outside of what its control points span, so limits of joints
and of the view hold between them too. How far apart control points are in time, how often the
fingers change and how fast the hand travels are drawn once a clip, so calm and brisk ones occur.

The ranges are our own choices, held against the labels of real recordings by
``benchmarks/synth_motion.py``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.synth.clearance import clamp_angles, resolve
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, Shape
from cadstn.synth.poses import Poses, detour, sample_poses
from cadstn.synth.shape import constant

#: Seconds from one control point to the next, (least, most): their logarithm is drawn between.
KNOT_S = (0.05, 0.36)
_DEG = math.pi / 180


class Motion(NamedTuple):
    """Hands over time, one row a clip.

    Attributes:
        angles: (B, T, A) joint angles in radians, in the order of `cadstn.synth.hand.ANGLES`.
        rotation: (B, T, 3, 3) palm frame -> camera frame.
        position_mm: (B, T, 3) of the palm's middle, camera frame.
    """

    angles: Tensor
    rotation: Tensor
    position_mm: Tensor


class Frustum(NamedTuple):
    """Where the palm's middle may be: a box in the camera's view.

    Attributes:
        depth_mm: nearest and farthest.
        slope_x: largest ``|x / z|``.
        slope_y: largest ``|y / z|``.
    """

    depth_mm: tuple[float, float] = (250.0, 1200.0)
    slope_x: float = 0.36
    slope_y: float = 0.26


class Views(NamedTuple):
    """Directions that the palm takes: least and most of each angle of `orientation`, in degrees."""

    yaw_deg: tuple[float, float]
    tilt_deg: tuple[float, float]
    roll_deg: tuple[float, float]


#: Keeps hands mostly in the view of `cadstn.synth.write.SYNTH_CAMERA`.
DEFAULT_FRUSTUM = Frustum()


class Pace(NamedTuple):
    """How brisk each clip is, all (B,).

    Attributes:
        knot_s: seconds from one control point to the next.
        change: chance that the fingers change at a control point.
        travel_mm_s: speed of the whole hand.
        rotation_deg_s: speed of its rotation.
        rest: chance that the hand stands still at a control point.
    """

    knot_s: Tensor
    change: Tensor
    travel_mm_s: Tensor
    rotation_deg_s: Tensor
    rest: Tensor


def sample_motion(
    draws: Draws,
    shape: Shape,
    frames: int,
    fps: float = 30.0,
    *,
    frustum: Frustum = DEFAULT_FRUSTUM,
    views: Views | None = None,
    resolved: bool = True,
) -> Motion:
    """Draw one clip a sample, the fingers clear of one another and of the palm.

    The first frames of a longer clip are the shorter clip, and another frame rate shows the same
    movement at other moments.

    Args:
        draws: one stream a clip; tensors are made on its device.
        shape: of the hands, (B,) or (B, k) each; decides what touches what.
        frames: how many.
        fps: frames a second.
        frustum: where the hand may go.
        views: which directions the palm may take; all if none are given.
        resolved: whether contact is resolved; for measuring what that does.

    Returns:
        Motion of (B, frames).
    """
    pace = sample_pace(draws.fork("pace"))
    span = (frames - 1) / fps / KNOT_S[0]
    count = math.ceil(span) + 4  # a clip may begin anywhere between two control points
    begin = draws.fork("begin").uniform()
    time_s = torch.arange(frames, device=draws.device) / fps
    at = begin[:, None] + time_s / pace.knot_s[:, None]
    poses = _finger_controls(draws.fork("fingers"), pace, count)
    place, euler = _hand_controls(draws.fork("hand"), pace, count, frustum, views)
    controls = torch.cat([poses.angles, poses.pinch, place, euler], -1)
    curve = spline(controls, at)
    angles, pinch, place, euler = torch.split(curve, [len(ANGLES), 4, 3, 3], -1)
    sway_mm, sway_rad = _sway(draws.fork("sway"), time_s)
    depth = place[..., 2:].exp()
    position = torch.cat([place[..., :2] * depth, depth], -1) + sway_mm
    rotation = orientation(*(euler + sway_rad).unbind(-1))
    if not resolved:
        return Motion(clamp_angles(angles), rotation, position)
    spread = Shape(*(field.repeat_interleave(frames, 0) for field in shape))
    clear = resolve(angles.flatten(0, 1), spread, pinch.flatten(0, 1))
    return Motion(clear.view_as(angles), rotation, position)


def sample_pace(draws: Draws) -> Pace:
    """Draw how brisk clips are, from slow to as fast as hands go."""
    vigour = draws.uniform()
    low, high = (math.log(s) for s in KNOT_S)
    # A brisk hand is brisk in all it does, yet not in step.
    own = draws.uniform(4)
    knot_s = (high + (low - high) * (0.7 * vigour + 0.3 * own[:, 0])).exp()
    return Pace(
        knot_s,
        change=0.15 + 0.5 * own[:, 1],
        travel_mm_s=26.0 * (2.2 * (0.6 * vigour + 0.4 * own[:, 2])).exp(),
        rotation_deg_s=14.0 * (2.2 * (0.6 * vigour + 0.4 * own[:, 3])).exp(),
        rest=0.45 * (1 - vigour) * draws.uniform(),
    )


def _finger_controls(draws: Draws, pace: Pace, count: int) -> Poses:
    """Poses at the control points: held, or changed in all fingers or in some; (B, count, ...)."""
    fresh = sample_poses(draws.fork("poses"), count)
    u = draws.fork("change").uniform(count, 6)
    changed = u[..., :1] < pace.change[:, None, None]
    part = u[..., 1:] < torch.where(draws.fork("part").chance(0.5, count), 0.5, 1.0)[..., None]
    changed = changed & part  # (B, count, 5): index, middle, ring, pinky, thumb
    changed[:, 0] = True
    step = torch.arange(count, device=u.device)[:, None]
    since = torch.where(changed, step, 0).cummax(1).values
    # The wrist goes with the thumb.
    digits = since[..., :4].repeat_interleave(4, -1)
    column = torch.cat([digits, since[..., 4:].expand(-1, -1, len(ANGLES) - 16)], -1)
    angles = fresh.angles.gather(1, column)
    # Tips meet only while finger and thumb are of one and the same pose.
    pinch = fresh.pinch.gather(1, since[..., :4]) * (since[..., :4] == since[..., 4:])
    return Poses(detour(angles), pinch)


def _hand_controls(
    draws: Draws, pace: Pace, count: int, frustum: Frustum, views: Views | None
) -> tuple[Tensor, Tensor]:
    """Control points of place (x/z, y/z, log z) and of yaw, tilt, roll; each (B, count, 3)."""
    start = draws.fork("start")
    u = start.uniform(3)
    near, far = (math.log(z) for z in frustum.depth_mm)
    depth = near + (far - near) * (0.1 + 0.8 * u[:, 2])
    noise = draws.fork("steps").normal(count + 2, 8)
    # A stroke lasts several control points: a moving mean of independent pushes.
    push = (noise[:, :-2] + 2 * noise[:, 1:-1] + noise[:, 2:]) / math.sqrt(6)
    moving = draws.fork("rest").uniform(count) >= pace.rest[:, None]
    vigour = (0.7 * push[..., 6:]).exp() * (moving * pace.knot_s[:, None])[..., None]
    travel = push[..., :3] * vigour[..., :1] * (pace.travel_mm_s[:, None, None] / math.sqrt(3))
    travel = travel / depth.exp()[:, None, None]
    scale = constant((1.0, 0.6, 0.8), u) * (pace.rotation_deg_s[:, None, None] * _DEG)
    first = start_angles(start) if views is None else _angles_within(start, views)
    euler = first[:, None] + (push[..., 3:6] * vigour[..., 1:] * scale).cumsum(1)
    low = constant((-frustum.slope_x, -frustum.slope_y, near), u)
    high = constant((frustum.slope_x, frustum.slope_y, far), u)
    begin = torch.stack([low[0] * (1 - 2 * u[:, 0]), low[1] * (1 - 2 * u[:, 1]), depth], -1)
    place = fold(begin[:, None] + travel.cumsum(1), low, high)
    if views is not None:
        return place, fold(euler, *_ends(views, u))
    ends = constant((-85 * _DEG, 85 * _DEG), u)
    tilt = fold(euler[..., 1], ends[0], ends[1])
    return place, torch.stack([euler[..., 0], tilt, euler[..., 2]], -1)


def start_angles(draws: Draws) -> Tensor:
    """Draw yaw, tilt and roll of the palm in radians, (B, 3).

    All directions occur; palm or back towards the camera and fingers up are the most frequent.
    """
    u, n = draws.uniform(4), draws.normal(3)
    yaw = torch.where(u[:, 0] < 0.4, 40 * n[:, 0], 180 + 40 * n[:, 0])
    yaw = torch.where(u[:, 0] < 0.7, yaw, 360 * u[:, 1])
    tilt = (34 * n[:, 1]).clamp(-85, 85)
    roll = torch.where(u[:, 2] < 0.6, 35 * n[:, 2], 360 * u[:, 3] - 180)
    return torch.stack([yaw, tilt, roll], -1) * _DEG


def _angles_within(draws: Draws, views: Views) -> Tensor:
    """Draw yaw, tilt and roll in radians, (B, 3), evenly between their ends."""
    u = draws.uniform(3)
    least, most = _ends(views, u)
    return least + (most - least) * u


def _ends(views: Views, like: Tensor) -> tuple[Tensor, Tensor]:
    least, most = zip(*views, strict=True)
    return constant(least, like) * _DEG, constant(most, like) * _DEG


def fold(value: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Reflect values at two walls, as often as needed, so that a walk stays between them."""
    width = high - low
    phase = torch.remainder(value - low, 2 * width)
    return low + width - (phase - width).abs()


def spline(controls: Tensor, at: Tensor) -> Tensor:
    """Uniform cubic B-spline (de Boor 1978): twice differentiable, within its control points.

    Args:
        controls: (B, K, C).
        at: (B, T) in control points from the first that has one before it, in [0, K - 3).

    Returns:
        (B, T, C).
    """
    left = at.floor()
    x = (at - left)[..., None]
    first = left.long().clamp(max=controls.shape[1] - 4)
    rows = torch.arange(len(controls), device=controls.device)[:, None]
    weights = (
        (1 - x) ** 3 / 6,
        (3 * x**3 - 6 * x**2 + 4) / 6,
        (-3 * x**3 + 3 * x**2 + 3 * x + 1) / 6,
        x**3 / 6,
    )
    out = weights[0] * controls[rows, first]
    for k in (1, 2, 3):
        out = out + weights[k] * controls[rows, first + k]
    return out


def _sway(draws: Draws, time_s: Tensor) -> tuple[Tensor, Tensor]:
    """Sway and tremor of a hand held up: (B, T, 3) mm and (B, T, 3) radians.

    Slow sway of about a millimetre, and physiological tremor of some tenths at 7 to 12 Hz.
    """
    hertz = torch.cat([0.2 + draws.uniform(2), 7 + 5 * draws.uniform(1)], 1)
    size = draws.uniform(3, 6) * constant((1.5, 0.6, 0.25), time_s)[:, None]
    phase = 2 * math.pi * draws.uniform(3, 6)
    angle = 2 * math.pi * hertz[:, None, :, None] * time_s[:, None, None] + phase[:, None]
    wave = (size[:, None] * angle.sin()).sum(2)
    return wave[..., :3], wave[..., 3:] * (0.5 * _DEG)


def orientation(yaw: Tensor, tilt: Tensor, roll: Tensor) -> Tensor:
    """Palm frame -> camera frame from three angles in radians, any shape; returns (..., 3, 3).

    With all three zero a right palm faces the camera, fingers up. ``yaw`` is about the forearm
    (180 degrees shows the back), ``tilt`` leans the fingers away from or at the camera, ``roll``
    rotates the picture.
    """
    ct, st, cx, sx, cz, sz = (
        yaw.cos(), yaw.sin(), tilt.cos(), tilt.sin(), roll.cos(), roll.sin(),
    )  # fmt: skip
    # Rz(roll) Rx(tilt) Ry(yaw) diag(1, -1, -1), written out.
    rows = [
        cz * ct - sz * sx * st, sz * cx, -cz * st - sz * sx * ct,
        sz * ct + cz * sx * st, -cz * cx, -sz * st + cz * sx * ct,
        -cx * st, -sx, -cx * ct,
    ]  # fmt: skip
    return torch.stack(rows, -1).view(*yaw.shape, 3, 3)
