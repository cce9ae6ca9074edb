"""Angles by their definition on a hand built from them, and on the simulator's hands."""

from __future__ import annotations

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.tracking.angles import FINGERS, HandAngles, hand_angles, quaternion_of, wrist_pose
from cadstn.tracking.gestures import (
    GestureFilter,
    Hysteresis,
    describe_pose,
    grasp_strength,
    pinch_strength,
    static_gesture,
)

#: Where knuckles lie in the palm of a flat right hand: x to the thumb, y along, z out of the palm.
KNUCKLES = np.array([[22, 88, 0], [0, 90, 0], [-20, 84, 0], [-38, 74, 0]], float)
FINGERS_MM = np.array([[40, 25, 20], [44, 28, 21], [40, 26, 20], [32, 20, 18]], float)


def built(
    flexion: np.ndarray, abduction: np.ndarray, thumb: tuple[float, float, float, float]
) -> np.ndarray:
    """A right hand (21, 3) in the palm's frame with these angles in degrees, by turning bones."""
    joints = np.zeros((21, 3))
    away = np.array([1, 1, -1, -1])
    for i in range(4):
        start = KNUCKLES[i]
        y = start / np.linalg.norm(start)
        z = np.array([0.0, 0, 1])
        x = np.cross(y, z)
        joints[5 + 4 * i] = start
        aside, bend = np.radians(abduction[i] * away[i]), np.radians(flexion[i, 0])
        ahead = np.cos(bend) * y + np.sin(bend) * z
        bone = np.cos(aside) * ahead + np.sin(aside) * x
        # The plane of bending leans aside with the first bone.
        hinge = np.cos(aside) * x - np.sin(aside) * ahead
        for k in range(3):
            bone = turned(bone, hinge, np.radians(flexion[i, k])) if k else bone
            start = start + FINGERS_MM[i, k] * bone
            joints[6 + 4 * i + k] = start
    radial, palmar, mcp, ip = np.radians(thumb)
    root = np.array(
        [np.sin(radial) * np.cos(palmar), np.cos(radial) * np.cos(palmar), np.sin(palmar)]
    )
    joints[1] = (25, 15, 8)
    joints[2] = joints[1] + 45 * root
    across = np.array([-0.85, 0, 0.5])
    hinge = np.cross(root, across)
    hinge /= np.linalg.norm(hinge)
    second = turned(root, hinge, mcp)
    joints[3] = joints[2] + 32 * second
    joints[4] = joints[3] + 25 * turned(second, hinge, ip)
    return joints


def turned(vector: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    return np.asarray(
        vector * np.cos(angle)
        + np.cross(axis, vector) * np.sin(angle)
        + axis * (axis @ vector) * (1 - np.cos(angle))
    )


def placed(joints: np.ndarray, side: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same hand anywhere before the camera, mirrored if it is to be left; and its rotation."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    if side == "left":
        joints = joints * (-1, 1, 1)
    return joints @ rotation.T + rng.normal(0, 100, 3) + (0, 0, 600), rotation


OPEN = (np.zeros((4, 3)), np.zeros(4), (45.0, 20.0, 5.0, 5.0))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seed", range(30))
def test_angles_come_back(side: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bent, abduction = rng.uniform(-15, 85, (4, 3)), rng.uniform(-20, 20, 4)
    radial, palmar, mcp, ip = rng.uniform((0, 0, -8, -8), (60, 60, 50, 60)).tolist()
    joints, _ = placed(built(bent, abduction, (radial, palmar, mcp, ip)), side, seed)
    angles = hand_angles(joints, side)
    np.testing.assert_allclose(angles.flexion, bent, atol=1e-5)
    np.testing.assert_allclose(angles.abduction, abduction, atol=1e-5)
    np.testing.assert_allclose(angles.thumb_abduction, (radial, palmar), atol=1e-5)
    np.testing.assert_allclose(angles.thumb_flexion, (mcp, ip), atol=1e-5)
    assert len(angles.to_dict()) == 20
    assert angles.to_dict()["ring_dip_flexion"] == pytest.approx(bent[2, 2], abs=1e-5)


@pytest.mark.parametrize("bent", [(30.0, 40.0), (-8.0, -6.0)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_thumb_bends_across_the_palm_with_a_sign(side: str, bent: tuple[float, float]) -> None:
    joints, _ = placed(built(*OPEN[:2], (45.0, 20.0, *bent)), side, 0)
    np.testing.assert_allclose(hand_angles(joints, side).thumb_flexion, bent, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_wrist_is_where_it_was_put(side: str) -> None:
    for seed in range(20):
        joints, rotation = placed(built(*OPEN), side, seed)
        pose = wrist_pose(joints, side)
        np.testing.assert_allclose(pose.position_mm, joints[0])
        np.testing.assert_allclose(pose.rotation, rotation, atol=1e-9)
        assert np.linalg.det(pose.rotation) == pytest.approx(1)
        np.testing.assert_allclose(pose.palm_normal, rotation[:, 2], atol=1e-9)
        x, y, z, w = pose.quaternion
        back = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        np.testing.assert_allclose(back, rotation, atol=1e-9)
        assert w >= 0


def test_half_turns_have_a_quaternion() -> None:
    for axis in range(3):
        turn = -np.eye(3)
        turn[axis, axis] = 1
        np.testing.assert_allclose(np.abs(quaternion_of(turn)), np.eye(4)[axis], atol=1e-12)


def test_a_lost_hand_has_no_angles() -> None:
    lost = np.full((21, 3), np.nan)
    assert np.isnan(hand_angles(lost, "unknown").flexion).all()
    assert np.isnan(wrist_pose(lost, "left").quaternion).all()
    assert static_gesture(hand_angles(lost, "right")) is None
    assert np.isnan(pinch_strength(lost))
    assert np.isnan(grasp_strength(lost))
    assert not Hysteresis()(float("nan"))
    with pytest.raises(CadstnError, match="21 joints"):
        hand_angles(np.zeros((16, 3)), "right")
    with pytest.raises(CadstnError, match="no finger"):
        pinch_strength(lost, "thumb")
    for strength in (pinch_strength, grasp_strength):
        with pytest.raises(CadstnError, match="21 joints"):
            strength(np.zeros((36, 3)))


# --- the simulator's hands --------------------------------------------------------------------


def vocabulary() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    pytest.importorskip("torch")
    from cadstn.synth.gestures import GESTURES
    from cadstn.synth.gestures import vocabulary as poses
    from cadstn.synth.hand import forward
    from cadstn.synth.shape import average_shape

    angles, _ = poses()
    joints, _ = forward(angles, average_shape(len(angles)))
    return {
        name: (joints[i].numpy().astype(float), np.degrees(angles[i].numpy()))
        for i, name in enumerate(GESTURES)
    }


def test_the_simulators_angles_are_measured() -> None:
    """PIP, DIP, MCP and IP are hinges there and here; its knuckles add arches and leans."""
    for name, (joints, truth) in vocabulary().items():
        found = hand_angles(joints, "right")
        drawn = truth[:16].reshape(4, 4)
        np.testing.assert_allclose(found.flexion[:, 1:], drawn[:, 2:], atol=3, err_msg=name)
        np.testing.assert_allclose(found.flexion[:, 0], drawn[:, 0], atol=25, err_msg=name)
        np.testing.assert_allclose(found.thumb_flexion, truth[18:20], atol=5, err_msg=name)


MEANT = {
    "fist": "fist", "letter_a": "fist", "loose_fist": "fist", "one": "point", "point": "point",
    "two": "victory", "victory": "victory", "letter_u": "victory", "one_thumb": "thumb_up",
    "ok": "ok", "five": "open", "flat": "open", "flat_spread": "open", "flat_thumb_out": "open",
    "claw": None, "hook_grip": None, "letter_y": None, "i_love_you": None, "two_thumb": None,
    "three": None, "large_cylinder": None, "plate": None, "letter_i": None, "letter_w": None,
    "cup": None, "roof": None, "relaxed_curled": None, "eight_chinese": None,
}  # fmt: skip


def test_gestures_of_the_vocabulary() -> None:
    poses = vocabulary()
    reported = {name: static_gesture(hand_angles(poses[name][0], "right")) for name in MEANT}
    assert reported == MEANT


def test_mirrored_hands_make_the_same_gestures() -> None:
    for name, (joints, _) in vocabulary().items():
        right = describe_pose(joints, "right")
        left = describe_pose(joints * (-1, 1, 1), "left")
        assert right["gesture"] == left["gesture"], name
        assert right["angles_deg"] == pytest.approx(left["angles_deg"], abs=0.11), name


def test_strengths_of_the_vocabulary() -> None:
    poses = vocabulary()
    assert pinch_strength(poses["ok"][0]) > 0.8
    for name in ("fist", "letter_a"):
        assert grasp_strength(poses[name][0]) > 0.8
    for name in ("letter_b", "letter_w"):
        assert grasp_strength(poses[name][0]) < 0.5
        assert pinch_strength(poses[name][0], "index") < 0.5
    assert pinch_strength(poses["letter_w"][0], "pinky") > 0.8


def test_a_strength_between_two_thresholds_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    pinch = Hysteresis(0.8, 0.5)
    pinch(1.0)
    assert all(pinch(s) for s in rng.uniform(0.5, 1.0, 100))
    pinch(0.1)
    assert not any(pinch(s) for s in rng.uniform(0.0, 0.799, 100))
    for on, off in ((0.5, 0.5), (0.5, 0.8), (1.2, 0.5), (0.8, -0.1)):
        with pytest.raises(CadstnError, match="off < on"):
            Hysteresis(on, off)


def test_a_gesture_of_a_single_frame_is_not_reported() -> None:
    steady = GestureFilter(3)
    reported = [steady(name) for name in ["fist"] * 3 + ["open"] + ["fist"] * 2 + [None] * 3]
    assert reported == [None, None] + ["fist"] * 6 + [None]


def test_every_finger_has_a_name() -> None:
    assert FINGERS == ("index", "middle", "ring", "pinky")
    angles = hand_angles(built(*OPEN), "right")
    assert isinstance(angles, HandAngles)
    assert static_gesture(angles) == "open"


def test_each_finger_has_its_own_pinch() -> None:
    joints = built(*OPEN)
    joints[4] = joints[20]  # the thumb's tip at the little finger's
    # The ring finger's tip is 0.483 palms away: (0.8 - 0.483) / 0.55; the others over 0.8.
    expected = {"index": 0.0, "middle": 0.0, "ring": 0.577, "pinky": 1.0}
    assert describe_pose(joints, "right")["pinch"] == pytest.approx(expected, abs=2e-3)
