"""Follow a hand through depth frames: locate, crop, network, back to millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.hand import Hand, TrackState, View, as_view
from cadstn.tracking.network import Asked, Network, Step
from cadstn.tracking.runtime import load_network
from cadstn.tracking.seek import plan

#: The paper's window (section IV): its temporal network begins anew every so many frames.
WINDOW = 16


def track_step(
    network: Network,
    state: TrackState,
    depth_mm: DepthMm,
    camera: Camera,
    time_s: float | None = None,
    *,
    window: int | None = None,
) -> tuple[Hand, TrackState]:
    """Track one frame: a pure function of the network, the state and the frame.

    Args:
        network: see `load_network`.
        state: what the frames before left; ``TrackState(network.initial_state())`` at first.
        depth_mm: (H, W) float32 mm, 0 where nothing was measured.
        camera: the camera that took it. After another camera's frames the stream begins anew.
        time_s: the frame's time stamp. A frame of the same time as the one before is that frame
            again and changes nothing; after a step back, or a gap of half a second, the stream
            begins anew.
        window: reset the temporal network's memory every so many frames, as the paper reads
            clips (`WINDOW`); None for never.

    Returns:
        The hand, and the state for the next frame.
    """
    return track_batch(network, [state], [View(depth_mm, camera, time_s)], window=window)[0]


def track_batch(
    network: Network,
    states: Sequence[TrackState],
    views: Sequence[View],
    *,
    window: int | None = None,
) -> list[tuple[Hand, TrackState]]:
    """Track one frame of each of many streams; the network runs once for all of them.

    Args:
        network: see `load_network`.
        states: one a stream.
        views: one a stream, of any cameras and sizes.
        window: see `track_step`.

    Returns:
        For each stream, what `track_step` returns.
    """
    plans = [plan(network, s, v, window) for s, v in zip(states, views, strict=True)]
    done: dict[int, tuple[Hand, TrackState]] = {}
    asked: dict[int, Asked] = {}

    def advance(index: int, answer: Step | None) -> None:
        try:
            # A generator that has not begun takes None alone.
            asked[index] = plans[index].send(answer)  # type: ignore[arg-type]
        except StopIteration as stop:
            done[index] = stop.value

    for index in range(len(plans)):
        advance(index, None)
    while asked:
        waiting, asked = asked, {}
        for index, answer in zip(waiting, network.look(list(waiting.values())), strict=True):
            advance(index, answer)
    return [done[index] for index in range(len(plans))]


class Tracker:
    """Follows one hand; holds the network and the stream's state.

    Args:
        weights: an exported network, or one that is loaded; None for the one that ships.
        window: reset the temporal memory every so many frames (the paper: `WINDOW`); None never.

    Raises:
        CadstnError: if the weights cannot be used, or the window is not at least 1.

    >>> import numpy as np
    >>> tracker = Tracker()
    >>> hand = tracker.update(np.zeros((240, 320), np.float32), Camera(240, 240, 160, 120))
    >>> hand.found, hand.joints_mm.shape
    (False, (21, 3))
    """

    def __init__(
        self, weights: str | Path | Network | None = None, *, window: int | None = None
    ) -> None:
        if window is not None and window < 1:
            raise CadstnError(f"window is {window}", mend="give 1 or more frames, or None")
        self.network = weights if isinstance(weights, Network) else load_network(weights)
        self.window = window
        self.state = TrackState(self.network.initial_state())

    def reset(self) -> None:
        """Forget everything: the next frame begins a new stream."""
        self.state = TrackState(self.network.initial_state())

    def update(self, depth: NDArray[Any], camera: Camera, time_s: float | None = None) -> Hand:
        """Track the next frame.

        Args:
            depth: (H, W) float millimetres with 0 where nothing was measured, as `Recording`
                yields; or the sensor's own uint16 image, converted by ``camera.depth_mm``.
            camera: the camera that took it.
            time_s: its time stamp, see `track_step`.

        Raises:
            CadstnError: if the image has no depth's shape, or not the camera's size.
        """
        view = as_view(depth, camera, time_s)
        ((hand, self.state),) = track_batch(self.network, [self.state], [view], window=self.window)
        return hand
