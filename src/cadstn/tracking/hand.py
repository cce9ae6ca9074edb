"""What is seen of a hand in a frame, and what a stream remembers from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.bones import Bones
from cadstn.tracking.network import Network, StreamState
from cadstn.tracking.turn import Attitude


@dataclass(frozen=True)
class Hand:
    """What was seen in one frame.

    Attributes:
        joints_mm: (K, 3) float32, camera frame (x right, y down, z forward); NaN where lost.
        found: whether there is a hand.
        how: ``found`` (searched for), ``followed`` (from the frame before) or ``lost``.
        agreement: share of joints that have surface where a hand's skin would be.
        center_mm: (3,) centre of the cube that was looked at; NaN where lost.
        cube_mm: edge of that cube.
        temporal_weight: (K,) mean weight that fusion gave the temporal network; NaN where lost.
        confidence: (K,) 0 to 1, how much of the surface around each joint's place is where a
            hand's skin would be; 0 where lost. It sees that a joint is off the hand, not that it
            lies on the wrong finger: on rendered recordings, with the first weights, 32 % of the
            joints of confidence 0 lay within 30 mm of the truth, 65 % of 0.4, 81 % of 1.
        side: ``left`` or ``right``; ``unknown`` where lost, or where the network does not say.
        time_s: the frame's time stamp, None if the caller gave none.
        uncertainty_mm: (K,) within which each joint lies two times in three, as the network says
            of itself; NaN where lost, or where it does not say.
        present: how sure the network is that this is a hand, 0 to 1; NaN where it does not say.
    """

    joints_mm: NDArray[np.float32]
    found: bool
    how: str
    agreement: float
    center_mm: NDArray[np.float64]
    cube_mm: float
    temporal_weight: NDArray[np.float32]
    confidence: NDArray[np.float32]
    uncertainty_mm: NDArray[np.float32]
    present: float = float("nan")
    side: str = "unknown"
    time_s: float | None = None


class TrackState(NamedTuple):
    """All that a stream remembers: a value, so that streams never mix.

    Attributes:
        stream: the temporal network's memory.
        center_mm: (3,) where the hand was, None when there is none to follow.
        crop_mm: (3,) the centre of the crop that the memory saw last, None when it saw none.
        attitude: which hand it is and which way it points; the stream's memory is turned alike.
        age: frames since its surroundings were last looked at.
        doubts: checks in a row that found nothing like a hand there.
        frames: frames since the temporal memory began.
        bones: what is known of the hand's size, None where the network does not say how sure it is.
        camera: that took the last frame; the hand's place means nothing to another.
        hand: what was seen last.
    """

    stream: StreamState
    center_mm: NDArray[np.float64] | None = None
    crop_mm: NDArray[np.float64] | None = None
    attitude: Attitude = Attitude()
    age: int = 0
    doubts: int = 0
    frames: int = 0
    bones: Bones | None = None
    camera: Camera | None = None
    hand: Hand | None = None


class View(NamedTuple):
    """One frame of one stream.

    Attributes:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it.
        time_s: when, if known.
        apart_from_mm: (3,) each, where other hands are that others follow.
    """

    depth_mm: DepthMm
    camera: Camera
    time_s: float | None = None
    apart_from_mm: tuple[NDArray[np.float64], ...] = ()


def as_view(depth: NDArray[Any], camera: Camera, time_s: float | None = None) -> View:
    """Check one frame: millimetres, and the camera's size.

    Raises:
        CadstnError: if the image has no depth's shape, or not the camera's size.
    """
    if depth.dtype.kind != "f":
        depth = camera.depth_mm(depth)
    if depth.ndim != 2 or 0 in depth.shape:
        raise CadstnError(
            f"depth has shape {depth.shape}", mend="give one (height, width) image a call"
        )
    height, width = depth.shape
    if (camera.width, camera.height) != (width, height):
        camera = camera.sized(width, height)
    # NaN and infinity stay: whoever reads a pixel takes them for nothing measured, and to look for
    # them in the whole frame would cost as much as the crop.
    return View(np.ascontiguousarray(depth, np.float32), camera, time_s)


def lost_hand(network: Network, time_s: float | None = None) -> Hand:
    """Return what is said of a frame without a hand."""
    count = len(network.skeleton)
    return Hand(
        np.full((count, 3), np.nan, np.float32),
        False,
        "lost",
        0.0,
        np.full(3, np.nan),
        network.cube_mm,
        np.full(count, np.nan, np.float32),
        np.zeros(count, np.float32),
        np.full(count, np.nan, np.float32),
        time_s=time_s,
    )
