"""Cameras that cannot be right, each thing in one line."""

from __future__ import annotations

import math

from cadstn.geometry.pinhole import Camera

#: How much larger than the frames the images may be that a camera's numbers are of.
_SCALES = (0.25, 1 / 3, 0.5, 2 / 3, 1.5, 1.6, 2.0, 3.0, 4.0)


def implausible_camera(camera: Camera) -> list[str]:
    """Return a line for each thing about a camera that cannot be right; none where all may be.

    It finds another order or resolution, a field of view or centre that no depth camera has, and
    pixels that are not square.
    """
    if not (camera.width and camera.height):
        return []
    if _usual(camera):
        return _turned(camera)
    order = _other_order(camera)
    if order is not None:
        return [order]
    scale = _other_scale(camera)
    if scale is not None:
        return [scale]
    found = []
    across = 2 * math.degrees(math.atan(camera.width / 2 / camera.fx))
    if not 25 <= across <= 130:
        found.append(
            f"camera fx {camera.fx:g} at {camera.width} pixels is a field of view of "
            f"{across:.0f} degrees; depth cameras have 40 to 120: check fx"
        )
    for name, center, size in (("cx", camera.cx, camera.width), ("cy", camera.cy, camera.height)):
        if abs(center - (size - 1) / 2) > 0.2 * size:
            found.append(
                f"camera {name} {center:g} is far from the middle of {size} pixels: check {name}, "
                "or whether the image was cropped"
            )
    if abs(camera.fx / camera.fy - 1) > 0.05:
        found.append(
            f"camera fx {camera.fx:g} and fy {camera.fy:g} differ: right for an image that was "
            "stretched, which is allowed for; else check them: pixels of depth cameras are square"
        )
    return found


def _turned(camera: Camera) -> list[str]:
    """A line where cx and cy fit well only if they change places, as in a turned picture."""
    middle = (camera.width - 1) / 2, (camera.height - 1) / 2

    def away(cx: float, cy: float) -> float:
        return max(abs(cx - middle[0]) / camera.width, abs(cy - middle[1]) / camera.height)

    if away(camera.cy, camera.cx) > 0.03 or away(camera.cx, camera.cy) < 0.1:
        return []
    return [
        f"camera cx {camera.cx:g} and cy {camera.cy:g} fit {camera.width}x{camera.height} pixels "
        "if they change places: cx,cy in another order, or a picture that was turned by 90 degrees"
    ]


def _usual(camera: Camera) -> bool:
    """Whether the numbers are a common depth camera's: not too far from the middle, square."""
    across = camera.width / 2 / camera.fx
    return (
        abs(camera.fx / camera.fy - 1) <= 0.05
        and math.tan(math.radians(12.5)) <= across <= math.tan(math.radians(65))
        and abs(camera.cx - (camera.width - 1) / 2) <= 0.2 * camera.width
        and abs(camera.cy - (camera.height - 1) / 2) <= 0.2 * camera.height
    )


def _other_order(camera: Camera) -> str | None:
    """Numbers that make a usual camera in another order."""
    first, second, third, fourth = camera.fx, camera.fy, camera.cx, camera.cy
    orders = {
        "fx,cx,fy,cy": (first, third, second, fourth),
        "cx,cy,fx,fy": (third, fourth, first, second),
        "fy,fx,cy,cx": (second, first, fourth, third),
        "cx,fy,fx,cy": (third, second, first, fourth),
        "fx,cy,cx,fy": (first, fourth, third, second),
    }
    for order, numbers in orders.items():
        if min(numbers) <= 0:
            continue
        fx, fy, cx, cy = numbers
        other = Camera(fx, fy, cx, cy, camera.width, camera.height)
        near_middle = (
            abs(cx - camera.width / 2) < 0.1 * camera.width
            and abs(cy - camera.height / 2) < 0.1 * camera.height
        )
        if near_middle and abs(fx / fy - 1) < 0.02 and _usual(other):
            return (
                f"camera numbers seem to be {order}: give fx,fy,cx,cy, {fx:g},{fy:g},{cx:g},{cy:g}"
            )
    return None


def _other_scale(camera: Camera) -> str | None:
    """Numbers that make a usual camera at another resolution."""
    across = (camera.cx + 0.5) / (camera.width / 2)
    down = (camera.cy + 0.5) / (camera.height / 2)
    if min(across, down) <= 0:
        return None
    away = {f: max(abs(math.log(across / f)), abs(math.log(down / f))) for f in _SCALES}
    factor = min(away, key=lambda f: away[f])
    scaled = Camera(camera.fx, camera.fy, camera.cx, camera.cy).scaled(1 / factor)
    if away[factor] > 0.15 or not _usual(scaled.sized(camera.width, camera.height)):
        return None
    return (
        f"camera numbers are of images of about {camera.width * factor:.0f}x"
        f"{camera.height * factor:.0f}, the frames are {camera.width}x{camera.height}: "
        f"--scale {1 / factor:.4g}, or camera.scaled({1 / factor:.4g})"
    )
