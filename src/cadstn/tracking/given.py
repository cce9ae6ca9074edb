"""Follow cubes that are given, frame after frame: for crops of data sets, and for measuring."""

from __future__ import annotations

import math

from cadstn.geometry.crop import Crop
from cadstn.tracking.canonical import IDENTITY, HandView, ViewTransform, transformed_memory
from cadstn.tracking.hand import Track
from cadstn.tracking.prediction import Prediction, Predicts, predict, remember

_ROUNDS = 2  # predictions of a first frame, until its view is right
_ANGLES = 8


def predict_given(network: Predicts, track: Track, crop: Crop) -> tuple[Prediction, Track]:
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
            seen = predict(network, track, crop)
            before, after = seen.view.transform, seen.after.transform
            if before == after:
                break
            memory = transformed_memory(track.memory, before, after)
            track = track._replace(memory=memory, view=seen.after)
    seen = predict(network, track, crop)
    return seen, remember(network, track, seen)


def _first_view(network: Predicts, track: Track, crop: Crop) -> HandView:
    best, least = HandView(), math.inf
    for mirror in (False, True):
        for eighth in range(_ANGLES):
            transform = ViewTransform(math.tau * eighth / _ANGLES, mirror)
            view = HandView(transform, 1.0 if mirror else -1.0, 1)
            seen = predict(network, track._replace(view=view), crop)
            out = seen.out
            if out.error_scale is None or out.presence is None:
                return HandView(IDENTITY)
            # As large as the largest hand is the error of what is no hand in this view.
            scale = float(out.error_scale.mean()) / max(float(out.presence[0]), 1e-3)
            if scale < least:
                best, least = seen.after, scale
    return best
