from __future__ import annotations

import torch

from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, LIMITS_DEG
from cadstn.synth.poses import detour, sample_poses

LOW, HIGH = torch.deg2rad(torch.tensor(LIMITS_DEG)).T


def draws(count: int = 1000, first: int = 0) -> Draws:
    return Draws((5,), torch.arange(first, first + count))


def test_poses_keep_the_limits_and_reach_most_of_every_range() -> None:
    angles = sample_poses(draws(), 2).angles.flatten(0, 1)
    assert angles.shape == (2000, len(ANGLES))
    assert (angles >= LOW).all()
    assert (angles <= HIGH).all()
    share = (angles.amax(0) - angles.amin(0)) / (HIGH - LOW)
    assert share.min() > 0.6
    assert share.median() > 0.9


def test_poses_include_open_hands_fists_and_pinches() -> None:
    poses = sample_poses(draws())
    pip = poses.angles[:, 0, :16].reshape(-1, 4, 4)[..., 2].rad2deg()
    assert (pip < 25).all(1).float().mean() > 0.08
    assert (pip > 70).all(1).float().mean() > 0.03
    assert ((pip < 25).any(1) & (pip > 70).any(1)).float().mean() > 0.2
    assert 0.05 < poses.pinch.amax(-1).mean() < 0.4


def test_last_joint_follows_the_middle_one() -> None:
    fingers = sample_poses(draws()).angles[:, 0, :16].reshape(-1, 4, 4)
    pip, dip = fingers[..., 2].flatten(), fingers[..., 3].flatten()
    assert torch.corrcoef(torch.stack([pip, dip]))[0, 1] > 0.85
    assert 0.5 < (pip * dip).sum() / (pip * pip).sum() < 0.8


def test_a_pose_depends_neither_on_the_batch_nor_on_how_many_follow() -> None:
    many = sample_poses(draws(50), 6)
    one = sample_poses(draws(1, first=17), 3)
    assert torch.equal(many.angles[17:18, :3], one.angles)
    assert torch.equal(many.pinch[17:18, :3], one.pinch)


def test_detour_opens_a_fist_whose_thumb_changes_sides_and_nothing_else() -> None:
    fist = torch.zeros(1, 1, len(ANGLES))
    fist[..., 2:16:4] = 1.6
    thumb = fist.clone()
    thumb[..., 16:20] = torch.tensor([0.3, 1.0, 0.6, 0.6])
    path = detour(torch.cat([fist, fist, thumb, thumb], 1))
    torch.testing.assert_close(path[:, [0, 1, 3]], torch.cat([fist, fist, thumb], 1))
    assert (path[0, 2, 2:16:4] < 0.4).all()
    flat = torch.zeros_like(fist)
    calm = detour(torch.cat([flat, flat + 0.1], 1))
    torch.testing.assert_close(calm[:, 1], flat[:, 0] + 0.05)
