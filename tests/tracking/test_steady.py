"""What is steadied: noise, and neither a hand that moves as a whole nor a finger that bends."""

import numpy as np
import pytest

from cadstn.tracking.steady import steadied

SCALE_MM = np.full(21, 8.0)


@pytest.fixture
def joints_mm() -> np.ndarray:
    return np.random.default_rng(0).normal((0, 0, 500), 50, (21, 3))


def turned(joints_mm: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(joints_mm @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]))


def test_a_rigid_motion_is_followed_at_once(joints_mm: np.ndarray) -> None:
    now_mm = turned(joints_mm, 0.3) + np.array([30.0, -20.0, 80.0])
    np.testing.assert_allclose(steadied(now_mm, SCALE_MM, joints_mm), now_mm, atol=1e-9)


def test_a_finger_that_bends_is_followed(joints_mm: np.ndarray) -> None:
    now_mm = joints_mm.copy()
    now_mm[8] += [0.0, 0.0, 40.0]
    out_mm = steadied(now_mm, SCALE_MM, joints_mm)
    assert np.linalg.norm(out_mm[8] - now_mm[8]) < 1
    surer_mm = steadied(now_mm, SCALE_MM / 4, joints_mm)
    assert np.linalg.norm(surer_mm[8] - now_mm[8]) < 0.1


def test_noise_below_the_error_scale_is_averaged(joints_mm: np.ndarray) -> None:
    random = np.random.default_rng(1)
    out_mm, steps = joints_mm, []
    for _ in range(60):
        before_mm = out_mm
        out_mm = steadied(joints_mm + random.normal(0, 1, (21, 3)), SCALE_MM, before_mm)
        steps.append(np.linalg.norm(out_mm - before_mm, axis=1).mean())
    assert np.mean(steps) < 0.7 * 2.26  # of joints that are averaged with nothing
    assert np.linalg.norm(out_mm - joints_mm, axis=1).mean() < 1.2


def test_a_mirror_image_is_no_motion(joints_mm: np.ndarray) -> None:
    now_mm = joints_mm * [-1.0, 1.0, 1.0]
    out_mm = steadied(now_mm, SCALE_MM, joints_mm)
    assert np.linalg.norm(out_mm - now_mm, axis=1).max() < 3
    assert np.abs(out_mm - now_mm).max() > 1e-3
