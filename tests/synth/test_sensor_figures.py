from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera

FIGURES = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/sensor_figures.py"))
NAMES = (
    "hand_mask", "hole_share", "lost_edges", "patch_px", "raggedness", "sensor_figures",
    "skin_spread",
)  # fmt: skip
hand_mask, hole_share, lost_edges, patch_px, raggedness, sensor_figures, skin_spread = (
    FIGURES[name] for name in NAMES
)

CAMERA = Camera(300.0, 300.0, 60.0, 50.0, 120, 100)
CENTER = np.array([0.0, 0.0, 500.0])


def plate(behind_mm: float = 900.0) -> NDArray[np.float32]:
    """A plate at 500 mm, 40 pixels wide and high."""
    depth = np.full((100, 120), behind_mm, np.float32)
    depth[30:70, 40:80] = 500.0
    return depth


def test_mask_is_the_surface_around_the_middle() -> None:
    depth = plate()
    depth[:10, :10] = 500.0  # another thing as near, out of reach
    np.testing.assert_array_equal(hand_mask(depth, CAMERA, CENTER), plate() == 500)


def test_spread_is_the_noise_and_not_the_shape() -> None:
    y, x = np.indices((100, 120)) / 100
    depth = (500 + 40 * x - 30 * y + 25 * x * y + 60 * x * x).astype(np.float32)
    everywhere = np.ones_like(depth, np.bool_)
    spread, fine = skin_spread(depth, everywhere, 9)
    assert max(spread, fine) < 1e-3
    rng = np.random.default_rng(0)
    noisy = (depth + rng.normal(0, 2.0, depth.shape)).astype(np.float32)
    # The flattest tenth of patches with 75 degrees of freedom.
    spread, fine = skin_spread(noisy, everywhere, 9)
    assert spread == pytest.approx(2.0 * (1 - 1.28 / math.sqrt(2 * 75)), rel=0.03)
    assert fine == pytest.approx(spread, rel=0.1)
    smooth = (depth + 2 * np.sin(x * 100 / 4)).astype(np.float32)
    spread, fine = skin_spread(smooth, everywhere, 9)
    assert 0.1 < fine / spread < 0.7


def test_no_patch_no_spread() -> None:
    assert all(math.isnan(v) for v in skin_spread(plate(), plate() == 499, 9))
    assert all(math.isnan(v) for v in sensor_figures(plate(), plate() == 499, CAMERA))


def test_holes_are_gaps_that_the_hand_encloses() -> None:
    depth = plate()
    depth[45:48, 50:54] = 0  # a hole
    depth[50:64, 60:74] = 0  # too large: one sees through between fingers
    depth[30:33, 45:50] = 0  # a bay
    depth[30:40, 38:41] = 0  # beside the hand
    depth[66, 70] = 900.0  # through this gap the background is seen
    depth[66, 71] = 0
    depth[0:10, 0:10] = 0
    mask = depth == 500
    assert hole_share(depth, mask, 100) == pytest.approx(12 / (12 + mask.sum()))
    assert hole_share(depth, mask, 11) == 0


def test_lost_edges_are_as_wide_as_they_are() -> None:
    depth = plate()
    assert lost_edges(depth, depth == 500) == (0, 0, 0, 0, 0)
    depth[30:70, 36:40] = 0  # left
    depth[28:30, 40:80] = 0  # above
    lost, left, right, flying, edge = lost_edges(depth, depth == 500)
    assert (left, right, flying, edge) == (4, 0, 0, 0)
    assert lost == pytest.approx((4 + 2) / 4)


def test_flying_pixels_and_edges_that_read_farther() -> None:
    depth = plate()
    depth[30:70, 39] = 560.0
    depth[30:70, 40] = 510.0
    mask = plate() == 500
    lost, _, _, flying, edge = lost_edges(depth, mask)
    assert lost == 0
    assert flying == pytest.approx(1 / 4)
    # The left edge reads 10 mm farther; a few places above and below lie on it as well.
    assert edge == pytest.approx(10 / 4, rel=0.1)


def test_nothing_behind_tells_nothing() -> None:
    depth = plate(0.0)
    assert all(math.isnan(v) for v in lost_edges(depth, depth == 500))


def test_raggedness_grows_with_the_outlines_noise() -> None:
    clean = plate() == 500
    rng = np.random.default_rng(0)
    ragged = clean.copy()
    ragged[30, 40:80] = rng.random(40) < 0.5
    ragged[69, 40:80] = rng.random(40) < 0.5
    assert raggedness(clean, 2.0) < 0.1
    assert raggedness(ragged, 2.0) > raggedness(clean, 2.0) + 0.1


def test_patches_are_odd_and_never_tiny() -> None:
    assert [patch_px(v) for v in (0.1, 0.6, 0.8, 1.3)] == [7, 7, 9, 15]
    assert math.isfinite(sensor_figures(plate(), plate() == 500, CAMERA).spread_mm)
