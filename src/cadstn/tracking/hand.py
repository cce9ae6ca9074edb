"""A hand in a frame, the frame itself, and what a stream remembers from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.arrays import as_depth_mm
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.geometry.skeleton import HAND21, Skeleton
from cadstn.io.text import counted
from cadstn.tracking.bones import Bones
from cadstn.tracking.canonical import HandView
from cadstn.tracking.decision import Evidence
from cadstn.tracking.holes import Holes
from cadstn.tracking.network import Network, StreamState
from cadstn.tracking.steady import Fitted

DETECT_EVERY = 10
"""Frames between two detections while every place follows a hand."""

_SAME_PLACE_MM = 60.0
#: Frames for which the place of a lost hand is remembered after the first.
REMEMBERED = 5


@dataclass(frozen=True, eq=False)
class Hand:
    """One hand in one frame; equal to itself alone, since arrays have no one answer to ``==``.

    Attributes:
        joints_mm: (K, 3) float32, camera frame (x right, y down, z forward); NaN where lost.
        found: whether there is a hand.
        how: ``found`` (detected), ``followed`` (from the frame before) or ``lost``.
        agreement: surface support: the share of joints with measured depth at the skin above them.
        center_mm: (3,) centre of the cube that the network read; NaN where lost.
        cube_mm: edge of that cube.
        temporal_weight: (K,) mean weight that fusion gave the temporal network; NaN where lost.
        confidence: (K,) 0 to 1, how much of the surface around each joint's place is where a
            hand's skin would be; 0 where lost. It shows that a joint is off the hand, not that it
            lies on the wrong finger.
        uncertainty_mm: (K,) error scale: within it lies each joint two times in three, as the
            network predicts; NaN where lost, or where it predicts none.
        present: presence, the probability that this is a hand; NaN where the network predicts none.
        side: ``left`` or ``right``; ``unknown`` where lost, or where the network predicts none.
        time_s: the frame's time stamp, None if the caller gave none.
        camera: that took the frame; None of a hand that was made without a tracker.
        skeleton: names the joints.
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
    camera: Camera | None = None
    skeleton: Skeleton = HAND21

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, fit for JSON; see `cadstn.tracking.records.hand_record`."""
        from cadstn.tracking.records import hand_record

        return hand_record(self)

    def to_dataframe(self) -> Any:
        """A pandas table, a row a joint; see `cadstn.tracking.records.hands_table`."""
        from cadstn.tracking.records import hands_table

        return hands_table([self])

    def draw(self, image: NDArray[Any], camera: Camera | None = None) -> NDArray[np.uint8]:
        """A copy of an image with the skeleton over it; see `cadstn.tracking.records.draw_hand`."""
        from cadstn.tracking.records import draw_hand

        return draw_hand(self, image, camera)

    def __repr__(self) -> str:
        """One short line."""
        if not self.found:
            return "Hand(lost)"
        x, y, z = self.center_mm.round().astype(int).tolist()
        return f"Hand({self.side}, {self.how}, at ({x}, {y}, {z}) mm, presence {self.present:.2f})"


class Track(NamedTuple):
    """What is remembered of one hand: a value, so that hands never mix."""

    memory: StreamState  # of the temporal network
    # (3,) where the next cube goes, None where no hand is followed
    center_mm: NDArray[np.float64] | None = None
    # (3,) centre of the crop that the memory saw last, None when it saw none
    crop_mm: NDArray[np.float64] | None = None
    view: HandView = HandView()  # how the hand is seen; the memory is of that view
    frames: int = 0  # since the memory began
    lasted: int = 0  # frames since the hand was found, whatever became of the memory
    bones: Bones | None = None  # what is known of the hand's size
    fitted: Fitted | None = None  # what the fit left of the frame before
    doubts: int = 0  # detections in a row, of those that were due, that did not see it
    side: str = "unknown"  # of the hand that is or was here
    # (3,) where the hand was that is lost, None once it is lost for longer than `REMEMBERED`
    last_mm: NDArray[np.float64] | None = None
    absent: int = 0  # frames since it was lost

    @property
    def place_mm(self) -> NDArray[np.float64] | None:
        """(3,) where the hand is, or was some frames ago; None where there was none."""
        return self.last_mm if self.center_mm is None else self.center_mm

    def begun(self, network: Network, view: HandView) -> Track:
        """A new hand at this place."""
        known = view if network.wants.upright else HandView(frames=0)
        return Track(network.initial_state(), view=known, side=self.side)

    def lost(self, network: Network) -> Track:
        """The place without its hand; where and which side it was is kept for its return."""
        last_mm = self.place_mm if self.absent < REMEMBERED else None
        return Track(
            network.initial_state(), side=self.side, last_mm=last_mm, absent=self.absent + 1
        )


class Refused(NamedTuple):
    """A detection that the network took for no hand."""

    center_mm: NDArray[np.float64]  # (3,) where
    wait: int  # frames until it may be tried again
    begun_with: int  # what ``wait`` began with
    reason: str  # why it was refused
    evidence: Evidence | None = None  # what of it was not enough

    def waited(self) -> Refused:
        """One frame later."""
        return self._replace(wait=self.wait - 1)

    def is_at(self, center_mm: NDArray[np.float64]) -> bool:
        """Whether it is this place."""
        return bool(((self.center_mm - center_mm) ** 2).sum() < _SAME_PLACE_MM**2)


class State(NamedTuple):
    """All that a stream remembers.

    Attributes:
        tracks: one a hand that can be followed.
        detect_every: frames between two detections while all are.
        age: frames since the last detection that was due, or found no hand followed.
        refused: places that were no hand.
        camera: that took the last frame; places mean nothing to another.
        hands: of the last frame, none before the first.
        pixels: checksum of some of the last frame's pixels, if it had a time.
        holes: whether its holes are filled.
        fit: whether hands are fitted to the depth, see `cadstn.tracking.fit`.
    """

    tracks: tuple[Track, ...]
    detect_every: int = DETECT_EVERY
    age: int = 0
    refused: tuple[Refused, ...] = ()
    camera: Camera | None = None
    hands: tuple[Hand, ...] = ()
    pixels: int = 0
    fit: bool = True
    holes: Holes = Holes()

    @staticmethod
    def fresh(
        network: Network, hands: int = 1, detect_every: int = DETECT_EVERY, *, fit: bool = True
    ) -> State:
        """The state of a stream that has seen nothing."""
        tracks = tuple(Track(network.initial_state()) for _ in range(hands))
        return State(tracks, detect_every, fit=fit)

    def again(self, network: Network) -> State:
        """Forget everything but the settings of the stream."""
        return State.fresh(network, len(self.tracks), self.detect_every, fit=self.fit)


class Frame(NamedTuple):
    """One frame of one stream.

    Attributes:
        depth_mm: (H, W) mm, 0 where nothing was measured.
        camera: that took it.
        time_s: when, if known.
    """

    depth_mm: DepthMm
    camera: Camera
    time_s: float | None = None


#: A hand as it was seen in a frame, and its track after it.
Seen = tuple[Hand, Track]


class Tried(NamedTuple):
    """The result of one run of the network at a place."""

    seen: Seen | None  # the hand, None if there is none
    runs: int = 0  # of the network that it took
    reason: str = ""  # why there is none
    evidence: Evidence | None = None  # what of it was not enough


def apart_mm(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> float:
    """Distance of two places (3,) mm; infinite where one is not known."""
    if one is None or other is None:
        return float("inf")
    return math.dist(one.tolist(), other.tolist())


def as_frame(
    depth: Any, camera: Camera, time_s: float | None = None, unit: str | float | None = None
) -> Frame:
    """Check one frame: millimetres, and the camera's size.

    Raises:
        CadstnError: if it is no depth image, not of the camera's size, or the time is no number.
    """
    if time_s is not None:
        time_s = seconds_or_none(time_s)
    depth_mm = as_depth_mm(depth, camera, unit)
    height, width = depth_mm.shape
    if (camera.width, camera.height) != (width, height):
        camera = camera.sized(width, height)
    # NaN and infinity stay: whoever reads a pixel takes them for nothing measured, and a search
    # of the whole frame would cost as much as the crop.
    return Frame(depth_mm, camera, time_s)


def seconds_or_none(time_s: Any) -> float | None:
    """Return a time stamp as seconds, None where it is not finite: such a frame has no time."""
    try:
        seconds = float(time_s)
    except (TypeError, ValueError):
        raise CadstnError(f"time_s is {time_s!r}, no number", hint="give seconds") from None
    return seconds if math.isfinite(seconds) else None


def refusals(state: State) -> str:
    """How many places were refused, and why, in a few words; empty where none was."""
    if not state.refused:
        return "the detector found no candidate"
    some = [f"{one.center_mm[2] / 1000:.2f} m away ({one.reason})" for one in state.refused[:3]]
    return f"{counted(len(state.refused), 'place')} refused: {', '.join(some)}"


def lost_hand(network: Network) -> Hand:
    """Return the hand of a frame without one."""
    count = len(network.skeleton)
    return Hand(
        np.full((count, 3), np.nan, np.float32),
        False,
        "lost",
        0.0,
        np.full(3, np.nan),
        network.wants.cube_mm,
        np.full(count, np.nan, np.float32),
        np.zeros(count, np.float32),
        np.full(count, np.nan, np.float32),
        skeleton=network.skeleton,
    )
