"""Depth as callers have it, to float32 millimetres: arrays, lists, images, tensors, frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.encoding import unpack
from cadstn.geometry.pinhole import Camera, DepthMm

#: Millimetres of a unit by name.
UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
#: No depth camera measures nearer than this: a picture whose depths all are is one of metres.
METRES_BELOW = 20.0
_LONGEST_UNIT_MM = 1e6
_LEAST_PIXELS = 4096  # of a frame, to see whether it is metres
_HINT = "give a NumPy array (height, width), uint16 as the sensor wrote it or float millimetres"
_ONE_IMAGE = "give one (height, width) image"


def as_depth_mm(depth: Any, camera: Camera, unit: str | float | None = None) -> DepthMm:
    """Return any depth image as float32 millimetres of a pinhole.

    Args:
        depth: (H, W), (H, W, 1) or (1, H, W), of any numeric type: a NumPy array, nested lists, a
            PIL image, a torch tensor, anything with ``__array__`` or ``__dlpack__``, a camera
            library's frame with ``get_data()``; (H, W, 3) uint8 for a camera of NYU's packing.
            Whole numbers are the sensor's own steps, floats are millimetres.
        camera: that took it; its unit, invalid values and distortion apply.
        unit: what the numbers are instead: ``mm``, ``cm``, ``m``, ``um``, or the millimetres of a
            step.

    Returns:
        (H, W) float32 mm; 0, NaN or infinity where nothing was measured.

    Raises:
        CadstnError: if it is no depth image or no camera, holds negative steps, or floats in
            metres.

    >>> camera = Camera(240, 240, 160, 120, depth_unit_mm=0.5)
    >>> as_depth_mm([[1000, 0], [1200, 65535]], camera).tolist()
    [[500.0, 0.0], [600.0, 0.0]]
    >>> as_depth_mm(np.array([[0.5, 0.625]]), camera, unit="m").tolist()
    [[500.0, 625.0]]
    """
    require_camera(camera)
    array = depth if type(depth) is np.ndarray else _array(depth)
    kind = array.dtype.kind
    if kind not in "uif":
        raise CadstnError(f"depth of type {array.dtype}", hint=_HINT)
    packed = camera.encoding == "nyu" and array.dtype == np.uint8
    if array.ndim > 2 and not packed:
        array = _without_ones(array)
    if not packed and (array.ndim != 2 or 0 in array.shape):
        colored = array.ndim == 3 and array.shape[-1] in (3, 4)
        hint = "a colour picture? Read depth with cv2.IMREAD_UNCHANGED" if colored else _ONE_IMAGE
        raise CadstnError(f"depth has shape {array.shape}", hint=hint)
    if unit is not None:
        steps = unpack(array, camera.encoding) if packed else array
        return camera.straightened(_in_unit(steps, camera, factor_mm(unit)))
    if kind != "f":
        if array.dtype.itemsize == 1 and not packed and array.ndim == 2:
            raise CadstnError(
                "8-bit 1-channel image where 16-bit depth was expected: a picture, no distances",
                hint=_HINT,
            )
        return camera.depth_mm(array if packed else _steps(array))
    refuse_metres(array, hint="give millimetres (depth * 1000), or unit='m'")
    return camera.straightened(_float32(array))


def quantiles(values: ArrayLike, shares: Sequence[float]) -> list[float]:
    """Quantiles of some values, interpolated; NumPy's own load ``numpy.ma``, 30 ms of a start.

    >>> quantiles([3, 1, 2], [0.0, 0.5, 0.75])
    [1.0, 2.0, 2.5]
    """
    ordered = np.sort(values, axis=None)
    found: list[float] = np.interp(shares, np.linspace(0, 1, ordered.size), ordered).tolist()
    return found


def factor_mm(unit: str | float) -> float:
    """Return the millimetres of a unit: a name in `UNITS_MM`, or a number, also written as text.

    Raises:
        CadstnError: if there is no such unit.

    >>> factor_mm("cm"), factor_mm(0.125), factor_mm("0.25")
    (10.0, 0.125, 0.25)
    """
    try:
        factor = UNITS_MM.get(unit) or float(unit) if isinstance(unit, str) else float(unit)
    except (TypeError, ValueError):
        if isinstance(unit, str):
            raise CadstnError(f"no unit '{unit}'", hint=nearest_name(unit, UNITS_MM)) from None
        factor = 0.0
    if not 0 < factor <= _LONGEST_UNIT_MM:
        raise CadstnError(f"unit is {unit}", hint="give mm, cm, m, um, or millimetres a step")
    return factor


def refuse_metres(depth: NDArray[Any], hint: str) -> None:
    """Raise CadstnError for floats that are metres: no millimetres are so few."""
    step = max(1, int((depth.size / _LEAST_PIXELS) ** 0.5))
    some = depth[::step, ::step]
    largest = _largest(some)
    # Far walls, and marks of nothing measured, may be large numbers in a picture of metres.
    few = np.count_nonzero((some > 0) & (some < METRES_BELOW))
    if largest >= METRES_BELOW and 2 * few > np.count_nonzero(some > 0):
        raise CadstnError(f"most depths are below {METRES_BELOW:g}: metres?", hint=hint)
    if largest < METRES_BELOW and step > 1:
        largest = _largest(depth)
    if 0 < largest < METRES_BELOW:
        guess = "metres, or a picture scaled to 0..1" if largest <= 1 else "metres"
        raise CadstnError(f"the largest depth is {largest:.3g}: {guess}?", hint=hint)


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """Floats of 16 bits as 32, in which a product is exact enough: 16 hold whole mm beyond 1 m."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def require_camera(camera: Any) -> None:
    """Raise CadstnError unless it is a `Camera`: a matrix, a name and numbers make one."""
    if isinstance(camera, Camera):
        return
    raise CadstnError(
        f"camera is {'None' if camera is None else f'a {type(camera).__name__}'}, not a Camera",
        hint="Camera.from_K(K, width, height) of a 3x3 matrix, Camera(fx, fy, cx, cy) of numbers, "
        "parse_camera('kinect2') of a name",
    )


def _array(depth: Any) -> NDArray[Any]:
    """Read what is no plain array."""
    name = type(depth).__name__
    if depth is None:
        raise CadstnError("depth is None", hint="cv2.imread returns it for a file it cannot read")
    try:
        if isinstance(depth, np.ma.MaskedArray):
            return np.asarray(depth.filled(0))
        if isinstance(depth, str | bytes):
            raise TypeError("it has no pixels")
        if hasattr(depth, "get_data"):  # a frame of pyrealsense2 or pyorbbecsdk
            return np.asarray(depth.get_data())
        if hasattr(depth, "detach"):  # torch: from the accelerator, without its gradient
            depth = depth.detach().cpu()
            if "bfloat16" in str(depth.dtype):
                depth = depth.float()
        if hasattr(depth, "__dlpack__") and not hasattr(depth, "__array__"):
            return np.asarray(np.from_dlpack(depth))
        return np.asarray(depth)
    except (TypeError, ValueError, RuntimeError, BufferError, AttributeError) as error:
        why = " ".join(str(error).split())[:80]
        raise CadstnError(f"depth is a {name} without depth's pixels ({why})", hint=_HINT) from None


def _without_ones(array: NDArray[Any]) -> NDArray[Any]:
    """Take (H, W, 1), (1, H, W) and the like for (H, W)."""
    shape = array.shape
    kept = [size for size in shape if size != 1]
    return array.reshape(kept) if len(kept) == 2 else array


def _steps(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers of any width that fit into 16 bits, as the sensor's uint16."""
    if array.dtype.itemsize < 2 or array.dtype == np.uint16:
        return array
    low, high = int(array.min()), int(array.max())
    if low < 0:
        return array  # refused where raw images are
    if high > 65535:
        raise CadstnError(
            f"the largest step is {high}, more than 16 bits hold",
            hint="micrometres? give unit='um', or the millimetres of a step",
        )
    return array.astype(np.uint16)


def _in_unit(array: NDArray[Any], camera: Camera, factor: float) -> DepthMm:
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise CadstnError(f"the smallest depth is {array.min()}", hint="clip negatives to 0")
    if array.dtype.kind == "f" and factor == 1:  # a recording's frames: no product, no copy
        return _float32(array)
    if array.dtype.kind != "f" and camera.invalid:
        array = np.where(np.isin(array, camera.invalid), 0, array)
    if array.dtype.kind != "f" and array.max(initial=0) == 65535:
        array = np.where(array == 65535, 0, array)  # of a 16-bit sensor, saturated
    return _float32(widened(array) * factor)


def _float32(array: NDArray[Any]) -> DepthMm:
    """Without NumPy's warning: what is larger than float32 holds becomes infinite, not measured."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _largest(depth: NDArray[Any]) -> float:
    return float(np.max(depth, where=np.isfinite(depth), initial=0.0))
