"""Several hands in one stream, each a stream of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.hand import Hand, TrackState, View, as_view, lost_hand
from cadstn.tracking.network import Network
from cadstn.tracking.tracker import track_batch

#: Two tracks whose hands' middles are nearer than this follow one hand.
_SAME_MM = 60.0


class HandsTracker:
    """Follows up to so many hands of one camera; each keeps its place in the list while found.

    A hand that is searched for is not found where another is followed. The network runs once for
    all hands that are followed.

    Args:
        network: see `cadstn.tracking.load_network`.
        hands: how many.
        window: see `cadstn.tracking.track_step`.
    """

    def __init__(self, network: Network, hands: int = 2, *, window: int | None = None) -> None:
        if hands < 1:
            raise CadstnError(f"{hands} hands", mend="give 1 or more")
        self.network, self.window = network, window
        self.states = [TrackState(network.initial_state()) for _ in range(hands)]

    def reset(self) -> None:
        """Forget all hands."""
        self.states = [TrackState(self.network.initial_state()) for _ in self.states]

    def update(
        self, depth: DepthMm, camera: Camera, time_s: float | None = None
    ) -> tuple[Hand, ...]:
        """Track the next frame; see `cadstn.tracking.Tracker.update`.

        Returns:
            One hand a place, lost or found.
        """
        view = as_view(depth, camera, time_s)
        followed = [k for k, s in enumerate(self.states) if s.center_mm is not None]
        self._step(followed, view)
        # One after the other: two that search at once would find the same hand.
        for k in range(len(self.states)):
            if k not in followed:
                self._step([k], view)
        self._part()
        hands = [s.hand for s in self.states]
        return tuple(hand for hand in hands if hand is not None)

    def _step(self, places: list[int], view: View) -> None:
        views = [view._replace(apart_from_mm=self._others(k)) for k in places]
        states = [self.states[k] for k in places]
        out = track_batch(self.network, states, views, window=self.window)
        for k, (_, state) in zip(places, out, strict=True):
            self.states[k] = state

    def _others(self, place: int) -> tuple[NDArray[np.float64], ...]:
        """Where the other hands are."""
        centers = [s.center_mm for k, s in enumerate(self.states) if k != place]
        return tuple(center for center in centers if center is not None)

    def _part(self) -> None:
        """Where two tracks have come to follow one hand, the later one lets go."""
        for k, state in enumerate(self.states):
            for earlier in self.states[:k]:
                if state.center_mm is None or earlier.center_mm is None or state.hand is None:
                    continue
                if np.linalg.norm(state.center_mm - earlier.center_mm) < _SAME_MM:
                    fresh = TrackState(self.network.initial_state(), camera=state.camera)
                    self.states[k] = fresh._replace(hand=lost_hand(self.network, state.hand.time_s))
                    break
