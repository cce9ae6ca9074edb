"""One run of a network on one crop, in the canonical view, and what a track remembers of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import Crop, cut_cube
from cadstn.tracking.canonical import (
    HandView,
    canonical_image,
    center_shift,
    given_view,
    joints_to_mm,
    transformed_memory,
    updated_view,
)
from cadstn.tracking.decision import Evidence
from cadstn.tracking.detector import Detection
from cadstn.tracking.hand import Frame, Track
from cadstn.tracking.network import Network, Step, StreamState, Wants


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


class Prediction(NamedTuple):
    """What the network predicts of one crop."""

    joints_mm: NDArray[np.floating]  # (K, 3) camera frame
    out: Step  # the network's own outputs, of the canonical view
    crop: Crop  # that it read
    # (3,) of the crop's centre since the frame before, see `center_shift`
    shift: NDArray[np.float32]
    view: HandView  # its transform was this one's
    after: HandView  # what is known of the view now, for the next frame


def predict(network: Predicts, track: Track, crop: Crop) -> Prediction:
    """Run the network on one crop, in the canonical view, with what the track remembers."""
    transform = track.view.transform
    shift = center_shift(track.crop_mm, crop, transform)
    image = canonical_image(crop.image, transform)
    out = network.step(image[None], track.memory, shift[None])
    joints_mm = joints_to_mm(out.joints[0], crop, transform, uvd=network.wants.uvd)
    after = updated_view(track.view, out.handedness, joints_mm, upright=network.wants.upright)
    return Prediction(joints_mm, out, crop, shift, track.view, after)


def remember(network: Predicts, track: Track, seen: Prediction) -> Track:
    """What a track remembers after a prediction."""
    memory = transformed_memory(seen.out.state, seen.view.transform, seen.after.transform)
    return track._replace(
        memory=memory,
        center_mm=network.center_of(seen.joints_mm),
        crop_mm=seen.crop.center_xyz_mm,
        view=seen.after,
        frames=track.frames + 1,
        lasted=track.lasted + 1,
    )


def evidence_of(seen: Prediction, score: float | None) -> Evidence | None:
    """What is known of a new place; None of a hand that is followed, or without a presence.

    Args:
        seen: what the network predicts there.
        score: the detector's; None of a hand that is followed.
    """
    if score is None or seen.out.presence is None or seen.out.error_scale is None:
        return None
    scale_mm = float(seen.out.error_scale[0].mean()) * seen.crop.cube_mm / 2
    return Evidence(score, float(seen.out.presence[0]), scale_mm)


class Begun(NamedTuple):
    """A new hand before the run that decides on it."""

    track: Track
    center_mm: NDArray[np.float64]  # (3,) of its next cube
    runs: int = 0  # of the network so far
    evidence: Evidence | None = None  # what the first run showed of it


def begin(network: Network, frame: Frame, detection: Detection) -> Begun:
    """Begin to follow a detected hand.

    Which way it points is the detector's. Which hand it is, the network's error scale shows: it
    reads the crop as a right hand's and as a left one's, in one run.
    """
    track = Track(network.initial_state())
    if not network.wants.upright:
        return Begun(track, detection.center_mm)
    crop = cut_cube(
        frame.depth_mm, frame.camera, detection.center_mm, network.wants.cube_mm, network.wants.size
    )
    views = [given_view(detection.angle, left=left) for left in (False, True)]
    images = np.stack([canonical_image(crop.image, view.transform) for view in views])
    out = network.step(images, network.initial_state(2))
    assert out.error_scale is not None
    assert out.handedness is not None
    assert out.presence is not None
    best = int(out.error_scale.mean(1).argmin())
    scale_mm = float(out.error_scale[best].mean()) * crop.cube_mm / 2
    evidence = Evidence(detection.score, float(out.presence[best]), scale_mm)
    transform = views[best].transform
    joints_mm = joints_to_mm(out.joints[best], crop, transform, uvd=network.wants.uvd)
    if not joints_mm[:, 2].min() > 0:
        return Begun(track._replace(view=views[best]), detection.center_mm, 1, evidence)
    after = updated_view(views[best], out.handedness[best : best + 1], joints_mm, upright=True)
    return Begun(track._replace(view=after), network.center_of(joints_mm), 1, evidence)
