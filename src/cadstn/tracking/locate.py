"""Where is the hand: the place whose surface, a hand's reach around, hangs on by a wrist alone.

Nothing is learned here. The frame is split into surfaces that are connected in depth, from the
nearest on. On each, places are tried as the middle of a hand: a ball of a hand's reach is laid
around the place, and what of the surface leaves the ball tells what it is. A hand leaves it once,
through the wrist; a forearm leaves it on two sides; a chest leaves it all around. Among places that
pass, the one with most surface within a palm's breadth wins, which cuts the forearm off: a palm is
broader than a wrist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera, DepthMm

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
_MOST_POINTS = 900
_MOST_PLACES = 200
_ENOUGH_POINTS = 400  # to see whether a hand that is followed is still there
_BEST_SCORE = 1.5  # more than any place reached on rendered and real frames (1.2)
_MOST_FILLS = 40
_ENOUGH = 0.22
_ENOUGH_BESIDE = 0.3  # beside another hand, whose arm may be taken for one
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
    depth_mm: DepthMm,
    camera: Camera,
    keep_xyz_mm: NDArray[np.float64] | None = None,
    apart_from_mm: Sequence[NDArray[np.float64]] = (),
) -> Found | None:
    """Find the hand in a frame: the best place of `find_hands`, or None where there is none."""
    found = find_hands(depth_mm, camera, keep_xyz_mm, apart_from_mm, most=1)
    return found[0] if found else None


def find_hands(
    depth_mm: DepthMm,
    camera: Camera,
    keep_xyz_mm: NDArray[np.float64] | None = None,
    apart_from_mm: Sequence[NDArray[np.float64]] = (),
    *,
    most: int = 3,
) -> list[Found]:
    """Find the places in a frame that may be a hand, the best first.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: the camera that took it.
        keep_xyz_mm: (3,) where a hand was a moment ago; a hand near it is preferred to any other.
        apart_from_mm: (3,) each, where other hands are: they are not found again.
        most: how many places, at least 110 mm from one another.

    Returns:
        At most ``most`` places; none where nothing hangs like a hand: a tracker then says ``lost``.
    """
    work = _work_image(depth_mm, camera)
    for other in apart_from_mm:
        _hide(work, other)
    enough = _ENOUGH_BESIDE if len(apart_from_mm) else _ENOUGH
    places, scores, arms = [], [], []
    best = 0.0
    for surface in _surfaces(work):
        points, area, border = _thinned(work, surface)
        if keep_xyz_mm is None and _BEST_SCORE * np.exp(-points[:, 2].min() / _NEARER_MM) < best:
            break  # surfaces come nearest first: none from here on can outrank what was found
        centers = _grid(points)
        score, leaving = _rate(centers, points, area, border)
        if (score >= enough).any():
            best = max(best, float((score * np.exp(-centers[:, 2] / _NEARER_MM)).max()))
        places.append(centers)
        scores.append(score)
        arms.append(leaving)
    if not places:
        return []
    centers, score, arm = (np.concatenate(parts) for parts in (places, scores, arms))
    passed = score >= enough
    if not passed.any():
        return []
    if keep_xyz_mm is not None:
        near = passed & (np.linalg.norm(centers - keep_xyz_mm, axis=1) < _KEEP_MM)
        passed = near if near.any() else passed
    # Between two hands, or a hand and a face, the one held out to the camera is meant.
    behind = centers[:, 2] - centers[passed, 2].min()
    rank = score * passed * np.exp(-behind / _NEARER_MM)
    found: list[Found] = []
    while len(found) < most and rank.any():
        top = int(rank.argmax())
        # Along a bare arm the score hardly changes: of places as good, the one towards its free
        # end.
        offset = centers - centers[top]
        free = -offset @ arm[top]
        around = (free > 0) & (np.linalg.norm(offset, axis=1) < _REACH_MM)
        top = int((rank * (1 + around * free * _FREE_END_PER_MM)).argmax())
        found.append(Found(centers[top].astype(np.float64), float(score[top])))
        rank = rank * (np.linalg.norm(centers - centers[top], axis=1) > _REACH_MM)
    return found


def still_there(depth_mm: DepthMm, camera: Camera, center_xyz_mm: NDArray[np.float64]) -> bool:
    """Say whether something near a place still hangs like a hand: `find_hand`, near it alone.

    Args:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: the camera that took it.
        center_xyz_mm: (3,) where the hand that is followed is.

    Returns:
        Whether `find_hand` would find a place within 80 mm of it; a tenth of its work.
    """
    reach = _KEEP_MM + _REACH_MM + _SHELL_MM
    u, v, z = (float(value) for value in camera.to_uvd(center_xyz_mm))
    half_u, half_v = reach * camera.fx / z, reach * camera.fy / z
    left, top = max(0, int(u - half_u)), max(0, int(v - half_v))
    right, bottom = max(left, int(u + half_u) + 1), max(top, int(v + half_v) + 1)
    window = depth_mm[top:bottom, left:right]
    if min(window.shape) < 3:
        return False
    near, far = max(NEAR_MM, z - reach), min(FAR_MM, z + reach)
    work = _work_image(window, camera, left, top, depth_mm.shape, near, far)
    for surface in _surfaces(work):
        points, area, border = _thinned(work, surface, _ENOUGH_POINTS)
        centers = _grid(points)
        centers = centers[((centers - center_xyz_mm) ** 2).sum(1) < _KEEP_MM**2]
        if len(centers) and (_rate(centers, points, area, border)[0] >= _ENOUGH).any():
            return True
    return False


class _Work(NamedTuple):
    """A frame, or a window of one, thinned out and cleaned.

    Attributes:
        depth_mm: (h, w), 0 where nothing is.
        xyz_mm: (h, w, 3) camera frame.
        pixel: edge of one of its pixels at a depth of 1, so that area = (depth * pixel)^2.
        edge: (h, w) whether a pixel lies at the frame's edge: there a surface goes on unseen.
    """

    depth_mm: DepthMm
    xyz_mm: Points
    pixel: float
    edge: NDArray[np.bool_]


def _work_image(
    depth_mm: DepthMm,
    camera: Camera,
    left: int = 0,
    top: int = 0,
    frame: tuple[int, ...] | None = None,
    near_mm: float = NEAR_MM,
    far_mm: float = FAR_MM,
) -> _Work:
    """Thin out a frame, or the window of one whose first pixel is (left, top)."""
    frame = depth_mm.shape if frame is None else frame
    stride = max(1, round(frame[1] / _WORK_WIDTH))
    small = depth_mm[::stride, ::stride].astype(np.float32)
    small[~((small > near_mm) & (small < far_mm))] = 0  # so written, NaN goes as well
    small = np.asarray(cv2.medianBlur(small, 3), np.float32)
    height, width = small.shape
    dx = ((np.arange(width) * stride + left - camera.cx) / camera.fx).astype(np.float32)
    dy = ((np.arange(height) * stride + top - camera.cy) / camera.fy).astype(np.float32)
    xyz = np.empty((height, width, 3), np.float32)
    np.multiply(small, dx, out=xyz[..., 0])
    np.multiply(small, dy[:, None], out=xyz[..., 1])
    xyz[..., 2] = small
    edge = np.zeros(small.shape, np.bool_)
    edge[:, 0], edge[0] = left == 0, top == 0
    edge[:, -1] |= left + width * stride >= frame[1]
    edge[-1] |= top + height * stride >= frame[0]
    return _Work(small, xyz, stride / camera.fx, edge)


def _hide(work: _Work, center_xyz_mm: NDArray[np.float64]) -> None:
    """Take a hand out of a frame, in place: its arm goes on unseen there, as at an edge."""
    away = ((work.xyz_mm - center_xyz_mm.astype(np.float32)) ** 2).sum(-1)
    hidden = (away < (_REACH_MM + _SHELL_MM) ** 2) & (work.depth_mm > 0)
    work.depth_mm[hidden] = 0
    work.xyz_mm[hidden] = 0
    beside = cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    np.logical_or(work.edge, beside, out=work.edge)


def _thinned(
    work: _Work, surface: NDArray[np.bool_], most: int = _MOST_POINTS
) -> tuple[Points, NDArray[np.float32], NDArray[np.float32]]:
    """A surface's points (N, 3), the area of each in mm^2, and its length along the frame's edge.

    At most about ``most``: of a large surface every so many, each standing for the others.
    """
    at = np.flatnonzero(surface)
    thin = -(-len(at) // most)
    at = at[::thin]
    points = work.xyz_mm.reshape(-1, 3)[at]
    side = points[:, 2] * np.float32(work.pixel * thin**0.5)
    return points, side * side, work.edge.ravel()[at] * side


def _surfaces(work: _Work) -> list[NDArray[np.bool_]]:
    """Split a frame into surfaces connected in depth, nearest first, specks left out."""
    small = work.depth_mm
    height, width = small.shape
    # OpenCV wants a border of one pixel; whatever is marked is not filled again.
    mask = np.ones((height + 2, width + 2), np.uint8)
    mask[1:-1, 1:-1] = small <= 0
    # A surface is sought from where it is whole, or a noisy sensor's specks would use up all tries.
    around = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(small, around)
    whole = (nearest > 0) & (cv2.dilate(small, around) - nearest < 2 * _STEP_MM)
    order = np.flatnonzero(whole)
    # Whole millimetres in 16 bits: NumPy sorts those by radix, ten times faster than floats.
    order = order[small.ravel()[order].astype(np.uint16).argsort(kind="stable")]  # nearest first
    marks = (order // width + 1) * (width + 2) + order % width + 1
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
    found: list[NDArray[np.bool_]] = []
    for _ in range(_MOST_FILLS):
        waiting = mask.ravel().take(marks) == 0
        order, marks = order[waiting], marks[waiting]
        if not len(order):
            break
        y, x = divmod(int(order[0]), width)
        count, _, _, box = cv2.floodFill(small, mask, (x, y), 0, _STEP_MM, _STEP_MM, flags)
        left, top, wide, high = box
        part = mask[top + 1 : top + 1 + high, left + 1 : left + 1 + wide]
        if count * (float(small[y, x]) * work.pixel) ** 2 >= _LEAST_AREA_MM2:
            found.append(mask[1:-1, 1:-1] == 2)
            if len(found) == _SURFACES:
                break
        part[part == 2] = 1
    return found


def _grid(points: Points) -> Points:
    """Places to try on a surface: some of its points (N, 3), one a cell of 18 mm."""
    # A hand held out is nearer than what it is held out from.
    points = points[points[:, 2] <= points[:, 2].min() + 450.0]
    cell = (points / _GRID_MM).astype(np.int64) + 4096
    key = (cell[:, 0] << 26) | (cell[:, 1] << 13) | cell[:, 2]
    centers = points[np.unique(key, return_index=True)[1]]
    return centers[:: -(-len(centers) // _MOST_PLACES)]


def _rate(
    centers: Points,
    points: Points,
    area: NDArray[np.float32],
    edge: NDArray[np.float32],
) -> tuple[NDArray[np.float32], Points]:
    """Rate places on one surface as the middle of a hand.

    Args:
        centers: (G, 3) mm, places to rate.
        points: (N, 3) mm, the surface.
        area: (N,) mm^2 of each point.
        edge: (N,) mm of the frame's edge that each lies along; 0 inside.

    Returns:
        The scores (G,), and the unit vectors (G, 3) along which the surface leaves, an arm's
        direction; zero where nothing leaves.
    """
    # The squared distance in one product: |c|^2 + |p|^2 - 2 c p.
    ones = np.ones((len(centers), 1), np.float32)
    left = np.hstack([-2 * centers, (centers**2).sum(1)[:, None], ones])
    right = np.vstack([points.T, np.ones((1, len(points)), np.float32), (points**2).sum(1)])
    square = left @ right
    inside = square < _REACH_MM**2
    palm = np.exp(square * np.float32(-0.5 / _PALM_MM**2)) @ area / (2 * np.pi * _PALM_MM**2)
    shell = (square < (_REACH_MM + _SHELL_MM) ** 2) ^ inside
    leaves = shell * (area / np.float32(_SHELL_MM))
    if edge.any():  # what reaches the frame's edge inside the ball leaves it as well, out of sight
        leaves += inside * edge
    width = leaves.sum(1)
    np.sqrt(np.maximum(square, 1e-3, out=square), out=square)
    away = np.divide(leaves, square, out=leaves)
    pull = away @ points - away.sum(1)[:, None] * centers
    strength = np.sqrt((pull**2).sum(1))
    one_sided = np.where(width > 15, strength / np.maximum(width, 1e-3), 1.0)
    alone = np.clip((one_sided - 0.3) / 0.4, 0, 1)
    wrist = np.exp(-((np.maximum(width - 100, 0) / 60) ** 2))
    hand_size = np.exp(-((np.maximum(inside @ area - 21_000, 0) / 6_000) ** 2))
    arm = pull / np.maximum(strength, 1.0)[:, None]
    return (palm * wrist * alone * hand_size).astype(np.float32), arm
