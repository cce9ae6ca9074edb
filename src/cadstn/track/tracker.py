"""Follow one hand through depth frames: locate, crop, network, back to millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.camera import Camera, DepthMm
from cadstn.crop import crop_cube
from cadstn.errors import CadstnError
from cadstn.locate import agreement, find_hand
from cadstn.track.runtime import Network, StreamState, load_network

#: Looks at one frame at most, each centred on the joints of the one before; one is enough where
#: the cube was well placed.
_LOOKS = 3
_WELL_PLACED_MM = 20.0
#: Share of joints that must have surface at their place, or the hand counts as lost.
_LEAST_AGREEMENT = 0.5
#: Every so many frames the whole frame is searched again, so that a drift onto an arm ends.
_CHECK_EVERY = 10
_FAR_APART_MM = 110.0


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
    """

    joints_mm: NDArray[np.float32]
    found: bool
    how: str
    agreement: float
    center_mm: NDArray[np.float64]
    cube_mm: float
    temporal_weight: NDArray[np.float32]


class TrackState(NamedTuple):
    """All that a stream remembers: a value, so that streams never mix.

    Attributes:
        stream: the temporal network's memory.
        center_mm: (3,) where the hand was, None when there is none to follow.
        age: frames since the whole frame was last searched.
    """

    stream: StreamState
    center_mm: NDArray[np.float64] | None = None
    age: int = 0


def track_step(
    network: Network, state: TrackState, depth_mm: DepthMm, camera: Camera
) -> tuple[Hand, TrackState]:
    """Track one frame: a pure function of the network, the state and the frame.

    Args:
        network: see `load_network`.
        state: what the frames before left; ``TrackState(network.initial_state())`` at first.
        depth_mm: (H, W) float32 mm, 0 where nothing was measured.
        camera: the camera that took it.

    Returns:
        The hand, and the state for the next frame.
    """
    follow, age = state.center_mm, state.age + 1
    if follow is not None and age < _CHECK_EVERY:
        seen = _close_in(network, state.stream, depth_mm, camera, follow, "followed")
        if seen is not None:
            return seen[0], seen[1]._replace(age=age)
    place = find_hand(depth_mm, camera, keep_xyz_mm=follow)
    if place is not None and (
        follow is None
        or age < _CHECK_EVERY
        or np.linalg.norm(place.center_xyz_mm - follow) > _FAR_APART_MM
    ):
        fresh = network.initial_state()
        seen = _close_in(network, fresh, depth_mm, camera, place.center_xyz_mm, "found")
        if seen is not None:
            return seen
    if follow is not None and age >= _CHECK_EVERY:
        seen = _close_in(network, state.stream, depth_mm, camera, follow, "followed")
        if seen is not None:
            return seen
    return _lost(network), TrackState(network.initial_state())


class Tracker:
    """Follows one hand; holds the network and the stream's state.

    Args:
        weights: an exported network; None for the one that ships with the package.

    Raises:
        CadstnError: if the weights cannot be used.

    >>> tracker = Tracker()
    >>> hand = tracker.update(np.zeros((240, 320), np.float32), Camera(240, 240, 160, 120))
    >>> hand.found, hand.joints_mm.shape
    (False, (21, 3))
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        self.network = load_network(weights)
        self.state = TrackState(self.network.initial_state())

    def reset(self) -> None:
        """Forget everything: the next frame begins a new stream."""
        self.state = TrackState(self.network.initial_state())

    def update(self, depth: NDArray[Any], camera: Camera) -> Hand:
        """Track the next frame.

        Args:
            depth: (H, W) float millimetres with 0 where nothing was measured, as `Recording`
                yields; or the sensor's own uint16 image, converted by ``camera.depth_mm``.
            camera: the camera that took it.

        Raises:
            CadstnError: if the image has no depth's shape, or not the camera's size.
        """
        if depth.dtype.kind != "f":
            depth = camera.depth_mm(depth)
        if depth.ndim != 2 or 0 in depth.shape:
            raise CadstnError(
                f"depth has shape {depth.shape}", mend="give one (height, width) image a call"
            )
        camera = camera.sized(depth.shape[1], depth.shape[0])
        clean = np.nan_to_num(depth.astype(np.float32, copy=False), nan=0, posinf=0, neginf=0)
        hand, self.state = track_step(self.network, self.state, clean, camera)
        return hand


def _close_in(
    network: Network,
    stream: StreamState,
    depth_mm: DepthMm,
    camera: Camera,
    center_mm: NDArray[np.float64],
    how: str,
) -> tuple[Hand, TrackState] | None:
    """Look at a place, and again at where its joints are; None if no hand is there."""
    for _ in range(_LOOKS):
        hand, after = _look(network, stream, depth_mm, camera, center_mm, how)
        if not hand.found:
            return None
        middle = hand.joints_mm.mean(0, np.float64)
        moved = np.linalg.norm(middle - center_mm)
        center_mm = middle
        if moved < _WELL_PLACED_MM:
            break
    return hand, TrackState(after, center_mm)


def _look(
    network: Network,
    stream: StreamState,
    depth_mm: DepthMm,
    camera: Camera,
    center_mm: NDArray[np.float64],
    how: str,
) -> tuple[Hand, StreamState]:
    """Crop around a centre, run the network, and judge what it says."""
    crop = crop_cube(depth_mm, camera, center_mm, network.cube_mm, network.size)
    out = network.step(crop.image[None], stream)
    joints = crop.to_mm(out.joints[0])
    # Joints behind the camera cannot be projected; nothing sensible puts them there.
    agree = agreement(joints, depth_mm, camera) if joints[:, 2].min() > 0 else 0.0
    if agree < _LEAST_AGREEMENT:
        return _lost(network), stream
    return (
        Hand(
            joints.astype(np.float32),
            True,
            how,
            agree,
            crop.center_xyz_mm,
            crop.cube_mm,
            out.w1[0].mean(-1),
        ),
        out.state,
    )


def _lost(network: Network) -> Hand:
    count = len(network.skeleton)
    return Hand(
        np.full((count, 3), np.nan, np.float32),
        False,
        "lost",
        0.0,
        np.full(3, np.nan),
        network.cube_mm,
        np.full(count, np.nan, np.float32),
    )
