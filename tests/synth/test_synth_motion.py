from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cadstn.synth.hand import ANGLES, LIMITS_DEG
from cadstn.synth.motion import (
    Motion,
    axis_of,
    rotation_of,
    sample_angles,
    sample_motion,
    sample_rotation,
)

Array = NDArray[np.float64]
LOW, HIGH = np.deg2rad(np.array(LIMITS_DEG)).T
# Between keys the motion is a cosine that lasts 7.5 frames or more (0.25 s at 30 a second).
STEP = math.pi / 2 / 7.5
BEND = math.pi**2 / 2 / 7.5**2


def motion(seed: int = 0, count: int = 100, frames: int = 40, fps: float = 30.0) -> Motion:
    return sample_motion(np.random.default_rng(seed), count, frames, fps)


def assert_rotations(rotations: Array) -> None:
    product = rotations @ np.swapaxes(rotations, -1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-10)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-10)


def test_angles_stay_within_their_limits() -> None:
    angles = sample_angles(np.random.default_rng(0), 2000)
    assert angles.shape == (2000, len(ANGLES))
    assert (angles >= LOW - 1e-12).all()
    assert (angles <= HIGH + 1e-12).all()
    moving = motion().angles
    assert (moving >= LOW - 1e-12).all()
    assert (moving <= HIGH + 1e-12).all()


def test_poses_reach_most_of_every_range() -> None:
    angles = sample_angles(np.random.default_rng(0), 2000)
    assert (np.ptp(angles, axis=0) > 0.4 * (HIGH - LOW)).all()
    assert np.median(np.ptp(angles, axis=0) / (HIGH - LOW)) > 0.8


def test_poses_include_open_hands_and_fists() -> None:
    bends = sample_angles(np.random.default_rng(0), 2000)[:, :16].reshape(-1, 4, 4)[..., 2]
    assert (bends < math.radians(25)).all(1).mean() > 0.1
    assert (bends > math.radians(70)).all(1).mean() > 0.03


def test_orientations_are_rotations() -> None:
    assert_rotations(sample_rotation(np.random.default_rng(1), 500))
    assert_rotations(motion().rotation)


def test_orientations_face_every_way() -> None:
    palm = sample_rotation(np.random.default_rng(1), 500)[:, :, 2]
    assert (palm[:, 2] < -0.5).mean() > 0.2  # at the camera
    assert (palm[:, 2] > 0.5).mean() > 0.1  # away from it
    fingers = sample_rotation(np.random.default_rng(1), 500)[:, :, 1]
    assert (fingers[:, 1] < 0).mean() > 0.6  # mostly up, and y points down


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 3), st.floats(0, 3.1))
def test_rotation_of_is_the_exponential_map_and_axis_of_its_inverse(
    direction: tuple[float, float, float], angle: float
) -> None:
    axis = np.array(direction)
    length = float(np.linalg.norm(axis))
    axis = axis / length * angle if length > 1e-3 else axis
    x, y, z = axis
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    rotation = rotation_of(axis)
    np.testing.assert_allclose(rotation, torch.linalg.matrix_exp(cross).numpy(), atol=1e-12)
    np.testing.assert_allclose(axis_of(rotation), axis, atol=1e-8)


def test_rotation_of_a_quarter_turn_about_z() -> None:
    turn = rotation_of(np.array([0, 0, math.pi / 2]))
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(rotation_of(np.zeros(3)), np.eye(3))


def test_motion_has_the_stated_shapes() -> None:
    clip = motion(count=3, frames=7)
    assert clip.angles.shape == (3, 7, 22)
    assert clip.rotation.shape == (3, 7, 3, 3)
    assert clip.position_mm.shape == (3, 7, 3)
    assert ((clip.position_mm[..., 2] >= 320) & (clip.position_mm[..., 2] <= 1100)).all()


def test_angles_move_no_faster_than_a_stroke_from_limit_to_limit() -> None:
    steps = np.abs(np.diff(motion().angles, axis=1)) / (HIGH - LOW)
    assert steps.max() <= STEP
    assert steps.max() > STEP / 4  # and some do hurry


def test_speed_changes_gradually() -> None:
    """Keys are reached and left at rest: no kink, which a straight line would have."""
    clip = motion()
    bends = np.abs(np.diff(clip.angles, n=2, axis=1)) / (HIGH - LOW)
    assert bends.max() <= BEND
    assert np.abs(np.diff(clip.position_mm, n=2, axis=1)).max() <= 35 * 5 * BEND


def test_hand_turns_and_travels_without_jumps() -> None:
    clip = motion()
    assert np.abs(np.diff(clip.position_mm, axis=1)).max() <= 35 * 5 * STEP
    turns = clip.rotation[:, 1:] @ np.swapaxes(clip.rotation[:, :-1], -1, -2)
    degrees = np.rad2deg(np.linalg.norm(axis_of(turns), axis=-1))
    assert degrees.max() <= 16 * 5 * STEP
    assert degrees.max() > 3


def test_motion_depends_on_time_and_not_on_the_frame_rate() -> None:
    slow, fast = motion(frames=30), motion(frames=60, fps=60.0)
    for one, two in zip(slow, fast, strict=True):
        np.testing.assert_allclose(one, two[:, ::2], atol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 16, 100])
def test_any_number_of_frames(frames: int) -> None:
    assert motion(count=50, frames=frames).angles.shape == (50, frames, 22)


def test_motion_is_a_function_of_the_seed() -> None:
    for one, two, other in zip(motion(4), motion(4), motion(5), strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one != other).any(axis=tuple(range(1, one.ndim))).all()
