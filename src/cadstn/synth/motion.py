"""Poses and motion of the hand: what it does and where it is, in numpy, from one generator.

Everything here is a function of the generator that is passed in, so a sample depends on its seed
alone. Ranges are our own choices; the limits are those of `cadstn.synth.hand.LIMITS_DEG`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.synth.hand import ANGLES, LIMITS_DEG

Array = NDArray[np.float64]
_LIMITS = np.deg2rad(np.array(LIMITS_DEG))


class Motion(NamedTuple):
    """Hands over time, one row a clip.

    Attributes:
        angles: (B, T, 22) joint angles in radians.
        rotation: (B, T, 3, 3) palm frame -> camera frame.
        position_mm: (B, T, 3) of the palm's middle, camera frame.
    """

    angles: Array
    rotation: Array
    position_mm: Array


def sample_angles(rng: np.random.Generator, count: int) -> Array:
    """Draw ``count`` hand poses: open hands, fists, and every finger for itself.

    Returns:
        (count, 22) radians within the limits.
    """
    kind = rng.random((count, 1))
    shared = rng.random((count, 1))
    own = rng.beta(0.45, 0.6, (count, 4))  # mostly quite straight or quite bent
    curl = np.where(kind < 0.2, 0.15 * shared, np.where(kind < 0.45, shared, own))
    root = np.clip(curl + rng.normal(0, 0.12, (count, 4)), 0, 1)
    pip = np.clip(curl + rng.normal(0, 0.12, (count, 4)), 0, 1)
    hook = rng.random((count, 1)) < 0.08  # straight at the root, bent beyond
    root = np.where(hook, 0.3 * root, root)
    flex = -8 + 93 * root
    bend = 100 * pip
    dip = 0.65 * bend + rng.normal(0, 5, (count, 4))
    spread = rng.uniform(-0.4, 1.1, (count, 1)) * np.array([11.0, 1.0, -8.0, -14.0])
    splay = spread + rng.normal(0, 2.5, (count, 4))
    fingers = np.stack([flex, splay, bend, dip], -1).reshape(count, 16)

    tucked = rng.random(count) < 0.35
    thumb = np.stack(
        [
            np.where(tucked, rng.uniform(-12, 25, count), rng.uniform(15, 62, count)),
            np.where(tucked, rng.uniform(25, 62, count), rng.uniform(0, 55, count)),
            rng.uniform(-8, 50, count) * np.where(tucked, 1.0, 0.6),
            rng.uniform(-12, 72, count) * np.where(tucked, 1.0, 0.6),
        ],
        -1,
    )
    wrist = np.stack([rng.normal(-8, 28, count), rng.normal(0, 10, count)], -1)
    angles = np.deg2rad(np.concatenate([fingers, thumb, wrist], -1))
    return np.asarray(np.clip(angles, _LIMITS[:, 0], _LIMITS[:, 1]))


def sample_rotation(rng: np.random.Generator, count: int) -> Array:
    """Draw orientations of the palm, all directions, raised hands more often.

    Returns:
        (count, 3, 3) palm frame -> camera frame.
    """
    kind = rng.random(count)
    turn = np.where(  # about the forearm: palm or back to the camera, or anything
        kind < 0.45,
        rng.normal(0, 40, count),
        np.where(kind < 0.75, rng.normal(180, 40, count), rng.uniform(0, 360, count)),
    )
    tilt = np.clip(rng.normal(0, 32, count), -85, 85)  # fingers away from or at the camera
    upright = rng.random(count) < 0.6
    roll = np.where(upright, rng.normal(0, 35, count), rng.uniform(-180, 180, count))
    turn, tilt, roll = np.deg2rad(turn), np.deg2rad(tilt), np.deg2rad(roll)
    # A right palm that faces the camera, fingers up: x stays, y and z turn round.
    facing = np.diag([1.0, -1.0, -1.0])
    return _about(2, roll) @ _about(0, tilt) @ _about(1, turn) @ facing


def sample_motion(rng: np.random.Generator, count: int, frames: int, fps: float = 30.0) -> Motion:
    """Draw ``count`` clips of smooth motion between poses, with rests and strokes.

    The hand goes from key to key along a cosine, each lasting 0.25 to 1.4 s; at a key it may keep
    its fingers, change a few, or take another pose, and it turns and travels meanwhile.
    """
    span = rng.uniform(0.25, 1.4, (count, 1)) * fps
    keys = int(np.ceil(frames / (0.25 * fps))) + 2
    poses = np.empty((count, keys, len(ANGLES)))
    turns = np.empty((count, keys, 3, 3))
    places = np.empty((count, keys, 3))
    poses[:, 0] = sample_angles(rng, count)
    turns[:, 0] = sample_rotation(rng, count)
    depth = rng.uniform(350, 1000, count)
    places[:, 0] = np.stack(
        [rng.uniform(-0.3, 0.3, count) * depth, rng.uniform(-0.25, 0.25, count) * depth, depth], -1
    )
    for k in range(1, keys):
        fresh = sample_angles(rng, count)
        kept = np.repeat(rng.random((count, 6)) < 0.5, (4, 4, 4, 4, 4, 2), axis=1)
        kept |= rng.random((count, 1)) < 0.2
        poses[:, k] = np.where(kept, poses[:, k - 1], fresh)
        still = rng.random((count, 1)) < 0.3
        axis = rng.normal(0, np.deg2rad(16), (count, 3)) * ~still
        turns[:, k] = rotation_of(axis) @ turns[:, k - 1]
        places[:, k] = places[:, k - 1] + rng.normal(0, 35, (count, 3)) * ~still
        places[:, k, 2] = np.clip(places[:, k, 2], 320, 1100)
    time = np.arange(frames) / span + rng.random((count, 1))
    left = time.astype(int)
    ease = (1 - np.cos(np.pi * (time - left)))[..., None] / 2
    rows = np.arange(count)[:, None]
    relative = turns[rows, left + 1] @ np.swapaxes(turns[rows, left], -1, -2)
    return Motion(
        poses[rows, left] * (1 - ease) + poses[rows, left + 1] * ease,
        rotation_of(axis_of(relative) * ease) @ turns[rows, left],
        places[rows, left] * (1 - ease) + places[rows, left + 1] * ease,
    )


def rotation_of(axis: Array) -> Array:
    """Rodrigues' formula: rotation vectors (..., 3) in radians -> matrices (..., 3, 3)."""
    angle = np.linalg.norm(axis, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(axis, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*axis.shape, 3)
    # sinc keeps both factors smooth at an angle of zero.
    first = np.sinc(angle / np.pi)
    second = np.sinc(angle / (2 * np.pi)) ** 2 / 2
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)


def axis_of(rotation: Array) -> Array:
    """Rotation matrices (..., 3, 3) -> rotation vectors, for angles below half a turn."""
    skew = (rotation - np.swapaxes(rotation, -1, -2)) / 2
    vector = np.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    cosine = (np.trace(rotation, axis1=-2, axis2=-1) - 1) / 2
    sine = np.linalg.norm(vector, axis=-1)
    angle = np.arctan2(sine, cosine)
    return np.asarray(
        vector * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)[..., None]
    )


def _about(axis: int, angle: Array) -> Array:
    """Rotations (N, 3, 3) about one coordinate axis."""
    vector = np.zeros((len(angle), 3))
    vector[:, axis] = angle
    return rotation_of(vector)
