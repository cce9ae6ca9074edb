"""Lens distortion: pixels of a real lens to those of a pinhole, by nearest neighbour.

A depth image is made straight once, where it becomes millimetres; everything after that sees a
pinhole. Depth is the distance along the optical axis, so that a pixel moves and its value stays.
Nearest neighbour, because the mean of two surfaces' depths lies on neither.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cadstn.errors import CadstnError, nearest_name

Points = NDArray[np.float64]

#: How many coefficients each model may have, in OpenCV's order. Brown-Conrady: k1 k2 p1 p2 [k3 [k4
#: k5 k6]], the last three a denominator's (Azure Kinect). Inverse Brown-Conrady: librealsense's
#: model of SR300's depth, from the distorted point to the straight one. Kannala-Brandt: k1 k2 k3 k4
#: of the angle, OpenCV's fisheye.
MODELS = {
    "brown-conrady": (4, 5, 8),
    "inverse-brown-conrady": (4, 5),
    "kannala-brandt": (4,),
}
_STEPS = 20


def checked_distortion(model: str, coefficients: ArrayLike) -> tuple[float, ...]:
    """The coefficients as plain numbers, however they are given.

    Raises:
        CadstnError: where the model is unknown or its coefficients are too many, too few or none.
    """
    try:
        coefficients = tuple(np.asarray(coefficients, np.float64).ravel().tolist())
    except (TypeError, ValueError):
        raise CadstnError(
            f"distortion is {coefficients!r}", hint="give numbers, in OpenCV's order"
        ) from None
    if model not in MODELS:
        raise CadstnError(f"distortion model is '{model}'", hint=nearest_name(model, MODELS))
    counts = MODELS[model]
    if coefficients and len(coefficients) not in counts:
        raise CadstnError(
            f"{len(coefficients)} distortion coefficients",
            hint=f"{model} has {' or '.join(map(str, counts))}, in OpenCV's order",
        )
    if not np.isfinite(coefficients).all():
        raise CadstnError(
            f"distortion coefficients are {list(coefficients)}", hint="give finite numbers"
        )
    return coefficients


def distort(model: str, coefficients: tuple[float, ...], points: Points) -> Points:
    """Where a lens shows points that a pinhole shows elsewhere.

    Args:
        model: one of `MODELS`.
        coefficients: in OpenCV's order.
        points: (..., 2) x / z and y / z.

    Returns:
        (..., 2) the same, as the lens shows them.
    """
    if model == "kannala-brandt":
        radius = np.linalg.norm(points, axis=-1, keepdims=True)
        angle = np.arctan(radius)
        k1, k2, k3, k4 = coefficients
        square = angle * angle
        bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
        return points * np.where(radius > 1e-12, bent / np.maximum(radius, 1e-12), 1.0)
    if model == "brown-conrady":
        return _brown_conrady(coefficients, points)
    # The inverse model leads from the lens to the pinhole: search the point that it leads here.
    seen = points
    for _ in range(_STEPS):
        seen = seen + (points - _brown_conrady(coefficients, seen))
    return seen


def _brown_conrady(coefficients: tuple[float, ...], points: Points) -> Points:
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *([0.0] * (8 - len(coefficients))))
    x, y = points[..., 0], points[..., 1]
    square = x * x + y * y
    radial = (1 + square * (k1 + square * (k2 + square * k3))) / (
        1 + square * (k4 + square * (k5 + square * k6))
    )
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
            y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


@lru_cache(maxsize=8)
def straightening_map(
    focal: tuple[float, float],
    center: tuple[float, float],
    size: tuple[int, int],
    model: str,
    coefficients: tuple[float, ...],
) -> NDArray[np.intp]:
    """Which pixel of the lens's image each pixel of the pinhole's shows; made once a camera.

    Args:
        focal: fx and fy, pixels.
        center: cx and cy, pixels.
        size: width and height, pixels.
        model: one of `MODELS`.
        coefficients: in OpenCV's order.

    Returns:
        (height, width) flat indices; ``width * height`` where the lens shows nothing.
    """
    width, height = size
    u, v = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    straight = np.stack([(u - center[0]) / focal[0], (v - center[1]) / focal[1]], axis=-1)
    seen = distort(model, coefficients, straight)
    column = seen[..., 0] * focal[0] + center[0]
    row = seen[..., 1] * focal[1] + center[1]
    # Past its last useful angle a polynomial turns back and would show the middle once more.
    farther = distort(model, coefficients, straight * 1.001)
    with np.errstate(invalid="ignore"):
        inside = (column > -0.5) & (column < width - 0.5) & (row > -0.5) & (row < height - 0.5)
        inside &= (farther**2).sum(-1) >= (seen**2).sum(-1)
        inside &= (seen * straight).sum(-1) >= 0
    index = np.full((height, width), width * height, np.intp)
    index[inside] = np.rint(row[inside]).astype(np.intp) * width + np.rint(column[inside]).astype(
        np.intp
    )
    index.setflags(write=False)
    return index
