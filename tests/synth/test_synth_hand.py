from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.skeleton import HAND21
from cadstn.synth.hand import ANGLES, FINGERS, LIMITS_DEG, Cones, Shape, forward
from cadstn.synth.motion import sample_angles
from cadstn.synth.scene import sample_shape

# Proximal, middle, distal; metacarpal, proximal, distal for the thumb.
BONES_MM = {
    "thumb": (46.2, 31.6, 26.0),
    "index": (39.8, 22.4, 21.5),
    "middle": (44.6, 26.3, 22.5),
    "ring": (41.4, 25.7, 22.0),
    "pinky": (32.7, 18.1, 20.0),
}
ARM = slice(-2, None)


def shape_of(count: int = 1, /, **factors: float) -> Shape:
    usual = dict.fromkeys(Shape._fields, 1.0) | {"left": 0.0} | factors
    return Shape(*(torch.full((count,), usual[name]) for name in Shape._fields))


def pose(**degrees: float) -> Tensor:
    """One flat hand but for the angles named; splay counts from straight ahead."""
    angles = torch.zeros(1, len(ANGLES))
    for finger, rest in zip(FINGERS, (4.0, 0.0, -5.0, -11.0), strict=True):
        angles[0, ANGLES.index(f"{finger}_splay")] = math.radians(-rest)
    for name, value in degrees.items():
        angles[0, ANGLES.index(name)] += math.radians(value)
    return angles


def joints_of(angles: Tensor, shape: Shape | None = None) -> Tensor:
    joints, _ = forward(angles, shape or shape_of(len(angles)))
    return joints


def many(count: int = 200, seed: int = 0) -> tuple[Tensor, Shape]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(sample_angles(rng, count).astype(np.float32)), sample_shape(rng, count)


def joint(name: str) -> int:
    return HAND21.index(name)


def test_finger_bones_are_the_table_times_size_and_length() -> None:
    angles, shape = many()
    joints = joints_of(angles, shape)
    for finger, lengths in BONES_MM.items():
        chain = joints[:, list(HAND21.fingers[finger])]
        found = chain.diff(dim=1).norm(dim=-1)
        expected = torch.tensor(lengths) * (shape.size * shape.length)[:, None]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_palm_does_not_move_with_the_angles() -> None:
    angles, _ = many()
    rigid = [joint(f"{finger}_mcp") for finger in FINGERS] + [joint("wrist"), joint("thumb_cmc")]
    joints = joints_of(angles)[:, rigid]
    torch.testing.assert_close(joints, joints[:1].expand_as(joints))
    assert not joints_of(angles, shape_of(len(angles)))[:, joint("wrist")].any()


def test_straight_fingers_point_along_y() -> None:
    joints = joints_of(pose())
    for finger in FINGERS:
        bones = joints[0, list(HAND21.fingers[finger])].diff(dim=0)
        ahead = bones / bones.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(ahead, torch.tensor([0.0, 1.0, 0.0]).expand(3, 3))


def test_fingers_of_a_resting_hand_fan_out_from_the_thumbs_side() -> None:
    joints = joints_of(torch.zeros(1, len(ANGLES)))[0]
    x = [(joints[joint(f"{f}_tip")] - joints[joint(f"{f}_mcp")])[0].item() for f in FINGERS]
    assert x == sorted(x, reverse=True)
    assert x[0] > 1 > -1 > x[3]


@pytest.mark.parametrize("finger", FINGERS)
@pytest.mark.parametrize(
    ("angle", "first"), [("flex", "pip"), ("pip", "dip"), ("dip", "tip")], ids=lambda v: str(v)
)
def test_flexion_bends_towards_the_palm(finger: str, angle: str, first: str) -> None:
    straight = joints_of(pose())[0]
    bent = joints_of(pose(**{f"{finger}_{angle}": 40.0}))[0]
    moved = bent[joint(f"{finger}_{first}")] - straight[joint(f"{finger}_{first}")]
    bone = BONES_MM[finger][("pip", "dip", "tip").index(first)]
    expected = [0.0, bone * (math.cos(math.radians(40)) - 1), bone * math.sin(math.radians(40))]
    torch.testing.assert_close(moved, torch.tensor(expected), rtol=1e-4, atol=1e-3)


def test_directions_of_the_other_angles() -> None:
    straight = joints_of(pose())[0]

    def shift(name: str, degrees: float, tip: str) -> Tensor:
        return joints_of(pose(**{name: degrees}))[0, joint(tip)] - straight[joint(tip)]

    for finger in FINGERS:
        assert shift(f"{finger}_splay", 10, f"{finger}_tip")[0] > 5  # towards the thumb
    assert shift("thumb_radial", 30, "thumb_tip")[0] > 20  # away from the index
    assert shift("thumb_palmar", 30, "thumb_tip")[2] > 20  # out of the palm
    for name in ("thumb_mcp", "thumb_ip"):
        x, _, z = shift(name, 30, "thumb_tip").tolist()
        assert x < -5
        assert z > 3


def test_each_angle_moves_only_the_joints_beyond_it() -> None:
    beyond = {"flex": 1, "splay": 1, "pip": 2, "dip": 3}
    thumb = {"radial": 1, "palmar": 1, "mcp": 2, "ip": 3}
    angles, _ = many(1, seed=3)
    before = joints_of(angles)[0]
    for number, name in enumerate(ANGLES):
        changed = angles.clone()
        changed[0, number] += 0.1
        found = set(((joints_of(changed)[0] - before).norm(dim=-1) > 1e-3).nonzero()[:, 0].tolist())
        part, angle = name.split("_")
        if part == "wrist":
            expected: set[int] = set()
        else:
            chain = HAND21.fingers[part]
            expected = set(chain[(thumb if part == "thumb" else beyond)[angle] :])
        assert found == expected, name


def test_wrist_moves_the_forearm_alone() -> None:
    _, straight = forward(pose(), shape_of())
    _, flexed = forward(pose(wrist_flex=30.0), shape_of())
    for before, after in zip(straight, flexed, strict=True):
        torch.testing.assert_close(before[:, :-2], after[:, :-2])
    towards = (straight.b - straight.a)[0, ARM]
    assert (towards[:, 1] < -200).all()  # away from the fingers
    assert ((flexed.b - straight.b)[0, ARM, 2] > 100).all()


def test_left_hand_is_the_mirror_image() -> None:
    angles, shape = many(20)
    joints, cones = forward(angles, shape._replace(left=torch.zeros(20)))
    mirrored, others = forward(angles, shape._replace(left=torch.ones(20)))
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored, joints * mirror, rtol=0, atol=0)
    torch.testing.assert_close(others.a, cones.a * mirror, rtol=0, atol=0)
    torch.testing.assert_close(others.b, cones.b * mirror, rtol=0, atol=0)
    torch.testing.assert_close(others.ra, cones.ra, rtol=0, atol=0)
    torch.testing.assert_close(others.rb, cones.rb, rtol=0, atol=0)


def radii(**factors: float) -> tuple[Tensor, Cones]:
    joints, cones = forward(pose(), shape_of(**factors))
    return joints, cones


def test_girth_and_arm_scale_their_own_radii() -> None:
    joints, usual = radii()
    thick_joints, thick = radii(girth=1.2)
    torch.testing.assert_close(thick.ra[:, :-2], usual.ra[:, :-2] * 1.2)
    torch.testing.assert_close(thick.rb[:, :-2], usual.rb[:, :-2] * 1.2)
    torch.testing.assert_close(thick.ra[:, ARM], usual.ra[:, ARM])
    torch.testing.assert_close(thick_joints, joints)
    _, sleeve = radii(arm=1.5)
    torch.testing.assert_close(sleeve.rb[:, ARM], usual.rb[:, ARM] * 1.5)
    torch.testing.assert_close(sleeve.rb[:, :-2], usual.rb[:, :-2])


def test_size_scales_everything() -> None:
    joints, usual = radii()
    big_joints, big = radii(size=1.1)
    torch.testing.assert_close(big_joints, joints * 1.1)
    for after, before in zip(big, usual, strict=True):
        torch.testing.assert_close(after, before * 1.1)


def test_palm_widens_the_palm_alone() -> None:
    joints, _ = radii()
    wide, _ = radii(palm=1.1)
    knuckles = [joint(f"{finger}_mcp") for finger in FINGERS]
    factors = torch.tensor([1.1, 1.0, 1.0])
    torch.testing.assert_close(wide[0, knuckles], joints[0, knuckles] * factors)


def test_one_cone_per_part() -> None:
    _, cones = radii()
    assert cones.a.shape == cones.b.shape == (1, 26, 3)
    assert cones.ra.shape == cones.rb.shape == (1, 26)
    assert len(ANGLES) == len(LIMITS_DEG) == 22
    assert all(low < high for low, high in LIMITS_DEG)


def test_every_joint_lies_inside_the_flesh() -> None:
    angles, shape = many(100, seed=5)
    joints, cones = forward(angles, shape)
    axis = cones.b - cones.a
    offset = joints[:, :, None] - cones.a[:, None]
    share = (offset * axis[:, None]).sum(-1) / (axis * axis).sum(-1)[:, None]
    share = share.clamp(0, 1)
    away = (offset - share[..., None] * axis[:, None]).norm(dim=-1)
    radius = cones.ra[:, None] + share * (cones.rb - cones.ra)[:, None]
    assert ((away - radius).amin(-1) < 0).all()
