"""Whether two frames are of one camera, whose numbers may be measured anew for each.

Phones with autofocus or a stabiliser give other intrinsics with every frame, and a matrix that is
computed again in 32 bits differs in its last digits.
"""

from __future__ import annotations

from cadstn.geometry.pinhole import Camera

SHARE = 0.01
"""Share of the focal length by which it and the principal point may change from one frame to the
next: half a degree, by which a place in the camera frame is as far off as a hand moves."""


def is_same_camera(one: Camera, other: Camera) -> bool:
    """Whether what is known in one camera's frame still holds in the other's.

    Image, unit and kind of lens are the same, and focal lengths and principal point differ by no
    more than `SHARE`. What else differs, such as the frame rate, moves no point.

    >>> camera = Camera(475, 475, 320, 240, 640, 480)
    >>> is_same_camera(camera, Camera(475.01, 475.01, 322, 240, 640, 480))
    True
    >>> is_same_camera(camera, camera.scaled(0.5))
    False
    """
    if one is other:
        return True
    return (
        (one.width, one.height) == (other.width, other.height)
        and one.depth_unit_mm == other.depth_unit_mm
        and one.distortion_model == other.distortion_model
        and len(one.distortion) == len(other.distortion)
        and max(abs(one.fx - other.fx), abs(one.cx - other.cx)) <= SHARE * one.fx
        and max(abs(one.fy - other.fy), abs(one.cy - other.cy)) <= SHARE * one.fy
    )
