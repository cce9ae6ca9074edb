from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from cadstn.synth.clearance import resolve
from cadstn.synth.contact import penetration_mm, relevant_pairs
from cadstn.synth.draws import Draws
from cadstn.synth.gestures import gesture
from cadstn.synth.hand import ANGLES, CONE_PARTS, CONE_SEGMENT, LIMITS_DEG, Cones, Shape, forward
from cadstn.synth.poses import Poses, sample_poses
from cadstn.synth.shape import average_shape, sample_shape


def hands(count: int) -> tuple[Poses, Shape]:
    draws = Draws((3,), torch.arange(count))
    poses = sample_poses(draws.fork("poses"))
    return Poses(poses.angles[:, 0], poses.pinch[:, 0]), sample_shape(draws.fork("shape"))


def deepest(angles: Tensor, shape: Shape) -> Tensor:
    return penetration_mm(forward(angles, shape)[1]).amax(1)


def test_pairs_are_of_parts_that_can_meet() -> None:
    pairs = relevant_pairs(torch.device("cpu"))
    seen = set(pairs.names)
    digits = ("index", "middle", "ring", "pinky", "thumb")
    assert {f"{a}-{b}" for a, b in itertools.combinations(digits, 2)} <= seen
    assert {f"{a}-palm" for a in digits} <= seen
    for i, j in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        assert CONE_PARTS[i] != CONE_PARTS[j]
        assert "forearm" not in (CONE_PARTS[i], CONE_PARTS[j])
        assert CONE_SEGMENT[i] >= 0


def test_penetration_agrees_with_a_search_over_all_balls() -> None:
    poses, shape = hands(6)
    cones = forward(poses.angles, shape)[1]
    pairs = relevant_pairs(cones.a.device)
    s = torch.linspace(0, 1, 161)

    def balls(which: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        at = start[:, None] + (1 - start[:, None]) * s
        a, b, ra, rb = (field[:, which] for field in cones)
        center = a[:, :, None] + at[..., None] * (b - a)[:, :, None]
        return center, ra[..., None] + at * (rb - ra)[..., None]

    x, r = balls(pairs.first, pairs.from_first)
    y, q = balls(pairs.second, pairs.from_second)
    found = penetration_mm(cones)
    checked = 0
    for hand in range(len(found)):
        gap = torch.cdist(x[hand], y[hand])
        overlap = (r[hand][:, :, None] + q[hand][:, None] - gap).amax((1, 2))
        # The search is on a grid, so it finds a little less; far pairs need not be exact.
        near = overlap > -5
        checked += int(near.sum())
        assert (found[hand] - overlap)[near].abs().lt(0.1).all()
    assert checked > 10


def test_two_crossing_cones_overlap_by_both_radii() -> None:
    cones = forward(torch.zeros(1, len(ANGLES)), average_shape())[1]
    pairs = relevant_pairs(cones.a.device)
    i, j = int(pairs.first[0]), int(pairs.second[0])
    a, b = cones.a.clone(), cones.b.clone()
    a[0, i], b[0, i] = torch.tensor([-30.0, 0, 0]), torch.tensor([30.0, 0, 0])
    a[0, j], b[0, j] = torch.tensor([5.0, -30, 7]), torch.tensor([5.0, 30, 7])
    crossed = Cones(a, b, torch.full_like(cones.ra, 6.0), torch.full_like(cones.rb, 6.0))
    assert penetration_mm(crossed)[0, 0].item() == pytest.approx(5.0, abs=0.01)


def test_poses_come_apart_in_99_of_100() -> None:
    poses, shape = hands(1500)
    before = deepest(poses.angles, shape)
    clear = resolve(poses.angles, shape, poses.pinch)
    after = deepest(clear, shape)
    assert (before > 1).float().mean() > 0.15  # there was something to do
    assert (after > 1).float().mean() < 0.0125  # of 1,500; the benchmark counts over 20,000
    assert (after > 3).float().mean() < 0.004
    low, high = torch.deg2rad(torch.tensor(LIMITS_DEG)).T
    assert (clear >= low).all()
    assert (clear <= high).all()


def test_hands_that_are_clear_are_left_alone() -> None:
    poses, shape = hands(300)
    free = (deepest(poses.angles, shape) < -0.2) & (poses.pinch.amax(1) == 0)
    assert free.sum() > 50
    clear = resolve(poses.angles, shape, poses.pinch)
    assert torch.equal(clear[free], poses.angles[free])
    assert torch.equal(clear[:, 20:], poses.angles[:, 20:])  # the wrist takes no part


def test_tips_meet_in_pinches_of_any_hand() -> None:
    names = [f"pinch_{f}" for f in ("index", "middle", "ring", "pinky")]
    shape = sample_shape(Draws((4,), torch.arange(200)))
    for finger, name in enumerate(names):
        angles = gesture(name).expand(200, -1)
        pinch = torch.zeros(200, 4)
        pinch[:, finger] = 1
        cones = forward(resolve(angles, shape, pinch), shape)[1]
        pairs = relevant_pairs(cones.a.device)
        of_two = [q for q, n in enumerate(pairs.names) if n == f"{name[6:]}-thumb"]
        gap = -penetration_mm(cones)[:, of_two].amax(1)
        assert gap.quantile(0.9) < 3, name
        assert gap.max() < 15, name


def test_left_hands_mirror_right_ones() -> None:
    poses, shape = hands(200)
    left = resolve(poses.angles, shape._replace(left=torch.ones(200)), poses.pinch)
    right = resolve(poses.angles, shape._replace(left=torch.zeros(200)), poses.pinch)
    torch.testing.assert_close(left, right, atol=1e-3, rtol=0)


def test_a_small_change_of_pose_makes_a_small_change_of_the_resolved_one() -> None:
    poses, shape = hands(400)
    nudge = 1e-3 * torch.randn(poses.angles.shape, generator=torch.Generator().manual_seed(0))
    one = resolve(poses.angles, shape, poses.pinch)
    two = resolve(poses.angles + nudge, shape, poses.pinch)
    grown = (one - two).norm(dim=1) / nudge.norm(dim=1)
    assert grown.median() < 1.5
    assert grown.quantile(0.97) < 10


def test_a_hand_does_not_depend_on_its_batch() -> None:
    poses, shape = hands(70)
    together = resolve(poses.angles, shape, poses.pinch)
    for i in (0, 13, 69):
        alone = Shape(*(field[i : i + 1] for field in shape))
        assert torch.equal(
            resolve(poses.angles[i : i + 1], alone, poses.pinch[i : i + 1])[0], together[i]
        )
