"""The pinhole camera: intrinsics, pixels to millimetres and back, raw depth to millimetres.

Inside this project every point is in the OpenCV camera frame (x right, y down, z forward) in
millimetres, and every depth image is float32 millimetres with 0 where nothing was measured. Files
and devices have other units and axes; they are converted here, once, at the edge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.camera_json import camera_fields
from cadstn.geometry.distortion import checked_distortion, straightening_map
from cadstn.geometry.encoding import ENCODINGS, check_unit, unpack
from cadstn.geometry.numbers import check_number, plain_numbers

FloatArray = NDArray[np.floating[Any]]
DepthMm = NDArray[np.float32]


#: Beyond these no camera is, and arithmetic in 32 bits or the memory ends.
_MOST, _LONGEST, _LARGEST_FACTOR = 1e6, 65_536, 1000.0
#: A focal length of so few pixels is one over the image's size, or a matrix that nobody filled in.
_NORMALIZED = 10.0


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a depth camera and how its files encode depth.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        width, height: image size in pixels; 0 means "as the frames are".
        depth_unit_mm: millimetres per unit of the raw image.
        fps: frames per second, for time stamps.
        encoding: ``depth16`` (16-bit single channel), ``nyu`` (8-bit RGB, G * 256 + B), or
            ``metres`` (files of floats, whose unit is a metre whatever ``depth_unit_mm`` is).
        invalid: raw values that mean "nothing measured", besides 0; whole numbers, 64 at most.
        distortion: the lens's coefficients in OpenCV's order; none for a pinhole. `depth_mm` makes
            the image a pinhole's, and `pinhole` is the camera of what comes out.
        distortion_model: see `cadstn.geometry.distortion.MODELS`.

    Raises:
        CadstnError: on a focal length, unit, size, encoding, distortion or invalid values that make
            no sense.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int = 0
    height: int = 0
    depth_unit_mm: float = 1.0
    fps: float = 30.0
    encoding: str = "depth16"
    invalid: tuple[int, ...] = ()
    distortion: tuple[float, ...] = ()
    distortion_model: str = "brown-conrady"

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy", "fps", "width", "height", "depth_unit_mm"):
            check_number(name, getattr(self, name))
        for name in ("fx", "fy", "fps"):
            value = getattr(self, name)
            if not 1e-6 < value < _MOST:  # nor is NaN
                raise CadstnError(
                    f"camera {name} is {value}", hint=f"give a positive number for {name}"
                )
        if not (abs(self.cx) < _MOST and abs(self.cy) < _MOST):
            raise CadstnError(
                f"camera centre is ({self.cx}, {self.cy})", hint="give cx and cy in pixels"
            )
        if not (0 <= self.width <= _LONGEST and 0 <= self.height <= _LONGEST):
            raise CadstnError(
                f"camera size is {self.width}x{self.height}",
                hint="give width and height in pixels, or 0 to take them from the frames",
            )
        if self.encoding not in ENCODINGS:
            raise CadstnError(
                f"camera encoding is '{self.encoding}'",
                hint=nearest_name(self.encoding, ENCODINGS),
            )
        check_unit(self.depth_unit_mm)
        distortion = checked_distortion(self.distortion_model, self.distortion)
        plain = plain_numbers(vars(self)) | {"distortion": distortion}
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @staticmethod
    def from_K(  # noqa: N802  # the field's letter
        K: ArrayLike,
        width: int = 0,
        height: int = 0,
        *,
        depth_unit_mm: float = 1.0,
        fps: float = 30.0,
        distortion: Sequence[float] = (),
        distortion_model: str = "brown-conrady",
    ) -> Camera:
        """Make a camera of an intrinsic matrix, as OpenCV, ROS and most data sets give it.

        Args:
            K: (3, 3), or the 9 numbers row by row (ROS's ``CameraInfo.k``).
            width: of the image in pixels; 0 to take it from the frames.
            height: likewise.
            depth_unit_mm: see the class.
            fps: see the class.
            distortion: see the class.
            distortion_model: see the class.

        Raises:
            CadstnError: if it is no intrinsic matrix: transposed, skewed or of another shape.

        >>> Camera.from_K([[475, 0, 320], [0, 476, 240], [0, 0, 1]]).cy
        240.0
        """
        matrix = np.asarray(K, np.float64)
        if matrix.size != 9:
            raise CadstnError(
                f"intrinsic matrix of shape {matrix.shape}",
                hint="give [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]",
            )
        matrix = matrix.reshape(3, 3)
        if not np.allclose(matrix[2], (0, 0, 1)):
            transposed = np.allclose(matrix[:, 2], (0, 0, 1))
            raise CadstnError(
                f"intrinsic matrix whose last row is {matrix[2].tolist()}",
                hint="transpose it, K.T" if transposed else "its last row is 0, 0, 1",
            )
        if abs(matrix[0, 1]) > 1e-3 * abs(matrix[0, 0]) or abs(matrix[1, 0]) > 1e-6:
            raise CadstnError(
                f"intrinsic matrix with skew {matrix[0, 1]:g}",
                hint="rectify the images first; pixels stand upright here",
            )
        fx, fy, cx, cy = (float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
        if 0 < fx <= _NORMALIZED and 0 < fy <= _NORMALIZED:
            raise CadstnError(
                f"intrinsic matrix whose focal lengths are {fx:g} and {fy:g}",
                hint="give it in pixels; a normalised matrix, row by row, times width and height",
            )
        return Camera(
            fx, fy, cx, cy, width, height, depth_unit_mm, fps,
            distortion=distortion, distortion_model=distortion_model,  # type: ignore[arg-type]
        )  # fmt: skip

    @staticmethod
    def from_fov(
        width: int,
        height: int,
        horizontal_deg: float,
        vertical_deg: float | None = None,
        *,
        depth_unit_mm: float = 1.0,
        fps: float = 30.0,
    ) -> Camera:
        """Make a camera of its field of view, with its centre in the image's middle.

        A data sheet's angles are a kind of camera's, not your camera's: they may be off by some
        degrees, and every distance aside with them. Take the camera's own numbers if you can.

        Args:
            width: of the image in pixels.
            height: likewise.
            horizontal_deg: from the left edge to the right one.
            vertical_deg: from the upper edge to the lower one; None for square pixels.
            depth_unit_mm: see the class.
            fps: see the class.

        Raises:
            CadstnError: if an angle is not between 0 and 180 degrees.

        >>> round(Camera.from_fov(640, 480, 90).fx, 6)
        320.0
        """
        fx = _focal_px(width, horizontal_deg)
        fy = fx if vertical_deg is None else _focal_px(height, vertical_deg)
        return Camera(fx, fy, (width - 1) / 2, (height - 1) / 2, width, height, depth_unit_mm, fps)

    def scaled(self, factor: float) -> Camera:
        """Return the camera of this one's images made ``factor`` times as large.

        >>> Camera(500, 500, 319.5, 239.5, 640, 480).scaled(0.5).cx
        159.5

        Raises:
            CadstnError: if the factor is not a positive number, or no frame is so large.
        """
        if not 0 < factor <= _LARGEST_FACTOR:
            raise CadstnError(f"scale is {factor}", hint="give a positive number up to 1000")
        return self.stretched(
            factor, factor, round(self.width * factor), round(self.height * factor)
        )

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of this one's images resized; raises CadstnError without a size."""
        if not (self.width and self.height and width > 0 and height > 0):
            raise CadstnError(
                f"cannot resize {self.width}x{self.height} to {width}x{height}",
                hint="both need a size in pixels",
            )
        return self.stretched(width / self.width, height / self.height, width, height)

    def stretched(self, across: float, down: float, width: int, height: int) -> Camera:
        """Return the camera of images so many times as wide and as high, of this size in pixels."""
        # A pixel's middle is a whole number: the image begins half a pixel before 0.
        return replace(
            self,
            fx=self.fx * across,
            fy=self.fy * down,
            cx=(self.cx + 0.5) * across - 0.5,
            cy=(self.cy + 0.5) * down - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> Camera:
        """Return the camera of a window of this one's images.

        >>> Camera(500, 500, 320, 240, 640, 480).cropped(100, 40, 320, 240).cx
        220
        """
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=width, height=height)

    @property
    def pinhole(self) -> Camera:
        """This camera without its distortion: of the images that `depth_mm` makes."""
        return replace(self, distortion=()) if self.distortion else self

    def straightened(self, depth_mm: DepthMm) -> DepthMm:
        """Undo the lens's distortion in (H, W) mm, by nearest neighbour."""
        if not self.distortion:
            return depth_mm
        height, width = depth_mm.shape
        index = straightening_map(
            (self.fx, self.fy), (self.cx, self.cy), (width, height),
            self.distortion_model, self.distortion,
        )  # fmt: skip
        return np.append(depth_mm.ravel(), np.float32(0)).take(index)

    def to_xyz_mm(self, uvd: ArrayLike) -> FloatArray:
        """Pixels and depth ``(..., 3)`` (u px, v px, d mm) -> points ``(..., 3)`` in mm.

        >>> Camera(500, 500, 320, 240).to_xyz_mm([420.0, 240.0, 1000.0]).tolist()
        [200.0, 0.0, 1000.0]
        """
        uvd = _float(uvd)
        u, v, d = uvd[..., 0], uvd[..., 1], uvd[..., 2]
        return np.stack([(u - self.cx) * d / self.fx, (v - self.cy) * d / self.fy, d], axis=-1)

    def to_uvd(self, xyz_mm: ArrayLike) -> FloatArray:
        """Points ``(..., 3)`` in mm -> pixels and depth ``(..., 3)``; NaN stays NaN.

        >>> Camera(500, 500, 320, 240).to_uvd([200.0, 0.0, 1000.0]).tolist()
        [420.0, 240.0, 1000.0]
        """
        xyz = _float(xyz_mm)
        x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.stack([x * self.fx / z + self.cx, y * self.fy / z + self.cy, z], axis=-1)

    def depth_mm(self, raw: NDArray[Any]) -> DepthMm:
        """Raw sensor image -> float32 millimetres of a pinhole, 0 where nothing was measured.

        Args:
            raw: (H, W) uint16, or (H, W, 3) uint8 in OpenCV's channel order for ``nyu``.

        Raises:
            CadstnError: if the image does not have the shape and type of the encoding.
        """
        units = unpack(raw, self.encoding)
        out: DepthMm = units.astype(np.float32) * np.float32(self.depth_unit_mm)
        # 65535 is what a saturated 16-bit sensor writes: never a distance. One value after the
        # other, which is several times faster than np.isin.
        for value in (65535, *self.invalid):
            np.copyto(out, 0.0, where=units == value)
        return self.straightened(out)

    def sized(self, width: int, height: int) -> Camera:
        """Return this camera with its size filled in; raises CadstnError where they disagree."""
        from cadstn.geometry.presets import other_mode  # which are made of cameras

        if (self.width or width, self.height or height) != (width, height):
            hint, own = "give the camera that took these frames", (self.width, self.height)
            if all(own) and width * own[1] == height * own[0]:
                factor = f"{width / own[0]:.4g}"
                hint += f"; if they were resized: --scale {factor}, camera.scaled({factor})"
            else:
                hint += other_mode(self, width, height)
            raise CadstnError(
                f"frame is {width}x{height} where the camera is {self.width}x{self.height}",
                hint=hint,
            )
        if (self.width, self.height) == (width, height):
            return self
        return replace(self, width=width, height=height)

    def to_json(self) -> str:
        """The text of a ``camera.json``."""
        values = asdict(self)
        if not self.distortion:  # as older releases read it
            del values["distortion"], values["distortion_model"]
        return json.dumps(values, indent=2) + "\n"

    @staticmethod
    def from_json(text: str, where: object = "camera.json") -> Camera:
        """Parse a ``camera.json``.

        Raises:
            CadstnError: naming the file on bad JSON, missing, unknown or nonsensical fields.
        """
        values = camera_fields(text, where, {f.name for f in fields(Camera)})
        values["invalid"] = tuple(values.get("invalid", ()))
        try:
            return Camera(**values)
        except CadstnError as error:
            raise CadstnError(error.what, where=where, hint=error.hint) from None


def _float(values: ArrayLike) -> FloatArray:
    """Keep float32 and float64 as they are; turn anything else into float64."""
    array = np.asarray(values)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def _focal_px(pixels: int, angle_deg: float) -> float:
    if not 0 < angle_deg < 180:
        raise CadstnError(
            f"field of view is {angle_deg} degrees", hint="give an angle between 0 and 180"
        )
    if angle_deg < math.pi:
        raise CadstnError(
            f"field of view is {angle_deg:g} degrees",
            hint=f"radians? {angle_deg:g} rad are {math.degrees(angle_deg):.4g} degrees",
        )
    return pixels / 2 / math.tan(math.radians(angle_deg) / 2)
