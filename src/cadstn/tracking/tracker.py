"""Follow hands through depth frames: streams around `cadstn.tracking.observation`."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnWarning
from cadstn.geometry.arrays import require_camera
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.plausible import StreamCheck, describe_scene
from cadstn.geometry.same_camera import is_same_camera
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.bones import likely_lengths_mm
from cadstn.tracking.clock import StepCheck
from cadstn.tracking.hand import DETECT_EVERY, Frame, Hand, State, as_frame, refusals
from cadstn.tracking.network import Network
from cadstn.tracking.observation import observe
from cadstn.tracking.runtime import check_count, load_network

#: The paper's window (section IV): its temporal network begins anew every so many frames.
WINDOW = 16
#: After so long without a frame the hand may be anywhere and the temporal memory means nothing.
_LONGEST_GAP_S = 0.5
_STRIDE = 8


def track_step(
    network: Network,
    state: State,
    depth_mm: DepthMm,
    camera: Camera,
    time_s: float | None = None,
    *,
    window: int | None = None,
) -> tuple[tuple[Hand, ...], State]:
    """Track one frame: `observe`, and what the time between frames means.

    Args:
        network: see `load_network`.
        state: what the frames before left; ``State.fresh(network)`` at first.
        depth_mm: (H, W) float32 mm, 0 where nothing was measured.
        camera: the camera that took it. After another camera's frames the stream begins anew: of
            another size, unit or lens, or by more than 1 % of the focal length
            (`cadstn.geometry.same_camera`). Less, as of autofocus, is the same camera; each frame
            is measured with its own.
        time_s: the frame's time stamp. The same frame of the same time changes nothing; after a
            step back, or a gap of more than half a second, the stream begins anew.
        window: reset the temporal network's memory every so many frames, as the paper reads
            clips (`WINDOW`); None for never.

    Returns:
        The hands, and the state for the next frame.
    """
    if state.camera is not None and not is_same_camera(state.camera, camera):
        state = state.again(network)
    before = state.hands[0].time_s if state.hands else None
    if time_s is not None:
        # A frame is distinguished from another of the same time by some of its pixels.
        pixels = zlib.crc32(depth_mm[::_STRIDE, ::_STRIDE].tobytes())
        if before is not None and time_s == before:
            if camera == state.camera and pixels == state.pixels:
                return state.hands, state
        elif before is not None and not 0 < time_s - before <= _LONGEST_GAP_S:
            state = state.again(network)
        state = state._replace(pixels=pixels)
    if window is not None:
        tracks = [
            track._replace(memory=network.initial_state(), crop_mm=None, frames=0)
            if track.frames >= window
            else track
            for track in state.tracks
        ]
        state = state._replace(tracks=tuple(tracks))
    hands, after = observe(network, state, Frame(depth_mm, camera, time_s))
    hands = tuple(replace(hand, camera=camera) for hand in hands)
    return hands, after._replace(hands=hands)


def track_batch(
    network: Network,
    states: Sequence[State],
    frames: Sequence[Frame],
    *,
    window: int | None = None,
) -> list[tuple[tuple[Hand, ...], State]]:
    """Track one frame of each of many streams.

    Each stream is run by itself, so that its result is the same whatever else is tracked: a batch
    of the network changes numbers in the last digits, which thresholds then turn into millimetres.

    Args:
        network: see `load_network`.
        states: one a stream.
        frames: one a stream, of any cameras and sizes.
        window: see `track_step`.

    Returns:
        For each stream, what `track_step` returns.
    """
    return [
        track_step(network, state, frame.depth_mm, frame.camera, frame.time_s, window=window)
        for state, frame in zip(states, frames, strict=True)
    ]


class Tracker:
    """Follows hands; holds the network and the stream's state.

    Args:
        weights: an exported network, or one that is loaded, such as another tracker's ``network``,
            whose threads are shared then; None for the one that ships.
        hands: how many hands are followed at most.
        window: reset the temporal memory every so many frames (the paper: `WINDOW`); None never.
        detect_every: frames between two runs of the detector on the whole frame while all hands
            are followed; where one is missing it reads every frame.
        threads: of the network, see `load_network`.
        fit: move the network's joints to where the hand's surface was measured, see
            `cadstn.tracking.fit`.

    Raises:
        CadstnError: if the weights cannot be used, or a number is not at least 1.

    >>> import numpy as np
    >>> tracker = Tracker()
    >>> hand = tracker.update(np.zeros((240, 320), np.float32), Camera(240, 240, 160, 120))
    >>> hand.found, hand.joints_mm.shape
    (False, (21, 3))
    """

    def __init__(
        self,
        weights: str | Path | Network | None = None,
        *,
        hands: int = 1,
        window: int | None = None,
        detect_every: int = DETECT_EVERY,
        threads: int | None = None,
        fit: bool = True,
    ) -> None:
        check_count("hands", hands)
        check_count("detect_every", detect_every)
        if window is not None:
            check_count("window", window)
        self.network = (
            weights if isinstance(weights, Network) else load_network(weights, threads=threads)
        )
        self.window = window
        self.state = State.fresh(self.network, hands, detect_every, fit=fit)
        self._frame: Frame | None = None
        self._check, self._times = StreamCheck(), StepCheck()

    def reset(self) -> None:
        """Forget everything: the next frame begins a new stream."""
        self.state, self._frame = self.state.again(self.network), None
        self._check, self._times = StreamCheck(), StepCheck()

    def why_lost(self) -> str:
        """One line on why the last frame shows no hand; empty where its first place has one."""
        if self._frame is None or self.state.hands[0].found:
            return ""
        others = [place for place, hand in enumerate(self.state.hands) if hand.found]
        if others:
            where = f"the hand in view is in place {others[0]}"
            return f"no hand in place 0: {where}, see update_all"
        return f"no hand found: {describe_scene(self._frame.depth_mm, refusals(self.state))}"

    @property
    def bone_lengths_mm(self) -> NDArray[np.float64]:
        """How long the bones of each place's hand are, by all frames that it was followed in.

        (H, N) mm, in the order of ``network.skeleton.bones``; NaN where no hand is followed. Of
        ``hand21`` the mean hand's proportions count beside the frames: see `likely_lengths_mm`.
        """
        out = np.full((len(self.state.tracks), len(self.network.skeleton.bones)), np.nan)
        for row, track in zip(out, self.state.tracks, strict=True):
            if track.bones is not None:
                known = track.bones
                mean = self.network.skeleton == HAND21
                row[:] = likely_lengths_mm(known) if mean else known.length / known.weight
        return out

    def update(
        self,
        depth: Any,
        camera: Camera | None = None,
        time_s: float | None = None,
        *,
        unit: str | float | None = None,
        check: bool = True,
    ) -> Hand:
        """Track the next frame and return its first hand.

        Args and errors are those of `update_all`: ``depth`` is (H, W), floats in millimetres or
        the sensor's own integers, 0 where nothing was measured; ``time_s`` is in seconds.
        """
        return self._updated(depth, camera, time_s, unit, check)[0]

    def update_all(
        self,
        depth: Any,
        camera: Camera | None = None,
        time_s: float | None = None,
        *,
        unit: str | float | None = None,
        check: bool = True,
    ) -> tuple[Hand, ...]:
        """Track the next frame.

        Args:
            depth: (H, W) float millimetres with 0 where nothing was measured, as `Recording`
                yields; or the sensor's own integers, converted by ``camera.depth_mm``; an array,
                a list, an image or a tensor (`cadstn.geometry.arrays.as_depth_mm`).
            camera: the camera that took it; every frame needs one, see `track_step`.
            time_s: its time stamp, see `track_step`.
            unit: what the numbers are instead: ``mm``, ``cm``, ``m``, or the millimetres of one.
            check: warn of input that cannot be right.

        Returns:
            One hand a place, lost or found; a hand keeps its place while it is followed, and gets
            it back when it returns.

        Warns:
            CadstnWarning: once, where depths or camera cannot be right, for instance of a wrong
                unit, the frame is too small to show a hand, or each frame is another camera's.

        Raises:
            CadstnError: if the image has no depth's shape, or not the camera's size.
        """
        return self._updated(depth, camera, time_s, unit, check)

    def _updated(
        self,
        depth: Any,
        camera: Camera | None,
        time_s: float | None,
        unit: str | float | None,
        check: bool,
    ) -> tuple[Hand, ...]:
        """See `update_all`; warnings name the line that called the caller."""
        require_camera(camera)
        assert camera is not None
        frame = as_frame(depth, camera, time_s, unit)
        hands, self.state = track_step(self.network, self.state, *frame, window=self.window)
        self._frame = frame
        if check:
            lines = self._check.depth(frame.depth_mm, frame.camera) + self._times(frame.time_s)
            for hand in hands:
                lines += self._check.hand(hand.joints_mm) if hand.found else []
            for line in lines:
                warnings.warn(line, CadstnWarning, stacklevel=3)
        return hands


class HandsTracker(Tracker):
    """Deprecated: ``Tracker(hands=2)`` and `Tracker.update_all`."""

    def __init__(self, network: Network, hands: int = 2, *, window: int | None = None) -> None:
        warnings.warn("HandsTracker is now Tracker(hands=...)", DeprecationWarning, stacklevel=2)
        super().__init__(network, hands=hands, window=window)

    def update(  # type: ignore[override]
        self,
        depth: Any,
        camera: Camera | None = None,
        time_s: float | None = None,
        *,
        unit: str | float | None = None,
        check: bool = True,
    ) -> tuple[Hand, ...]:
        """See `Tracker.update_all`."""
        return self._updated(depth, camera, time_s, unit, check)
