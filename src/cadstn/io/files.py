"""One frame of a recording in mm, and how errors of files are reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.arrays import as_depth_mm, refuse_metres, widened
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.encoding import COARSEST_MM, check_red
from cadstn.io.images import read_image
from cadstn.io.png import MAX_PIXELS
from cadstn.io.whole import write_bytes

Arrays = Mapping[str, Any]  # of NumPy arrays


@contextmanager
def error_context(where: object) -> Iterator[None]:
    """Name the file in errors that do not know it, and make the system's errors ours."""
    try:
        yield
    except CadstnError as error:
        if error.where is not None:
            raise
        raise CadstnError(error.what, where=where, hint=error.hint) from None
    except FileNotFoundError:
        raise CadstnError("no such file or folder", where=where, hint="check its name") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null byte" not in str(error):
            raise  # of a path, that is
        raise CadstnError(
            f"cannot read or write ({getattr(error, 'strerror', None) or error})",
            where=where,
            hint="check its permissions and the space left",
        ) from None


def write_png(file: Path, units: NDArray[np.uint16], camera: Camera) -> None:
    """Write one raw frame in the camera's encoding, whole or not at all."""
    import cv2  # here, because it takes longer to import than all of this package

    if camera.encoding == "metres":
        raise CadstnError("a PNG holds no floats", where=file, hint="give millimetres a step")
    image: NDArray[Any] = units
    if camera.encoding == "nyu":  # green * 256 + blue; OpenCV writes blue first
        image = np.stack([units & 255, units >> 8, units & 0], axis=-1).astype(np.uint8)
    made, data = cv2.imencode(".png", image)
    if not made:
        raise CadstnError("OpenCV cannot make a PNG of it", where=file)
    write_bytes(file, data.tobytes(), durable=False)


def read_png(file: Path, camera: Camera, unit_mm: float | None = None) -> DepthMm:
    """Read one frame into mm, of any kind in `cadstn.io.images`; raises CadstnError naming it."""
    with error_context(file):
        return to_mm(read_image(file, camera), camera, unit_mm)


def to_mm(raw: NDArray[Any], camera: Camera, unit_mm: float | None = None) -> DepthMm:
    """Raw image -> (H, W) mm of a pinhole of the camera's size, with at least one pixel measured.

    Args:
        raw: whole numbers are the sensor's steps; floats are mm, or metres by the encoding.
        camera: that took it.
        unit_mm: the mm of a step or of 1.0, whatever the camera's unit is.

    Raises:
        CadstnError: if it is of another size or kind, its values are no depth in the camera's
            unit, or nothing is measured.
    """
    if raw.ndim not in (2, 3) or not 0 < raw.size <= 4 * MAX_PIXELS:
        raise CadstnError(f"{raw.dtype} of shape {raw.shape}", hint="give (height, width) depth")
    camera.sized(raw.shape[1], raw.shape[0])
    packed = camera.encoding == "nyu" and raw.ndim == 3 and raw.dtype == np.uint8
    if packed:
        check_red(raw)
    if raw.ndim == 2 and raw.dtype.kind == "f":
        depth = _from_floats(raw, camera, unit_mm)
    elif unit_mm is None or (raw.dtype.itemsize == 1 and not packed):
        depth = camera.depth_mm(_narrowed(raw))
    elif unit_mm <= COARSEST_MM:
        depth = as_depth_mm(_narrowed(raw), camera, unit_mm)
    else:
        raise CadstnError(
            f"{raw.dtype} image in steps of {unit_mm:g} mm",
            hint="that is a unit of floats; give mm, um, or the millimetres of a step",
        )
    if not depth.any():
        units = raw if raw.ndim == 2 else raw[..., 1] * np.uint16(256) + raw[..., 0]
        low, high = units.min(), units.max()
        seen = f"every pixel is {low}" if low == high else f"pixels {low} to {high}"
        raise CadstnError(
            f"nothing measured: {seen}", hint="check the sensor, and 'invalid' in camera.json"
        )
    return depth


def _narrowed(raw: NDArray[Any]) -> NDArray[Any]:
    """Integers that 16 bits hold as 16 bits; everything else as it is, to be refused."""
    if (
        raw.ndim == 2
        and raw.dtype.kind in "iu"
        and raw.dtype.itemsize > 1
        and raw.dtype != np.uint16
    ):
        low, high = int(raw.min()), int(raw.max())
        if low >= 0 and high <= 65535:
            return raw.astype(np.uint16)
    return raw


def _from_floats(raw: NDArray[Any], camera: Camera, unit_mm: float | None) -> DepthMm:
    """Distances as floats; what is not finite or not in front of the camera was not measured."""
    if unit_mm is None:
        unit_mm = 1000.0 if camera.encoding == "metres" else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        depth: DepthMm = (widened(raw) * unit_mm).astype(np.float32)
        measured = np.isfinite(depth) & (depth > 0)
    for value in camera.invalid:
        measured &= raw != value
    depth = np.where(measured, depth, np.float32(0))
    refuse_metres(depth, hint="mark metres with an m: --camera fx,fy,cx,cy,m")
    return camera.straightened(depth)
