from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cadstn.geometry.camera import Camera
from cadstn.synth import raster
from cadstn.synth.cone import coefficients, enter
from cadstn.synth.draws import Draws
from cadstn.synth.oracle import Solids
from cadstn.synth.raster import View, camera_view, cast, crop_view
from cadstn.synth.scene import OWN, sample_centers, sample_scene
from cadstn.synth.surface import Cones

CAMERA = Camera(60.0, 61.0, 30.0, 25.5, 64, 48)


def cones_of(*cones: tuple[tuple[float, ...], tuple[float, ...], float, float]) -> Cones:
    a, b, ra, rb = (torch.tensor(values)[None] for values in zip(*cones, strict=True))
    return Cones(a, b, ra, rb)


def one_ray(x: float = 0.0, y: float = 0.0) -> View:
    one = torch.ones(1)
    return View(x * one, y * one, one, one, 1, 1)


def hit(cones: Cones, x: float = 0.0, y: float = 0.0) -> float:
    return cast(cones, one_ray(x, y)).item()


def hands(seed: int, count: int, *, background: bool) -> tuple[Cones, Tensor, Tensor]:
    """Cones, planes and the centres of crops, of a scene a sample."""
    draws = Draws((seed, 99), torch.arange(count))
    scene = sample_scene(draws.fork("scene"), 1)
    centers = sample_centers(draws.fork("centers"), scene.joints_xyz_mm, 1)
    if background:
        return scene.cones, scene.planes, centers
    cones = Cones(*(field[:, OWN] for field in scene.cones))
    return cones, scene.planes[:, :0], centers


def first(cones: Cones, index: int) -> Cones:
    return Cones(*(field[index : index + 1] for field in cones))


# -- the oracle ------------------------------------------------------------------------------------


def assert_agrees(cones: Cones, view: View, planes: Tensor, pixels: int) -> tuple[int, int]:
    """Compare some pixels of every image; how many hit something, and how many graze an edge."""
    found = cast(cones, view, planes=planes).double()
    rng = np.random.default_rng(0)
    hits = grazes = 0
    for row in range(len(found)):
        solids = Solids(cones, planes, row)
        # Mostly where there is something.
        near = found[row].isfinite().nonzero().numpy()
        anywhere = rng.integers((view.height, view.width), size=(pixels // 4, 2))
        chosen = near[rng.integers(len(near), size=pixels)] if len(near) else anywhere
        for i, j in np.concatenate([chosen, anywhere]):
            x = float(view.x0[row] + j * view.step_x[row])
            y = float(view.y0[row] + i * view.step_y[row])
            expected, grazing = solids.cast(x, y)
            grazes += grazing
            if grazing:
                continue
            assert found[row, i, j].item() == pytest.approx(expected, abs=0.01, rel=0)
            hits += expected < math.inf
    return hits, grazes


def test_crops_agree_with_the_oracle() -> None:
    cones, planes, centers = hands(0, 12, background=True)
    hits, grazes = assert_agrees(cones, crop_view(centers, 250.0, 128), planes, 60)
    assert hits > 600
    assert grazes < 12 * 75 * 0.02


def test_camera_images_agree_with_the_oracle() -> None:
    cones, planes, _ = hands(5, 4, background=True)
    hits, grazes = assert_agrees(cones, camera_view(CAMERA, 4), planes, 100)
    assert hits > 300
    assert grazes < 4 * 125 * 0.02


def test_random_cones_agree_with_the_oracle() -> None:
    """Any taper and direction, some along the rays, some with one ball inside the other."""
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(40, 1, 3, generator=generator) * 40 + torch.tensor([0.0, 0.0, 400.0])
    b = a + torch.randn(40, 1, 3, generator=generator) * 20
    b[::4] = a[::4] * (1 + 0.1 * torch.rand(10, 1, 1, generator=generator))
    ra, rb = torch.rand(2, 40, 1, generator=generator) * 30 + 1
    rb[::8] = ra[::8]
    swallowed = (ra - rb).abs() >= (b - a).norm(dim=-1)
    assert 3 <= int(swallowed.sum()) <= 25
    view = crop_view((a + b)[:, 0] / 2, 100.0, 48)
    hits, grazes = assert_agrees(Cones(a, b, ra, rb), view, torch.zeros(40, 0, 4), 12)
    assert hits > 400
    assert grazes < 40 * 15 * 0.03


# -- by hand ---------------------------------------------------------------------------------------


def test_ray_through_the_center_of_a_ball_meets_it_a_radius_earlier() -> None:
    ball = cones_of(((0.0, 0.0, 500.0), (0.0, 0.0, 500.0), 10.0, 10.0))
    assert hit(ball) == pytest.approx(490, abs=1e-3)


def test_depth_is_z_and_not_distance() -> None:
    # Along (3, 0, 4) the ball's centre is 500 away and its surface 490: z is 4/5 of that.
    ball = cones_of(((300.0, 0.0, 400.0), (300.0, 0.0, 400.0), 10.0, 10.0))
    assert hit(ball, x=0.75) == pytest.approx(392, abs=1e-3)


def test_cylinder_across_the_view() -> None:
    cylinder = cones_of(((-50.0, 0.0, 300.0), (50.0, 0.0, 300.0), 20.0, 20.0))
    assert hit(cylinder) == pytest.approx(280, abs=1e-3)
    assert hit(cylinder, x=0.1) == pytest.approx(280, abs=1e-3)
    # (0, y, 1) z meets y^2 z^2 + (z - 300)^2 = 400 first at the smaller root.
    y = 0.05
    root = (600 - math.sqrt(600**2 - 4 * (1 + y * y) * (300**2 - 400))) / (2 * (1 + y * y))
    assert hit(cylinder, y=y) == pytest.approx(root, abs=1e-3)


@pytest.mark.parametrize(("near", "far"), [(5.0, 15.0), (15.0, 5.0), (10.0, 10.0)])
@pytest.mark.parametrize("swap", [False, True])
def test_cone_seen_along_its_axis_shows_its_near_ball(near: float, far: float, swap: bool) -> None:
    ends = ((0.0, 0.0, 400.0), near), ((0.0, 0.0, 460.0), far)
    (a, ra), (b, rb) = reversed(ends) if swap else ends
    cone = cones_of((a, b, ra, rb))
    assert hit(cone) == pytest.approx(400 - near, abs=1e-3)


def test_side_of_a_cone_seen_along_its_axis() -> None:
    # Balls of 0 at z = 400 and 30 at z = 450: a cone whose half angle has the sine 30 / 50, so
    # that at distance z - 400 behind the apex it is (z - 400) * 3 / 4 wide.
    cone = cones_of(((0.0, 0.0, 400.0), (0.0, 0.0, 450.0), 0.0, 30.0))
    x = 0.03  # x z = (z - 400) * 3 / 4
    assert hit(cone, x=x) == pytest.approx(300 / (0.75 - x), abs=1e-3)


def test_ray_that_misses_is_infinite() -> None:
    cone = cones_of(((0.0, 0.0, 400.0), (0.0, 0.0, 450.0), 5.0, 8.0))
    assert hit(cone, x=0.1) == math.inf
    assert hit(cone, y=-0.1) == math.inf


@pytest.mark.parametrize("x", [0.0, 0.02, -0.04, 0.07])
def test_ball_inside_the_other_leaves_the_larger_one(x: float) -> None:
    larger = ((0.0, 0.0, 400.0), (0.0, 0.0, 400.0), 20.0, 20.0)
    for inner in ((0.0, 0.0, 400.0), (0.0, 0.0, 405.0), (3.0, -2.0, 395.0)):
        pair = cones_of((larger[0], inner, 20.0, 6.0))
        turned = cones_of((inner, larger[0], 6.0, 20.0))
        expected = hit(cones_of(larger), x=x)
        assert hit(pair, x=x) == pytest.approx(expected, abs=1e-3)
        assert hit(turned, x=x) == pytest.approx(expected, abs=1e-3)


def test_nearest_of_several_wins() -> None:
    two = cones_of(
        ((0.0, 0.0, 500.0), (20.0, 0.0, 500.0), 10.0, 10.0),
        ((0.0, 0.0, 450.0), (0.0, 20.0, 450.0), 15.0, 10.0),
    )
    assert hit(two) == pytest.approx(435, abs=1e-3)


def test_plane_is_met_where_it_lies() -> None:
    plane = torch.tensor([[[0.0, 0.6, -0.8, -400.0]]])  # 0.6 y - 0.8 z = -400
    nothing = cones_of(((0.0, 0.0, -1e6), (0.0, 0.0, -1e6), 1.0, 1.0))
    for y in (0.0, 0.5, -0.5):
        depth = cast(nothing, one_ray(0.1, y), planes=plane).item()
        assert depth == pytest.approx(400 / (0.8 - 0.6 * y), abs=1e-3)
    behind = torch.tensor([[[0.0, 0.0, -1.0, 400.0]]])  # z = -400
    absent = torch.tensor([[[0.0, 0.0, -1.0, math.inf]]])
    for planes in (behind, absent):
        assert cast(nothing, one_ray(), planes=planes).item() == math.inf


def test_what_is_behind_the_camera_is_not_seen() -> None:
    assert hit(cones_of(((0.0, 0.0, -500.0), (9.0, 0.0, -500.0), 30.0, 20.0))) == math.inf


def test_camera_inside_a_blown_up_cone_still_sees_the_cone() -> None:
    """A large ball, blown up by the width of a block, holds the camera; the ball does not."""
    radius, gap = 5000.0, 300.0
    ball = cones_of(((0.0, 0.0, radius + gap),) * 2 + (radius, radius))
    depth = cast(ball, camera_view(CAMERA))
    assert depth.isfinite().all()
    assert depth[0, 25, 30].item() == pytest.approx(gap, abs=1.0)


# -- tiles, views, batches -------------------------------------------------------------------------


def test_culling_cuts_nothing_off() -> None:
    """Every cone cast along every ray gives the same image, bit for bit."""
    cones, _, centers = hands(11, 4, background=True)
    for view in crop_view(centers, 250.0, 100), camera_view(CAMERA, 4):
        i, j = torch.meshgrid(torch.arange(view.height), torch.arange(view.width), indexing="ij")
        grid = i.flatten().float(), j.flatten().float()
        found = cast(cones, view)
        assert found.isfinite().any()
        for row in range(4):
            one = first(cones, row)
            rays = torch.stack([field[row : row + 1] for field in view[:4]], 1)
            rays = rays.expand(one.ra.shape[1], 4)
            depth = enter(rays, *grid, coefficients(one), torch.tensor(0.0)).amin(0)
            # Pixels count from a tile's corner there and from the image's here: a last bit apart.
            expected = depth.view(view.height, view.width)
            same = expected.isfinite() == found[row].isfinite()
            assert (~same).sum() <= 2
            both = expected.isfinite() & found[row].isfinite()
            gap = (found[row] - expected)[both].abs()
            assert gap.median() < 1e-3
            assert (gap > 0.5).float().mean() < 1e-3


def test_cones_beyond_the_far_end_may_be_left_out() -> None:
    near = ((0.0, 0.0, 400.0), (0.0, 0.0, 400.0), 10.0, 10.0)
    far = ((50.0, 0.0, 900.0), (50.0, 0.0, 900.0), 100.0, 100.0)
    both = cones_of(near, far)
    view = crop_view(torch.tensor([[0.0, 0.0, 400.0]]), 200.0, 32)
    limited = cast(both, view, far_mm=torch.tensor([700.0]))
    torch.testing.assert_close(limited, cast(cones_of(near), view), rtol=0, atol=0)
    kept = cast(both, view, far_mm=torch.tensor([801.0]))  # its front is nearer than that
    torch.testing.assert_close(kept, cast(both, view), rtol=0, atol=0)
    assert kept.isfinite().sum() > limited.isfinite().sum()


def test_how_many_are_cast_at_once_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    cones, planes, centers = hands(12, 5, background=True)
    view = crop_view(centers, 250.0, 40)
    whole = cast(cones, view, planes=planes)
    monkeypatch.setitem(raster._PIXELS_AT_ONCE, "cpu", 2 * 40 * 40)
    torch.testing.assert_close(cast(cones, view, planes=planes), whole, rtol=0, atol=0)


def test_batch_equals_singles() -> None:
    cones, planes, centers = hands(13, 5, background=True)
    together = cast(cones, crop_view(centers, 250.0, 32), planes=planes)
    for i in range(5):
        view = crop_view(centers[i : i + 1], 250.0, 32)
        alone = cast(first(cones, i), view, planes=planes[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=0)


def test_no_cones_and_no_frames_are_no_error() -> None:
    empty = Cones(*(torch.zeros(1, 0, *shape) for shape in ((3,), (3,), (), ())))
    assert cast(empty, one_ray()).item() == math.inf
    none = Cones(*(torch.zeros(0, 4, *shape) for shape in ((3,), (3,), (), ())))
    assert cast(none, camera_view(CAMERA, 0)).shape == (0, 48, 64)


def test_rays_of_a_camera_are_its_pixels() -> None:
    view = camera_view(CAMERA)
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    points = CAMERA.to_xyz_mm(np.stack([u, v, np.ones_like(u)], -1).astype(float))
    x = view.x0 + torch.arange(view.width) * view.step_x
    y = view.y0 + torch.arange(view.height) * view.step_y
    np.testing.assert_allclose(x.numpy(), points[0, :, 0], atol=1e-6)
    np.testing.assert_allclose(y.numpy(), points[:, 0, 1], atol=1e-6)


def test_rays_of_a_crop_look_three_quarters_of_a_pixel_left_of_and_above_their_corner() -> None:
    view = crop_view(torch.tensor([[30.0, -50.0, 400.0]]), 200.0, 4)
    x = (view.x0 + torch.arange(4) * view.step_x) * 400
    y = (view.y0 + torch.arange(4) * view.step_y) * 400
    corner = torch.tensor([-100.0, -50.0, 0.0, 50.0])  # pixels of 50 mm
    torch.testing.assert_close(x, 30 + corner - 37.5)
    torch.testing.assert_close(y, -50 + corner - 37.5)


def test_crop_equals_the_same_pixels_of_a_camera_image() -> None:
    """A camera whose pixels are 250 / 32 mm wide at the hand's depth sees the very same rays."""
    cones, planes, centers = hands(14, 1, background=True)
    x, y, z = centers[0].double().tolist()
    size, around = 32, 5
    focal = z * size / 250
    # Pixel size / 2 of the crop looks 0.75 pixels to the left of the cube's middle, and above.
    middle = around + size / 2 + 0.75
    whole = size + 2 * around
    camera = Camera(focal, focal, middle - x / z * focal, middle - y / z * focal, whole, whole)
    frame = cast(cones, camera_view(camera), planes=planes)[:, around:-around, around:-around]
    crop = cast(cones, crop_view(centers, 250.0, size), planes=planes)
    same = frame.isfinite() == crop.isfinite()
    assert same.float().mean() > 0.99
    both = frame.isfinite() & crop.isfinite()
    gap = (frame[both] - crop[both]).abs()
    assert both.float().mean() > 0.05
    assert gap.median() < 0.01
    assert (gap > 0.5).float().mean() < 0.01  # rounding decides at an outline
