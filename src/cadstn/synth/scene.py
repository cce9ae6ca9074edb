"""A hand in a scene: forearm, sometimes a body, a head or a wall behind; crops of it, labelled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cadstn.synth.hand import Cones, Shape, forward
from cadstn.synth.motion import Motion, sample_motion
from cadstn.synth.raster import cast, crop_view
from cadstn.synth.sensor import degrade


class Scene(NamedTuple):
    """Clips of one hand each, flattened to B * T frames.

    Attributes:
        joints_xyz_mm: (B * T, 21, 3) camera frame.
        cones: of hand, forearm and background, camera frame.
        left: (B,) 1 for a left hand.
    """

    joints_xyz_mm: Tensor
    cones: Cones
    left: Tensor


class Clips(NamedTuple):
    """A labelled batch, as the networks take it.

    Attributes:
        crops: (B, T, M, M) normalised depth in [-1, 1], +1 where empty or behind the cube.
        joints: (B, T, 21, 3) relative to the crop's centre, in units of half a cube.
        centers_mm: (B, T, 3) centre of each crop's cube, camera frame.
    """

    crops: Tensor
    joints: Tensor
    centers_mm: Tensor


def sample_shape(rng: np.random.Generator, count: int) -> Shape:
    """Draw hands from child to large adult, left and right."""

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    return Shape(
        size=tensor(rng.uniform(0.82, 1.12, count)),
        length=tensor(rng.uniform(0.93, 1.09, count)),
        girth=tensor(rng.uniform(0.88, 1.2, count)),
        palm=tensor(rng.uniform(0.9, 1.1, count)),
        arm=tensor(np.where(rng.random(count) < 0.7, 1.0, 1.45) * rng.uniform(0.85, 1.15, count)),
        left=tensor((rng.random(count) < 0.5).astype(float)),
    )


def sample_scene(rng: np.random.Generator, count: int, frames: int, fps: float = 30.0) -> Scene:
    """Draw ``count`` clips of ``frames`` frames; everything follows from the generator."""
    return build_scene(rng, sample_motion(rng, count, frames, fps), sample_shape(rng, count))


def build_scene(rng: np.random.Generator, motion: Motion, shape: Shape) -> Scene:
    """Place hands that move as told into the camera's frame, each with a background of its own."""
    frames = motion.angles.shape[1]

    def flat(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.reshape(-1, *values.shape[2:]).astype(np.float32))

    spread = Shape(*(field.repeat_interleave(frames) for field in shape))
    joints, hand = forward(flat(motion.angles), spread)
    rotation = flat(motion.rotation)
    # The palm's middle, not the wrist, is what travels and turns in place.
    offset = flat(motion.position_mm) - rotation @ torch.tensor([0.0, 75.0, 0.0])

    def place(points: Tensor) -> Tensor:
        return points @ rotation.mT + offset[:, None]

    arm_a, arm_b = place(hand.a[:, -2:]), place(hand.b[:, -2:])
    # An arm between camera and hand would hide the hand it belongs to.
    arm_b[..., 2] = torch.maximum(arm_b[..., 2], arm_a[..., 2] - 50.0)
    behind = _background(rng, motion.position_mm[:, 0])
    behind = Cones(*(field.repeat_interleave(frames, 0) for field in behind))
    cones = Cones(
        torch.cat([place(hand.a[:, :-2]), arm_a, behind.a], 1),
        torch.cat([place(hand.b[:, :-2]), arm_b, behind.b], 1),
        torch.cat([hand.ra, behind.ra], 1),
        torch.cat([hand.rb, behind.rb], 1),
    )
    return Scene(place(joints), cones, shape.left)


def _background(rng: np.random.Generator, hand_mm: np.ndarray) -> Cones:
    """Body, head and wall as three huge cones, each present by chance; absent ones lie far away."""
    count = len(hand_mm)
    gap = rng.uniform(25, 260, (count, 1))
    body_r = rng.uniform(110, 190, (count, 1))
    side = rng.normal(0, 130, (count, 1))
    x, y, z = hand_mm[:, :1], hand_mm[:, 1:2], hand_mm[:, 2:]
    chest = np.concatenate([x + side, y + rng.uniform(-120, 200, (count, 1)), z + gap + body_r], 1)
    lean = rng.normal(0, 80, (count, 3)) + np.array([0.0, 450.0, 0.0])
    head_r = rng.uniform(80, 105, (count, 1))
    head = np.concatenate(
        [x + rng.normal(0, 90, (count, 1)), y + rng.normal(0, 90, (count, 1)), z + gap + head_r], 1
    )
    wall_r = np.full((count, 1), 3000.0)
    away = rng.normal(0, 0.25, (count, 3)) + np.array([0.0, 0.0, 1.0])
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    wall = hand_mm + away * (wall_r + rng.uniform(60, 200, (count, 1)))
    a = np.stack([chest, head, wall], 1)
    b = np.stack([chest + lean, head + np.array([0.0, 60.0, 0.0]), wall + 1.0], 1)
    radius = np.concatenate([body_r, head_r, wall_r], 1)
    there = rng.random((count, 3)) < np.array([0.4, 0.25, 0.08])
    far = np.array([0.0, 0.0, 1e6])
    a = np.where(there[..., None], a, far)
    b = np.where(there[..., None], b, far)
    radius = np.where(there, radius, 1.0)
    return Cones(*(torch.from_numpy(v.astype(np.float32)) for v in (a, b, radius, radius)))


def sample_centers(rng: np.random.Generator, joints_xyz_mm: Tensor, frames: int) -> Tensor:
    """Where a tracker would put the cube: near the mean joint of the frame before.

    Args:
        rng: source of randomness.
        joints_xyz_mm: (B * T, K, 3).
        frames: T.

    Returns:
        (B * T, 3) mm.
    """
    mean = joints_xyz_mm.mean(1).view(-1, frames, 3)
    count = len(mean)
    before = torch.cat([mean[:, :1], mean[:, :-1]], 1)
    # Most crops follow a good guess; some start from a poor one, as a finder's first may be.
    poor = rng.random((count, 1, 1)) < 0.25
    bias = rng.normal(0, 1, (count, 1, 3)) * np.where(poor, 26.0, 9.0)
    shake = rng.normal(0, 2.5, (count, frames, 3))
    jitter = torch.from_numpy((bias + shake).astype(np.float32))
    return (before + jitter).flatten(0, 1)


def sample_clips(
    seed: tuple[int, ...],
    count: int,
    frames: int,
    *,
    cube_mm: float = 250.0,
    size: int = 128,
    device: torch.device | str = "cpu",
    compiled: bool = False,
    clean: bool = False,
) -> Clips:
    """Render one labelled batch, a pure function of the seed.

    Args:
        seed: for instance (seed of the run, split, step).
        count: clips.
        frames: frames a clip.
        cube_mm: edge of the crop's cube.
        size: pixels along the crop's edge.
        device: where to render and leave the batch.
        compiled: see `cadstn.synth.raster.cast`.
        clean: leave out the sensor's noise.
    """
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, count, frames)
    centers = sample_centers(rng, scene.joints_xyz_mm, frames).to(device)
    cones = Cones(*(field.to(device) for field in scene.cones))
    depth = cast(cones, crop_view(centers, cube_mm, size), compiled=compiled)
    if not clean:
        generator = torch.Generator(device).manual_seed(int(rng.integers(1 << 62)))
        depth = degrade(depth, generator)
    half = cube_mm / 2
    crops = ((depth - centers[:, None, None, 2]) / half).clamp(-1, 1)
    joints = (scene.joints_xyz_mm.to(device) - centers[:, None]) / half
    return Clips(
        crops.view(count, frames, size, size),
        joints.view(count, frames, -1, 3),
        centers.view(count, frames, 3),
    )
