from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from cadstn.camera import Camera
from cadstn.synth import raster
from cadstn.synth.hand import Cones
from cadstn.synth.raster import View, camera_view, cast, crop_view
from cadstn.synth.scene import sample_centers, sample_scene

Array = NDArray[np.float64]
CAMERA = Camera(60.0, 61.0, 30.0, 25.5, 64, 48)


def cones_of(*cones: tuple[tuple[float, ...], tuple[float, ...], float, float]) -> Cones:
    a, b, ra, rb = (torch.tensor(values)[None] for values in zip(*cones, strict=True))
    return Cones(a, b, ra, rb)


def one_ray(x: float = 0.0, y: float = 0.0) -> View:
    one = torch.ones(1)
    return View(x * one, y * one, one, one, 1, 1)


def hit(cones: Cones, x: float = 0.0, y: float = 0.0) -> float:
    return cast(cones, one_ray(x, y)).item()


def hands(seed: int, count: int, *, background: bool) -> tuple[Cones, Tensor]:
    rng = np.random.default_rng((seed, 99))
    scene = sample_scene(rng, count, 1)
    centers = sample_centers(rng, scene.joints_xyz_mm, 1)
    cones = scene.cones
    if not background:
        cones = Cones(*(field[:, :-3] for field in cones))
    return cones, centers


def first(cones: Cones, index: int) -> Cones:
    return Cones(*(field[index : index + 1] for field in cones))


# -- the oracle: march along the ray through the distance to the hull of two balls -----------------


def distance_mm(points: Array, cones: Cones) -> Array:
    """Signed distance (N, P) of points to round cones: min over s of |p - c(s)| - r(s).

    In the plane of axis and point that is a convex function of s; its minimum lies where the line
    from the point meets the axis at the angle whose sine is the taper over the length.
    """
    a, b, ra, rb = (field[0].double().numpy() for field in cones)
    length = np.linalg.norm(b - a, axis=-1)
    unit = (b - a) / np.maximum(length, 1e-12)[:, None]
    offset = points - a
    along = (offset * unit).sum(-1)
    across = np.sqrt(np.maximum((offset * offset).sum(-1) - along**2, 0))
    sine = (ra - rb) / np.maximum(length, 1e-12)
    swallowed = np.abs(sine) >= 1
    cosine = np.sqrt(np.maximum(1 - sine**2, 1e-12))
    best = np.clip(along - across * sine / cosine, 0, length)
    best = np.where(swallowed, np.where(ra > rb, 0, length), best)
    share = best / np.maximum(length, 1e-12)
    return np.asarray(np.hypot(along - best, across) - (ra + share * (rb - ra)))


def oracle(cones: Cones, view: View) -> tuple[Array, NDArray[np.bool_]]:
    """Depth (height, width) and where a ray passes so close to an edge that rounding decides.

    The hull of two balls is convex, so its distance along a ray is convex too: a search in thirds
    finds the deepest point, bisection the way in.
    """
    x = view.x0.double().item() + np.arange(view.width) * view.step_x.double().item()
    y = view.y0.double().item() + np.arange(view.height) * view.step_y.double().item()
    dx, dy = (grid.reshape(-1, 1) for grid in np.meshgrid(x, y))
    ray = np.stack([dx, dy, np.ones_like(dx)], -1)
    shape = (len(dx), cones.ra.shape[1])
    low, high = np.zeros(shape), np.full(shape, 5000.0)
    for _ in range(60):
        third = (high - low) / 3
        left, right = low + third, high - third
        nearer = distance_mm(left[..., None] * ray, cones) < distance_mm(
            right[..., None] * ray, cones
        )
        low, high = np.where(nearer, low, left), np.where(nearer, right, high)
    deepest = (low + high) / 2
    depth_of = distance_mm(deepest[..., None] * ray, cones)
    low, high = np.zeros(shape), deepest
    for _ in range(45):
        middle = (low + high) / 2
        inside = distance_mm(middle[..., None] * ray, cones) < 0
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    depth = np.where(depth_of < 0, high, np.inf).min(1)
    grazing = (np.abs(depth_of) < 2e-3).any(1)
    size = (view.height, view.width)
    return depth.reshape(size), grazing.reshape(size)


def assert_agrees(cones: Cones, view: View) -> None:
    expected, grazing = oracle(cones, view)
    found = cast(cones, view)[0].double().numpy()
    assert grazing.mean() < 0.02
    assert np.isfinite(expected).sum() > 15
    np.testing.assert_array_equal(np.isinf(found)[~grazing], np.isinf(expected)[~grazing])
    both = np.isfinite(expected) & ~grazing
    np.testing.assert_allclose(found[both], expected[both], rtol=0, atol=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_crop_agrees_with_the_oracle(seed: int) -> None:
    cones, centers = hands(seed, 1, background=False)
    assert_agrees(cones, crop_view(centers, 250.0, 24))


def test_camera_image_agrees_with_the_oracle() -> None:
    cones, _ = hands(5, 1, background=False)
    assert_agrees(cones, camera_view(CAMERA))


def test_random_cones_agree_with_the_oracle() -> None:
    """Any taper and direction, some with one ball inside the other."""
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(1, 12, 3, generator=generator) * 40 + torch.tensor([0.0, 0.0, 400.0])
    b = a + torch.randn(1, 12, 3, generator=generator) * 20
    ra, rb = torch.rand(2, 1, 12, generator=generator) * 30 + 1
    swallowed = (ra - rb).abs() >= (b - a).norm(dim=-1)
    assert 1 <= int(swallowed.sum()) <= 8
    cones = Cones(a, b, ra, rb)
    for i in range(12):
        view = crop_view((a + b)[:, i] / 2, 100.0, 32)
        assert_agrees(Cones(*(field[:, i : i + 1] for field in cones)), view)


# -- by hand ---------------------------------------------------------------------------------------


def test_ray_through_the_centre_of_a_ball_meets_it_a_radius_earlier() -> None:
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


# -- windows, views, batches -----------------------------------------------------------------------


def test_windows_cut_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cones, centers = hands(11, 6, background=True)
    views = crop_view(centers, 250.0, 200), camera_view(CAMERA, 6)
    windowed = [cast(cones, view, tile=1) for view in views]

    def everywhere(cones: Cones, view: View) -> tuple[Tensor, Tensor]:
        low = torch.zeros(*cones.ra.shape, 2)
        return low, low + torch.tensor([float(view.width), float(view.height)])

    monkeypatch.setattr(raster, "_bounds", everywhere)
    for view, depth in zip(views, windowed, strict=True):
        assert depth.isfinite().any()
        torch.testing.assert_close(cast(cones, view), depth, rtol=0, atol=0)


@pytest.mark.parametrize("tile", [1, 7, 64])
def test_tile_size_does_not_matter(tile: int) -> None:
    cones, centers = hands(12, 4, background=True)
    view = crop_view(centers, 250.0, 40)
    torch.testing.assert_close(cast(cones, view, tile=tile), cast(cones, view), rtol=0, atol=0)


def test_batch_equals_singles() -> None:
    cones, centers = hands(13, 5, background=True)
    together = cast(cones, crop_view(centers, 250.0, 32))
    for i in range(5):
        alone = cast(first(cones, i), crop_view(centers[i : i + 1], 250.0, 32))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=0)


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
    cones, centers = hands(14, 1, background=True)
    x, y, z = centers[0].double().tolist()
    size, around = 32, 5
    focal = z * size / 250
    # Pixel size / 2 of the crop looks 0.75 pixels to the left of the cube's middle, and above.
    middle = around + size / 2 + 0.75
    whole = size + 2 * around
    camera = Camera(focal, focal, middle - x / z * focal, middle - y / z * focal, whole, whole)
    frame = cast(cones, camera_view(camera))[:, around:-around, around:-around]
    crop = cast(cones, crop_view(centers, 250.0, size))
    same = frame.isfinite() == crop.isfinite()
    assert same.float().mean() > 0.99
    both = frame.isfinite() & crop.isfinite()
    gap = (frame[both] - crop[both]).abs()
    assert both.float().mean() > 0.05
    assert gap.median() < 0.01
    assert (gap > 0.5).float().mean() < 0.01  # rounding decides at an outline
