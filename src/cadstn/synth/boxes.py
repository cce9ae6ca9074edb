"""Depth of boxes, drawn face by face: each is flat in 1 / z."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_NEAREST_MM = 120.0  # boxes with a corner nearer than this are left out


class Grid(NamedTuple):
    """Pixels of a small frame: pixel (row, column) sees along ((column - cx) / f, ...)."""

    focal_px: float
    cx: float
    cy: float
    height: int
    width: int


def draw_boxes(boxes: Float, grid: Grid) -> NDArray[np.float32]:
    """Depth (H, W) mm of boxes (N, 15), ``inf`` where none is: every face is flat in 1 / z."""
    nearness = np.zeros((grid.height, grid.width), np.float32)
    for row in boxes:
        center, half, axes = row[:3], row[3:6], row[6:].reshape(3, 3)
        edges = half[:, None] * axes
        if center[2] - np.abs(edges[:, 2]).sum() < _NEAREST_MM:
            continue
        for axis in range(3):
            one, two = edges[(axis + 1) % 3], edges[(axis + 2) % 3]
            for side in (-1.0, 1.0):
                middle = center + side * edges[axis]
                if side * (axes[axis] @ middle) >= 0:
                    continue  # facing away
                _draw_face(nearness, middle, one, two, side * axes[axis], grid)
    with np.errstate(divide="ignore"):
        return np.float32(1) / nearness


def _draw_face(
    nearness: NDArray[np.float32], middle: Float, one: Float, two: Float, normal: Float, grid: Grid
) -> None:
    corners = middle + np.array([one + two, one - two, -one - two, -one + two])
    u = corners[:, 0] / corners[:, 2] * grid.focal_px + grid.cx
    v = corners[:, 1] / corners[:, 2] * grid.focal_px + grid.cy
    left, right = max(0, math.floor(u.min())), min(grid.width, math.ceil(u.max()) + 1)
    top, bottom = max(0, math.floor(v.min())), min(grid.height, math.ceil(v.max()) + 1)
    if left >= right or top >= bottom:
        return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    outline = np.rint(np.column_stack([u - left, v - top])).clip(-8000, 8000).astype(np.int32)
    cv2.fillConvexPoly(mask, outline, 1)
    # On the plane n . p = d: 1 / z = n . ray / d.
    nx, ny, nz = normal / (normal @ middle)
    column = ((np.arange(left, right) - grid.cx) / grid.focal_px * nx + nz).astype(np.float32)
    row = ((np.arange(top, bottom) - grid.cy) / grid.focal_px * ny).astype(np.float32)
    # Of a face seen almost edge on, its plane runs far off within one pixel beside the outline.
    face = np.minimum(row[:, None] + column, np.float32(1 / corners[:, 2].min()))
    part = nearness[top:bottom, left:right]
    np.maximum(part, face, out=part, where=mask > 0)
