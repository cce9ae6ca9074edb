"""The renderer's oracle: one pixel at a time, in double precision, by another method.

Slow and readable. A ray walks as far as nothing can be near (sphere tracing: Hart, "Sphere
tracing", The Visual Computer 12, 1996), by the exact distance to the hull of two balls.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadstn.synth.surface import Cones

Array = NDArray[np.float64]

_ARRIVED_MM = 1e-6
_STEPS = 3000
_GRAZING = 0.04  # cosine between ray and surface under which rounding decides what is hit
_GONE_MM = 5e4


class Solids:
    """Cones and planes of one image in double precision.

    Args:
        cones: (B, P) of which row ``row`` is taken.
        planes: (B, Q, 4) or none, see `cadstn.synth.raster.cast`.
        row: which image.
    """

    def __init__(self, cones: Cones, planes: object = None, row: int = 0) -> None:
        arrays = [np.asarray(field[row].cpu(), np.float64) for field in cones]
        seen = np.maximum(arrays[0][:, 2] + arrays[2], arrays[1][:, 2] + arrays[3]) > 0
        self.a, self.b, self.ra, self.rb = (field[seen] for field in arrays)
        given = np.zeros((0, 4)) if planes is None else np.asarray(planes)[row]
        self.planes: Array = given[np.isfinite(given[:, 3])].astype(np.float64)

    def distance_mm(self, point: Array) -> float:
        """Signed distance of one point to the nearest cone: min over s of |p - c(s)| - r(s).

        In the plane of axis and point that is a convex function of s; its minimum lies where the
        line from the point meets the axis at the angle whose sine is the taper over the length.
        """
        if not len(self.ra):
            return np.inf
        axis = self.b - self.a
        length = np.maximum(np.sqrt((axis * axis).sum(-1)), 1e-12)
        offset = point - self.a
        along = (offset * axis).sum(-1) / length
        across = np.sqrt(np.maximum((offset * offset).sum(-1) - along**2, 0))
        sine = (self.ra - self.rb) / length
        cosine = np.sqrt(np.maximum(1 - sine**2, 1e-12))
        best = np.clip(along - across * sine / cosine, 0, length)
        # Where one ball swallows the other, the larger one is all there is.
        best = np.where(np.abs(sine) >= 1, np.where(sine > 0, 0, length), best)
        radius = self.ra + best / length * (self.rb - self.ra)
        return float((np.hypot(along - best, across) - radius).min())

    def cast(self, x: float, y: float) -> tuple[float, bool]:
        """Depth in mm along (x, y, 1), and whether the ray grazes a surface.

        Returns:
            depth, ``inf`` for a miss; True where a rounding error decides between hit and miss.
        """
        ray = np.array([x, y, 1.0])
        direction = ray / np.sqrt(ray @ ray)
        depth, grazing, walked = np.inf, False, 0.0
        for _ in range(_STEPS):
            away = self.distance_mm(walked * direction)
            grazing |= _ARRIVED_MM < away < 1e-3
            if away < _ARRIVED_MM:
                depth = walked * direction[2]
                # A ray that goes straight in is as deep as it went on.
                deeper = -self.distance_mm((walked + 0.05) * direction)
                grazing = deeper < 0.05 * _GRAZING
                break
            walked += away
            if walked > _GONE_MM:
                break
        for nx, ny, nz, offset in self.planes:
            slope = nx * x + ny * y + nz
            if slope != 0 and 0 < offset / slope < depth:
                depth = offset / slope
        return depth, grazing
