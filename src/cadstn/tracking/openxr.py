"""A tracked hand as OpenXR has hands: 26 joints with pose, radius and flags.

Of extension XR_EXT_hand_tracking (OpenXR 1.0): metres; -Z points along the bone to the fingertip,
+Y out of the back of the hand or of the nail, +X to the right of both; a tip is oriented as the
joint before it, the palm as the middle finger's metacarpal; the wrist points to where that one
begins. The axes of the space are x right, y up, z backward: the camera's, rotated about x.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.hand_shape import DIGIT_RADII_MM
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.angles import Array, as_joints21, palm_axes, quaternion_of, wrist_pose
from cadstn.tracking.conventions import OPENXR26, to_convention

#: Camera (x right, y down, z forward) to OpenXR's axes: a rotation by 180 degrees about x.
_AXES = np.array([1.0, -1.0, -1.0])
_DIGITS = tuple(
    tuple(i for i, joint in enumerate(OPENXR26) if joint.startswith(f"{finger}_"))
    for finger in ("thumb", "index", "middle", "ring", "little")
)
#: Radii in m from the root to the tip; where a finger's metacarpal begins, as at its knuckle. Palm
#: and wrist: half of their thickness.
_RADII_M = tuple(
    tuple(radius / 1000 for radius in (radii if k == 0 else (radii[0], *radii)))
    for k, radii in enumerate(DIGIT_RADII_MM)
)
_PALM_RADIUS_M = 0.013
#: Where the thumb's nail points: so much to the thumb's side, and to the back of the hand; opposite
#: to where `cadstn.tracking.angles` has it bend.
_NAIL = (0.85, 0.5)
_MIDDLE = [OPENXR26.index(joint) for joint in ("wrist", "middle_metacarpal", "middle_proximal")]
_ESTIMATED = tuple(i for i, j in enumerate(OPENXR26) if "metacarpal" in j and "thumb" not in j)


class OpenXRHand(NamedTuple):
    """The fields of 26 ``XrHandJointLocationEXT``, in the order of `OPENXR26`.

    Attributes:
        position_m: (26, 3) x right, y up, z backward, from the camera.
        orientation: (26, 4) unit quaternions x, y, z, w.
        radius_m: (26,) of a mean hand.
        valid: (26,) bool, the position and orientation valid bits: false for a lost hand.
        tracked: (26,) bool, the tracked bits: false besides for where four metacarpals begin, which
            are placed in the palm by the joints around
            (`cadstn.tracking.conventions.to_convention`).
    """

    position_m: Array
    orientation: Array
    radius_m: Array
    valid: NDArray[np.bool_]
    tracked: NDArray[np.bool_]


def openxr_hand(joints_mm: NDArray[Any], side: str) -> OpenXRHand:
    """Return a hand's joints as OpenXR has them.

    Args:
        joints_mm: (21, 3) of `HAND21`, camera frame; NaN where lost.
        side: ``left`` or ``right``, or ``unknown`` of a lost hand; without it nobody knows the back
            of the hand.

    Returns:
        Poses of NaN that are not valid, of a lost hand.

    Raises:
        CadstnError: if these are not 21 joints, or the side of a hand that is there is another.
    """
    lost = side == "unknown" and np.isnan(as_joints21(joints_mm)).all()
    if side not in ("left", "right") and not lost:
        raise CadstnError(f"side is '{side}'", hint="OpenXR's hands are left or right")
    palm = wrist_pose(joints_mm, side).rotation * _AXES[:, None]
    back, right = -palm[:, 2], -palm[:, 0]
    position = to_convention(np.asarray(joints_mm, np.float64), HAND21, "openxr") * _AXES / 1000
    rotation = np.empty((len(OPENXR26), 3, 3))
    wrist, start, knuckle = (position[i] for i in _MIDDLE)
    rotation[0] = _along(knuckle - start, right)
    rotation[1] = _along(start - wrist, right)
    radius = np.full(len(OPENXR26), _PALM_RADIUS_M)
    to_thumb = right if side == "left" else -right
    nail = _NAIL[0] * to_thumb + _NAIL[1] * back
    for k, (digit, radii) in enumerate(zip(_DIGITS, _RADII_M, strict=True)):
        bones = np.diff(position[list(digit)], axis=0)
        # A finger bends about the palm's own width; a thumb about what its nail is at right angles.
        axis = np.cross(bones[0], nail) if k == 0 else right
        for joint, bone in zip(digit, (*bones, bones[-1]), strict=True):
            rotation[joint] = _along(bone, axis)
        radius[list(digit)] = radii
    orientation = np.stack([quaternion_of(one) for one in rotation])
    valid = np.isfinite(position).all(1) & np.isfinite(orientation).all(1)
    tracked = valid.copy()
    tracked[list(_ESTIMATED)] = False
    return OpenXRHand(position, orientation, radius, valid, tracked)


def _along(bone: Array, right: Array) -> Array:
    """Columns x, y, z (3, 3): -z along a bone, x as near to a direction as can be."""
    x, y, z = palm_axes(bone, right).T
    return np.stack([x, z, -y], 1)
