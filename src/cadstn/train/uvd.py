"""Joints as a camera sees them: what a crop shows, and so what compact networks predict.

Where a point lies beside the centre of its cube cannot be known from the crop alone: of two points
that one ray passes, the farther one lies farther to the side, by as much as the whole cube is seen
to the side of the camera's axis, and that no crop shows. What it shows is in which direction a
point is seen, and how deep it lies. Both together with the centre give the point, exactly
(`cadstn.geometry.crop.Crop.uvd_to_mm`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from cadstn.geometry.crop import CENTER_PX


def to_uvd(joints: Tensor, centers_mm: Tensor, cube_mm: Tensor) -> Tensor:
    """Where joints are seen, and how deep they lie: (B, T, K, 3) in half cubes.

    Args:
        joints: (B, T, K, 3) relative to the cube's centre, in half cubes.
        centers_mm: (B, T, 3) camera frame.
        cube_mm: (B,).

    Returns:
        Right and down from where the centre is seen, in half cubes as they appear at its depth;
        depth from the centre.
    """
    half = (cube_mm / 2).view(-1, 1, 1, 1)
    points = joints * half + centers_mm[..., None, :]
    away = points[..., :2] / points[..., 2:] - direction(centers_mm)[..., None, :]
    return torch.cat([away * centers_mm[..., None, 2:] / half, joints[..., 2:]], -1)


def from_uvd(uvd: Tensor, centers_mm: Tensor, cube_mm: Tensor) -> Tensor:
    """Undo `to_uvd`: (B, T, K, 3) relative to the cube's centre, in half cubes."""
    half = (cube_mm / 2).view(-1, 1, 1, 1)
    centers_mm = centers_mm[..., None, :]
    z_mm = uvd[..., 2:] * half + centers_mm[..., 2:]
    ahead = direction(centers_mm) + uvd[..., :2] * half / centers_mm[..., 2:]
    return torch.cat([(ahead * z_mm - centers_mm[..., :2]) / half, uvd[..., 2:]], -1)


def shifts(centers_mm: Tensor, cube_mm: Tensor) -> Tensor:
    """How far crops (B, T, 3) have moved since the frame before, as `to_uvd` counts.

    A point that rests has moved by as much the other way, but for what nearness enlarges. The first
    frame has not moved.
    """
    before = torch.cat([centers_mm[:, :1], centers_mm[:, :-1]], 1)
    nearer = centers_mm[..., 2:] / before[..., 2:]
    aside = centers_mm[..., :2] - before[..., :2] * nearer
    moved_mm = torch.cat([aside, centers_mm[..., 2:] - before[..., 2:]], -1)
    return moved_mm / (cube_mm / 2).view(-1, 1, 1)


def to_pixels(joints: Tensor, centers_mm: Tensor, cube_mm: Tensor, size: int) -> Tensor:
    """Where normalised joints are seen: (B, T, K, 2) pixels from the image's middle.

    Args:
        joints: (B, T, K, 3) relative to the centre, in half cubes.
        centers_mm: (B, T, 3).
        cube_mm: (B,).
        size: M; the cube's edge spans the image at its centre.
    """
    return CENTER_PX + to_uvd(joints, centers_mm, cube_mm)[..., :2] * (size / 2)


def from_pixels(
    pixels: Tensor, deep: Tensor, centers_mm: Tensor, cube_mm: Tensor, size: int
) -> Tensor:
    """Undo `to_pixels`, given how deep each joint lies.

    Args:
        pixels: (B, T, K, 2) from the image's middle.
        deep: (B, T, K) relative to the centre, in half cubes.
        centers_mm: (B, T, 3).
        cube_mm: (B,).
        size: M.
    """
    uv = (pixels - CENTER_PX) * (2 / size)
    return from_uvd(torch.cat([uv, deep[..., None]], -1), centers_mm, cube_mm)


def direction(points_mm: Tensor) -> Tensor:
    """Where points (..., 3) are seen: x/z and y/z."""
    return points_mm[..., :2] / points_mm[..., 2:]
