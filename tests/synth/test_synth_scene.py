from __future__ import annotations

import torch
from torch import Tensor

from cadstn.geometry.skeleton import KNUCKLES
from cadstn.synth.draws import Draws
from cadstn.synth.motion import sample_motion
from cadstn.synth.raster import cast, crop_view
from cadstn.synth.scene import (
    HAND_CONES,
    OTHER,
    OWN,
    Scene,
    build_scene,
    sample_centers,
    sample_scene,
)
from cadstn.synth.shape import sample_shape
from cadstn.synth.surface import Cones
from cadstn.synth.surroundings import HELD_CONES, swing_arm

COUNT = 400
_HELD = slice(OWN.stop, OWN.stop + HELD_CONES)
_PERSON = slice(OWN.stop + HELD_CONES, OTHER.start)


def draws(seed: int, count: int = COUNT) -> Draws:
    return Draws((seed, 5), torch.arange(count))


def scenes(seed: int = 0, count: int = COUNT, frames: int = 1) -> Scene:
    return sample_scene(draws(seed, count), frames)


def part(cones: Cones, columns: slice) -> Cones:
    return Cones(*(field[:, columns] for field in cones))


def there(cones: Cones) -> Tensor:
    return cones.a[..., 2] > 0


def gap_mm(one: Cones, other: Cones) -> Tensor:
    """Least distance (B,) between balls along the cones of two sets; negative where they cut."""

    def balls(cones: Cones) -> tuple[Tensor, Tensor]:
        shares = torch.linspace(0, 1, 9)[:, None, None, None]
        centers = cones.a + shares * (cones.b - cones.a)
        radii = cones.ra + shares[..., 0] * (cones.rb - cones.ra)
        return centers.transpose(0, 1).flatten(1, 2), radii.transpose(0, 1).flatten(1, 2)

    (p, r), (q, s) = balls(one), balls(other)
    return (torch.cdist(p, q) - r[:, :, None] - s[:, None]).flatten(1).amin(1)


def test_nothing_is_behind_the_camera_or_around_it() -> None:
    cones = scenes(1).cones
    for point, radius in ((cones.a, cones.ra), (cones.b, cones.rb)):
        nearest = (point[..., 2] - radius)[there(cones)]
        assert nearest.min() > 20


def test_hands_are_left_and_right() -> None:
    left = scenes(2).left
    assert set(left.tolist()) == {0.0, 1.0}
    assert 0.4 < left.mean() < 0.6


def test_a_hand_is_left_or_right_for_the_whole_clip() -> None:
    """Thumb base, index and little knuckle about the wrist: one turning sense a hand."""
    scene = scenes(2, 50, 6)
    wrist, thumb, index, pinky = (scene.joints_xyz_mm[:, i] for i in (0, 1, 5, 17))
    volume = torch.stack([index - wrist, pinky - wrist, thumb - wrist], 1).det()
    left = scene.left.repeat_interleave(6).bool()
    # x to the thumb, z out of the palm, where the thumb's base lies: positive for a right hand.
    assert (volume[~left] > 0).all()
    assert (volume[left] < 0).all()


def test_an_arm_hardly_hides_its_own_hand() -> None:
    scene = scenes(3, 200)
    view = crop_view(scene.joints_xyz_mm.mean(1), 400.0, 48)
    hand = cast(part(scene.cones, slice(HAND_CONES)), view)
    whole = cast(part(scene.cones, OWN), view)
    seen = hand.isfinite().flatten(1).sum(1)
    hidden = (whole < hand - 25).logical_and(hand.isfinite()).flatten(1).sum(1) / seen
    assert hidden.mean() < 0.03
    assert (hidden > 0.4).float().mean() < 0.02


def test_an_arm_at_the_camera_is_swung_aside_and_keeps_its_length() -> None:
    wrist = torch.tensor([[0.0, 0.0, 500.0], [100.0, 0.0, 500.0], [0.0, 0.0, 500.0]])
    end = wrist + torch.tensor([[0.0, 0.0, -240.0], [60.0, 0.0, -230.0], [0.0, 200.0, 40.0]])
    point = torch.stack([wrist, wrist, wrist, wrist], 1)
    arm = Cones(point, end[:, None].expand(-1, 4, -1), torch.ones(3, 4), torch.ones(3, 4))
    swung = swing_arm(arm, wrist)
    torch.testing.assert_close(
        (swung.b - wrist[:, None]).norm(dim=-1), (arm.b - wrist[:, None]).norm(dim=-1)
    )
    down = torch.nn.functional.normalize(swung.b[:, 0] - wrist, dim=-1)
    towards = -(down * torch.nn.functional.normalize(wrist, dim=-1)).sum(-1)
    torch.testing.assert_close(towards[:2], torch.full((2,), 0.3), rtol=0, atol=1e-3)
    torch.testing.assert_close(swung.b[2], arm.b[2], rtol=0, atol=1e-3)  # it never hid anything
    assert down[0, 1] > 0.9  # straight at the camera it goes down
    assert down[1, 0] > 0.5  # else where it was going


def test_walls_and_tables_are_behind_hand_and_arm_and_face_the_camera() -> None:
    scene = scenes(4, 200, 3)
    arm = part(scene.cones, slice(HAND_CONES + 4))
    finite = scene.planes[..., 3].isfinite()
    assert 0.25 < finite[:, 0].float().mean() < 0.45  # walls
    assert 0.15 < finite[:, 1].float().mean() < 0.35  # tables
    normal, offset = scene.planes[..., :3], scene.planes[..., 3]
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones_like(offset))
    assert (offset[finite] < -50).all()  # the camera is on the front side
    for point, radius in ((arm.a, arm.ra), (arm.b, arm.rb)):
        height = torch.einsum("bqc,bpc->bqp", normal, point) - radius[:, None] - offset[..., None]
        assert height[finite].min() > 0
    # They stand still.
    planes = scene.planes.view(200, 3, 2, 4)
    assert torch.equal(planes[:, 0], planes[:, 2])


def test_what_is_held_touches_and_does_not_cut_into_the_hand() -> None:
    scene = scenes(5, 600, 2)
    held, hand = part(scene.cones, _HELD), part(scene.cones, slice(HAND_CONES))
    holds = there(held).any(1)
    assert 0.04 < holds.float().mean() < 0.2
    gaps = gap_mm(*(Cones(*(f[holds] for f in cones)) for cones in (held, hand)))
    assert gaps.min() > -3
    assert gaps.median() < 12
    # Nothing changes while it is held: distances within it stay.
    spans = (held.b - held.a).norm(dim=-1).view(600, 2, HELD_CONES)
    torch.testing.assert_close(spans[:, 0], spans[:, 1], rtol=1e-3, atol=1e-2)
    assert torch.equal(*held.ra.view(600, 2, HELD_CONES).unbind(1))


def test_second_hands_keep_clear_and_some_touch() -> None:
    scene = scenes(6, 600)
    other, hand = part(scene.cones, OTHER), part(scene.cones, slice(HAND_CONES))
    both = there(other).any(1)
    assert 0.08 < both.float().mean() < 0.22
    fingers = part(other, slice(HAND_CONES))
    gaps = gap_mm(*(Cones(*(f[both] for f in cones)) for cones in (fingers, hand)))
    assert gaps.min() > -7  # between the balls that were kept apart they may dip a little
    assert (gaps < 6).float().mean() > 0.15
    assert (gaps > 20).float().mean() > 0.3


def test_a_person_is_behind_the_hand_and_holds_the_arm() -> None:
    scene = scenes(7, 200, 3)
    person = part(scene.cones, _PERSON)
    assert there(person).all()
    ends = torch.minimum(person.a[..., 2] - person.ra, person.b[..., 2] - person.rb)
    front = ends.view(200, 3, 2).amin(1)
    deepest = scene.joints_xyz_mm[..., 2].view(200, -1).amax(1, keepdim=True)
    # At any time of the clip: a finger inside a body would be a label without an image.
    assert (front - deepest > 0).all()
    close = ((front - deepest) < 330).float().mean(0)
    assert 0.4 < close[0] < 0.95
    # No arm ends in the air: its end is beside the chest.
    shoulder = scene.cones.b[:, OWN.stop - 1]
    chest = part(person, slice(1))
    end = Cones(shoulder[:, None], shoulder[:, None], chest.ra * 0 + 1, chest.ra * 0 + 1)
    gaps = gap_mm(end, chest)
    assert gaps.max() < 60


def test_same_motion_for_a_larger_hand_is_a_larger_hand() -> None:
    shape = sample_shape(draws(0, 3))
    motion = sample_motion(draws(1, 3), shape, 2)
    larger = shape._replace(size=shape.size * 1.1)
    one, two = (build_scene(draws(2, 3), motion, s) for s in (shape, larger))
    spans = [s.joints_xyz_mm.diff(dim=1).norm(dim=-1) for s in (one, two)]
    torch.testing.assert_close(spans[1], spans[0] * 1.1, rtol=1e-3, atol=1e-2)


def test_centers_follow_the_frame_before() -> None:
    joints = torch.arange(5.0)[:, None, None] * torch.tensor([1000.0, 0.0, 0.0])
    joints = joints.expand(5, 21, 3).repeat(400, 1, 1)
    centers = sample_centers(draws(0), joints, 5).view(400, 5, 3)
    expected = torch.tensor([0.0, 0.0, 1000.0, 2000.0, 3000.0])
    assert ((centers[..., 0] - expected).abs() < 150).all()
    torch.testing.assert_close(centers.mean(0)[:, 0], expected, rtol=0, atol=5)
    away = (centers[..., 1:]).norm(dim=-1)
    assert 8 < away.median() < 25
    # Where a hand is followed cubes are nearer, and at its knuckles.
    joints[:, KNUCKLES, 1] += 30.0
    centers = sample_centers(draws(0), joints, 5, "followed").view(400, 5, 3)
    away = centers - torch.stack([expected, torch.full((5,), 30.0), torch.zeros(5)], -1)
    torch.testing.assert_close(away.mean((0, 1)), torch.zeros(3), rtol=0, atol=2)
    assert 5 < away.norm(dim=-1).median() < 12
