"""DeepPrior's crop: a cube of the scene around a centre, as a small normalised image.

Source: Oberweger et al., "Hands Deep in Deep Learning" (CVWW 2015), the paper's [18]. The cube's
front and back limit the depth, its sides the image: ``u +- (cube / 2) fx / z``, both ends floored,
resized to M x M by nearest neighbour. Depth becomes ``(d - z) / (cube / 2)``; what is nearer than
the cube lies on its front face (-1); what is farther, or was not measured, is background (+1).
DeepPrior's cameras have square pixels; of others both sides are stretched to the cube's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.arrays import as_depth_mm, require_camera
from cadstn.geometry.camera import Camera, DepthMm, FloatArray
from cadstn.geometry.square import is_square

CENTER_PX = 1.25
"""Pixels from a crop's middle to where its cube's centre is seen, right and down: half a pixel
because pixels have a width, 0.75 because DeepPrior's crop floors."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop and all that is needed to go back from it.

    Attributes:
        image: (M, M) float32 in [-1, 1], +1 where empty or behind the cube.
        center_xyz_mm: (3,) the cube's centre, camera frame.
        cube_mm: the cube's edge.
        columns, rows: (M,) the frame's column u and row v that each crop pixel was read from; -1
            where the crop has a border that no pixel was read for.
    """

    image: NDArray[np.float32]
    center_xyz_mm: NDArray[np.float64]
    cube_mm: float
    columns: NDArray[np.intp]
    rows: NDArray[np.intp]

    def to_mm(self, joints: ArrayLike) -> FloatArray:
        """Normalised joints (..., 3) of this crop -> mm in the camera frame: the exact inverse.

        >>> depth = np.full((240, 320), 500, np.float32)
        >>> crop = crop_cube(depth, Camera(240, 240, 160, 120), (0, 0, 500), 200)
        >>> crop.to_mm([0.5, 0.0, -1.0]).tolist()
        [50.0, 0.0, 400.0]
        """
        return np.asarray(joints) * (self.cube_mm / 2) + self.center_xyz_mm

    def uvd_to_mm(self, joints_uvd: ArrayLike) -> FloatArray:
        """Joints (..., 3) as they are seen in this crop -> mm in the camera frame, exactly.

        Args:
            joints_uvd: right and down from where the centre is seen, in half cubes as they appear
                at its depth; depth from the centre, in half cubes.

        >>> depth = np.full((240, 320), 500, np.float32)
        >>> crop = crop_cube(depth, Camera(240, 240, 160, 120), (50, 0, 500), 200)
        >>> crop.uvd_to_mm([0.5, 0.0, -1.0]).tolist()  # at 4/5 of the depth, 4/5 as far aside
        [80.0, 0.0, 400.0]
        """
        uvd = np.asarray(joints_uvd, np.float64) * (self.cube_mm / 2)
        z_mm = self.center_xyz_mm[2]
        xyz_mm = np.asarray(uvd + self.center_xyz_mm)
        xyz_mm[..., :2] *= xyz_mm[..., 2:] / z_mm
        return xyz_mm

    def to_normalised(self, joints_xyz_mm: ArrayLike) -> FloatArray:
        """Joints (..., 3) in mm, camera frame -> relative to the centre, in half cubes."""
        return (np.asarray(joints_xyz_mm) - self.center_xyz_mm) / (self.cube_mm / 2)


def crop_cube(
    depth_mm: Any,
    camera: Camera,
    center_xyz_mm: ArrayLike,
    cube_mm: float,
    size: int = 128,
    *,
    unit: str | float | None = None,
) -> Crop:
    """Cut a cube out of a depth frame.

    Args:
        depth_mm: (H, W), 0 where nothing was measured: floats in mm, or whole numbers in the
            camera's steps, as an array, a list, an image or a tensor.
        camera: the camera that took it.
        center_xyz_mm: (3,) the cube's centre, camera frame, in front of the camera.
        cube_mm: the cube's edge.
        size: M, pixels along the crop's edge.
        unit: what the depth's numbers are instead: ``mm``, ``cm``, ``m``, ``um``, or the
            millimetres of a step.

    Raises:
        CadstnError: if the depth is none of this camera's in mm or steps, the centre is no point in
            front of the camera, or the cube or the crop has no size.
    """
    require_camera(camera)
    center = _point(center_xyz_mm)
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise CadstnError(f"a crop of {size!r} pixels", hint="give a whole number, 1 or more")
    try:
        cube_mm = float(cube_mm)
    except (TypeError, ValueError):
        raise CadstnError(f"a cube of {cube_mm!r}", hint="give its edge in mm") from None
    _check_cube(center, cube_mm)
    depth_mm = as_depth_mm(depth_mm, camera, unit)
    camera.sized(depth_mm.shape[1], depth_mm.shape[0])
    return cut_cube(depth_mm, camera, center, cube_mm, int(size))


def cut_cube(
    depth_mm: DepthMm,
    camera: Camera,
    center_xyz_mm: ArrayLike,
    cube_mm: float,
    size: int,
) -> Crop:
    """Cut a cube as `crop_cube` does, out of a frame that was checked when it came in.

    Args:
        depth_mm: (H, W) float mm of the camera as a pinhole, 0 where nothing was measured.
        camera: the camera that took it.
        center_xyz_mm: (3,) the cube's centre, camera frame.
        cube_mm: the cube's edge.
        size: M, pixels along the crop's edge.

    Raises:
        CadstnError: if the centre is not in front of the camera, or the cube has no size.
    """
    center = np.asarray(center_xyz_mm, np.float64)
    _check_cube(center, cube_mm)
    x, y, z = center.tolist()  # plain numbers: `Camera.to_uvd` takes longer than the rest of this
    u, v = x * camera.fx / z + camera.cx, y * camera.fy / z + camera.cy
    half = cube_mm / 2
    left, right = math.floor(u - half * camera.fx / z), math.floor(u + half * camera.fx / z)
    top, bottom = math.floor(v - half * camera.fy / z), math.floor(v + half * camera.fy / z)
    wide, high = max(right - left, 1), max(bottom - top, 1)
    # The longer side fills the crop, and the other leaves a border of some pixels: DeepPrior's
    # rule. It holds for square pixels alone; of others both sides fill it, as the cube's do.
    longest = max(wide, high)
    square = is_square(camera)
    columns = _sources(left, wide, size * wide // longest if square else size, size)
    rows = _sources(top, high, size * high // longest if square else size, size)

    height, width = depth_mm.shape
    # Row by row and in place: half the time of one gather and an expression.
    patch = depth_mm.take(rows.clip(0, height - 1), 0).take(columns.clip(0, width - 1), 1)
    image = np.subtract(patch, np.float32(z), dtype=np.float32)
    image /= np.float32(half)
    np.clip(image, -1, 1, out=image)
    np.copyto(image, 1, where=~(patch > 0))  # NaN is not measured either
    image[(rows < 0) | (rows >= height)] = 1
    image[:, (columns < 0) | (columns >= width)] = 1
    return Crop(image, center, float(cube_mm), columns, rows)


def _point(xyz_mm: ArrayLike) -> FloatArray:
    """A centre (3,) mm; raises CadstnError for another shape."""
    try:
        point = np.asarray(xyz_mm, np.float64)
    except (TypeError, ValueError):
        raise CadstnError(f"a centre of {xyz_mm!r}", hint="give x y z in mm") from None
    if point.shape != (3,):
        raise CadstnError(f"a centre of shape {point.shape}", hint="give x y z in mm, shape (3,)")
    return point


def _check_cube(center: FloatArray, cube_mm: float) -> None:
    if not (np.isfinite(center).all() and center[2] > 0 and 0 < cube_mm < math.inf):
        raise CadstnError(
            f"cannot cut a cube of {cube_mm} mm around {center.tolist()} mm",
            hint="the centre lies in front of the camera (z > 0), the cube has a positive edge",
        )


def _sources(first: int, count: int, pixels: int, size: int) -> NDArray[np.intp]:
    """Which of ``count`` frame pixels from ``first`` on each crop pixel shows; -1 in the border."""
    sources = np.full(size, -1, np.intp)
    start = (size - pixels) // 2
    # Nearest neighbour as OpenCV does it: the floor of the pixel's left edge in the source.
    sources[start : start + pixels] = first + np.arange(pixels) * count // max(pixels, 1)
    return sources
