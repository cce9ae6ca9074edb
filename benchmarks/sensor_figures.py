"""What a depth sensor does to a hand, measured on a frame: real and rendered ones alike.

Every figure is taken on the sensor's own pixels, from a frame and the hand's mask alone, so that it
can be put beside the same figure of another frame.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera, DepthMm

Mask = NDArray[np.bool_]

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_PATCH_MM = 11.0
_LEAST_PATCH_PX = 7
_FLAT = 0.1
_HOLE_MM2 = 25.0  # larger gaps may be what is seen between fingers
_RANGE_MM = 110.0
_FARTHEST_PX = 24
_INSIDE_PX = 3
_APART_MM = (25.0, 80.0)
_SMOOTHING_MM = 3.0
_MIXED_PX, _MIXED_MM = 3, 45.0


class SensorFigures(NamedTuple):
    """Figures of one frame; NaN where the frame has no answer.

    Attributes:
        spread_mm: standard deviation of depth around a quadric on flat skin: of patches of 11 mm,
            one in ten is flatter.
        fine_mm: of it, what changes from a pixel to the next: RMS difference / sqrt(2).
        holes: share of the hand in gaps of at most 25 mm^2 that it encloses.
        lost_px: pixels lost between the hand's outline and the surface behind it, mean.
        lost_left_px, lost_right_px: the same on one side; shadows fall on one.
        flying: pixels with a depth between hand and background, per pixel of outline: at most three
            in a row, since more are a surface of their own, such as a sleeve behind the hand.
        edge_mm: how much farther the outline's pixels read than those three pixels inside, mean.
        ragged_px: how far the outline strays from itself smoothed over 3 mm, mean.
    """

    spread_mm: float
    fine_mm: float
    holes: float
    lost_px: float
    lost_left_px: float
    lost_right_px: float
    flying: float
    edge_mm: float
    ragged_px: float


def hand_mask(depth_mm: DepthMm, camera: Camera, center_xyz_mm: NDArray[np.floating]) -> Mask:
    """Surface around a hand's middle, as far as a hand reaches, that hangs together.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it.
        center_xyz_mm: (3,) about the knuckles.
    """
    height, width = depth_mm.shape
    x, y, z = (float(c) for c in center_xyz_mm)
    across = ((np.arange(width) - camera.cx) / camera.fx - x / z) * z
    down = ((np.arange(height) - camera.cy) / camera.fy - y / z) * z
    near = np.hypot(down[:, None], across) < _RANGE_MM
    gate: Mask = near & (depth_mm > 0) & (np.abs(depth_mm - z) < _RANGE_MM * 0.8)
    count, labels = cv2.connectedComponents(gate.astype(np.uint8), connectivity=4)
    if count < 2:
        return gate
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    mask: Mask = labels == largest
    return mask


def sensor_figures(depth_mm: DepthMm, mask: Mask, camera: Camera) -> SensorFigures:
    """Measure one frame.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        mask: (H, W) the hand, see `hand_mask`.
        camera: that took it.
    """
    nan = float("nan")
    if mask.sum() < 200:
        return SensorFigures(*[nan] * len(SensorFigures._fields))
    px_per_mm = camera.fx / float(np.median(depth_mm[mask]))
    spread, fine = skin_spread(depth_mm, mask, patch_px(px_per_mm))
    most_px = _HOLE_MM2 * px_per_mm**2
    ragged = raggedness(mask, _SMOOTHING_MM * px_per_mm)
    return SensorFigures(
        spread, fine, hole_share(depth_mm, mask, most_px), *lost_edges(depth_mm, mask), ragged
    )


def patch_px(px_per_mm: float) -> int:
    """Odd edge in pixels of a patch of skin that a quadric fits."""
    return max(_LEAST_PATCH_PX, 2 * round((_PATCH_MM * px_per_mm - 1) / 2) + 1)


def skin_spread(depth_mm: DepthMm, mask: Mask, edge_px: int) -> tuple[float, float]:
    """Spread of depth around a quadric, and its part from one pixel to the next, in mm.

    Args:
        depth_mm: (H, W) mm.
        mask: (H, W) skin; a patch counts if it lies wholly inside.
        edge_px: of a patch.

    Returns:
        The standard deviation and the RMS difference / sqrt(2), each at the flattest tenth of the
        patches; NaN if none fits.
    """
    shape = (edge_px, edge_px)
    whole = np.lib.stride_tricks.sliding_window_view(mask, shape)[::2, ::2].all((-1, -2))
    windows = np.lib.stride_tricks.sliding_window_view(depth_mm, shape)[::2, ::2][whole]
    if not len(windows):
        return float("nan"), float("nan")
    y, x = np.indices(shape).reshape(2, -1) / edge_px - 0.5
    design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    flat = windows.reshape(len(windows), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    left = (flat - flat @ np.linalg.pinv(design).T @ design.T).reshape(windows.shape)
    freedom = edge_px**2 - design.shape[1]
    spread = np.sqrt((left**2).sum((1, 2)) / freedom)
    across, down = np.diff(left, axis=2), np.diff(left, axis=1)
    fine = np.sqrt(((across**2).mean((1, 2)) + (down**2).mean((1, 2))) / 4)
    return float(np.quantile(spread, _FLAT)), float(np.quantile(fine, _FLAT))


def hole_share(depth_mm: DepthMm, mask: Mask, most_px: float) -> float:
    """Share of the hand without depth: gaps that it encloses, none of more than ``most_px``."""
    empty = (depth_mm <= 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(empty, connectivity=4)
    reaches = np.zeros(count, np.bool_)
    # A gap is open if anything but the hand lies beside it, the frame's edge included.
    beside = ~mask & (depth_mm > 0)
    outside = cv2.dilate(np.pad(beside, 1, constant_values=True).astype(np.uint8), _CROSS)
    reaches[np.unique(labels[outside[1:-1, 1:-1] > 0])] = True
    enclosed = ~reaches & (stats[:, cv2.CC_STAT_AREA] <= most_px)
    enclosed[0] = False
    gaps = int(stats[enclosed, cv2.CC_STAT_AREA].sum())
    return gaps / (gaps + int(mask.sum()))


def lost_edges(depth_mm: DepthMm, mask: Mask) -> tuple[float, float, float, float, float]:
    """Walk from the outline outwards, left, right, up and down, until a surface behind is met.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        mask: (H, W) the hand.

    Returns:
        Mean number of pixels without depth on the way, in all directions, to the left and to the
        right; of pixels with a depth between hand and background; and how many mm farther the
        outline reads than three pixels inside. NaN if fewer than 20 walks arrive.
    """
    # Rotated four times by a right angle, up, right and down come to lie on the left.
    walks = [_walk(np.rot90(depth_mm, k), np.rot90(mask, k)) for k in range(4)]
    together = np.concatenate(walks)
    nan = float("nan")
    if len(together) < 20:
        return nan, nan, nan, nan, nan
    left, right = (float(w[:, 0].mean()) if len(w) >= 20 else nan for w in walks[::2])
    lost, flying = (float(v) for v in together[:, :2].mean(0))
    return lost, left, right, flying, float(np.nanmean(together[:, 2]))


def _walk(depth_mm: NDArray[np.float32], mask: Mask) -> NDArray[np.float64]:
    """Walk to the left from N places on the outline: (N, 3) pixels lost, flying, and edge in mm."""
    margin = ((0, 0), (_FARTHEST_PX + 1, _INSIDE_PX))
    padded, inside = np.pad(depth_mm, margin), np.pad(mask, margin)
    rows, columns = np.nonzero(inside[:, 1:] & ~inside[:, :-1])
    columns = columns + 1
    steps = columns[:, None] - 1 - np.arange(_FARTHEST_PX)
    own, way = padded[rows, columns], padded[rows[:, None], steps]
    farther = np.where(way > 0, way - own[:, None], 0.0)
    beyond = farther > _APART_MM[1]
    before = np.arange(_FARTHEST_PX) < np.where(beyond.any(1), beyond.argmax(1), 0)[:, None]
    # Where another finger is met, the arm goes on, or nothing comes, the walk measures nothing.
    back = (inside[rows[:, None], steps] & before).any(1)
    goes_on = (way[:, 0] > 0) & (farther[:, 0] < _APART_MM[0])
    arrived = beyond.any(1) & ~back & ~goes_on
    lost = (before & (way <= 0)).sum(1)
    within = (rows, columns + _INSIDE_PX)
    skin = padded[within]
    edge = np.where(inside[within], own - skin, np.nan)
    # Mixed pixels next to the skin may count as hand: so from inside the outline on, as far as
    # the surface behind, which begins where depth no longer rises.
    path = np.concatenate([padded[rows[:, None], columns[:, None] + [2, 1, 0]], way], 1)
    above = np.where(path > 0, path - skin[:, None], 0.0)
    rises = np.diff(path, axis=1, append=0.0) > _MIXED_MM
    reached = (above > _APART_MM[1]) & ~rises
    first = np.where(reached.any(1), reached.argmax(1), 0)
    behind = above[np.arange(len(above)), first]
    mixed = (above > _MIXED_MM) & (above < behind[:, None] - _MIXED_MM)
    between = (mixed & (np.arange(path.shape[1]) < first[:, None])).sum(1)
    between = np.where((between <= _MIXED_PX) & inside[within], between, 0)
    walks: NDArray[np.float64] = np.stack([lost, between, edge], 1)[arrived].astype(np.float64)
    return walks


def raggedness(mask: Mask, smoothing_px: float) -> float:
    """How far the outline strays on average from itself smoothed, in pixels."""
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), smoothing_px) > 0.5
    outline = mask & ~(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    return float((smooth != mask).sum() / max(1, outline.sum()))
