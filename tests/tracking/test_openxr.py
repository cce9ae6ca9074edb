"""Hands as OpenXR has them: what its specification demands of poses."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cadstn import open_recording
from cadstn.errors import CadstnError
from cadstn.geometry.hand_shape import DIGIT_RADII_MM
from cadstn.tracking import Tracker
from cadstn.tracking.conventions import OPENXR26
from cadstn.tracking.openxr import OpenXRHand, openxr_hand


def _flat_right() -> np.ndarray:
    """A right hand's joints in mm before the camera, back to it, fingers up."""
    joints = np.zeros((21, 3))
    joints[1:5] = [[-25, -20, 0], [-45, -45, 0], [-60, -70, 0], [-70, -90, 0]]
    for finger, x in enumerate((-25, -5, 15, 35)):
        joints[5 + 4 * finger : 9 + 4 * finger, 0] = x
        joints[5 + 4 * finger : 9 + 4 * finger, 1] = [-90, -130, -155, -175]
    joints[:, 2] += 500
    return joints


def _axes(hand: OpenXRHand, joint: str) -> np.ndarray:
    turn = Rotation.from_quat(hand.orientation[OPENXR26.index(joint)])
    axes: np.ndarray = turn.as_matrix()
    return axes


def test_a_right_hand_with_its_back_to_the_camera() -> None:
    hand = openxr_hand(_flat_right(), "right")
    np.testing.assert_allclose(hand.position_m[1], [0, 0, -0.5], atol=1e-12)
    # Fingers up: -z is up. The back faces the camera, which is at +z: +y. Then +x is to the right.
    for joint in ("palm", "wrist", "middle_metacarpal", "middle_proximal", "middle_tip"):
        x, y, z = _axes(hand, joint).T
        # The wrist points to where the middle finger's metacarpal begins, 7 degrees aside here.
        near = 0.13 if joint == "wrist" else 0.06
        np.testing.assert_allclose(y, [0, 0, 1], atol=near, err_msg=joint)
        np.testing.assert_allclose(z, [0, -1, 0], atol=near, err_msg=joint)
        np.testing.assert_allclose(x, [1, 0, 0], atol=near, err_msg=joint)


@pytest.mark.parametrize("side", ["left", "right"])
def test_poses_of_a_bent_hand(side: str) -> None:
    joints = _flat_right()
    joints[7], joints[8] = joints[6] + [0, -5, 24], joints[6] + [0, 15, 24]  # the index bends away
    if side == "left":
        joints = joints * [-1, 1, 1]
    hand = openxr_hand(joints, side)
    np.testing.assert_allclose(np.linalg.norm(hand.orientation, axis=1), 1, atol=1e-9)
    for finger in ("thumb", "index", "middle", "ring", "little"):
        chain = [i for i, name in enumerate(OPENXR26) if name.startswith(f"{finger}_")]
        for one, following in itertools.pairwise(chain):
            bone = hand.position_m[following] - hand.position_m[one]
            forward = -Rotation.from_quat(hand.orientation[one]).as_matrix()[:, 2]
            np.testing.assert_allclose(forward, bone / np.linalg.norm(bone), atol=1e-9)
        np.testing.assert_allclose(hand.orientation[chain[-1]], hand.orientation[chain[-2]])
    # The palm lies on the middle of that finger's metacarpal and along it; the wrist points to it.
    start, knuckle = (
        hand.position_m[OPENXR26.index(f"middle_{part}")] for part in ("metacarpal", "proximal")
    )
    np.testing.assert_allclose(hand.position_m[0], (start + knuckle) / 2)
    np.testing.assert_allclose(_axes(hand, "palm"), _axes(hand, "middle_metacarpal"), atol=1e-9)
    ahead = start - hand.position_m[1]
    ahead /= np.linalg.norm(ahead)
    np.testing.assert_allclose(-_axes(hand, "wrist")[:, 2], ahead, atol=1e-9)
    # It bends towards the palm: its back turns with it, from the camera up and over.
    assert _axes(hand, "index_proximal")[:, 1] @ [0, 0, 1] > 0.99
    assert _axes(hand, "index_intermediate")[:, 1] @ [0, 1, 0] > 0.9
    assert _axes(hand, "index_distal")[:, 1] @ [0, 0, 1] < -0.9
    # The nail of the thumb faces away from the fingers, and to the back of the hand.
    nail = _axes(hand, "thumb_distal")[:, 1]
    assert nail @ [1 if side == "left" else -1, 0, 0] > 0.3
    assert nail @ [0, 0, 1] > 0.3


def test_a_turned_hand_has_turned_poses() -> None:
    joints = _flat_right()
    turn = Rotation.from_euler("xyz", [20, -35, 50], degrees=True)
    one, other = (openxr_hand(j, "right") for j in (joints, turn.apply(joints)))
    flip = Rotation.from_euler("x", 180, degrees=True)
    expected = flip * turn * flip * Rotation.from_quat(one.orientation)
    away = (expected.inv() * Rotation.from_quat(other.orientation)).magnitude()
    np.testing.assert_allclose(away, 0, atol=1e-6)


def test_radii_are_the_simulators() -> None:
    hand = openxr_hand(_flat_right(), "right")
    for finger, radii in zip(
        ("thumb", "index", "middle", "ring", "little"), DIGIT_RADII_MM, strict=True
    ):
        mine = [
            r
            for r, name in zip(hand.radius_m, OPENXR26, strict=True)
            if name.startswith(f"{finger}_")
        ]
        np.testing.assert_allclose(np.array(mine)[-4:] * 1000, radii)


def test_flags() -> None:
    hand = openxr_hand(_flat_right(), "right")
    assert hand.valid.all()
    assert [OPENXR26[i] for i in np.flatnonzero(~hand.tracked)] == [
        f"{finger}_metacarpal" for finger in ("index", "middle", "ring", "little")
    ]
    for side in ("left", "unknown"):  # a lost hand's own side is unknown
        lost = openxr_hand(np.full((21, 3), np.nan), side)
        assert not lost.valid.any()
        assert not lost.tracked.any()
        assert np.isnan(lost.position_m).all()
        assert np.isnan(lost.orientation).all()


def test_what_cannot_be_a_hand() -> None:
    with pytest.raises(CadstnError, match="side is 'unknown'"):
        openxr_hand(_flat_right(), "unknown")
    with pytest.raises(CadstnError, match="side is 'Left'"):
        openxr_hand(np.full((21, 3), np.nan), "Left")
    for side in ("left", "unknown"):
        with pytest.raises(CadstnError, match="shape"):
            openxr_hand(np.zeros((20, 3)), side)


def test_a_tracked_hand() -> None:
    frame = next(iter(open_recording("demo")))
    hand = Tracker().update(frame.depth, frame.camera)
    out = openxr_hand(hand.joints_mm, hand.side)
    assert out.valid.all()
    assert out.position_m[:, 2].max() < 0
