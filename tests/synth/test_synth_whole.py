"""Whole frames for the detector: what they show, and what is said to be in them."""

import numpy as np
import torch

from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.synth.boxes import Grid, draw_boxes
from cadstn.synth.raster import crop_view
from cadstn.synth.room_batch import room_beside
from cadstn.synth.rooms import random_rotation, sample_room
from cadstn.synth.scene import Scene
from cadstn.synth.shape import average_shape
from cadstn.synth.surface import Cones
from cadstn.synth.whole import (
    ABSENT,
    FOUND,
    HEIGHT,
    UNSURE,
    WIDTH,
    _labels,
    crops_at,
    measured,
    sample_frames,
    sample_whole,
)

SEED = (3, 99)


def test_a_frame_is_the_same_in_every_batch() -> None:
    together = sample_frames(SEED, torch.arange(12))
    alone = sample_frames(SEED, torch.tensor([7]))
    for name, field in together._asdict().items():
        np.testing.assert_array_equal(field[7:8], getattr(alone, name), err_msg=name)


def test_frames_without_hands_have_none_and_others_have() -> None:
    none = sample_frames(SEED, torch.arange(24), hands=0.0)
    assert (none.found == ABSENT).all()
    some = sample_frames(SEED, torch.arange(24), hands=1.0)
    assert (some.found[:, 0] != ABSENT).mean() > 0.8
    assert (some.found[:, 1] != ABSENT).any()  # a second hand now and then
    # Furniture and people are there in both: hardly a frame is empty.
    assert ((none.depth_mm > 0).mean((1, 2)) > 0.02).mean() > 0.8


def test_a_found_hand_is_measured_where_its_label_is() -> None:
    frames = sample_frames(SEED, torch.arange(64))
    checked = 0
    for k, h in zip(*np.nonzero(frames.found == FOUND), strict=True):
        u, v, z = frames.center_uvd[k, h]
        reach = max(2, round(45 / z * frames.focal_px[k]))
        rows = slice(max(0, int(v) - reach), int(v) + reach + 1)
        columns = slice(max(0, int(u) - reach), int(u) + reach + 1)
        near = np.abs(frames.depth_mm[k, rows, columns] - z) < 90
        assert near.any()
        assert 0.6 < frames.size[k, h] < 1.5
        assert np.linalg.norm(frames.direction[k, h]) < 1.001
        checked += 1
    assert checked > 20


def test_labels_are_the_scene_s_own() -> None:
    scene = sample_whole(SEED, torch.arange(16), hands=1.0)
    frames = sample_frames(SEED, torch.arange(16), hands=1.0)
    middle = scene.hands[0].joints_xyz_mm[:, KNUCKLES].mean(1).numpy()
    f = frames.focal_px[:, None]
    uv = middle[:, :2] / middle[:, 2:] * f + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
    np.testing.assert_allclose(frames.center_uvd[:, 0, :2], uv, atol=1e-3)
    for k, hand in enumerate(scene.hands):
        joints = hand.joints_xyz_mm.numpy()
        seen = joints[..., :2] / joints[..., 2:]
        ahead = seen[:, KNUCKLES].mean(1) - seen[:, WRIST]
        direction = frames.direction[:, k]
        length = np.linalg.norm(direction, axis=-1)
        assert (length > 0).all()
        # Parallel, and not the other way round.
        product = (ahead * direction).sum(-1)
        np.testing.assert_allclose(product, length * np.linalg.norm(ahead, axis=-1), atol=1e-5)
        bone = np.linalg.norm(joints[:, KNUCKLES[1]] - joints[:, WRIST], axis=-1)
        np.testing.assert_allclose(frames.size[:, k], bone / 90, rtol=1e-4)
        np.testing.assert_array_equal(frames.left[:, k], scene.shapes[k].left.numpy())


def test_a_crop_of_a_scene_shows_its_hand() -> None:
    scene = sample_whole(SEED, torch.arange(24), hands=1.0)
    labels = sample_frames(SEED, torch.arange(24), hands=1.0)
    middle = scene.hands[0].joints_xyz_mm[:, KNUCKLES].mean(1)
    crops = crops_at(scene, middle, 250.0, 64)
    assert crops.shape == (24, 64, 64)
    assert crops.abs().max() <= 1
    clear = labels.found[:, 0] == FOUND
    surface = ((crops.abs() < 0.8).float().mean((1, 2)) > 0.04).numpy()
    assert surface[clear].mean() > 0.9
    rows = torch.tensor([7, 2, 2])
    picked = crops_at(scene.pick(rows), middle[rows], 250.0, 64)
    np.testing.assert_array_equal(picked, crops[rows])


def test_boxes_are_where_rays_meet_them() -> None:
    """Against the slab method, pixel by pixel."""
    rng = np.random.default_rng(4)
    grid = Grid(120.0, 79.5, 59.5, 120, 160)
    for _ in range(12):
        axes, half = random_rotation(rng), rng.uniform(20, 200, 3)
        center = np.array([*rng.uniform(-200, 200, 2), rng.uniform(600, 1500)])
        row = np.concatenate([center, half, axes.ravel()])
        depth = draw_boxes(row[None], grid)
        v, u = np.mgrid[: grid.height, : grid.width]
        rays = np.stack([(u - grid.cx) / 120, (v - grid.cy) / 120, np.ones_like(u)], -1)
        along, start = rays @ axes.T, -(axes @ center)
        with np.errstate(divide="ignore"):
            one, two = (-half - start) / along, (half - start) / along
        near, far = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
        expected = np.where(near < far, near, np.inf)
        both = np.isfinite(expected) & np.isfinite(depth)
        union = np.isfinite(expected) | np.isfinite(depth)
        assert both.sum() > 0.8 * union.sum()  # outlines differ by a pixel
        assert np.median(np.abs(depth[both] - expected[both])) < 0.1


def test_rooms_differ_and_hold_things() -> None:
    rooms = [sample_room(np.random.default_rng(seed)) for seed in range(30)]
    assert sum(len(room.cones) > 5 for room in rooms) > 20
    assert sum(len(room.boxes) > 2 for room in rooms) > 15
    assert len({len(room.cones) for room in rooms}) > 10


def test_what_is_measured_decides_what_is_to_be_found() -> None:
    """Wrist at (0, 0, 560), all else at (36, -48, 480): 100 mm long, at f = 100 px."""
    joints = torch.tensor([36.0, -48.0, 480.0]).repeat(9, 21, 1)
    joints[:, WRIST] = torch.tensor([0.0, 0.0, 560.0])
    depth = np.full((9, HEIGHT, WIDTH), 470.0, np.float32)
    depth[1], depth[2], depth[3] = 300.0, 0.0, 900.0  # covered, not measured, only what is behind
    joints[5, :, 0] += 2000.0  # out of the frame
    joints[6, :, 2] += 4000.0  # 200 mm at 4480 mm are 4.5 px
    depth[6] += 4000.0
    joints[7][list(KNUCKLES), 0] = (170 - 79.5) * 4.8  # its middle at column 170, the rest inside
    joints[8, :, 0] += (140 - 87) * 4.8  # on the right, at column 140
    present = np.arange(9) != 4
    cones, shape = Cones(joints, joints, joints[..., 0], joints[..., 0]), average_shape(9)
    scene = Scene(joints, cones, joints, shape.left)
    uvd, direction, size, _, found = _labels(scene, shape, torch.full((9,), 100.0), depth, present)
    # 79.5 + 100 * 36 / 480, 59.5 - 100 * 48 / 480
    np.testing.assert_allclose(uvd[0], [87.0, 49.5, 480.0], rtol=1e-5)
    # Slopes (0.075, -0.1) are 0.125 long; at the wrist's depth 70 mm, of 100: 0.7 (0.6, -0.8).
    np.testing.assert_allclose(direction[0], [0.42, -0.56], rtol=1e-5)
    np.testing.assert_allclose(size[0], 100 / 90, rtol=1e-5)
    assert found.tolist() == [
        FOUND, UNSURE, UNSURE, UNSURE, ABSENT, ABSENT, UNSURE, UNSURE, FOUND,
    ]  # fmt: skip


def test_rooms_keep_clear_of_both_hands() -> None:
    one, other = torch.tensor([-150.0, 0.0, 700.0]), torch.tensor([150.0, 50.0, 600.0])
    things = 0
    for index in range(40):
        room = room_beside((3,), index, (one, other, torch.tensor(True)))
        things += len(room.cones)
        for middle in (one.numpy(), other.numpy()):
            for row in room.planes:
                assert row[:3] @ middle - row[3] > 189.9
            for row in room.cones:
                along = row[:3] + np.linspace(0, 1, 21)[:, None] * (row[3:6] - row[:3])
                away = np.linalg.norm(along - middle, axis=1).min()
                assert away > row[6:].max() + 142  # three quarters of 190
    assert things > 100


def test_another_noise_is_another_moment_of_a_scene() -> None:
    scene = sample_whole(SEED, torch.arange(2), hands=1.0)
    view = crop_view(scene.hands[0].joints_xyz_mm.mean(1), 250.0, 32)
    one, same, other = (measured(scene, view, noise=n) for n in ("noise", "noise", "later"))
    assert torch.equal(one, same)
    assert (one != other).flatten(1).any(1).all()
