"""Pixels that are not square: whether they are, and what makes them so.

Networks were taught on square pixels. A frame that was stretched shows a hand of other proportions,
and joints go astray by several millimetres, without any doubt that would show.
"""

from __future__ import annotations

from cadstn.geometry.pinhole import Camera

SQUARE = 1.02
"""Focal lengths that differ by no more than this factor are those of square pixels."""

_MOST = 4.0  # an axis is enlarged by at most so much; more is no camera's, and would fill memory


def is_square(camera: Camera) -> bool:
    """Whether a camera's pixels are as wide as high, but for what calibration leaves.

    >>> is_square(Camera(475, 475.5, 320, 240)), is_square(Camera(475, 633, 320, 240))
    (True, False)
    """
    return max(camera.fx, camera.fy) <= SQUARE * min(camera.fx, camera.fy)


def squaring(camera: Camera) -> tuple[float, float]:
    """How many times as wide and as high a frame must become for its pixels to be square.

    The coarser axis is enlarged, by 4 at most, so that no pixel is left out; 1 and 1 of a camera
    whose pixels are square already.

    >>> squaring(Camera(400, 300, 320, 240))
    (1.0, 1.3333333333333333)
    """
    if is_square(camera):
        return 1.0, 1.0
    focal = min(max(camera.fx, camera.fy), _MOST * min(camera.fx, camera.fy))
    return focal / camera.fx, focal / camera.fy
