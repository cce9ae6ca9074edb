"""Joint angles and the wrist's pose, from the 21 joints of a hand.

The palm's frame: y from the wrist to the middle finger's knuckle; z out of the palm, at right
angles to y and to the line from the little finger's knuckle to the index finger's; x = y cross z,
which points to the thumb's side of a right hand and to the little finger's of a left one. It is
right-handed for either hand. Angles are in degrees and alike for both hands.

Of each finger, with the bone from the wrist to its knuckle as the direction at rest:

- flexion of its knuckle (MCP): how far the first bone rotates towards the palm; negative bent back;
- abduction of its knuckle: how far that bone leaves the plane of bending, away from the middle
  finger; of the middle finger, towards the thumb;
- flexion of the two further joints (PIP, DIP): the angle between the bones on either side, positive
  towards the palm.

Of the thumb: radial abduction, how far its metacarpal opens from the line along the palm within
the palm's plane; palmar abduction, how far it rises out of that plane; flexion of its knuckle
(MCP) and its last joint (IP), the angle between the bones on either side, positive across the palm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21

Array = NDArray[np.float64]

FINGERS = ("index", "middle", "ring", "pinky")
_CHAINS = np.array([HAND21.fingers[finger] for finger in FINGERS])
_THUMB = HAND21.fingers["thumb"]
_WRIST, _INDEX, _MIDDLE, _PINKY = 0, 5, 9, 17
#: The thumb bends towards the little finger and out of the palm: x (to the thumb), y, z.
_ACROSS = np.array([-0.85, 0.0, 0.5])
#: Away from the middle finger: index and middle towards the thumb, ring and little away from it.
_AWAY = np.array([1.0, 1.0, -1.0, -1.0])


class HandAngles(NamedTuple):
    """Angles of a hand in degrees; see the module for what each is. NaN where it is lost.

    Attributes:
        flexion: (4, 3) of index, middle, ring and little finger at MCP, PIP and DIP.
        abduction: (4,) of the same fingers' knuckles.
        thumb_flexion: (2,) at MCP and IP.
        thumb_abduction: (2,) radial and palmar.
    """

    flexion: Array
    abduction: Array
    thumb_flexion: Array
    thumb_abduction: Array

    def to_dict(self) -> dict[str, float]:
        """Return every angle by name, such as ``index_mcp_flexion``."""
        names = (
            *(f"{finger}_{part}_flexion" for finger in FINGERS for part in ("mcp", "pip", "dip")),
            *(f"{finger}_abduction" for finger in FINGERS),
            *(f"thumb_{part}_flexion" for part in ("mcp", "ip")),
            *(f"thumb_{way}_abduction" for way in ("radial", "palmar")),
        )
        values = np.concatenate([field.ravel() for field in self]).tolist()
        return dict(zip(names, values, strict=True))


class WristPose(NamedTuple):
    """Where a hand is and how it is oriented, in the camera frame (x right, y down, z forward).

    Attributes:
        position_mm: (3,) the wrist.
        rotation: (3, 3) columns are the palm's x, y and z, see the module.
        quaternion: (4,) the same rotation as x, y, z, w, with w >= 0.
    """

    position_mm: Array
    rotation: Array
    quaternion: Array

    @property
    def palm_normal(self) -> Array:
        """(3,) unit vector out of the palm."""
        return self.rotation[:, 2]


def hand_angles(joints_mm: NDArray[Any], side: str) -> HandAngles:
    """Return the joint angles of a hand.

    Args:
        joints_mm: (21, 3) in MediaPipe's order, any straight axes; NaN where lost.
        side: ``left`` or ``right``; of ``unknown`` the angles are NaN, since a left hand's have
            the other sign.

    Raises:
        CadstnError: if these are not 21 joints, or there is no such side.
    """
    joints = _right(joints_mm, side)
    if side == "unknown":
        joints = joints * np.nan
    rotation = _palm(joints)
    local = (joints - joints[_WRIST]) @ rotation  # x to the thumb, y along, z out of the palm
    chains = local[_CHAINS]  # (4, 4, 3)
    bones = np.diff(chains, axis=1)
    y = _unit(chains[:, 0])
    z = _unit(np.array([0.0, 0.0, 1.0]) - y * y[:, 2:])
    x = np.cross(y, z)
    first = bones[:, 0]
    ahead, up, aside = ((first * axis).sum(-1) for axis in (y, z, x))
    knuckle = np.degrees(np.arctan2(up, ahead))
    abduction = np.degrees(np.arctan2(aside, np.hypot(ahead, up))) * _AWAY
    further = _bend(bones[:, :-1], bones[:, 1:], x[:, None])
    thumb = np.diff(local[list(_THUMB)], axis=0)
    root = thumb[0]
    radial = np.degrees(np.arctan2(root[0], root[1]))
    palmar = np.degrees(np.arctan2(root[2], np.hypot(root[0], root[1])))
    hinge = np.cross(root, _ACROSS)
    across = np.sign((np.cross(thumb[:-1], thumb[1:]) * hinge).sum(-1))
    return HandAngles(
        np.concatenate([knuckle[:, None], further], axis=1),
        abduction,
        _between(thumb[:-1], thumb[1:]) * np.where(across == 0, 1, across),
        np.array([radial, palmar]),
    )


def wrist_pose(joints_mm: NDArray[Any], side: str) -> WristPose:
    """Return where the wrist is and how the palm is oriented.

    Args:
        joints_mm: (21, 3) in MediaPipe's order, camera frame; NaN where lost.
        side: ``left`` or ``right``; ``unknown`` is taken for right.

    Raises:
        CadstnError: if these are not 21 joints, or there is no such side.
    """
    joints = as_joints21(joints_mm)
    mirror = np.array([-1.0, 1.0, 1.0])
    rotation = _palm(_right(joints, side))
    if side == "left":
        # Back through the mirror; there x points away from the thumb, or axes would be left-handed.
        rotation = mirror[:, None] * rotation * mirror
    return WristPose(joints[_WRIST], rotation, quaternion_of(rotation))


def quaternion_of(rotation: NDArray[Any]) -> Array:
    """Return a rotation matrix (3, 3) as a unit quaternion x, y, z, w with w >= 0.

    >>> quaternion_of(np.eye(3)).tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    m = np.asarray(rotation, np.float64)
    if not np.isfinite(m).all():
        return np.full(4, np.nan)
    # The largest eigenvalue's vector, which is stable for every rotation (Bar-Itzhack 2000).
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
        ]
    )
    quaternion = np.linalg.eigh(k)[1][:, -1]
    return np.asarray(quaternion * (1.0 if quaternion[3] >= 0 else -1.0)) + 0.0


def as_joints21(joints_mm: NDArray[Any]) -> Array:
    """Return joints (21, 3) as float64; raises CadstnError for another shape."""
    joints = np.asarray(joints_mm, np.float64)
    if joints.shape != (21, 3):
        raise CadstnError(
            f"joints have shape {joints.shape}", hint="angles need the 21 joints of hand21"
        )
    return joints


def _right(joints_mm: NDArray[Any], side: str) -> Array:
    """The hand as a right one: a left hand in a mirror."""
    joints = as_joints21(joints_mm)
    if side not in ("left", "right", "unknown"):
        raise CadstnError(f"no side '{side}'", hint="give left, right or unknown")
    return joints * np.array([-1.0, 1.0, 1.0]) if side == "left" else joints


def _palm(joints: Array) -> Array:
    """Columns x (to the thumb), y (along) and z (out of the palm) of a right hand."""
    return palm_axes(joints[_MIDDLE] - joints[_WRIST], joints[_INDEX] - joints[_PINKY])


def palm_axes(along: Array, across: Array) -> Array:
    """Return axes as columns x, y, z (3, 3): y along one direction, x as near as can be to another.

    Args:
        along: (3,) from the wrist to the middle finger.
        across: (3,) from the little finger to the index finger of a right hand; of a left hand
            from the index finger to the little one, and z is out of the palm for both.
    """
    y = _unit(along)
    x = _unit(across - (across @ y) * y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _unit(vectors: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _between(one: Array, other: Array) -> Array:
    """Degrees between vectors (..., 3)."""
    across = np.linalg.norm(np.cross(one, other), axis=-1)
    return np.asarray(np.degrees(np.arctan2(across, (one * other).sum(-1))))


def _bend(before: Array, after: Array, axis: Array) -> Array:
    """Degrees between bones, positive where the rotation is about the axis."""
    way = (np.cross(before, after) * axis).sum(-1)
    return np.asarray(_between(before, after) * np.where(way < 0, -1.0, 1.0))
