"""Kinematics and surface of the hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cadstn.geometry.convention import convert
from cadstn.geometry.hand_shape import BONES_MM, DIGITS
from cadstn.geometry.skeleton import HAND21
from cadstn.synth.draws import Draws
from cadstn.synth.hand import (
    ANGLES,
    CONE_PARTS,
    CONE_SEGMENT,
    DIP_PER_PIP,
    FINGERS,
    LIMITS_DEG,
    Cones,
    Shape,
    forward,
)
from cadstn.synth.raster import View, cast
from cadstn.synth.shape import average_shape, sample_shape

REST_DEG = dict(zip(FINGERS, (4.0, 0.0, -5.0, -11.0), strict=True))
ARM = [i for i, part in enumerate(CONE_PARTS) if part in ("wrist", "forearm")]
HAND = [i for i, part in enumerate(CONE_PARTS) if part not in ("wrist", "forearm")]


def pose(**degrees: float) -> Tensor:
    """One flat hand but for the angles named; splay counts from straight ahead."""
    angles = torch.zeros(1, len(ANGLES))
    for finger, rest in REST_DEG.items():
        angles[0, ANGLES.index(f"{finger}_splay")] = math.radians(-rest)
    for name, value in degrees.items():
        angles[0, ANGLES.index(name)] += math.radians(value)
    return angles


def joints_of(angles: Tensor, shape: Shape | None = None) -> Tensor:
    joints, _ = forward(angles, shape or average_shape(len(angles)))
    return joints


def many(count: int = 200, seed: int = 0) -> tuple[Tensor, Shape]:
    """Poses anywhere within the limits, of hands of all shapes."""
    draws = Draws((seed,), torch.arange(count))
    limits = torch.deg2rad(torch.tensor(LIMITS_DEG))
    angles = limits[:, 0] + draws.uniform(len(ANGLES)) * (limits[:, 1] - limits[:, 0])
    return angles, sample_shape(draws)


def joint(name: str) -> int:
    return HAND21.index(name)


def bones(joints: Tensor, digit: str) -> Tensor:
    return joints[:, list(HAND21.fingers[digit])].diff(dim=1)


def test_angles_have_names_and_limits() -> None:
    assert len(ANGLES) == len(set(ANGLES)) == len(LIMITS_DEG) == 22
    for (low, high), name in zip(LIMITS_DEG, ANGLES, strict=True):
        assert low <= 0 < high, name
    assert 0.6 < DIP_PER_PIP < 0.7


def test_bones_keep_their_lengths_in_every_pose() -> None:
    angles, shape = many()
    joints = joints_of(angles, shape)
    for row, digit in enumerate(DIGITS):
        expected = torch.tensor(BONES_MM[row]) * shape.bones[:, row] * shape.size[:, None]
        found = bones(joints, digit).norm(dim=-1)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_palm_of_index_middle_and_thumb_is_stiff() -> None:
    angles, _ = many()
    rigid = [joint(name) for name in ("wrist", "thumb_cmc", "index_mcp", "middle_mcp")]
    joints = joints_of(angles)[:, rigid]
    torch.testing.assert_close(joints, joints[:1].expand_as(joints))
    assert not joints[:, 0].any()


def test_palm_cups_as_ring_and_little_finger_bend() -> None:
    flat, bent = joints_of(pose())[0], joints_of(pose(ring_flex=90.0, pinky_flex=90.0))[0]
    rise = {f: (bent - flat)[joint(f"{f}_mcp"), 2].item() for f in FINGERS}
    assert rise["index"] == rise["middle"] == 0
    assert 5 < rise["ring"] < rise["pinky"] < 20
    # The metacarpals turn about their roots: no bone gets longer.
    for finger in ("ring", "pinky"):
        back = joints_of(pose(**{f"{finger}_flex": -20.0}))[0]
        torch.testing.assert_close(back[joint(f"{finger}_mcp")], flat[joint(f"{finger}_mcp")])


def test_straight_fingers_point_along_y() -> None:
    for finger in FINGERS:
        line = bones(joints_of(pose()), finger)[0]
        ahead = line / line.norm(dim=-1, keepdim=True)
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
    root = joint(f"{finger}_mcp")
    moved = (bent - bent[root])[joint(f"{finger}_{first}")]
    moved = moved - (straight - straight[root])[joint(f"{finger}_{first}")]
    bone = BONES_MM[DIGITS.index(finger)][("pip", "dip", "tip").index(first)]
    # As far as a turn by 40 degrees takes it, or up to 48 where the metacarpal turns too.
    assert 2 * bone * math.sin(math.radians(20)) <= moved.norm().item() + 1e-3
    assert moved.norm().item() < 2 * bone * math.sin(math.radians(24.5))
    assert moved[2] > 0.6 * bone * math.sin(math.radians(40))
    assert moved[1] < 0


def test_bent_fingers_point_to_the_thumbs_root() -> None:
    """All four converge on the scaphoid when they bend one at a time."""
    for finger, towards in zip(FINGERS, (-1, 0, 1, 1), strict=True):
        bent = joints_of(pose(**{f"{finger}_flex": 80.0, f"{finger}_pip": 60.0}))[0]
        x = (bent[joint(f"{finger}_dip")] - bent[joint(f"{finger}_mcp")])[0].item()
        assert towards * x > 1 if towards else abs(x) < 0.5, finger


def test_splay_vanishes_in_a_fist() -> None:
    def fan(flex: float) -> float:
        wide = pose(**{f"{f}_splay": s for f, s in zip(FINGERS, (20, 5, -8, -20), strict=True)},
                    **{f"{f}_flex": flex for f in FINGERS})  # fmt: skip
        closed = pose(**{f"{f}_flex": flex for f in FINGERS})
        index, pinky = joint("index_pip"), joint("pinky_pip")
        wide_joints, closed_joints = joints_of(wide)[0], joints_of(closed)[0]
        across = (wide_joints[index] - wide_joints[pinky])[0]
        return (across - (closed_joints[index] - closed_joints[pinky])[0]).item()

    assert fan(0.0) > 20
    assert abs(fan(90.0)) < 0.1 * fan(0.0)


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
            if name in ("ring_flex", "pinky_flex"):
                expected.add(chain[0])  # the palm cups
        assert found - {joint("ring_mcp"), joint("pinky_mcp")} == expected - {
            joint("ring_mcp"),
            joint("pinky_mcp"),
        }, name
        assert found <= expected, name


def test_wrist_moves_the_arm_alone() -> None:
    _, straight = forward(pose(), average_shape())
    _, flexed = forward(pose(wrist_flex=30.0), average_shape())
    _, aside = forward(pose(wrist_side=20.0), average_shape())
    for before, after in zip(straight, flexed, strict=True):
        torch.testing.assert_close(before[:, HAND], after[:, HAND])
    towards = (straight.b - straight.a)[0, -2:]
    assert (towards[:, 1] < -180).all()  # away from the fingers
    # The hand bends to its palm when the arm comes up on that side, and to its thumb likewise.
    assert ((flexed.b - straight.b)[0, -2:, 2] > 100).all()
    assert ((aside.b - straight.b)[0, -2:, 0] > 50).all()


def test_sleeves_hide_the_arm_from_where_they_begin() -> None:
    bare = average_shape()
    worn = bare._replace(sleeve_mm=torch.tensor([[70.0, 8.0]]))
    _, without = forward(pose(), bare)
    _, sleeve = forward(pose(), worn)
    assert (sleeve.a[0, -2:, 1] == -70).all()
    torch.testing.assert_close(sleeve.rb[:, -2:], without.rb[:, -2:] + 8)
    wrist = [i for i, part in enumerate(CONE_PARTS) if part == "wrist"]
    # The bare stretch reaches into the sleeve: no gap between.
    torch.testing.assert_close(sleeve.b[:, wrist], sleeve.a[:, -2:])
    torch.testing.assert_close(sleeve.rb[:, wrist] + 8, sleeve.ra[:, -2:])
    for before, after in zip(without, sleeve, strict=True):
        torch.testing.assert_close(before[:, HAND], after[:, HAND])


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


def test_girth_scales_the_radii_of_its_digit_alone() -> None:
    shape = average_shape()
    joints, usual = forward(pose(), shape)
    girth = shape.girth.clone()
    girth[:, DIGITS.index("ring")] = 1.2
    thick_joints, thick = forward(pose(), shape._replace(girth=girth))
    torch.testing.assert_close(thick_joints, joints)
    ring = torch.tensor([part == "ring" for part in CONE_PARTS])
    torch.testing.assert_close(thick.ra / usual.ra, torch.where(ring, 1.2, 1.0)[None])
    torch.testing.assert_close(thick.rb / usual.rb, torch.where(ring, 1.2, 1.0)[None])
    _, strong = forward(pose(), shape._replace(arm=torch.tensor([1.5])))
    torch.testing.assert_close(strong.rb[:, ARM], usual.rb[:, ARM] * 1.5)
    torch.testing.assert_close(strong.rb[:, HAND], usual.rb[:, HAND])


def test_size_scales_everything() -> None:
    joints, usual = forward(pose(), average_shape())
    big_joints, big = forward(pose(), average_shape()._replace(size=torch.tensor([1.1])))
    torch.testing.assert_close(big_joints, joints * 1.1)
    for after, before in zip(big, usual, strict=True):
        torch.testing.assert_close(after, before * 1.1)


def test_palm_scales_along_its_own_axes() -> None:
    factors = torch.tensor([[1.1, 0.9, 1.2]])
    joints = joints_of(pose())[0]
    wide = joints_of(pose(), average_shape()._replace(palm=factors))[0]
    rooted = [joint(f"{finger}_mcp") for finger in FINGERS] + [joint("thumb_cmc")]
    torch.testing.assert_close(wide[rooted], joints[rooted] * factors)


def test_cones_are_named() -> None:
    angles, shape = many(3)
    _, cones = forward(angles, shape)
    count = len(CONE_PARTS)
    assert count == len(CONE_SEGMENT) <= 44
    assert cones.a.shape == cones.b.shape == (3, count, 3)
    assert cones.ra.shape == cones.rb.shape == (3, count)
    assert CONE_PARTS[-2:] == ("forearm", "forearm")
    for digit in DIGITS:
        segments = [s for s, part in zip(CONE_SEGMENT, CONE_PARTS, strict=True) if part == digit]
        assert segments == [0, 1, 2]
    assert all(
        (segment == -1) == (part not in DIGITS)
        for segment, part in zip(CONE_SEGMENT, CONE_PARTS, strict=True)
    )


def test_phalanges_are_where_their_bones_are() -> None:
    angles, shape = many(50)
    joints, cones = forward(angles, shape)
    for number, (part, segment) in enumerate(zip(CONE_PARTS, CONE_SEGMENT, strict=True)):
        if segment >= 0:
            chain = HAND21.fingers[part]
            middle = (cones.a[:, number] + cones.b[:, number]) / 2
            bone = (joints[:, chain[segment]] + joints[:, chain[segment + 1]]) / 2
            assert ((middle - bone).norm(dim=-1) < 6).all(), (part, segment)


def test_no_cone_is_a_ball_within_a_ball() -> None:
    _, cones = forward(*many(2000, seed=7))
    gap = (cones.b - cones.a).norm(dim=-1) - (cones.ra - cones.rb).abs()
    assert gap.min() > 1
    assert cones.ra.min() > 2
    assert cones.rb.min() > 2


def depth_in_flesh(points: Tensor, cones: Cones) -> Tensor:
    """How far (B, K) points lie inside the deepest ball of any cone."""
    axis = cones.b - cones.a
    offset = points[:, :, None] - cones.a[:, None]
    share = (offset * axis[:, None]).sum(-1) / (axis * axis).sum(-1)[:, None]
    share = share.clamp(0, 1)
    away = (offset - share[..., None] * axis[:, None]).norm(dim=-1)
    inside: Tensor = (cones.ra[:, None] + share * (cones.rb - cones.ra)[:, None] - away).amax(-1)
    return inside


def test_every_joint_lies_inside_the_flesh() -> None:
    joints, cones = forward(*many(500, seed=5))
    depth = depth_in_flesh(joints, cones)
    assert depth.min() > 1
    # The end of the last bone lies a pulp's thickness under the skin: 4 mm, of the thumb 6.
    tips = depth[:, list(HAND21.tips)].median(0).values.tolist()
    assert tips == pytest.approx([5.7, 3.8, 3.9, 3.9, 3.7], abs=0.8)


def test_labels_lie_up_to_40_mm_behind_the_skin_that_a_camera_sees() -> None:
    """As NYU's do on its open hands: depth of the label less depth of the surface at its pixel."""
    count = 16
    draws = Draws((9,), torch.arange(count))
    # Open to half relaxed hands, palm or back to the camera, tilted by up to 40 degrees.
    bend = draws.uniform(4, 1, low=0.0, high=0.5) * torch.tensor([0.6, 0.0, 1.0, 0.7])
    thumb = draws.uniform(4, low=0.1, high=0.6) * torch.tensor([1.0, 0.8, 0.3, 0.5])
    angles = torch.cat([bend.flatten(1), thumb, torch.zeros(count, 2)], 1)
    joints, cones = forward(angles, sample_shape(draws))
    tilt, turn = draws.uniform(2, low=-0.7, high=0.7).unbind(-1)
    turn = turn + math.pi * (torch.arange(count) % 2)
    rotation = about(1, turn) @ about(0, tilt + math.pi)
    away = torch.tensor([0.0, 0.0, 600.0])
    labels = convert(joints, "nyu36") @ rotation.mT + away
    cones = Cones(cones.a @ rotation.mT + away, cones.b @ rotation.mT + away, cones.ra, cones.rb)
    # One ray a label: as many hands, each seen through a single pixel.
    many_cones = Cones(*(field.repeat_interleave(36, 0) for field in cones))
    x, y, z = labels.flatten(0, 1).unbind(-1)
    step = torch.full_like(x, 1e-3)
    skin = cast(many_cones, View(x / z, y / z, step, step, 1, 1))[:, 0, 0]
    found = z - skin
    assert found.min() > 0
    assert (found < 40).float().mean() > 0.95  # some fingers hide others
    assert 5 < found.median() < 15


def test_a_spread_palm_has_no_holes() -> None:
    """Lines across the palm between wrist, knuckles and webs all meet flesh, for every shape."""
    count, lines = 300, 100
    draws = Draws((13,), torch.arange(count))
    spread = pose(index_splay=15.0, ring_splay=-8.0, pinky_splay=-18.0, thumb_radial=40.0)
    joints, cones = forward(spread.expand(count, -1), sample_shape(draws))
    # The outline: the wrist, and somewhat beyond the knuckles.
    knuckles = [joint(f"{finger}_mcp") for finger in FINGERS]
    beyond = [joint(f"{finger}_pip") for finger in FINGERS]
    rim = 0.7 * joints[:, knuckles] + 0.3 * joints[:, beyond]
    along = draws.uniform(lines) * 2.999
    left, share = along.long(), along.frac()[..., None]
    row = torch.arange(count)[:, None]
    edge = (1 - share) * rim[row, left] + share * rim[row, left + 1]
    places = draws.uniform(lines)[..., None].sqrt() * edge
    flat = torch.tensor([1.0, 1.0, 0.0])
    shadow = Cones(cones.a * flat, cones.b * flat, cones.ra, cones.rb)
    assert depth_in_flesh(places * flat, shadow).min() > 0


def about(axis: int, angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about a coordinate axis."""
    spin = torch.zeros(3, 3)
    one, two = [i for i in range(3) if i != axis]
    spin[one, two], spin[two, one] = -1.0, 1.0
    turn: Tensor = torch.linalg.matrix_exp(angle[:, None, None] * spin)
    return turn
