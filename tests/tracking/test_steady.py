"""What is steadied: noise, and neither a hand that moves as a whole nor a finger that bends."""

import numpy as np
import pytest

import cadstn
from cadstn.io import open_recording
from cadstn.tracking.steady import Fitted, steadied

SCALE_MM = np.full(21, 8.0)


@pytest.fixture
def joints_mm() -> np.ndarray:
    return np.random.default_rng(0).normal((0, 0, 500), 50, (21, 3))


def turned(joints_mm: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(joints_mm @ np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]]))


def steady(now_mm: np.ndarray, scale_mm: np.ndarray, before_mm: np.ndarray) -> np.ndarray:
    """The joints alone; the fit moves nothing."""
    still = np.zeros_like(now_mm)
    return steadied(now_mm, still, scale_mm, Fitted(still, before_mm)).joints_mm


def test_a_first_frame_stays_as_it_is(joints_mm: np.ndarray) -> None:
    fitted = steadied(joints_mm, np.ones((21, 3)), SCALE_MM, None)
    np.testing.assert_array_equal(fitted.joints_mm, joints_mm + 1)
    np.testing.assert_array_equal(fitted.moved_mm, 1)


def test_a_rigid_motion_is_followed_at_once(joints_mm: np.ndarray) -> None:
    now_mm = turned(joints_mm, 0.3) + np.array([30.0, -20.0, 80.0])
    np.testing.assert_allclose(steady(now_mm, SCALE_MM, joints_mm), now_mm, atol=1e-9)


def test_a_finger_that_bends_is_followed(joints_mm: np.ndarray) -> None:
    now_mm = joints_mm.copy()
    now_mm[8] += [0.0, 0.0, 40.0]
    out_mm = steady(now_mm, SCALE_MM, joints_mm)
    assert np.linalg.norm(out_mm[8] - now_mm[8]) < 1
    surer_mm = steady(now_mm, SCALE_MM / 4, joints_mm)
    assert np.linalg.norm(surer_mm[8] - now_mm[8]) < 0.1


def test_what_the_fit_moves_by_is_averaged_unless_it_changes_much(joints_mm: np.ndarray) -> None:
    before = Fitted(np.zeros((21, 3)), joints_mm)
    little, much = np.full((21, 3), 0.5), np.full((21, 3), 20.0)
    assert (steadied(joints_mm, little, SCALE_MM, before).moved_mm < 0.7 * little).all()
    assert (steadied(joints_mm, much, SCALE_MM, before).moved_mm > 0.97 * much).all()


def test_noise_below_the_error_scale_is_averaged(joints_mm: np.ndarray) -> None:
    random = np.random.default_rng(1)
    out_mm, steps = joints_mm, []
    for _ in range(60):
        before_mm = out_mm
        out_mm = steady(joints_mm + random.normal(0, 1, (21, 3)), SCALE_MM, before_mm)
        steps.append(np.linalg.norm(out_mm - before_mm, axis=1).mean())
    assert np.mean(steps) < 0.65 * 2.26  # of joints that are averaged with nothing
    assert np.linalg.norm(out_mm - joints_mm, axis=1).mean() < 1.2


def test_a_mirror_image_is_no_motion(joints_mm: np.ndarray) -> None:
    now_mm = joints_mm * [-1.0, 1.0, 1.0]
    out_mm = steady(now_mm, SCALE_MM, joints_mm)
    assert np.linalg.norm(out_mm - now_mm, axis=1).max() < 3
    assert np.abs(out_mm - now_mm).max() > 1e-3


def test_the_tracker_s_hands_are_steadier_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording("demo")
    truth_mm = recording.truth_xyz_mm
    assert truth_mm is not None

    def acceleration_error() -> float:
        tracker = cadstn.Tracker()
        hands = [tracker.update(frame.depth, frame.camera) for frame in recording]
        off_mm = np.array([hand.joints_mm for hand in hands]) - truth_mm
        return float(np.linalg.norm(np.diff(off_mm, 2, axis=0), axis=-1).mean())

    now = acceleration_error()
    monkeypatch.setattr("cadstn.tracking.steady._BEFORE", 0.0)
    monkeypatch.setattr("cadstn.tracking.steady._MOVED", 0.0)
    assert now < 0.98 * acceleration_error()


def test_an_unsure_joint_does_not_carry_the_hand(joints_mm: np.ndarray) -> None:
    scale_mm, now_mm = SCALE_MM.copy(), joints_mm.copy()
    scale_mm[8] = 400.0
    now_mm[8] += [3.0, 0.0, 0.0]
    others = np.arange(21) != 8
    out_mm = steady(now_mm, scale_mm, joints_mm)
    np.testing.assert_allclose(out_mm[others], joints_mm[others], atol=0.01)
