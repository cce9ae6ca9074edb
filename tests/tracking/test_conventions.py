"""Joints by the names of OpenXR and MANO."""

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21, ICVL16
from cadstn.tracking.conventions import CONVENTIONS, MANO21, OPENXR26, to_convention


def test_lengths_and_names() -> None:
    assert len(OPENXR26) == 26
    assert OPENXR26[:3] == ("palm", "wrist", "thumb_metacarpal")
    assert OPENXR26[-1] == "little_tip"
    assert len(MANO21) == 21
    assert MANO21[:4] == ("wrist", "index1", "index2", "index3")
    assert MANO21[13:16] == ("thumb1", "thumb2", "thumb3")


def test_joints_go_where_their_names_say() -> None:
    joints = np.random.default_rng(0).normal(0, 100, (2, 21, 3))
    xr = to_convention(joints, HAND21, "openxr")
    assert xr.shape == (2, 26, 3)
    for theirs, ours in {
        "wrist": "wrist", "thumb_metacarpal": "thumb_cmc", "thumb_distal": "thumb_ip",
        "index_proximal": "index_mcp", "middle_intermediate": "middle_pip",
        "ring_distal": "ring_dip", "little_tip": "pinky_tip",
    }.items():  # fmt: skip
        np.testing.assert_allclose(
            xr[:, OPENXR26.index(theirs)], joints[:, HAND21.index(ours)], err_msg=theirs
        )
    palm = (joints[:, 0] + joints[:, HAND21.index("middle_mcp")]) / 2
    np.testing.assert_allclose(xr[:, 0], palm)
    mano = to_convention(joints, HAND21, "mano")
    for theirs, ours in {
        "pinky2": "pinky_pip",
        "thumb1": "thumb_cmc",
        "ring_tip": "ring_tip",
    }.items():
        np.testing.assert_allclose(
            mano[:, MANO21.index(theirs)], joints[:, HAND21.index(ours)], err_msg=theirs
        )
    assert {tuple(row) for row in np.round(mano[0], 6)} == {
        tuple(r) for r in np.round(joints[0], 6)
    }
    np.testing.assert_allclose(to_convention(joints, HAND21, "hand21"), joints)


def test_all_are_averages_and_nan_stays() -> None:
    shift = np.array([10.0, -20.0, 30.0])
    joints = np.random.default_rng(1).normal(0, 100, (21, 3))
    for name in CONVENTIONS:
        moved = to_convention(joints + shift, HAND21, name) - to_convention(joints, HAND21, name)
        np.testing.assert_allclose(moved, np.broadcast_to(shift, moved.shape))
        assert np.isnan(to_convention(np.full((21, 3), np.nan), HAND21, name)).all()


def test_other_skeletons_and_names_are_refused() -> None:
    with pytest.raises(CadstnError, match="joints are icvl16"):
        to_convention(np.zeros((16, 3)), ICVL16, "openxr")
    with pytest.raises(CadstnError, match="no convention 'xr'"):
        to_convention(np.zeros((21, 3)), HAND21, "xr")
