"""Looking at cubes that are given, frame after frame, as the tracker looks at those it finds."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import Crop
from cadstn.tracking.network import StreamState
from cadstn.tracking.turn import (
    Attitude,
    Turn,
    attitude_after,
    shift_seen,
    turn_back,
    turn_image,
    turn_memory,
)

_LOOKS = 3  # at the first frame, until the hand is turned as it should be


class Says(Protocol):
    """What a network says of one stream: of a `cadstn.tracking.network.Step`, what is read here."""

    @property
    def joints(self) -> NDArray[np.float32]:
        """(1, K, 3)."""

    @property
    def w1(self) -> NDArray[np.float32] | None:
        """(1, K, 3)."""

    @property
    def left(self) -> NDArray[np.float32] | None:
        """(1,)."""

    @property
    def state(self) -> StreamState:
        """The network's memory."""


Said = TypeVar("Said", bound=Says, covariant=True)


class Looks(Protocol[Said]):
    """What can look at crops: a `cadstn.tracking.Network`, or anything like it."""

    @property
    def upright(self) -> bool:
        """Whether it knows right hands that point up best."""

    @property
    def uvd(self) -> bool:
        """Whether it says where joints are seen."""

    @property
    def looks_first(self) -> bool:
        """Whether it holds another network that looks first."""

    def step(
        self,
        crops: NDArray[np.float32],
        state: StreamState,
        shift: NDArray[np.float32],
        *,
        first: bool,
    ) -> Said:
        """See `cadstn.tracking.Network`."""


class Gaze(NamedTuple):
    """What a stream of given cubes remembers.

    Attributes:
        memory: the network's, turned like the next view.
        attitude: of the hand.
        center_mm: (3,) of the last cube; None at first.
    """

    memory: StreamState
    attitude: Attitude = Attitude()
    center_mm: NDArray[np.float64] | None = None


def look_at(network: Looks[Said], gaze: Gaze, crop: Crop) -> tuple[Said, Turn, Gaze]:
    """Look at one crop, in the view that the network knows best.

    Args:
        network: that looks.
        gaze: what the frames before left.
        crop: of the next frame.

    Returns:
        What the network says, how the view was turned (see `turn_back`), and the next gaze.
    """
    memory, attitude, new = gaze.memory, gaze.attitude, gaze.center_mm is None
    for _ in range(_LOOKS):
        out, turn, attitude = _turned(network, memory, attitude, gaze.center_mm, crop, first=new)
        if not new or attitude.turn == turn:
            break
        memory = turn_memory(memory, turn, attitude.turn)
    if new and network.looks_first:
        out, turn, attitude = _turned(network, memory, attitude, None, crop, first=False)
    after = Gaze(turn_memory(out.state, turn, attitude.turn), attitude, crop.center_xyz_mm)
    return out, turn, after


def _turned(
    network: Looks[Said],
    memory: StreamState,
    attitude: Attitude,
    before_mm: NDArray[np.float64] | None,
    crop: Crop,
    *,
    first: bool,
) -> tuple[Said, Turn, Attitude]:
    """Look once; returns what is said, how the view was turned, and what is known then."""
    turn = attitude.turn
    shift = shift_seen(before_mm, crop, turn)
    out = network.step(turn_image(crop.image, turn)[None], memory, shift[None], first=first)
    joints_mm = turn_back(out.joints[0], crop, turn, uvd=network.uvd)
    return out, turn, attitude_after(attitude, out.left, joints_mm, upright=network.upright)
