"""Find hands in a whole frame: reduce it, run the detector, back to millimetres."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.arrays import as_depth_mm
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.square import squaring
from cadstn.io.onnx_check import run_network

DETECTOR_KEY = "detector"
"""Key of a file's metadata that holds the detector's own ONNX file, in base 64."""

NEAR_MM, FAR_MM = 150.0, 2500.0
"""Depths at which hands are searched."""

REDUCED_PX = 160 * 120
"""About so many pixels has a reduced frame."""

_MULTIPLE = 32  # heights and widths that go in, see `cadstn.models.detector`
_LEAST_MM, _MOST_MM = 80.0, 8000.0  # other depths count as not measured


class Detection(NamedTuple):
    """A place that may be a hand."""

    center_mm: NDArray[np.float64]  # (3,) the knuckles' mean, camera frame
    score: float  # 0 to 1, how sure
    angle: float  # radians, clockwise from up, at which it points in the image


@dataclass(frozen=True)
class Detector:
    """The exported detector."""

    session: Any  # onnxruntime's, or anything with its ``run``

    def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
        """Find the places that may be hands, the surest first.

        Args:
            depth_mm: (H, W) mm, 0 where nothing was measured.
            camera: the camera that took it.
            least: score that a place must have.

        Returns:
            At most eight places, from `NEAR_MM` to `FAR_MM` away.
        """
        across, down = squaring(camera)
        small, stride = reduced(depth_mm, across, down)
        if not across == down == 1:
            camera = camera.stretched(across, down, camera.width, camera.height)
        focal = np.array([(camera.fx + camera.fy) / 2 / stride], np.float32)
        (found,) = run_network(self.session, ["hands"], {"depth": small[None], "focal": focal})
        out = []
        for score, column, row, z_mm, _, right, down, _ in found[0].tolist():
            # So written, what is not a number is not found.
            if not (score >= least and NEAR_MM <= z_mm <= FAR_MM):
                continue
            uvd = (column * stride, row * stride, z_mm)
            center_mm = np.asarray(camera.to_xyz_mm(uvd), np.float64)
            out.append(Detection(center_mm, score, math.atan2(right, -down)))
        return out


def find_hand(depth_mm: DepthMm, camera: Camera) -> Detection | None:
    """Deprecated: the surest place of `Detector.detect` with the weights that ship."""
    from cadstn.tracking.runtime import load_network

    warnings.warn("find_hand is now Tracker().network.detector.detect", DeprecationWarning, 2)
    detector = load_network().detector
    assert detector is not None
    depth_mm = as_depth_mm(depth_mm, camera)
    return next(iter(detector.detect(depth_mm, camera.pinhole)), None)


def reduced(
    depth_mm: DepthMm, across: float = 1.0, down: float = 1.0
) -> tuple[NDArray[np.float32], int]:
    """Every n-th pixel of every n-th row, padded at the right and below with 0: and n.

    Args:
        depth_mm: (H, W) mm.
        across: the frame is made so many times as wide first, see `squaring`.
        down: and so many times as high.
    """
    height, width = (
        max(1, round(count * factor))
        for count, factor in zip(depth_mm.shape, (down, across), strict=True)
    )
    stride = max(1, round(math.sqrt(height * width / REDUCED_PX)))
    if across == down == 1:
        small = depth_mm[::stride, ::stride]
    else:
        small = depth_mm[_sources(height, depth_mm.shape[0], stride, down)]
        small = small[:, _sources(width, depth_mm.shape[1], stride, across)]
    high, wide = small.shape
    out = np.zeros((high + -high % _MULTIPLE, wide + -wide % _MULTIPLE), np.float32)
    # So written, NaN counts as not measured as well.
    np.copyto(out[:high, :wide], small, where=(small > _LEAST_MM) & (small < _MOST_MM))
    return out, stride


def _sources(count: int, most: int, stride: int, factor: float) -> NDArray[np.intp]:
    """Which of ``most`` pixels every n-th of ``count`` shows, by nearest neighbour."""
    place = (np.arange(0, count, stride) + 0.5) / factor
    return np.minimum(place.astype(np.intp), most - 1)
