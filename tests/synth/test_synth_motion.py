from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cadstn.synth.contact import penetration_mm
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, LIMITS_DEG, Shape, forward
from cadstn.synth.motion import (
    DEFAULT_FRUSTUM,
    Frustum,
    Motion,
    Views,
    fold,
    orientation,
    sample_motion,
    spline,
    start_angles,
)
from cadstn.synth.shape import sample_shape

SWAY_MM = 4.0  # most that sway and tremor add to a place


def clips(
    count: int, frames: int, fps: float = 30.0, first: int = 0, *, resolved: bool = True
) -> tuple[Motion, Shape]:
    draws = Draws((7,), torch.arange(first, first + count))
    shape = sample_shape(draws.fork("shape"))
    return sample_motion(draws.fork("motion"), shape, frames, fps, resolved=resolved), shape


def joints_mm(motion: Motion, shape: Shape) -> Tensor:
    frames = motion.angles.shape[1]
    spread = Shape(*(f.repeat_interleave(frames, 0) for f in shape))
    joints, _ = forward(motion.angles.flatten(0, 1), spread)
    turned = (joints - torch.tensor([0.0, 75.0, 0.0])) @ motion.rotation.flatten(0, 1).mT
    return (turned + motion.position_mm.flatten(0, 1)[:, None]).view(-1, frames, 21, 3)


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
def test_shapes_limits_and_rotations(frames: int) -> None:
    motion, _ = clips(20, frames)
    assert motion.angles.shape == (20, frames, len(ANGLES))
    assert motion.rotation.shape == (20, frames, 3, 3)
    assert motion.position_mm.shape == (20, frames, 3)
    low, high = torch.deg2rad(torch.tensor(LIMITS_DEG)).T
    assert (motion.angles >= low).all()
    assert (motion.angles <= high).all()
    identity = torch.eye(3).expand(20, frames, 3, 3)
    torch.testing.assert_close(motion.rotation @ motion.rotation.mT, identity, atol=1e-5, rtol=0)
    assert torch.linalg.det(motion.rotation).min() > 0.99


def test_hands_stay_in_the_frustum_they_are_given() -> None:
    def ratio(motion: Motion, frustum: Frustum) -> None:
        x, y, z = motion.position_mm.unbind(-1)
        near, far = frustum.depth_mm
        assert z.min() > near - SWAY_MM
        assert z.max() < far + SWAY_MM
        assert (x.abs() - frustum.slope_x * z).max() < 2 * SWAY_MM
        assert (y.abs() - frustum.slope_y * z).max() < 2 * SWAY_MM

    ratio(clips(50, 60, 10.0, resolved=False)[0], DEFAULT_FRUSTUM)
    small = Frustum((400.0, 500.0), 0.1, 0.05)
    draws = Draws((7,), torch.arange(20))
    ratio(sample_motion(draws, sample_shape(draws.fork("s")), 60, frustum=small), small)


def test_hands_keep_to_the_views_that_are_given() -> None:
    views = Views((-60.0, 60.0), (0.0, 50.0), (-40.0, 70.0))
    draws = Draws((7,), torch.arange(20))
    motion = sample_motion(draws, sample_shape(draws.fork("s")), 200, views=views)
    x, y = motion.rotation[..., 0], motion.rotation[..., 1]
    tilt, roll = -y[..., 2].asin().rad2deg(), torch.atan2(y[..., 0], -y[..., 1]).rad2deg()
    yaw = torch.atan2(-x[..., 2], -motion.rotation[..., 2, 2]).rad2deg()
    sway_deg = 3.0
    for angle, (least, most) in zip((yaw, tilt, roll), views, strict=True):
        assert angle.min() > least - sway_deg
        assert angle.max() < most + sway_deg
        assert angle.max() - angle.min() > 0.6 * (most - least)


def test_a_clip_is_a_function_of_its_index_alone() -> None:
    together, _ = clips(40, 5)
    for i in (0, 17):
        alone, _ = clips(1, 5, first=i)
        for one, two in zip(alone, together, strict=True):
            assert torch.equal(one[0], two[i])
    assert not torch.equal(together.angles[0], together.angles[1])


def test_a_clip_begins_as_a_longer_one_and_the_frame_rate_is_only_when_it_is_seen() -> None:
    short, _ = clips(8, 6)
    long, _ = clips(8, 30)
    fast, _ = clips(8, 11, 60.0)
    for one, two, three in zip(short, long, fast, strict=True):
        torch.testing.assert_close(one, two[:, :6], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(one, three[:, ::2], atol=1e-3, rtol=1e-4)


def test_motion_is_smooth_before_contact() -> None:
    """Seen twice as often, second differences fall to a quarter: there are no kinks."""
    slow, shape = clips(60, 40, 120.0, resolved=False)
    fast, _ = clips(60, 79, 240.0, resolved=False)
    one = joints_mm(slow, shape).double().diff(n=2, dim=1).norm(dim=-1)
    two = joints_mm(fast, shape).double().diff(n=2, dim=1).norm(dim=-1)
    assert two.quantile(0.99) < 0.3 * one.quantile(0.99)


def test_contact_keeps_motion_smooth() -> None:
    rough, shape = clips(80, 16, resolved=False)
    clear, _ = clips(80, 16)
    before = joints_mm(rough, shape).diff(n=2, dim=1).norm(dim=-1).mean()
    after = joints_mm(clear, shape).diff(n=2, dim=1).norm(dim=-1).mean()
    assert after < 1.35 * before


def test_frames_between_poses_are_clear_too() -> None:
    motion, shape = clips(250, 8, 10.0)
    spread = Shape(*(f.repeat_interleave(8, 0) for f in shape))
    deep = penetration_mm(forward(motion.angles.flatten(0, 1), spread)[1]).amax(1)
    assert (deep > 1).float().mean() < 0.0125  # of 2,000; the benchmark counts over 20,000


def test_speed_lies_in_the_band_of_real_recordings() -> None:
    """NYU's labels move 3.6 mm a frame at 2.6 mm/frame^2, ICVL's, which skip, 8.6 at 10.5."""
    motion, shape = clips(250, 8)
    joints = joints_mm(motion, shape)
    speed = joints.diff(dim=1).norm(dim=-1).mean(-1)
    bend = joints.diff(n=2, dim=1).norm(dim=-1).mean(-1)
    assert 3 < speed.mean() < 9
    assert 1.5 < bend.mean() < 6
    assert 0.05 < (speed < 1.5).float().mean() < 0.35  # rests
    assert (speed > 10).float().mean() > 0.03  # strokes
    assert speed.max() < 120


def test_all_directions_are_seen_and_palms_and_backs_the_most() -> None:
    euler = start_angles(Draws((1,), torch.arange(4000)))
    rotation = orientation(*euler.unbind(-1))
    palm, fingers = rotation[..., 2], rotation[..., 1]
    assert (palm[:, 2] < -0.5).float().mean() > 0.25  # at the camera
    assert (palm[:, 2] > 0.5).float().mean() > 0.2  # away from it
    assert (palm[:, 2].abs() < 0.3).float().mean() > 0.1  # edge on
    assert (fingers[:, 1] < 0).float().mean() > 0.6  # up
    assert (fingers[:, 1] > 0.5).float().mean() > 0.05  # down
    assert (fingers[:, 2] < -0.7).float().mean() > 0.03  # at the camera
    assert (fingers[:, 2] > 0.7).float().mean() > 0.03  # away from it


def test_orientation_is_the_product_of_its_three_turns() -> None:
    def about(axis: int, angle: float) -> Tensor:
        vector = torch.zeros(3, dtype=torch.float64)
        vector[axis] = angle
        x, y, z = vector
        zero = torch.zeros((), dtype=torch.float64)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        turned: Tensor = torch.linalg.matrix_exp(cross)
        return turned

    turn, tilt, roll = 0.4, -0.7, 2.1
    facing = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    expected = about(2, roll) @ about(0, tilt) @ about(1, turn) @ facing
    angles = torch.tensor([turn, tilt, roll], dtype=torch.float64)
    torch.testing.assert_close(orientation(*angles), expected)


@settings(max_examples=60)
@given(st.floats(-50, 50), st.floats(-3, 3), st.floats(0.1, 5))
def test_fold_reflects_at_both_walls(value: float, low: float, width: float) -> None:
    at = fold(*(torch.tensor(v, dtype=torch.float64) for v in (value, low, low + width)))
    steps, rest = divmod(value - low, width)
    expected = low + (rest if steps % 2 == 0 else width - rest)
    assert at.item() == pytest.approx(expected, abs=1e-9)


def test_spline_keeps_within_its_controls_and_follows_a_line() -> None:
    controls = torch.rand(3, 9, 2, generator=torch.Generator().manual_seed(0))
    at = torch.linspace(0, 5.99, 50).expand(3, -1)
    curve = spline(controls, at)
    assert (curve <= controls.amax(1, keepdim=True)).all()
    assert (curve >= controls.amin(1, keepdim=True)).all()
    line = torch.arange(9.0).view(1, 9, 1).expand(3, -1, -1)
    torch.testing.assert_close(spline(line, at)[..., 0], at + 1)


def test_tremor_and_sway_never_stop() -> None:
    motion, _ = clips(60, 30, resolved=False)
    step = motion.position_mm.diff(dim=1).norm(dim=-1)
    assert step.amin() > 0
    assert step.mean(1).min() > 0.05
    assert math.isfinite(step.max().item())
