"""Surface support: whether a frame has a hand's surface where joints are predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera, DepthMm

#: How far the surface may lie from the joint in depth, and the other four places beside it.
_SLACK_MM, _ASIDE_MM = 45.0, 10.0
# Aside by nothing, and by one unit each way along u and v.
_STEPS_U = np.array([0.0, 1.0, -1.0, 0.0, 0.0])[:, None]
_STEPS_V = np.array([0.0, 0.0, 0.0, 1.0, -1.0])[:, None]


def surface_support(
    joints_xyz_mm: NDArray[np.floating],
    depth_mm: DepthMm,
    camera: Camera,
) -> NDArray[np.float64]:
    """Share of the surface around each joint that is where a hand's skin would be.

    A joint lies a few millimetres under the skin that the camera sees, or deeper where another
    finger is in front of it. Five places are tested, the joint's own and a finger's breadth to each
    side: one of the five is enough for a joint beside its finger, all five for one well inside.

    Args:
        joints_xyz_mm: (K, 3) camera frame, in front of the camera.
        depth_mm: (H, W) mm.
        camera: the camera that took it.

    Returns:
        (K,) share of the five places, 0 to 1.
    """
    x, y, z = np.asarray(joints_xyz_mm, np.float64).T
    column = np.rint((x + _ASIDE_MM * _STEPS_U) * camera.fx / z + camera.cx)
    row = np.rint((y + _ASIDE_MM * _STEPS_V) * camera.fy / z + camera.cy)
    height, width = depth_mm.shape
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = depth_mm.ravel().take(np.where(seen, row * width + column, 0).astype(np.intp))
    skin = seen & (surface > 0) & (np.abs(surface - z) < _SLACK_MM)
    return np.asarray(skin.sum(0) / len(skin))
