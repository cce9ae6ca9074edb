"""Joints by the names of OpenXR and MANO."""

import numpy as np
import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21, ICVL16
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, LIMITS_DEG, finger_chains, forward
from cadstn.synth.shape import sample_shape
from cadstn.tracking.conventions import (
    _MATRICES,
    CONVENTIONS,
    FROM_MANO21,
    MANO21,
    OPENXR26,
    TO_MANO21,
    to_convention,
)  # fmt: skip


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
    ends = [OPENXR26.index(f"middle_{part}") for part in ("metacarpal", "proximal")]
    np.testing.assert_allclose(xr[:, 0], xr[:, ends].mean(1))
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


def test_metacarpals_begin_where_the_rig_has_them() -> None:
    """Of hands of all shapes, poses and sides; before, all lay on a quarter of the way."""
    draws = Draws((5,), torch.arange(200))
    limits = torch.deg2rad(torch.tensor(LIMITS_DEG))
    angles = limits[:, 0] + draws.uniform(len(ANGLES)) * (limits[:, 1] - limits[:, 0])
    shape = sample_shape(draws)
    joints = forward(angles, shape)[0].double().numpy()
    begins = finger_chains(angles[:, :16].reshape(-1, 4, 4), shape)[0]
    mirror = torch.ones(200, 1, 3)
    mirror[..., 0] = 1 - 2 * shape.left[:, None]
    true = (begins * mirror * shape.size[:, None, None]).double().numpy()
    starts = [OPENXR26.index(f"{f}_metacarpal") for f in ("index", "middle", "ring", "little")]
    error = np.linalg.norm(to_convention(joints, HAND21, "openxr")[:, starts] - true, axis=-1)
    guess = joints[:, :1] * 0.75 + joints[:, list(HAND21.knuckles)] * 0.25
    before = np.linalg.norm(guess - true, axis=-1)
    assert (error < before).all()
    assert error.max() < 5
    assert error.mean() < before.mean() / 5
    # Noise of the joints comes through no larger than it is in them.
    assert (np.linalg.norm(_MATRICES["openxr"], axis=1) <= 1).all()


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


def test_manos_order_is_that_of_its_users() -> None:
    """Users of MANO's 16 joints and 5 tips bring them into OpenPose's order, which is ours, so."""
    openpose = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
    joints = np.random.default_rng(2).normal(0, 100, (5, 21, 3)).astype(np.float32)
    mano = to_convention(joints, HAND21, "mano")
    np.testing.assert_array_equal(mano, joints[:, TO_MANO21])
    np.testing.assert_array_equal(mano[:, openpose], joints)
    np.testing.assert_array_equal(mano[:, FROM_MANO21], joints)


def test_manos_fingers_run_from_root_to_tip() -> None:
    """On a straight hand each bone leads away from the wrist, by MANO's parents and tips."""
    joints = np.zeros((21, 3))
    for angle, chain in enumerate(HAND21.fingers.values()):
        for far, joint in enumerate(chain, 1):
            joints[joint] = [far * np.cos(angle / 4), far * np.sin(angle / 4), 0]
    far = np.linalg.norm(joints[TO_MANO21], axis=1)
    parents = [0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]  # of joints 1 to 15
    assert [round(far[i]) for i in (0, *parents)] == [0, *[0, 1, 2] * 5]
    assert [round(value) for value in far[1:16]] == [1, 2, 3] * 5
    assert [round(value) for value in far[16:]] == [4] * 5
