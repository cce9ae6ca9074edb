from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cadstn.errors import CadstnError
from cadstn.geometry.convention import convert
from cadstn.geometry.skeleton import KNUCKLES, SKELETONS
from cadstn.synth import stream
from cadstn.synth.draws import Draws
from cadstn.synth.raster import cast, crop_view
from cadstn.synth.scene import sample_scene
from cadstn.synth.sensors import sensor
from cadstn.synth.stream import Clips, sample_clips

HALF_MM = 125.0
SIZE = 64
SEED = (7, 1)


def row(clips: Clips, i: int) -> Clips:
    return Clips(*(field[i : i + 1] for field in clips))


def assert_same(one: Clips, two: Clips) -> None:
    for name, a, b in zip(Clips._fields, one, two, strict=True):
        assert torch.equal(a, b), name


@pytest.fixture(scope="module")
def clean() -> Clips:
    return sample_clips(SEED, torch.arange(40), 2, size=SIZE, clean=True)


@pytest.fixture(scope="module")
def noisy() -> Clips:
    """Many in one batch, some without a hand."""
    return sample_clips(SEED, torch.arange(64), 2, size=SIZE, hands=0.8)


@pytest.mark.parametrize("i", [0, 13, 63])
def test_a_sample_is_the_same_bits_alone_as_in_a_batch_of_64(noisy: Clips, i: int) -> None:
    assert_same(row(noisy, i), sample_clips(SEED, torch.tensor([i]), 2, size=SIZE, hands=0.8))


def test_order_and_company_do_not_matter(noisy: Clips) -> None:
    index = torch.tensor([40, 3, 3, 17])
    some = sample_clips(SEED, index, 2, size=SIZE, hands=0.8)
    for place, i in enumerate(index.tolist()):
        assert_same(row(some, place), row(noisy, i))


def test_global_generators_neither_matter_nor_move(noisy: Clips) -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = sample_clips(SEED, torch.arange(2), 2, size=SIZE, hands=0.8)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_same(again, Clips(*(field[:2] for field in noisy)))


@pytest.mark.parametrize("other", [(7, 2), (8, 1), (7, 1, 0)])
def test_other_seeds_give_other_samples(other: tuple[int, ...]) -> None:
    one, two = (sample_clips(s, torch.arange(2), 1, size=32) for s in (SEED, other))
    assert (one.crops != two.crops).flatten(1).any(1).all()
    assert (one.joints != two.joints).flatten(1).all(1).all()


@pytest.mark.parametrize("clean", [False, True])
def test_shapes_and_ranges(clean: bool) -> None:
    clips = sample_clips((0, 0), torch.arange(3), 4, size=48, clean=clean)
    assert clips.crops.shape == (3, 4, 48, 48)
    assert clips.joints.shape == (3, 4, 21, 3)
    assert clips.centers_mm.shape == (3, 4, 3)
    assert clips.handedness.shape == clips.presence.shape == (3,)
    assert all(field.dtype == torch.float32 and field.isfinite().all() for field in clips)
    assert clips.crops.min() >= -1
    assert clips.crops.max() <= 1
    assert (clips.crops < 1).flatten(2).any(-1).all()  # every frame shows something
    assert (clips.presence == 1).all()


def test_noise_changes_images_and_never_labels() -> None:
    index = torch.arange(2)
    noisy, pure = (sample_clips((5, 0), index, 2, size=32, clean=clean) for clean in (False, True))
    assert not torch.equal(noisy.crops, pure.crops)
    assert_same(noisy._replace(crops=pure.crops), pure)


def test_noise_is_new_in_every_frame_of_one_sensor() -> None:
    clips = sample_clips((5, 0), torch.arange(4), 2, size=32)
    pure = sample_clips((5, 0), torch.arange(4), 2, size=32, clean=True)
    both = (pure.crops.abs() < 0.9).all(1) & (clips.crops.abs() < 0.9).all(1)
    error = (clips.crops - pure.crops) * HALF_MM
    assert (error[:, 0] - error[:, 1])[both].abs().median() > 0.01


@pytest.mark.parametrize("skeleton", sorted(SKELETONS))
def test_labels_come_in_every_convention(skeleton: str) -> None:
    clips = sample_clips((5, 0), torch.arange(3), 2, size=16, clean=True, skeleton=skeleton)
    hand = sample_clips((5, 0), torch.arange(3), 2, size=16, clean=True)
    assert clips.joints.shape == (3, 2, len(SKELETONS[skeleton].joints), 3)
    torch.testing.assert_close(clips.joints, convert(hand.joints, skeleton), rtol=0, atol=1e-5)


def test_batch_can_be_undone_to_millimetres() -> None:
    cube, index = 300.0, torch.arange(3)
    clips = sample_clips((8, 0), index, 2, cube_mm=cube, size=32, clean=True)
    scene = sample_scene(Draws((8, 0), index).fork("scene"), 2)
    centers = clips.centers_mm.flatten(0, 1)
    joints = clips.joints.flatten(0, 1) * cube / 2 + centers[:, None]
    torch.testing.assert_close(joints, scene.joints_xyz_mm, rtol=0, atol=1e-3)
    depth = cast(scene.cones, crop_view(centers, cube, 32), planes=scene.planes)
    near, far = centers[:, 2, None, None] - cube / 2, centers[:, 2, None, None] + cube / 2
    expected = torch.minimum(torch.maximum(depth, near), far)
    found = clips.crops.flatten(0, 1) * cube / 2 + centers[:, 2, None, None]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def pixels_of(clips: Clips) -> tuple[Tensor, Tensor]:
    """Pixels (N, 21, 2) that joints fall on, and the joints (N, 21, 3) in mm."""
    centers = clips.centers_mm.flatten(0, 1)
    points = clips.joints.flatten(0, 1) * HALF_MM + centers[:, None]
    view = crop_view(centers, 2 * HALF_MM, SIZE)
    u = (points[..., 0] / points[..., 2] - view.x0[:, None]) / view.step_x[:, None]
    v = (points[..., 1] / points[..., 2] - view.y0[:, None]) / view.step_y[:, None]
    return torch.stack([u, v], -1).round().long(), points


def test_labels_lie_in_the_flesh_that_is_seen(clean: Clips) -> None:
    pixels, points = pixels_of(clean)
    centers = clean.centers_mm.flatten(0, 1)
    inside = ((pixels >= 1) & (pixels < SIZE - 1)).all(-1)
    inside &= (points[..., 2] - centers[:, None, 2]).abs() < HALF_MM - 20
    assert inside.float().mean() > 0.8
    crops = clean.crops.flatten(0, 1)
    depth = crops * HALF_MM + centers[:, 2, None, None]
    behind = []
    for image, joint in inside.nonzero().tolist():
        u, v = pixels[image, joint].tolist()
        window = depth[image, v - 1 : v + 2, u - 1 : u + 2]
        behind.append((points[image, joint, 2] - window.min()).item())
    gaps = torch.tensor(behind)
    # Something visible lies before every joint ...
    assert (gaps > 0).float().mean() > 0.99
    # ... and where no other part hides it, it is a finger's or the wrist's radius away.
    assert (gaps < 25).float().mean() > 0.55
    assert gaps.median() < 20


def test_mirrored_labels_would_miss_the_hand(clean: Clips) -> None:
    """The check above can fail: with x turned round far fewer joints lie behind a surface."""
    flipped = clean._replace(joints=clean.joints * torch.tensor([-1.0, 1.0, 1.0]))
    pixels, points = pixels_of(flipped)
    pixels = pixels.clamp(0, SIZE - 1)
    centers = clean.centers_mm.flatten(0, 1)
    depth = clean.crops.flatten(0, 1) * HALF_MM + centers[:, 2, None, None]
    seen = depth[torch.arange(len(depth))[:, None], pixels[..., 1], pixels[..., 0]]
    assert (points[..., 2] < seen).float().mean() > 0.15


def test_a_share_of_crops_has_no_hand() -> None:
    index = torch.arange(60)
    clips = sample_clips((3, 0), index, 1, size=32, clean=True, hands=0.5)
    whole = sample_clips((3, 0), index, 1, size=32, clean=True)
    assert 0.25 < clips.presence.mean() < 0.75
    there = clips.presence.bool()
    assert torch.equal(clips.crops[there], whole.crops[there])
    assert (clips.crops[~there] != whole.crops[~there]).flatten(1).any(1).float().mean() > 0.9
    # Not all are empty: arms, bodies, walls.
    assert (clips.crops[~there] < 1).flatten(1).any(1).float().mean() > 0.5
    # No joint of the hand is in a crop that is said to show none but where the hand was removed.
    moved = (clips.centers_mm != whole.centers_mm).flatten(1).any(1)
    assert moved.any()
    inside = (clips.joints[moved].abs() < 0.9).all(-1)
    assert inside.float().mean() < 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cube_mm": -250.0}, "cube_mm is -250"),
        ({"cube_mm": 0.0}, "cube_mm is 0"),
        ({"cube_mm": float("nan")}, "cube_mm is nan"),
        ({"size": 0}, "size is 0"),
        ({"size": 100_000}, "size is 100000"),
        ({"hands": 1.5}, "hands is 1.5"),
        ({"skeleton": "hand22"}, "hand22"),
        ({"center": "mass"}, "unknown center 'mass'; give tracked or followed"),
    ],
)
def test_nonsense_is_one_line(change: dict[str, float], message: str) -> None:
    with pytest.raises(CadstnError, match=message):
        sample_clips((0,), torch.arange(1), 1, **{"size": 16, **change})  # type: ignore[arg-type]
    with pytest.raises(CadstnError, match="frames is 0"):
        sample_clips((0,), torch.arange(1), 0, size=16)
    with pytest.raises(CadstnError, match=r"index is of shape \(0,\)"):
        sample_clips((0,), torch.arange(0), 1, size=16)


def test_no_sensor_is_too_short_for_its_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand beyond its sensor's range would be a label without an image."""
    blind = sensor("ideal", 8, range_mm=10.0)
    monkeypatch.setattr(stream, "sample_sensor", lambda draws, kinds: blind)
    clips = sample_clips((5,), torch.arange(8), 2)
    seen = (clips.crops < 1).float().mean((-2, -1))
    assert seen.min() > 0.02


def test_cubes_of_followed_hands_are_at_their_knuckles() -> None:
    away = []
    for center in ("followed", "tracked"):
        clips = sample_clips(SEED, torch.arange(60), 1, size=16, clean=True, center=center)
        knuckles = clips.joints[:, 0][:, KNUCKLES].mean(1) * HALF_MM
        away.append(float(knuckles.norm(dim=-1).median()))
    # 1.54 (5.5^2 + 2.5^2)^0.5 = 9 mm for four of five; the joints' mean is beyond the knuckles.
    assert away[0] < 15
    assert away[1] > 20
