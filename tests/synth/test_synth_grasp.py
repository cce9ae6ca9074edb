from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.geometry.camera import Camera
from cadstn.synth.draws import Draws
from cadstn.synth.frames import Sequence
from cadstn.synth.grasp import Grasps, lifted, sample_grasps
from cadstn.synth.hand import CONE_PARTS, FINGERS, LIMITS_DEG, Cones, Shape, forward
from cadstn.synth.raster import View, cast
from cadstn.synth.scene import HAND_CONES, OTHER, Scene, sample_scene
from cadstn.synth.sensors import sensor
from cadstn.synth.shape import sample_shape
from cadstn.synth.solids import Solids, cone_distance_mm, solid_distance_mm
from cadstn.synth.stream import Clips, sample_clips
from cadstn.synth.surface import Cones as RoundCones
from cadstn.synth.things import KINDS, Thing, sample_things

COUNT, FRAMES = 120, 3


def draws(count: int, seed: int = 5) -> Draws:
    return Draws((seed, 77), torch.arange(count))


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Clips that all hold something."""
    return sample_scene(draws(COUNT), FRAMES, held=1.0)


@pytest.fixture(scope="module")
def grasps() -> tuple[Grasps, Shape]:
    shape = sample_shape(draws(300).fork("shape"))
    return sample_grasps(draws(300).fork("grasp"), shape), shape


def thing_of(scene: Scene) -> Thing:
    """What is grasped in each frame, in the camera frame."""
    assert scene.solids is not None
    rods = RoundCones(*(field[:, OTHER.stop :] for field in scene.cones))
    return Thing(rods, scene.solids)


def gaps(scene: Scene, thing: Thing) -> Tensor:
    """Distances (frames, cones) in mm of the hand's cones to a thing, by 33 balls of each."""
    a, b, ra, rb = (field[:, :HAND_CONES] for field in scene.cones)
    share = torch.linspace(0, 1, 33)
    points = a[:, :, None] + share[:, None] * (b - a)[:, :, None]
    radii = ra[..., None] + share * (rb - ra)[..., None]
    return (thing.distance_mm(points.flatten(1, 2)).view_as(radii) - radii).amin(-1)


def test_contact_is_at_most_a_millimetre_deep_in_99_of_100_frames(scene: Scene) -> None:
    nearest = gaps(scene, thing_of(scene)).amin(1)
    held = nearest < 1000
    assert held.float().mean() > 0.93
    assert (nearest[held] > -1.0).float().mean() >= 0.99
    # It is held, and not only near: the nearest part of the hand touches.
    assert (nearest[held] < 0.5).float().mean() > 0.99


def test_two_digits_at_least_hold_what_no_finger_has_let_go(
    grasps: tuple[Grasps, Shape],
) -> None:
    found, shape = grasps
    rows = found.there.nonzero()[:, 0]
    some = found.thing.pick(rows)
    angles = torch.nn.functional.pad(found.angles[rows], (0, 2))
    _, cones = forward(angles, Shape(*(field[rows] for field in shape)))
    inside = Cones(*(field[:, :HAND_CONES] for field in cones))
    scene = Scene(angles, inside, angles, shape.left)
    nearest = gaps(scene, some)
    digits = [
        nearest[:, [i for i, part in enumerate(CONE_PARTS[:HAND_CONES]) if part == digit]].amin(1)
        for digit in (*FINGERS, "thumb")
    ]
    assert ((torch.stack(digits, 1) < 1.2).sum(1) >= 2).all()
    low, high = torch.deg2rad(torch.tensor(LIMITS_DEG[:20])).unbind(-1)
    assert (found.angles >= low - 1e-5).all()
    assert (found.angles <= high + 1e-5).all()


def test_things_stay_in_the_hand_while_it_moves(scene: Scene) -> None:
    assert scene.solids is not None
    joints = scene.joints_xyz_mm.view(COUNT, FRAMES, 21, 3)
    # The palm's own frame by wrist and two knuckles that hold still.
    wrist, index, middle = (joints[:, :, k] for k in (0, 5, 9))
    x = torch.nn.functional.normalize(index - wrist, dim=-1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, middle - wrist, dim=-1), dim=-1)
    frame = torch.stack([x, torch.linalg.cross(z, x, dim=-1), z], -1)
    center = scene.solids.center.view(COUNT, FRAMES, -1, 3) - wrist[:, :, None]
    there = scene.solids.half.view(COUNT, FRAMES, -1, 3)[..., 0] > 0
    own = center @ frame
    moved = (own - own[:, :1]).norm(dim=-1)
    assert there.any(-1).float().mean() > 0.4
    assert torch.equal(there[:, 0], there[:, -1])
    assert moved[there].max() < 0.05
    assert (joints[:, 1:] - joints[:, :1]).norm(dim=-1).mean() > 1  # while the hand moves


def test_all_kinds_occur_and_as_large_as_asked(grasps: tuple[Grasps, Shape]) -> None:
    found, _ = grasps
    assert found.there.float().mean() > 0.95
    kinds = found.kind[found.there]
    assert set(kinds.tolist()) == set(range(len(KINDS)))
    can = list(KINDS).index("can")
    radius = found.thing.blocks.half[(found.kind == can) & found.there][:, 0, 1]
    assert radius.min() >= 24
    assert radius.max() <= 45
    assert radius.max() - radius.min() > 8


def test_fingers_let_go_outwards(grasps: tuple[Grasps, Shape]) -> None:
    found, shape = grasps
    rows = (found.there & (found.lift > 0.1).any(1)).nonzero()[:, 0]
    assert 0.2 < len(rows) / len(found.kind) < 0.6
    some = Shape(*(field[rows] for field in shape))
    ends = []
    for angles in (found.angles[rows], lifted(found.angles[rows], found.lift[rows])):
        _, cones = forward(torch.nn.functional.pad(angles, (0, 2)), some)
        inside = Cones(*(field[:, :HAND_CONES] for field in cones))
        ends.append(gaps(Scene(angles, inside, angles, some.left), found.thing.pick(rows)).amin(1))
    assert (ends[1] > -1.0).float().mean() > 0.98


# -- the stream ------------------------------------------------------------------------------------


def same(one: Clips, two: Clips, rows: Tensor | slice = slice(None)) -> bool:
    return all(torch.equal(a[rows], b[rows]) for a, b in zip(one, two, strict=True))


def test_a_share_of_clips_holds_something_and_the_others_are_as_without() -> None:
    index = torch.arange(60)
    plain = sample_clips((4, 1), index, 2, size=48)
    some = sample_clips((4, 1), index, 2, size=48, held=0.35)
    more = sample_clips((4, 1), index, 2, size=48, held=0.8)
    same_as_plain = torch.tensor([same(plain, some, slice(i, i + 1)) for i in range(60)])
    assert 0.5 < same_as_plain.float().mean() < 0.8
    grasped = ~same_as_plain
    assert torch.equal(some.crops[grasped], more.crops[grasped])
    assert same(plain, sample_clips((4, 1), index, 2, size=48, held=0.0))


@pytest.mark.parametrize("i", [0, 5, 23])
def test_a_clip_with_a_grasp_is_the_same_bits_alone(i: int) -> None:
    many = sample_clips((4, 2), torch.arange(24), 2, size=48, held=0.7, hands=0.9)
    alone = sample_clips((4, 2), torch.tensor([i]), 2, size=48, held=0.7, hands=0.9)
    assert all(torch.equal(a[i : i + 1], b) for a, b in zip(many, alone, strict=True))


def test_a_recording_can_hold_something_and_two_cameras_see_the_same() -> None:
    camera = Camera(100.0, 100.0, 60.0, 50.0, 120, 100)
    ideal = sensor("ideal")
    plain, held = (Sequence((2, 9), 3, camera, 4, sensor=ideal, held=h) for h in (0.0, 1.0))
    one, two = list(plain.render()), list(held.render())
    assert any((a != b).mean() > 0.01 for a, b in zip(one, two, strict=True))
    assert (two[1] == next(held.render([1]))).all()
    # A camera that is turned by nothing sees the same things; one aside sees them moved.
    still = held.seen_from(np.zeros(3), np.eye(3), "again")
    assert (np.abs(next(still.render([2])).astype(int) - two[2]) <= 1).mean() > 0.999
    aside = held.seen_from(np.array([0.0, 0.0, -50.0]), np.eye(3), "behind")
    deeper = next(aside.render([2])).astype(int)
    middle = deeper[40:60, 50:70][(deeper[40:60, 50:70] > 0) & (two[2][40:60, 50:70] > 0)]
    before = two[2][40:60, 50:70][(deeper[40:60, 50:70] > 0) & (two[2][40:60, 50:70] > 0)]
    assert abs(np.median(middle) - np.median(before) - 50) < 25


# -- solids ----------------------------------------------------------------------------------------


def some_solids(count: int) -> Solids:
    d = draws(count, 9)
    axes = torch.linalg.qr(d.normal(2, 3, 3)).Q
    half = d.uniform(2, 3, low=5, high=40)
    curved = d.chance(0.5, 2).float()
    half[..., 2] = torch.where(curved > 0, half[..., 1], half[..., 2])
    center = d.normal(2, 3, std=40) + torch.tensor([0.0, 0.0, 500.0])
    return Solids(center, axes, half, curved)


def test_distance_to_solids_is_that_to_the_nearest_of_many_points() -> None:
    solids = some_solids(12)
    grid = torch.linspace(-1, 1, 41)
    unit = torch.stack(torch.meshgrid(grid, grid, grid, indexing="ij"), -1).view(-1, 3)
    points = solids.center[:, :1] + draws(12).normal(20, 3, std=60)
    found = solid_distance_mm(points, solids)
    clouds = []
    for place in range(2):
        inside = unit[None].expand(12, -1, -1).clone()
        curved = solids.round[:, place, None] > 0
        ring = inside[..., 1:].norm(dim=-1).clamp(min=1)
        inside[..., 1:] = inside[..., 1:] / torch.where(curved, ring, 1.0)[..., None]
        local = inside * solids.half[:, place, None]
        clouds.append(local @ solids.axes[:, place] + solids.center[:, place, None])
    nearest = torch.cdist(points, torch.cat(clouds, 1)).amin(-1)
    outside = found > 0
    assert outside.float().mean() > 0.5
    # The cloud's points are up to 2 mm apart, and never nearer than the surface.
    assert (nearest[outside] - found[outside]).min() > -0.01
    assert (nearest[outside] - found[outside]).max() < 1.5
    assert (nearest[~outside] < 2.0).all()


def test_rays_meet_solids_where_their_distance_is_nil() -> None:
    solids = some_solids(8)
    one = torch.ones(8)
    view = View(-0.3 * one, -0.3 * one, 0.01 * one, 0.01 * one, 60, 60)
    far = torch.zeros(8, 1, 3) - 1e6
    nothing = Cones(far, far, torch.ones(8, 1), torch.ones(8, 1))
    depth = cast(nothing, view, solids=solids)
    x = (-0.3 + 0.01 * torch.arange(60.0)).expand(60, 60)
    ray = torch.stack([x, x.T, torch.ones(60, 60)], -1)
    for row in range(8):
        hit = depth[row].isfinite()
        assert 20 < int(hit.sum()) < 3600
        points = (ray[hit] * depth[row][hit][:, None])[None]
        assert solid_distance_mm(points, solids.rows(slice(row, row + 1))).abs().max() < 0.02
        # Nothing of a solid is before what is hit, nor anywhere on the rays that miss.
        for share in (0.995, 0.98, 0.9):
            before = solid_distance_mm(share * points, solids.rows(slice(row, row + 1)))
            assert before.min() > -0.02
        for z in range(380, 640, 10):
            missed = (ray[~hit] * z)[None]
            assert solid_distance_mm(missed, solids.rows(slice(row, row + 1))).min() > -0.02


def test_distance_to_cones_agrees_with_balls_along_them() -> None:
    d = draws(30, 3)
    cones = Cones(
        d.normal(2, 3, std=30), d.normal(2, 3, std=30), d.uniform(2, low=4, high=12),
        d.uniform(2, low=4, high=12),
    )  # fmt: skip
    points = d.normal(15, 3, std=60)
    share = torch.linspace(0, 1, 2001)
    centers = cones.a[..., None, :] + share[:, None] * (cones.b - cones.a)[..., None, :]
    radii = cones.ra[..., None] + share * (cones.rb - cones.ra)[..., None]
    brute = (torch.cdist(points, centers.flatten(1, 2)) - radii.flatten(1)[:, None]).amin(-1)
    assert (cone_distance_mm(points, cones) - brute).abs().max() < 0.01


def test_a_thing_moves_and_mirrors_with_its_distances() -> None:
    kinds = torch.arange(len(KINDS))
    thing = sample_things(draws(len(KINDS)), kinds).thing
    points = draws(len(KINDS)).normal(50, 3, std=50)
    turn = torch.linalg.qr(draws(len(KINDS), 2).normal(3, 3)).Q
    place = draws(len(KINDS), 3).normal(3, std=100)
    moved = thing.moved(turn, place).distance_mm(points @ turn.mT + place[:, None])
    torch.testing.assert_close(moved, thing.distance_mm(points), atol=2e-3, rtol=0)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = thing.mirrored(torch.ones(len(KINDS))).distance_mm(points * flip)
    torch.testing.assert_close(mirrored, thing.distance_mm(points), atol=1e-3, rtol=0)


def test_second_hands_are_labelled_where_they_are_shown(scene: Scene) -> None:
    shown = scene.cones.a[:, OTHER, 2] > -1e5
    assert scene.second_xyz_mm is not None
    labelled = scene.second_xyz_mm.isfinite().flatten(1).all(1)
    assert torch.equal(labelled, shown.all(1))
    assert torch.equal(labelled, shown.any(1))


def test_fingers_let_go_at_the_same_moments_for_any_frame_rate() -> None:
    slow, fast = (
        sample_scene(draws(30, 6), count, fps, held=1.0).joints_xyz_mm.view(30, count, 21, 3)
        for count, fps in ((2, 30.0), (3, 60.0))
    )
    torch.testing.assert_close(slow, fast[:, ::2], rtol=0, atol=0.05)
