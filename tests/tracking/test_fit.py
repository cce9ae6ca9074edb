"""Fitting a hand to the measured depth: nearer to the truth, never torn apart, or left as it is."""

from dataclasses import replace

import numpy as np
import pytest

from cadstn.geometry.skeleton import HAND21, MSRA21
from cadstn.io import open_recording
from cadstn.tracking import Hand, State, load_network
from cadstn.tracking.angles import hand_angles
from cadstn.tracking.bones import Bones
from cadstn.tracking.fit import fit_hand, fit_joints
from cadstn.tracking.hand import Frame
from cadstn.tracking.observation import observe
from cadstn.tracking.steady import Fitted


@pytest.fixture(scope="module")
def seen() -> list[tuple[Hand, Frame, np.ndarray]]:
    """What the network alone predicts of some frames of the packaged recording, and the truth."""
    network = load_network(provider="cpu", threads=1)
    recording = open_recording("demo")
    assert recording.truth_xyz_mm is not None
    state, out = State.fresh(network, fit=False), []
    for number, frame in enumerate(recording):
        if number == 40:
            break
        given = Frame(frame.depth, frame.camera)
        (hand,), state = observe(network, state, given)
        out.append((hand, given, recording.truth_xyz_mm[number]))
    return out


def test_a_fitted_hand_is_nearer_to_the_truth(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    before, after = [], []
    for hand, frame, truth_mm in seen:
        fitted, _ = fit_hand(hand, frame.depth_mm, frame.camera)
        before.append(np.linalg.norm(hand.joints_mm - truth_mm, axis=1).mean())
        after.append(np.linalg.norm(fitted.joints_mm - truth_mm, axis=1).mean())
        share = fitted.uncertainty_mm / hand.uncertainty_mm
        assert share.min() >= 0.8
        assert share.max() <= 1.0001
    assert np.mean(after) < 0.9 * np.mean(before)


def test_bones_keep_their_lengths(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    begin, end = np.array(HAND21.bones).T
    for hand, frame, _ in seen[::8]:
        fitted, _ = fit_hand(hand, frame.depth_mm, frame.camera)
        length, now = (
            np.linalg.norm(joints[end] - joints[begin], axis=1)
            for joints in (hand.joints_mm, fitted.joints_mm)
        )
        assert np.abs(now - length).max() < 8
        assert np.sqrt(np.square(now - length).mean()) < 2


def test_a_hand_that_stands_off_comes_nearer(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    hand, frame, truth_mm = seen[0]
    aside = replace(
        hand,
        joints_mm=truth_mm + np.array([0, 0, 8], np.float32),
        uncertainty_mm=np.full(21, 8, np.float32),
    )
    fitted, _ = fit_hand(aside, frame.depth_mm, frame.camera)
    assert np.linalg.norm(fitted.joints_mm - truth_mm, axis=1).mean() < 0.85 * 8


def test_what_cannot_be_fitted_stays(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    hand, frame, _ = seen[0]
    lost = replace(hand, found=False)
    assert fit_hand(lost, frame.depth_mm, frame.camera) == (lost, None)
    unsure = replace(hand, uncertainty_mm=np.full(21, np.nan, np.float32))
    assert fit_hand(unsure, frame.depth_mm, frame.camera) == (unsure, None)
    other = replace(hand, skeleton=MSRA21)
    assert fit_hand(other, frame.depth_mm, frame.camera) == (other, None)
    empty, _ = fit_hand(hand, np.zeros_like(frame.depth_mm), frame.camera)
    np.testing.assert_array_equal(empty.joints_mm, hand.joints_mm)
    aside = replace(hand, joints_mm=hand.joints_mm + np.array([5000, 0, 0], np.float32))
    outside, _ = fit_hand(aside, frame.depth_mm, frame.camera)
    np.testing.assert_array_equal(outside.joints_mm, aside.joints_mm)


@pytest.mark.parametrize("scale_mm", [0.0, 1e30])
def test_error_scales_that_cannot_be_are_bounded(
    seen: list[tuple[Hand, Frame, np.ndarray]], scale_mm: float
) -> None:
    hand, frame, _ = seen[0]
    scales = hand.uncertainty_mm.copy()
    scales[[4, 8]] = scale_mm
    wrong, before = replace(hand, uncertainty_mm=scales), None
    for _ in range(3):
        fitted, before = fit_hand(wrong, frame.depth_mm, frame.camera, before=before)
        assert np.isfinite(fitted.joints_mm).all()
        assert (fitted.uncertainty_mm > 0).all()


def test_things_beside_the_hand_do_not_pull(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    hand, _, _ = seen[0]
    across, down = np.meshgrid(np.arange(-80.0, 80, 10), np.arange(-80.0, 80, 10))
    wall = np.stack([across, down, np.full_like(across, 90)], -1).reshape(-1, 3)
    wall = wall + hand.joints_mm.mean(0)
    fitted, scale_mm = fit_joints(hand.joints_mm, hand.uncertainty_mm, wall)
    assert scale_mm is hand.uncertainty_mm
    np.testing.assert_allclose(fitted, hand.joints_mm, atol=1e-4)


def test_what_the_fit_moves_by_is_averaged_over_frames(
    seen: list[tuple[Hand, Frame, np.ndarray]],
) -> None:
    def shakes_and_errs(keep: bool) -> tuple[float, float]:
        before, moves, errors = None, [], []
        for hand, frame, truth_mm in seen:
            fitted, before = fit_hand(
                hand, frame.depth_mm, frame.camera, before=before if keep else None
            )
            assert before is not None
            np.testing.assert_allclose(fitted.joints_mm, before.joints_mm, atol=1e-3)
            moves.append(before.moved_mm)
            errors.append(np.linalg.norm(fitted.joints_mm - truth_mm, axis=1).mean())
        return float(np.abs(np.diff(moves, axis=0)).mean()), float(np.mean(errors))

    alone, averaged = shakes_and_errs(False), shakes_and_errs(True)
    assert averaged[0] < 0.9 * alone[0]
    assert averaged[1] < 1.03 * alone[1]


def test_where_nothing_is_measured_a_hand_glides_back_to_the_network(
    seen: list[tuple[Hand, Frame, np.ndarray]],
) -> None:
    hand, frame, _ = seen[0]
    nothing = np.zeros_like(frame.depth_mm)
    before: Fitted | None = Fitted(np.full((21, 3), 5.0), hand.joints_mm + np.full((21, 3), 5.0))
    for _ in range(8):
        fitted, before = fit_hand(hand, nothing, frame.camera, before=before)
    np.testing.assert_allclose(fitted.joints_mm, hand.joints_mm, atol=0.05)


def test_bones_come_near_the_lengths_that_a_stream_has_shown(
    seen: list[tuple[Hand, Frame, np.ndarray]],
) -> None:
    hand, frame, _ = seen[0]
    begin, end = np.array(HAND21.bones).T
    longer_mm = 1.1 * np.linalg.norm(hand.joints_mm[end] - hand.joints_mm[begin], axis=1)
    weight = np.full(20, 100.0)
    fitted, _ = fit_hand(hand, frame.depth_mm, frame.camera, Bones(weight, weight * longer_mm))
    now_mm = np.linalg.norm(fitted.joints_mm[end] - fitted.joints_mm[begin], axis=1)
    assert np.abs(now_mm - longer_mm).mean() < 0.4 * np.abs(longer_mm / 1.1 - longer_mm).mean()


def test_fitted_fingers_bend_as_they_do(seen: list[tuple[Hand, Frame, np.ndarray]]) -> None:
    """Longer bones must not be folded into the room that a shorter finger had."""
    off: list[list[float]] = [[], []]
    network = load_network(provider="cpu", threads=1)
    state = State.fresh(network)
    for alone, frame, truth_mm in seen:
        (fitted,), state = observe(network, state, frame)
        truth = hand_angles(truth_mm, alone.side).flexion
        for k, hand in enumerate((alone, fitted)):
            off[k].append(np.abs(hand_angles(hand.joints_mm, hand.side).flexion - truth).mean())
    assert np.mean(off[1]) < 0.94 * np.mean(off[0])


def test_a_hand_is_fitted_wherever_it_is_in_the_picture(
    seen: list[tuple[Hand, Frame, np.ndarray]],
) -> None:
    hand, frame, _ = seen[0]
    expected, _ = fit_hand(hand, frame.depth_mm, frame.camera)
    assert np.abs(expected.joints_mm - hand.joints_mm).max() > 1
    c = frame.camera
    for left, above in ((320, 0), (0, 320)):  # more picture on one side: the same rays
        depth_mm = np.pad(frame.depth_mm, ((above, 0), (left, 0)))
        camera = replace(c, cx=c.cx + left, cy=c.cy + above, width=320 + left, height=240 + above)
        fitted, _ = fit_hand(hand, depth_mm, camera)
        np.testing.assert_allclose(fitted.joints_mm, expected.joints_mm, atol=1e-3)
