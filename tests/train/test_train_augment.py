from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.geometry.camera import Camera
from cadstn.geometry.crop import crop_cube
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.synth.draws import Draws
from cadstn.synth.hand import Cones
from cadstn.synth.raster import cast, crop_view
from cadstn.train.augment import (
    _TRANSFORMS,
    MISTAKEN,
    augment,
    cut_off,
    mirroring,
    recenter,
    resample,
    rotation,
    shake,
    transform,
    transform_codes,
    upright,
)
from cadstn.train.compact import shifts_seen
from cadstn.train.recipes import recipe
from cadstn.train.recipes.parts import Augment
from cadstn.train.source import Batch
from cadstn.train.uvd import from_pixels, from_uvd, to_pixels, to_uvd

CUBE, SIZE = 250.0, 128


def figure() -> Tensor:
    """Eight balls without any symmetry: (8, 3) mm around the centre, the eighth in front."""
    points = torch.tensor(
        [[-70, -60, 20], [-30, -75, -30], [20, -60, 10], [70, -20, 40], [40, 30, -50],
         [-10, 60, 0], [-60, 10, 60], [5, 5, -80]],
    )  # fmt: skip
    return points.float()


def rendered(points_mm: Tensor, centers_mm: Tensor, radius_mm: float, cube_mm: Tensor) -> Batch:
    """Balls (B, 8, 3) in the camera's frame, in the crop of a cube; labels are their middles."""
    radii = torch.full(points_mm.shape[:2], radius_mm)
    cones = Cones(points_mm, points_mm + torch.tensor([0.0, 0.0, 1e-3]), radii, radii)
    images = [
        cast(Cones(*(f[i : i + 1] for f in cones)), crop_view(centers_mm[i : i + 1], edge, SIZE))
        for i, edge in enumerate(cube_mm.tolist())
    ]
    half = (cube_mm / 2).view(-1, 1, 1)
    crops = ((torch.cat(images) - centers_mm[:, 2, None, None]) / half).clamp(-1, 1)
    joints = (points_mm - centers_mm[:, None]) / half
    return Batch(crops[:, None], joints[:, None], centers_mm[:, None], cube_mm)


def batch_at(*centers: tuple[float, float, float]) -> Batch:
    centers_mm = torch.tensor(centers)
    cube = torch.full((len(centers),), CUBE)
    return rendered(figure() + centers_mm[:, None], centers_mm, 14.0, cube)


def agreement(one: Tensor, two: Tensor) -> float:
    """Share of pixels of one depth, or without surface in both; 3 % of half a cube is allowed."""
    same = ((one < 1) == (two < 1)) & ((one - two).abs() < 0.03)
    return float(same.float().mean())


AXIS = (0.0, 0.0, 500.0)
ASIDE = (70.0, -45.0, 420.0)


@pytest.mark.parametrize("code", range(6))
@pytest.mark.parametrize("center", [AXIS, ASIDE])
def test_turned_image_is_the_image_of_the_turned_pose(
    code: int, center: tuple[float, float, float]
) -> None:
    """render(turn(pose)) = turn(render(pose)), labels of the former being those of the latter."""
    batch = batch_at(center)
    transformed = transform(batch, _TRANSFORMS[code : code + 1], torch.zeros(1, 2))
    points = transformed.joints[:, 0] * (CUBE / 2) + batch.centers_mm[:, 0, None]
    again = rendered(points, batch.centers_mm[:, 0], 14.0, batch.cube_mm)
    # A ball seen from aside is an ellipse, which a turn takes along and a turned ball does not.
    assert agreement(transformed.crops, again.crops) > (0.99 if center == AXIS else 0.975)
    if code:
        assert agreement(batch.crops, again.crops) < 0.95  # the test can fail
    # Depths are untouched, and around the axis the pose has only turned, but for the crop's shift.
    assert torch.allclose(transformed.joints[..., 2], batch.joints[..., 2], atol=1e-6)
    if center == AXIS:
        rigid = figure()[:, :2] @ _TRANSFORMS[code].mT
        shift_mm = 2.5 * 1.42 * CUBE / SIZE * 1.2  # up to twice 1.25 pixels, nearer is smaller
        assert float((points[0, :, :2] - rigid).norm(dim=-1).max()) < shift_mm


def test_quarter_turn_moves_pixels_exactly() -> None:
    batch = batch_at(AXIS)
    options = [torch.rot90(batch.crops, -k, (2, 3)) for k in range(4)]
    options += [batch.crops.flip(3), batch.crops.flip(2)]
    for code, expected in enumerate(options):
        found = resample(batch.crops, _TRANSFORMS[code : code + 1], torch.zeros(1, 2))
        assert torch.equal(found, expected), code


@pytest.mark.parametrize("center", [AXIS, ASIDE])
def test_pixels_of_joints_are_where_the_crop_shows_them(
    center: tuple[float, float, float],
) -> None:
    """A small ball's silhouette is centred at its joint's pixel, in a crop of a real frame too."""
    point = torch.tensor([[40.0, -30.0, -20.0]]) + torch.tensor(center)
    batch = rendered(point[None], torch.tensor([center]), 6.0, torch.tensor([CUBE]))
    rows, columns = (batch.crops[0, 0] < 1).nonzero().float().mean(0).tolist()
    pixel = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, SIZE)[0, 0, 0] + 63.5
    assert pixel.tolist() == pytest.approx([columns, rows], abs=0.35)
    # DeepPrior's crop of whole frames: floored, so right within a pixel of the crop's.
    camera = Camera(700.0, 700.0, 320.0, 240.0, 640, 480)
    u, v, _ = camera.to_uvd(point[0].numpy())
    line_u, line_v = torch.arange(640.0) - float(u), torch.arange(480.0) - float(v)
    disc = (line_u**2)[None] + (line_v**2)[:, None] < 64
    depth = torch.where(disc, float(point[0, 2]), 0.0).numpy()
    image = torch.from_numpy(crop_cube(depth, camera, center, CUBE, SIZE).image)
    rows, columns = (image < 1).nonzero().float().mean(0).tolist()
    assert pixel.tolist() == pytest.approx([columns, rows], abs=1.3)


def test_pixels_and_back() -> None:
    batch = batch_at(AXIS, ASIDE)
    pixels = to_pixels(batch.joints, batch.centers_mm, batch.cube_mm, SIZE)
    back = from_pixels(pixels, batch.joints[..., 2], batch.centers_mm, batch.cube_mm, SIZE)
    torch.testing.assert_close(back, batch.joints, atol=1e-5, rtol=0)


@pytest.mark.parametrize("center", [AXIS, ASIDE])
@pytest.mark.parametrize(
    ("shift", "scale", "degrees", "mirror"),
    [
        ((0, 0, 0), 1.0, 0.0, False),
        ((12.0, -8.0, 15.0), 1.0, 0.0, False),
        ((0, 0, 0), 1.12, 0.0, False),
        ((0, 0, 0), 0.9, 0.0, False),
        ((0, 0, 0), 1.0, 33.0, False),
        ((0, 0, 0), 1.0, 0.0, True),
        ((-9.0, 6.0, -10.0), 1.08, -140.0, True),
    ],
)
def test_recentered_image_is_the_image_of_the_recentered_cube(
    center: tuple[float, float, float],
    shift: tuple[float, ...],
    scale: float,
    degrees: float,
    mirror: bool,
) -> None:
    batch = batch_at(center)
    matrix = rotation(torch.tensor([math.radians(degrees)])) @ mirroring(torch.tensor([mirror]))
    moved = recenter(batch, torch.tensor([shift]), torch.tensor([scale]), matrix)
    assert (moved.centers_mm - batch.centers_mm)[0, 0].tolist() == pytest.approx(shift, abs=1e-3)
    assert float(moved.cube_mm) == pytest.approx(CUBE * scale)
    points = moved.joints[:, 0] * (moved.cube_mm / 2) + moved.centers_mm[:, 0, None]
    again = rendered(points, moved.centers_mm[:, 0], 14.0, moved.cube_mm)
    assert agreement(moved.crops, again.crops) > 0.97
    if degrees or scale != 1 or mirror:
        assert agreement(batch.crops, again.crops) < 0.95  # the test can fail
    if not degrees and not mirror:  # the hand itself has not moved
        torch.testing.assert_close(
            points, figure()[None] + torch.tensor([center])[:, None], atol=1e-2, rtol=0
        )


def test_shaking_changes_surface_only_and_by_the_amount_asked() -> None:
    batch = batch_at(AXIS, ASIDE)
    shaken = shake(batch, Draws((1,), torch.arange(2)), 3.0)
    surface = (batch.crops < 1) & (batch.crops > -1)
    assert torch.equal(shaken.crops < 1, batch.crops < 1)
    change = (shaken.crops - batch.crops)[surface] * CUBE / 2
    assert float(change.std()) == pytest.approx(3.0, rel=0.05)
    assert torch.equal(shaken.crops[~surface], batch.crops[~surface])


def test_turns_are_drawn_evenly_and_only_for_the_copies() -> None:
    items = torch.arange(5000)
    copy = items % 2 == 1
    codes = transform_codes("paper", (3,), items, copy)
    assert not codes[~copy].any()
    counts = torch.bincount(codes[copy], minlength=6)
    assert counts[0] == 0
    assert counts[1:].min() > 400
    assert set(transform_codes("released", (3,), items, copy)[copy].tolist()) == {1, 2, 3}
    assert torch.equal(transform_codes("paper", (3,), items[7:9], copy[7:9]), codes[7:9])


def test_the_picture_s_edge_hides_and_moves_nothing() -> None:
    """A straight edge: pixels go or stay, labels stay, and a hand of which all is gone is none."""
    rows, size = 400, 16
    joints = torch.rand(rows, 2, 5, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    presence = (torch.arange(rows) % 4 > 0).float()
    centers_mm = torch.tensor([[[0.0, 0.0, 500.0]]]).expand(rows, 2, 3)
    full = torch.zeros(rows, 2, size, size)
    batch = Batch(full, joints, centers_mm, torch.full((rows,), CUBE), None, presence)
    cut = cut_off(batch, Draws((0,), torch.arange(rows)), 0.5)
    assert torch.equal(cut.joints, joints)
    assert cut.presence is not None
    gone = cut.crops == 1
    assert ((cut.crops == 0) | gone).all()
    assert torch.equal(gone[:, 0], gone[:, 1])
    changed = gone.flatten(1).any(1)
    assert 0.35 < changed.float().mean() < 0.6
    sides = (gone[:, 0, :, 0], gone[:, 0, :, -1], gone[:, 0, 0], gone[:, 0, -1])
    straight = torch.stack([side.all(1) for side in sides]).sum(0)
    assert (straight[changed] == 1)[cut.presence[changed] > 0].all()
    # What is said of joints out of sight: at most half, or all and then there is no hand.
    pixels = (to_pixels(joints, centers_mm, batch.cube_mm, size) + (size - 1) / 2).round().long()
    x, y = pixels.clamp(0, size - 1).flatten(1, 2).unbind(-1)
    out = gone[:, 0][torch.arange(rows)[:, None], y, x].float().mean(1)
    lost = (presence > 0) & (cut.presence == 0)
    assert lost.any()
    assert out[lost].min() > 0.8
    assert out[cut.presence > 0].max() < 0.75
    assert torch.equal(cut.presence[presence == 0], presence[presence == 0])
    unlabelled = cut_off(batch._replace(presence=None), Draws((0,), torch.arange(rows)), 1.0)
    assert unlabelled.presence is None


def hands(center: tuple[float, float, float], degrees: float, left: bool) -> Batch:
    """A hand of 21 joints whose knuckles lie so far clockwise of above the wrist; thumb right."""
    knuckle, angle = torch.linspace(30.0, -30.0, 4), math.radians(degrees)
    joints = torch.randn(21, 3, generator=torch.Generator().manual_seed(3)) * 10
    joints[WRIST] = torch.tensor([0.0, 45.0, 5.0])
    joints[KNUCKLES] = torch.stack([knuckle, torch.full((4,), -40.0), torch.zeros(4)], -1)
    joints[:, 0] *= -1 if left else 1
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    joints[:, :2] = joints[:, :2] @ matrix.T
    points = joints[None] + torch.tensor(center)
    batch = rendered(points, torch.tensor([center]), 9.0, torch.tensor([CUBE]))
    return batch._replace(handedness=torch.tensor([float(left)]), presence=torch.ones(1))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 75.0, 180.0, -130.0])
@pytest.mark.parametrize("center", [AXIS, ASIDE])
def test_upright_hands_are_right_and_point_up(
    center: tuple[float, float, float], degrees: float, left: bool
) -> None:
    batch = hands(center, degrees, left)
    transformed = upright(batch)
    assert transformed.handedness is not None
    assert not transformed.handedness.any()
    pixels = to_pixels(transformed.joints, transformed.centers_mm, transformed.cube_mm, SIZE)[0, 0]
    across, down = (pixels[KNUCKLES].mean(0) - pixels[WRIST]).tolist()
    assert abs(across) < 0.01
    assert down < -20
    # The index finger's side is where a right hand has it.
    assert pixels[KNUCKLES[0], 0] - pixels[KNUCKLES[-1], 0] > 10
    twice = upright(transformed)
    torch.testing.assert_close(twice.joints, transformed.joints, atol=1e-4, rtol=0)


def test_a_share_of_what_is_augmented_is_upright_with_its_side() -> None:
    one = hands(AXIS, 60.0, True)
    rows = torch.arange(400)
    many = Batch(*(f.expand(400, *f.shape[1:]) for f in one if f is not None))
    how = Augment(rotate_deg=20.0, mirror=True, upright=0.8)
    made = augment(many, dataclasses.replace(recipe("compact"), augment=how), (1,), rows, None)
    assert made.handedness is not None
    pixels = to_pixels(made.joints, made.centers_mm, made.cube_mm, SIZE)[:, 0]
    across, down = (pixels[:, KNUCKLES].mean(1) - pixels[:, WRIST]).unbind(-1)
    tilt = torch.rad2deg(torch.atan2(across, -down)).abs()
    # Four in five, and of the others those that chance turns up.
    assert float((tilt < 21).float().mean()) == pytest.approx(0.8 + 0.2 * 20 / 180, abs=0.05)
    # Some upright hands are shown as the other one, and every second of the rest.
    assert float(made.handedness.mean()) == pytest.approx(0.8 * MISTAKEN + 0.1, abs=0.05)
    side = pixels[:, KNUCKLES[0]] - pixels[:, KNUCKLES[-1]]
    handed = side[:, 0] * down - side[:, 1] * across
    assert torch.equal(handed > 0, made.handedness > 0.5)


def test_a_clip_s_shifts_turn_with_its_image() -> None:
    """A hand that does not move, in a crop that does: what joints were said is what they become."""
    centers_mm = torch.tensor([[[0.0, 0.0, 900.0], [20.0, -10.0, 905.0]]])
    still = torch.tensor([10.0, 25.0, 890.0])
    joints = ((still - centers_mm) / (CUBE / 2))[:, :, None]
    crops = torch.ones(1, 2, SIZE, SIZE)
    batch = Batch(crops, joints, centers_mm, torch.tensor([CUBE]), torch.ones(1))
    matrix = rotation(torch.tensor([0.7])) @ mirroring(torch.tensor([True]))
    transformed = recenter(batch, torch.zeros(1, 3), torch.ones(1), matrix)
    for clip in (batch, transformed):
        seen = to_uvd(clip.joints, clip.centers_mm, clip.cube_mm)[0, :, 0]
        # What nearness enlarges in between is left: 5 mm of 900.
        assert float((seen[0] - shifts_seen(clip)[0, 1] - seen[1]).norm()) < 0.002
    wrong = shifts_seen(transformed._replace(transform=None))[0, 1]
    seen = to_uvd(transformed.joints, transformed.centers_mm, transformed.cube_mm)[0, :, 0]
    assert float((seen[0] - wrong - seen[1]).norm()) > 0.1


def test_a_crop_shows_directions_and_depths_and_no_more() -> None:
    """Two cubes that look alike: what is seen of joints is equal, where they lie is not."""
    generator = torch.Generator().manual_seed(0)
    uvd = torch.rand(2, 1, 5, 3, generator=generator) - 0.5
    uvd[1] = uvd[0]
    cube = torch.full((2,), CUBE)
    centers_mm = torch.tensor([[[0.0, 0.0, 600.0]], [[300.0, -100.0, 600.0]]])
    joints = from_uvd(uvd, centers_mm, cube)
    torch.testing.assert_close(to_uvd(joints, centers_mm, cube), uvd)
    apart = joints[1] - joints[0]
    # Aside by the cube's direction, as deep as the joint is.
    torch.testing.assert_close(apart[..., :2], uvd[0, ..., 2:] * torch.tensor([0.5, -1 / 6]))
    # As the crop of a frame has it.
    wall = np.full((4, 4), 600.0, np.float32)
    crop = crop_cube(wall, Camera(100, 100, 0, 0), (300, -100, 600), CUBE)
    joints_mm = crop.to_mm(joints[1, 0].numpy())
    np.testing.assert_allclose(crop.uvd_to_mm(uvd[1, 0].numpy()), joints_mm, atol=1e-3)


def changed(**how: Any) -> tuple[Batch, Batch]:
    """Flat crops of hands that are points at their centres, and the same augmented."""
    rows = 2000
    centers_mm = torch.tensor([[list(AXIS)]]).expand(rows, 1, 3)
    flat, joints = torch.zeros(rows, 1, 4, 4), torch.zeros(rows, 1, 21, 3)
    still = Batch(flat, joints, centers_mm, torch.full((rows,), CUBE))
    chosen = dataclasses.replace(recipe("compact"), augment=Augment(**how))
    return still, augment(still, chosen, (1,), torch.arange(rows), None)


def test_cubes_grow_and_move_as_far_as_the_recipe_says() -> None:
    still, made = changed(scale=0.2, shift_mm=8.0)
    grown = made.cube_mm / CUBE
    assert [float(grown.min()), float(grown.max())] == pytest.approx([0.8, 1.2], abs=0.005)
    assert float(grown.mean()) == pytest.approx(1.0, abs=0.01)
    moved_mm = made.centers_mm - still.centers_mm
    assert float(moved_mm.std()) == pytest.approx(8.0, rel=0.05)
    assert float(moved_mm.mean((0, 1)).abs().max()) < 0.8
    back = made.joints * (made.cube_mm / 2).view(-1, 1, 1, 1) + made.centers_mm[:, :, None]
    torch.testing.assert_close(back, still.centers_mm[:, :, None].expand_as(back))


def test_noise_and_cut_edges_are_as_the_recipe_says() -> None:
    shaken = changed(noise_mm=3.0)[1].crops * CUBE / 2
    assert float(shaken.std()) == pytest.approx(3.0, rel=0.05)
    # Points at the middle: wherever the edge is, it hides a column or a row, and more.
    cut = (changed(edge=0.3)[1].crops == 1).flatten(1).any(1)
    assert float(cut.float().mean()) == pytest.approx(0.3, abs=0.05)
