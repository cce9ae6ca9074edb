"""The canonical view: networks know right hands that point up best, so that is what they get.

Which way a hand points and whether it is a left one is known from the detector, and then from the
frame before. The crop's image is rotated and mirrored before the network reads it, and the joints
it predicts are brought back. A network that needs to know right hands that point up alone learns
far more from as many frames (LOG.md).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import CENTER_PX, Crop
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.tracking.decision import logit
from cadstn.tracking.network import StreamState

FloatArray = NDArray[np.floating]

#: A hand may point so far from up before its view is rotated anew. Training rotates it by up to 10
#: degrees (recipe `follow`), and what points at the camera by more, as here.
_SLACK = math.radians(5.0)
_LEAST_SEEN = 0.05
#: Share that one frame's handedness has in the average over frames.
_SIDE_NEWS = 0.1
#: Of the upright hands of training one in twenty is a left one (`cadstn.train.augment.MISTAKEN`):
#: the prior odds of a right one.
_RIGHT_LOGIT = math.log(19.0)
#: A handedness that is assumed counts as much as this many frames' average of such log-odds.
_GIVEN_FRAMES, _GIVEN_LOGIT = 2, 2.0


class ViewTransform(NamedTuple):
    """How a crop's image is rotated before a network reads it."""

    angle: float = 0.0  # radians, clockwise
    mirror: bool = False  # whether left and right are swapped first

    @property
    def rows(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The rows of `matrix`."""
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        across = -1.0 if self.mirror else 1.0
        return (across * cosine, -sine), (across * sine, cosine)

    @property
    def matrix(self) -> FloatArray:
        """(2, 2), for columns of x right, y down."""
        return np.array(self.rows)


IDENTITY = ViewTransform()


class HandView(NamedTuple):
    """What is known of how a hand is seen."""

    transform: ViewTransform = IDENTITY  # of the next view; `IDENTITY` where nothing is known
    left_logit: float = 0.0  # that it is a left hand, averaged over frames; below 0 for a right one
    frames: int = 0  # so many frames' average it is


def canonical_image(image: NDArray[np.float32], transform: ViewTransform) -> NDArray[np.float32]:
    """Rotate a crop's image (M, M) around where its cube's centre is seen; +1 where nothing is.

    Nearest neighbour, as in training (`cadstn.train.augment.resample`).
    """
    if transform == IDENTITY:
        return image
    (a, b), (c, d) = transform.rows  # back to the crop goes the transpose
    middle = (len(image) - 1) / 2 + CENTER_PX
    warp = np.array([[a, c, middle * (1 - a - c)], [b, d, middle * (1 - b - d)]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, warp, image.shape, flags=flags, borderValue=1.0), np.float32
    )


def joints_to_mm(
    joints: FloatArray, crop: Crop, transform: ViewTransform, *, uvd: bool
) -> FloatArray:
    """Joints (K, 3) predicted of a transformed image, in mm in the camera's frame.

    The transform keeps each point's depth and rotates the direction it is seen in.

    Args:
        joints: the network's output.
        crop: whose image it was.
        transform: of the image.
        uvd: whether the network predicts where joints are seen (`Crop.uvd_to_mm`), or where they
            lie (`Crop.to_mm`), as the paper's networks do, which read every hand as it is.
    """
    if not uvd:
        return crop.to_mm(joints)
    joints = joints.astype(np.float64)
    if transform != IDENTITY:
        joints[:, :2] = joints[:, :2] @ transform.matrix
    return crop.uvd_to_mm(joints)


def center_shift(
    before_mm: FloatArray | None, crop: Crop, transform: ViewTransform
) -> NDArray[np.float32]:
    """How far a crop's centre has moved, (3,) in half cubes, along the transformed image's axes.

    Along the image by what the old centre's direction and the new one's are apart at the depth of
    the new, as in training (`cadstn.train.uvd.shifts`).

    Args:
        before_mm: (3,) the centre before; None for no movement.
        crop: of now.
        transform: of its image.
    """
    if before_mm is None:
        return np.zeros(3, np.float32)
    # Plain numbers: arrays of three take longer to make than to add.
    (x, y, z), (x0, y0, z0) = crop.center_xyz_mm.tolist(), before_mm.tolist()
    right, down, half_mm = x - x0 * z / z0, y - y0 * z / z0, crop.cube_mm / 2
    (a, b), (c, d) = transform.rows
    moved = (a * right + b * down, c * right + d * down, z - z0)
    return np.array([value / half_mm for value in moved], np.float32)


def transformed_memory(
    memory: StreamState, before: ViewTransform, after: ViewTransform
) -> StreamState:
    """A network's memory of joints, for views of another transform."""
    if before == after or not memory.before.size:
        return memory
    values = memory.before.copy()
    joints = values[0, :-1].reshape(-1, 3)
    joints[:, :2] = joints[:, :2] @ (after.matrix @ before.matrix.T).T
    return memory._replace(before=values)


def given_view(angle: float, *, left: bool) -> HandView:
    """The view of a hand that points so, if it is a left one or if it is a right one.

    Args:
        angle: radians, clockwise from up, at which the hand points in the image.
        left: which hand.
    """
    # A mirror image points to the other side.
    transform = ViewTransform(angle if left else -angle, left)
    return HandView(transform, _GIVEN_LOGIT if left else -_GIVEN_LOGIT, _GIVEN_FRAMES)


def updated_view(
    before: HandView,
    handedness: NDArray[np.float32] | None,
    joints_mm: FloatArray,
    *,
    upright: bool,
) -> HandView:
    """What is known of how a hand is seen, after one more prediction.

    Args:
        before: what was known, and the transform of the view.
        handedness: (1,) probability that the view shows a left hand; None if the network gives
            none.
        joints_mm: (K, 3) predicted.
        upright: whether the network reads canonical views.
    """
    if handedness is None:
        return before
    news = logit(float(handedness[0]))
    if upright and before.frames:
        news += _RIGHT_LOGIT
    news = -news if before.transform.mirror else news
    # The first view is as the camera sees it and counts for nothing once there is another.
    share = max(_SIDE_NEWS, 1 / max(1, before.frames))
    average = before.left_logit + share * (news - before.left_logit)
    transform = _next_transform(before.transform, joints_mm, average > 0) if upright else IDENTITY
    return HandView(transform, average, before.frames + 1)


def _next_transform(before: ViewTransform, joints_mm: FloatArray, left: bool) -> ViewTransform:
    """The transform to a right hand that points up; the one before where it does so well enough."""
    x0, y0, z0 = joints_mm[WRIST].tolist()
    knuckles, count = joints_mm[KNUCKLES].tolist(), len(KNUCKLES)
    x, y, z = (sum(values) / count for values in zip(*knuckles, strict=True))
    across = sum(x / z for x, _, z in knuckles) / count - x0 / z0
    down = sum(y / z for _, y, z in knuckles) / count - y0 / z0
    # From 0 where it points at the camera to 1 where across.
    seen = math.hypot(across, down) * z0 / math.dist((x, y, z), (x0, y0, z0))
    transform = ViewTransform(-math.atan2(-across if left else across, -down), left)
    away = abs(math.remainder(transform.angle - before.angle, math.tau))
    if transform.mirror == before.mirror and away * max(seen, _LEAST_SEEN) < _SLACK:
        return before
    return transform
