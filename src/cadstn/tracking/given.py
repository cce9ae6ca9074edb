"""Follow cubes that are given, frame after frame: for crops of data sets, and for measuring."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import Crop
from cadstn.tracking.canonical import IDENTITY, HandView, ViewTransform, transformed_memory
from cadstn.tracking.hand import Track
from cadstn.tracking.network import Network, Step, StreamState, Wants
from cadstn.tracking.prediction import Prediction, predict, remember

_ROUNDS = 2  # predictions of a first frame, until its view is right
_ANGLES = 8


class Predicts(Protocol):
    """What can run on crops: a `cadstn.tracking.Network`, or anything like it."""

    @property
    def wants(self) -> Wants:
        """How it is to be run."""

    def initial_state(self, batch: int = 1) -> StreamState:
        """The memory of streams that have seen nothing."""

    def center_of(self, joints_mm: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where it wants the cube around joints."""

    def step(
        self, crops: NDArray[np.float32], state: StreamState, shift: NDArray[np.float32] | None
    ) -> Step:
        """See `cadstn.tracking.Network`."""


def predict_given(
    network: Predicts | Network, track: Track, crop: Crop
) -> tuple[Prediction, Track]:
    """Predict the next crop of a stream whose cubes are given.

    Of a stream's first crop nobody knows which way its hand points: the network reads it rotated by
    multiples of 45 degrees and mirrored, and the view with the smallest error scale is taken.

    Args:
        network: see `cadstn.tracking.load_network`.
        track: what the frames before left; ``Track(network.initial_state())`` at first.
        crop: of the next frame.

    Returns:
        The prediction, and the track for the next frame.
    """
    if track.crop_mm is None and network.wants.upright:
        track = track._replace(view=_first_view(network, track, crop))
        for _ in range(_ROUNDS):
            seen = predict(network, track, crop)  # type: ignore[arg-type]
            before, after = seen.view.transform, seen.after.transform
            if before == after:
                break
            memory = transformed_memory(track.memory, before, after)
            track = track._replace(memory=memory, view=seen.after)
    seen = predict(network, track, crop)  # type: ignore[arg-type]
    return seen, remember(network, track, seen)  # type: ignore[arg-type]


def _first_view(network: Predicts | Network, track: Track, crop: Crop) -> HandView:
    best, least = HandView(), math.inf
    for mirror in (False, True):
        for eighth in range(_ANGLES):
            transform = ViewTransform(math.tau * eighth / _ANGLES, mirror)
            view = HandView(transform, 1.0 if mirror else -1.0, 1)
            seen = predict(network, track._replace(view=view), crop)  # type: ignore[arg-type]
            out = seen.out
            if out.error_scale is None or out.presence is None:
                return HandView(IDENTITY)
            # As large as the largest hand is the error of what is no hand in this view.
            scale = float(out.error_scale.mean()) / max(float(out.presence[0]), 1e-3)
            if scale < least:
                best, least = seen.after, scale
    return best
