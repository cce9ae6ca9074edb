"""The pinhole camera: pixels to millimetres and back, and the field's known cameras.

Inside this project every point is in the OpenCV camera frame (x right, y down, z forward) in
millimetres, and every depth image is float32 millimetres with 0 where nothing was measured. Files
and devices have other units and axes; they are converted here, once, at the edge.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError, nearest_name

FloatArray = NDArray[np.floating[Any]]
DepthMm = NDArray[np.float32]

ENCODINGS = ("depth16", "nyu")
#: Beyond these no camera is, and arithmetic in 32 bits or the memory ends.
_MOST, _LONGEST, _MOST_INVALID = 1e6, 65_536, 64


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a depth camera and how its files encode depth.

    Attributes:
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        width, height: image size in pixels; 0 means "as the frames are".
        depth_unit_mm: millimetres per unit of the raw image.
        fps: frames per second, for time stamps.
        encoding: ``depth16`` (16-bit single channel) or ``nyu`` (8-bit RGB, G * 256 + B).
        invalid: raw values that mean "nothing measured", besides 0.

    Raises:
        CadstnError: on a focal length, unit, size or encoding that makes no sense.
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

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "depth_unit_mm", "fps"):
            value = getattr(self, name)
            if not (np.isfinite(value) and 1e-6 < value < _MOST):
                raise CadstnError(
                    f"camera {name} is {value}", mend=f"give a positive number for {name}"
                )
        if not (
            np.isfinite(self.cx)
            and np.isfinite(self.cy)
            and max(map(abs, (self.cx, self.cy))) < _MOST
        ):
            raise CadstnError(
                f"camera centre is ({self.cx}, {self.cy})", mend="give cx and cy in pixels"
            )
        if not (0 <= self.width <= _LONGEST and 0 <= self.height <= _LONGEST):
            raise CadstnError(
                f"camera size is {self.width}x{self.height}",
                mend="give width and height in pixels, or 0 to take them from the frames",
            )
        if len(self.invalid) > _MOST_INVALID:
            raise CadstnError(
                f"camera has {len(self.invalid)} invalid values",
                mend=f"give at most {_MOST_INVALID}",
            )
        if self.encoding not in ENCODINGS:
            raise CadstnError(
                f"camera encoding is '{self.encoding}'",
                mend=nearest_name(self.encoding, ENCODINGS),
            )

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
        """Raw sensor image -> float32 millimetres, 0 where nothing was measured.

        Args:
            raw: (H, W) uint16, or (H, W, 3) uint8 in OpenCV's channel order for ``nyu``.

        Raises:
            CadstnError: if the image does not have the shape and type of the encoding.
        """
        if self.encoding == "nyu":
            if raw.ndim != 3 or raw.shape[2] != 3 or raw.dtype != np.uint8:
                raise CadstnError(
                    f"{_kind(raw)} image where NYU's packing is 8-bit RGB",
                    mend="use depth_1_*.png, or another --camera",
                )
            # OpenCV reads blue first: depth = green * 256 + blue (Tompson 2014).
            units = raw[..., 1].astype(np.uint16) << 8 | raw[..., 0]
        elif raw.ndim == 2 and raw.dtype.kind == "u" and raw.dtype.itemsize == 2:
            units = raw
        elif raw.ndim == 2 and raw.dtype.kind in "ui" and raw.dtype.itemsize > 1:
            # A signed or wider image has values that no sensor writes: -1 would become a distance.
            raise CadstnError(
                f"{raw.dtype} image where uint16 depth was expected",
                mend="clip negatives to 0, then convert with .astype(np.uint16)",
            )
        else:
            raise CadstnError(
                f"{_kind(raw)} image where 16-bit depth was expected",
                mend="save depth as 16-bit single-channel PNG, or use --camera nyu for its packing",
            )
        out: DepthMm = units.astype(np.float32) * np.float32(self.depth_unit_mm)
        # 65535 is what a saturated 16-bit sensor writes: never a distance. One value after the
        # other, which is several times faster than np.isin.
        for value in (65535, *self.invalid):
            np.copyto(out, 0.0, where=units == value)
        return out

    def sized(self, width: int, height: int) -> Camera:
        """Return this camera with its size filled in; raises CadstnError where they disagree."""
        if (self.width or width, self.height or height) != (width, height):
            raise CadstnError(
                f"frame is {width}x{height} where the camera is {self.width}x{self.height}",
                mend="give the camera that took these frames",
            )
        return replace(self, width=width, height=height)

    def to_json(self) -> str:
        """The text of a ``camera.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str, where: object = "camera.json") -> Camera:
        """Parse a ``camera.json``.

        Raises:
            CadstnError: naming the file on bad JSON, missing, unknown or nonsensical fields.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise CadstnError(f"not JSON ({error})", where=where, mend=_CAMERA_MEND) from None
        except ValueError:  # Python refuses to convert integers of thousands of digits
            raise CadstnError(
                "holds a number of thousands of digits", where=where, mend=_CAMERA_MEND
            ) from None
        except RecursionError:
            raise CadstnError("nested too deeply", where=where, mend=_CAMERA_MEND) from None
        if not isinstance(values, dict):
            raise CadstnError("not a JSON object", where=where, mend=_CAMERA_MEND)
        known = {f.name: f for f in fields(Camera)}
        for name, value in values.items():
            if name not in known:
                raise CadstnError(
                    f"unknown field '{name}'", where=where, mend=nearest_name(name, known)
                )
            if name == "invalid":
                good = isinstance(value, list) and all(map(_is_integer, value))
            elif name == "encoding":
                good = isinstance(value, str)
            elif name in ("width", "height"):
                good = _is_integer(value)
            else:
                good = type(value) is float or _is_integer(value)
            if not good:
                # Shortened: what stands there may be hundreds of digits or lists deep.
                raise CadstnError(
                    f"field '{name}' is {reprlib.repr(value)}", where=where, mend=_CAMERA_MEND
                )
        missing = [name for name in ("fx", "fy", "cx", "cy") if name not in values]
        if missing:
            raise CadstnError(f"lacks {', '.join(missing)}", where=where, mend=_CAMERA_MEND)
        values["invalid"] = tuple(values.get("invalid", ()))
        try:
            return Camera(**values)
        except CadstnError as error:
            raise CadstnError(error.what, where=where, mend=error.mend) from None


_CAMERA_MEND = (
    'write {"fx": 475.0, "fy": 475.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480, '
    '"depth_unit_mm": 1.0, "fps": 30} with your camera\'s numbers'
)

_SOFTKINETIC = Camera(241.42, 241.42, 160.0, 120.0, 320, 240, invalid=(32001, 32002))

#: Cameras of the field's data sets and of common sensors. Sources: NYU: Tompson 2014 and the public
#: evaluators; ICVL, MSRA15 and DS325: 241.42 px reproduces the published ICVL errors; Kinect v2 and
#: SR305: the intrinsics that the recordings we test on came with.
KNOWN_CAMERAS: dict[str, Camera] = {
    "nyu": Camera(588.03, 587.07, 320.0, 240.0, 640, 480, encoding="nyu", invalid=(32001,)),
    "icvl": _SOFTKINETIC,
    "msra": _SOFTKINETIC,
    "ds325": _SOFTKINETIC,
    "kinect2": Camera(363.9, 363.9, 255.4, 206.3, 512, 424),
    "sr305": Camera(476.007, 476.007, 313.683, 242.755, 640, 480, depth_unit_mm=0.125),
}


def parse_camera(text: str) -> Camera:
    """Read a camera given as text: a known name, a ``.json`` file, or ``fx,fy,cx,cy[,unit_mm]``.

    >>> parse_camera("475,475,320,240,0.125").depth_unit_mm
    0.125

    Raises:
        CadstnError: if it is none of the three.
    """
    if text in KNOWN_CAMERAS:
        return KNOWN_CAMERAS[text]
    if text.endswith(".json"):
        path = Path(text)
        try:
            if not path.is_file() and not path.is_dir():  # no pipe, which is waited for
                raise CadstnError("no such camera file", where=path, mend=_CAMERA_MEND)
            if path.stat().st_size > 1 << 20:
                raise CadstnError("not a camera: over a megabyte", where=path, mend=_CAMERA_MEND)
            content = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise CadstnError(
                f"cannot read ({error.strerror or error})",
                where=path,
                mend="check its permissions, or give another file",
            ) from None
        return Camera.from_json(content, where=path)
    parts = text.split(",")
    if len(parts) in (4, 5):
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if numbers:
            fx, fy, cx, cy, *unit = numbers
            try:
                return Camera(fx, fy, cx, cy, depth_unit_mm=unit[0] if unit else 1.0)
            except CadstnError as error:
                where = f"camera '{text}'"
                raise CadstnError(error.what, where=where, mend=error.mend) from None
    raise CadstnError(
        f"no camera '{text}'",
        mend=f"{nearest_name(text, KNOWN_CAMERAS)}, FILE.json, or fx,fy,cx,cy[,depth_unit_mm]",
    )


def _float(values: ArrayLike) -> FloatArray:
    """Keep float32 and float64 as they are; turn anything else into float64."""
    array = np.asarray(values)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _is_integer(value: object) -> bool:
    """Whether a value read from JSON is an integer that numpy can hold; true and false are not."""
    return type(value) is int and abs(value) < 2**63


def _kind(image: NDArray[Any]) -> str:
    """Describe an image for an error: '8-bit 1-channel'."""
    channels = image.shape[2] if image.ndim == 3 else 1
    return f"{8 * image.dtype.itemsize}-bit {channels}-channel"
