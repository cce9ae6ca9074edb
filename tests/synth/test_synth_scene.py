from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.synth.motion import sample_motion
from cadstn.synth.raster import cast, crop_view
from cadstn.synth.scene import (
    Clips,
    build_scene,
    sample_centers,
    sample_clips,
    sample_scene,
    sample_shape,
)

HALF_MM = 125.0
SIZE = 64


@pytest.fixture(scope="module")
def clean() -> Clips:
    return sample_clips((7, 1), 40, 2, size=SIZE, clean=True)


def test_batch_is_a_function_of_the_seed() -> None:
    once = sample_clips((3, 0, 5), 2, 3, size=32)
    torch.manual_seed(99)  # whatever the state of the global generators
    np.random.default_rng(99)
    again = sample_clips((3, 0, 5), 2, 3, size=32)
    for one, two in zip(once, again, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_batch_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    sample_clips((3, 0, 5), 1, 1, size=32)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("other", [(3, 0, 6), (3, 1, 5), (4, 0, 5)])
def test_other_seeds_give_other_batches(other: tuple[int, ...]) -> None:
    one, two = sample_clips((3, 0, 5), 2, 1, size=32), sample_clips(other, 2, 1, size=32)
    assert not torch.equal(one.crops, two.crops)
    assert (one.joints != two.joints).any()


@pytest.mark.parametrize("noisy", [False, True])
def test_shapes_and_ranges(noisy: bool) -> None:
    clips = sample_clips((0, 0), 3, 4, size=48, clean=not noisy)
    assert clips.crops.shape == (3, 4, 48, 48)
    assert clips.joints.shape == (3, 4, 21, 3)
    assert clips.centers_mm.shape == (3, 4, 3)
    assert all(field.dtype == torch.float32 for field in clips)
    assert all(field.isfinite().all() for field in clips)
    assert clips.crops.min() >= -1
    assert clips.crops.max() == 1
    assert (clips.crops < 1).flatten(2).any(-1).all()  # every frame shows something


def test_noise_changes_images_and_never_labels() -> None:
    noisy, pure = (sample_clips((5, 0), 2, 2, size=32, clean=clean) for clean in (False, True))
    assert not torch.equal(noisy.crops, pure.crops)
    torch.testing.assert_close(noisy.joints, pure.joints, rtol=0, atol=0)
    torch.testing.assert_close(noisy.centers_mm, pure.centers_mm, rtol=0, atol=0)


def test_batch_can_be_undone_to_millimetres() -> None:
    cube = 300.0
    clips = sample_clips((8, 0), 3, 2, cube_mm=cube, size=32, clean=True)
    scene = sample_scene(np.random.default_rng((8, 0)), 3, 2)
    centers = clips.centers_mm.flatten(0, 1)
    joints = clips.joints.flatten(0, 1) * cube / 2 + centers[:, None]
    torch.testing.assert_close(joints, scene.joints_xyz_mm, rtol=0, atol=1e-3)
    depth = cast(scene.cones, crop_view(centers, cube, 32))
    near, far = centers[:, 2, None, None] - cube / 2, centers[:, 2, None, None] + cube / 2
    expected = torch.minimum(torch.maximum(depth, near), far)
    found = clips.crops.flatten(0, 1) * cube / 2 + centers[:, 2, None, None]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def pixels_of(clips: Clips) -> tuple[Tensor, Tensor]:
    """Where each joint of (N, 21) falls in its crop, by projecting it with an ideal pinhole."""
    centers = clips.centers_mm.flatten(0, 1)[:, None]
    points = clips.joints.flatten(0, 1) * HALF_MM + centers
    # Slopes of joint and cube centre, apart by one pixel for each 250 / SIZE mm at the centre.
    apart = points[..., :2] / points[..., 2:] - centers[..., :2] / centers[..., 2:]
    pixels = apart * centers[..., 2:] * SIZE / (2 * HALF_MM) + SIZE / 2 + 0.75
    return pixels.round().long(), points


def test_labels_lie_on_the_rendered_hand(clean: Clips) -> None:
    pixels, points = pixels_of(clean)
    inside = ((pixels >= 1) & (pixels < SIZE - 1)).all(-1)
    inside &= (points[..., 2] - clean.centers_mm.flatten(0, 1)[:, None, 2]).abs() < HALF_MM - 20
    assert inside.float().mean() > 0.8
    depth = clean.crops.flatten(0, 1) * HALF_MM
    depth = (depth + clean.centers_mm.flatten(0, 1)[:, 2, None, None]).double()
    empty = clean.crops.flatten(0, 1) == 1
    near, hit = [], []
    for image, joint in inside.nonzero().tolist():
        u, v = pixels[image, joint].tolist()
        window = depth[image, v - 1 : v + 2, u - 1 : u + 2]
        hit.append(not empty[image, v - 1 : v + 2, u - 1 : u + 2].all())
        near.append((points[image, joint, 2] - window.min()).item())
    behind = torch.tensor(near)
    assert np.mean(hit) > 0.99
    # Skin covers every joint: nothing visible lies behind it ...
    assert (behind > 0).float().mean() > 0.99
    # ... and where no other part hides it, it is a finger's or the wrist's radius away.
    assert (behind < 25).float().mean() > 0.6
    assert behind.median() < 20


def test_mirrored_labels_would_miss_the_hand(clean: Clips) -> None:
    """The check above can fail: with x turned round far fewer joints meet the surface."""
    flipped = clean._replace(joints=clean.joints * torch.tensor([-1.0, 1.0, 1.0]))
    pixels, _ = pixels_of(flipped)
    pixels = pixels.clamp(0, SIZE - 1)
    empty = clean.crops.flatten(0, 1) == 1
    rows = torch.arange(len(empty))[:, None]
    assert empty[rows, pixels[..., 1], pixels[..., 0]].float().mean() > 0.15


def test_hands_are_left_and_right() -> None:
    shape = sample_shape(np.random.default_rng(0), 1000)
    assert set(shape.left.tolist()) == {0.0, 1.0}
    assert 0.45 < shape.left.mean() < 0.55
    scene = sample_scene(np.random.default_rng(0), 200, 1)
    assert 0.4 < scene.left.mean() < 0.6


def test_a_hand_is_left_or_right_for_the_whole_clip() -> None:
    """Thumb base, index and little knuckle about the wrist: one turning sense a hand."""
    scene = sample_scene(np.random.default_rng(2), 50, 6)
    wrist, thumb, index, pinky = (scene.joints_xyz_mm[:, i] for i in (0, 1, 5, 17))
    volume = torch.stack([index - wrist, pinky - wrist, thumb - wrist], 1).det()
    left = scene.left.repeat_interleave(6).bool()
    # x to the thumb, z out of the palm, where the thumb's base lies: positive for a right hand.
    assert (volume[~left] > 0).all()
    assert (volume[left] < 0).all()


def test_centres_follow_the_frame_before() -> None:
    joints = torch.arange(5.0)[:, None, None] * torch.tensor([1000.0, 0.0, 0.0])
    joints = joints.expand(5, 21, 3).repeat(400, 1, 1)
    centers = sample_centers(np.random.default_rng(0), joints, 5).view(400, 5, 3)
    expected = torch.tensor([0.0, 0.0, 1000.0, 2000.0, 3000.0])
    assert ((centers[..., 0] - expected).abs() < 150).all()
    torch.testing.assert_close(centers.mean(0)[:, 0], expected, rtol=0, atol=5)


def test_centres_are_near_the_mean_joint(clean: Clips) -> None:
    away = clean.joints.mean(2).norm(dim=-1) * HALF_MM
    assert away.median() < 30
    assert away.max() < 130


def test_same_motion_for_a_larger_hand_is_a_larger_hand() -> None:
    motion = sample_motion(np.random.default_rng(0), 3, 2)
    shape = sample_shape(np.random.default_rng(1), 3)
    larger = shape._replace(size=shape.size * 1.1)
    one, two = (build_scene(np.random.default_rng(2), motion, s) for s in (shape, larger))
    spans = [s.joints_xyz_mm.diff(dim=1).norm(dim=-1) for s in (one, two)]
    torch.testing.assert_close(spans[1], spans[0] * 1.1, rtol=1e-3, atol=1e-2)


def test_forearm_never_stands_between_camera_and_hand() -> None:
    scene = sample_scene(np.random.default_rng(3), 300, 1)
    a, b = (field[:, -5:-3, 2] for field in scene.cones[:2])  # body, head and wall come last
    assert (b >= a - 50.001).all()
    assert (b < a - 49.999).any()  # some would otherwise
