"""Where is the hand: the place whose surface, a hand's reach around, hangs on by a wrist alone.

Nothing is learned here. The frame is split into surfaces that are connected in depth, from the
nearest on. On each, places are tried as the middle of a hand: a ball of a hand's reach is laid
around the place, and what of the surface leaves the ball tells what it is. A hand leaves it once,
through the wrist; a forearm leaves it on two sides; a chest leaves it all around. Among places that
pass, the one with most surface within a palm's breadth wins, which cuts the forearm off: a palm is
broader than a wrist.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.camera import Camera, DepthMm

#: Depths that can hold a hand, DeepPrior's choice.
NEAR_MM, FAR_MM = 10.0, 1500.0

_WORK_WIDTH = 160  # pixels; a finger at arm's length is still three wide
_STEP_MM = 15.0  # neighbours farther apart in depth are two surfaces
_LEAST_AREA_MM2 = 2500.0  # a fist seen from the front has some 6000
_SURFACES = 6
_REACH_MM = 110.0  # from the knuckles to the fingertips, and to the wrist
_SHELL_MM = 20.0
_PALM_MM = 38.0
_GRID_MM = 18.0
_MOST_POINTS = 2500
_MOST_PLACES = 200
_ENOUGH = 0.22
_NEARER_MM = 150.0
_KEEP_MM = 80.0
_FREE_END_PER_MM = 0.012

Points = NDArray[np.float32]


class Found(NamedTuple):
    """A place that may be a hand.

    Attributes:
        center_xyz_mm: (3,) camera frame, about the knuckles.
        score: 0 to 1, how much like a hand it hangs there.
    """

    center_xyz_mm: NDArray[np.float64]
    score: float


def find_hand(
    depth_mm: DepthMm, camera: Camera, keep_xyz_mm: NDArray[np.float64] | None = None
) -> Found | None:
    """Find the hand in a frame.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: the camera that took it.
        keep_xyz_mm: (3,) where a hand was a moment ago; a hand near it is preferred to any other.

    Returns:
        The best place, or None where nothing hangs like a hand: a tracker then says ``lost``.
    """
    stride = max(1, round(depth_mm.shape[1] / _WORK_WIDTH))
    small = depth_mm[::stride, ::stride].astype(np.float32)
    small[(small <= NEAR_MM) | (small >= FAR_MM)] = 0
    small = np.asarray(cv2.medianBlur(small, 3), np.float32)
    xyz = _points(small, camera, stride)
    places, scores, arms = [], [], []
    for surface in _surfaces(small, camera, stride):
        points = xyz[surface]
        thin = -(-len(points) // _MOST_POINTS)
        area = (points[:, 2] * (stride / camera.fx)) ** 2 * thin
        at, score, arm = _rate(points[::thin], area[::thin], _on_border(surface)[surface][::thin])
        places.append(at)
        scores.append(score)
        arms.append(arm)
    if not places:
        return None
    centers, score = np.concatenate(places), np.concatenate(scores)
    passed = score >= _ENOUGH
    if not passed.any():
        return None
    if keep_xyz_mm is not None:
        near = passed & (np.linalg.norm(centers - keep_xyz_mm, axis=1) < _KEEP_MM)
        passed = near if near.any() else passed
    # Between two hands, or a hand and a face, the one held out to the camera is meant.
    behind = centers[:, 2] - centers[passed, 2].min()
    rank = score * passed * np.exp(-behind / _NEARER_MM)
    top = int(rank.argmax())
    # Along a bare arm the score hardly changes: of places as good, the one towards the free end.
    offset = centers - centers[top]
    free = -offset @ np.concatenate(arms)[top]
    around = (free > 0) & (np.linalg.norm(offset, axis=1) < _REACH_MM)
    top = int((rank * (1 + around * free * _FREE_END_PER_MM)).argmax())
    return Found(centers[top].astype(np.float64), float(score[top]))


def agreement(
    joints_xyz_mm: NDArray[np.floating],
    depth_mm: DepthMm,
    camera: Camera,
    slack_mm: float = 45.0,
    aside_mm: float = 10.0,
) -> float:
    """Say what share of joints has surface where a hand's skin would be.

    A joint lies a few millimetres under the skin that the camera sees, or deeper where another
    finger is in front of it; one that is a finger's breadth beside its finger still counts.

    Args:
        joints_xyz_mm: (K, 3) camera frame, in front of the camera.
        depth_mm: (H, W) mm.
        camera: the camera that took it.
        slack_mm: how far the surface may lie from the joint in depth.
        aside_mm: how far to the side it may lie.

    Returns:
        0 to 1.
    """
    u, v, z = np.moveaxis(camera.to_uvd(joints_xyz_mm), -1, 0)
    step = aside_mm / z * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])[..., None]
    column = (u + step[:, 0] * camera.fx).round()
    row = (v + step[:, 1] * camera.fy).round()
    height, width = depth_mm.shape
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = depth_mm[np.where(seen, row, 0).astype(int), np.where(seen, column, 0).astype(int)]
    skin = seen & (surface > 0) & (np.abs(surface - z) < slack_mm)
    return float(skin.any(0).mean())


def _points(small: DepthMm, camera: Camera, stride: int) -> Points:
    """Camera-frame points (h, w, 3) of a frame thinned out by ``stride``."""
    height, width = small.shape
    dx = ((np.arange(width) * stride - camera.cx) / camera.fx).astype(np.float32)
    dy = ((np.arange(height) * stride - camera.cy) / camera.fy).astype(np.float32)
    return np.stack([small * dx, small * dy[:, None], small], axis=-1)


def _surfaces(small: DepthMm, camera: Camera, stride: int) -> list[NDArray[np.bool_]]:
    """Split a frame into surfaces connected in depth, nearest first, specks left out."""
    height, width = small.shape
    # OpenCV wants a border of one pixel; whatever is marked is not filled again.
    mask = np.zeros((height + 2, width + 2), np.uint8)
    inner = mask[1:-1, 1:-1]
    inner[small <= 0] = 1
    found: list[NDArray[np.bool_]] = []
    for _ in range(40):
        waiting = np.where(inner == 0, small, np.inf)
        at = int(waiting.argmin())
        seed = (at % width, at // width)
        if not np.isfinite(waiting[seed[1], seed[0]]):
            break
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
        count = cv2.floodFill(small, mask, seed, 0, _STEP_MM, _STEP_MM, flags)[0]
        surface = inner == 2
        inner[surface] = 1
        depth = float(small[seed[1], seed[0]])
        if count * (depth * stride / camera.fx) ** 2 >= _LEAST_AREA_MM2:
            found.append(surface)
            if len(found) == _SURFACES:
                break
    return found


def _on_border(surface: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels at the frame's edge: there a surface goes on unseen."""
    border = np.ones_like(surface)
    border[1:-1, 1:-1] = False
    return surface & border


def _rate(
    points: Points, area: NDArray[np.float32], border: NDArray[np.bool_]
) -> tuple[Points, NDArray[np.float32], Points]:
    """Rate places on one surface as the middle of a hand.

    Args:
        points: (N, 3) mm.
        area: (N,) mm^2 of each.
        border: (N,) whether it lies at the frame's edge.

    Returns:
        places (G, 3), their scores (G,), and the unit vectors (G, 3) along which the surface
        leaves, an arm's direction; zero where nothing leaves.
    """
    cells = np.unique((points / _GRID_MM).astype(np.int32), axis=0, return_index=True)[1]
    centers = points[cells]
    # A hand held out is nearer than what it is held out from.
    centers = centers[centers[:, 2] <= points[:, 2].min() + 450.0]
    centers = centers[:: -(-len(centers) // _MOST_PLACES)]
    square = (centers**2).sum(1)[:, None] + (points**2).sum(1) - 2 * centers @ points.T
    distance = np.sqrt(np.maximum(square, 1e-3))
    inside = distance < _REACH_MM
    palm = np.exp(square / (-2 * _PALM_MM**2)) @ area / (2 * np.pi * _PALM_MM**2)
    leaves = (~inside & (distance < _REACH_MM + _SHELL_MM)) * (area / _SHELL_MM)
    # What reaches the frame's edge inside the ball leaves it as well, out of sight.
    leaves += inside * (border * np.sqrt(area))
    width = leaves.sum(1)
    away = leaves / distance
    pull = away @ points - away.sum(1)[:, None] * centers
    strength = np.linalg.norm(pull, axis=1)
    one_sided = np.where(width > 15, strength / np.maximum(width, 1e-3), 1.0)
    alone = np.clip((one_sided - 0.3) / 0.4, 0, 1)
    wrist = np.exp(-((np.maximum(width - 100, 0) / 60) ** 2))
    hand_size = np.exp(-((np.maximum(inside @ area - 21_000, 0) / 6_000) ** 2))
    arm = pull / np.maximum(strength, 1.0)[:, None]
    return centers, (palm * wrist * alone * hand_size).astype(np.float32), arm
