"""The view of a hand that networks know best: a right one that points up.

Of a hand that is followed it is known which way it points and which hand it is, so the crop's image
is turned and mirrored before a network sees it, and what it says is turned back. A network that has
to know right hands that point up learns from as many frames far more (LOG.md, session 5). The first
look at a hand is as the camera sees it; it is known well enough from there to turn it for the next.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import CENTER_PX, Crop
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.tracking.network import StreamState

FloatArray = NDArray[np.floating]

#: A hand may point so far from up before its image is turned anew. Training turns it by up to 10
#: degrees (recipe `follow`), and what points at the camera by more, as here.
_SLACK = math.radians(5.0)
_LEAST_SEEN = 0.05
#: How much of a frame's word on which hand it is goes into the average of all.
_SIDE_NEWS = 0.1
#: Of the upright hands of training one in twenty is a left one (`cadstn.train.augment.MISTAKEN`):
#: so much speaks for a right one before anything is seen.
_RIGHT_LOGIT = math.log(19.0)


class Turn(NamedTuple):
    """How a crop's image is turned before a network sees it.

    Attributes:
        angle: radians, clockwise.
        mirror: whether left and right are swapped first.
    """

    angle: float = 0.0
    mirror: bool = False

    @property
    def matrix(self) -> FloatArray:
        """(2, 2), for columns of x right, y down."""
        sine, cosine = math.sin(self.angle), math.cos(self.angle)
        across = -1.0 if self.mirror else 1.0
        return np.array([[across * cosine, -sine], [across * sine, cosine]])


STRAIGHT = Turn()


class Attitude(NamedTuple):
    """What a stream knows of its hand's attitude.

    Attributes:
        turn: of the next view; `STRAIGHT` where nothing is known.
        side: how much speaks for a left hand, in logits averaged over frames; below 0 for a right.
        looks: so many looks say it.
    """

    turn: Turn = STRAIGHT
    side: float = 0.0
    looks: int = 0


def turn_image(image: NDArray[np.float32], turn: Turn) -> NDArray[np.float32]:
    """Turn a crop's image (M, M) around where its cube's centre is seen; +1 where it shows nothing.

    Nearest neighbour, as in training (`cadstn.train.augment.resample`).
    """
    if turn == STRAIGHT:
        return image
    back = turn.matrix.T
    middle = (len(image) - 1) / 2 + CENTER_PX
    offset = middle - back.sum(1) * middle
    warp = np.column_stack([back, offset])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, warp, image.shape, flags=flags, borderValue=1.0), np.float32
    )


def turn_back(joints: FloatArray, crop: Crop, turn: Turn, *, uvd: bool) -> FloatArray:
    """Joints (K, 3) that a network said of a turned image, in mm in the camera's frame.

    The image's turn keeps each point's depth and turns the direction it is seen in.

    Args:
        joints: that it said.
        crop: whose image it was.
        turn: of the image.
        uvd: whether it says where joints are seen (`Crop.uvd_to_mm`), or where they lie
            (`Crop.to_mm`), as the paper's networks do, which are shown every hand straight.
    """
    if not uvd:
        return crop.to_mm(joints)
    if turn != STRAIGHT:
        joints = np.column_stack([joints[:, :2] @ turn.matrix, joints[:, 2]])
    return crop.uvd_to_mm(joints)


def shift_seen(before_mm: FloatArray | None, crop: Crop, turn: Turn) -> NDArray[np.float32]:
    """How far a crop's centre has moved, (3,) in half cubes, as its turned image shows it.

    Along the image by what the old centre's direction and the new one's are apart at the depth of
    the new, as training has it (`cadstn.train.uvd.shifts`).

    Args:
        before_mm: (3,) the centre before; None for no movement.
        crop: of now.
        turn: of its image.
    """
    if before_mm is None:
        return np.zeros(3, np.float32)
    center_mm, half_mm = crop.center_xyz_mm, crop.cube_mm / 2
    aside = center_mm[:2] - before_mm[:2] * (center_mm[2] / before_mm[2])
    moved = np.append(turn.matrix @ aside, center_mm[2] - before_mm[2])
    return (moved / half_mm).astype(np.float32)


def turn_memory(memory: StreamState, before: Turn, after: Turn) -> StreamState:
    """What one stream's network remembers of joints, for views that are turned otherwise."""
    if before == after or not memory.before.size:
        return memory
    said = memory.before.copy()
    joints = said[0, :-1].reshape(-1, 3)
    joints[:, :2] = joints[:, :2] @ (after.matrix @ before.matrix.T).T
    return memory._replace(before=said)


def attitude_after(
    before: Attitude, left: NDArray[np.float32] | None, joints_mm: FloatArray, *, upright: bool
) -> Attitude:
    """What is known of a hand's attitude after a look at it.

    Args:
        before: what was known, and how the view was turned.
        left: (1,) probability that the view shows a left hand; None where the network says nothing.
        joints_mm: (K, 3) that it saw.
        upright: whether the network wants its views turned.
    """
    if left is None:
        return before
    likely = float(np.clip(left[0], 1e-6, 1 - 1e-6))
    says = math.log(likely / (1 - likely))
    if upright and before.looks:
        says += _RIGHT_LOGIT
    says = -says if before.turn.mirror else says
    # The first look is as the camera sees it and counts for nothing once there is another.
    news = max(_SIDE_NEWS, 1 / max(1, before.looks))
    side = before.side + news * (says - before.side)
    turn = _next_turn(before.turn, joints_mm, side > 0) if upright else STRAIGHT
    return Attitude(turn, side, before.looks + 1)


def _next_turn(before: Turn, joints_mm: FloatArray, left: bool) -> Turn:
    """The turn that makes a hand a right one that points up; the one before if it does it well."""
    ahead = joints_mm[KNUCKLES].sum(0) / len(KNUCKLES) - joints_mm[WRIST]
    pixels = joints_mm[:, :2] / joints_mm[:, 2:]
    across, down = (pixels[KNUCKLES].sum(0) / len(KNUCKLES) - pixels[WRIST]).tolist()
    # From 0 where it points at the camera to 1 where across.
    seen = math.hypot(across, down) * float(joints_mm[WRIST, 2] / np.sqrt(ahead @ ahead))
    turn = Turn(-math.atan2(-across if left else across, -down), left)
    away = abs(math.remainder(turn.angle - before.angle, math.tau))
    if turn.mirror == before.mirror and away * max(seen, _LEAST_SEEN) < _SLACK:
        return before
    return turn
