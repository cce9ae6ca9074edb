"""Follow a hand through depth frames: locate, crop, network, back to millimetres."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.camera import Camera, DepthMm
from cadstn.crop import crop_cube
from cadstn.errors import CadstnError
from cadstn.locate import find_hands, skin_share, still_there
from cadstn.track.bones import Bones, keep_size
from cadstn.track.runtime import Asked, Network, Step, StreamState, load_network
from cadstn.track.turn import (
    Attitude,
    attitude_after,
    turn_back,
    turn_image,
    turn_memory,
    turn_shift,
)

#: The paper's window (section IV): its temporal network begins anew every so many frames.
WINDOW = 16
#: Looks at one frame at most, each centred on the joints of the one before; one is enough where
#: the cube was well placed.
_LOOKS = 3
_WELL_PLACED_MM = 20.0
#: Places of a frame that are looked at before it counts as one without a hand.
_PLACES = 3
#: How sure a network must be that there is a hand, to begin with and to go on following it: chosen
#: on rendered recordings of seed 1, which are not the test's (LOG.md).
_SURE, _STILL_SURE = 0.95, 0.7
#: Of a network that does not say whether there is a hand: share of joints that must have surface
#: at their place, or the hand counts as lost.
_LEAST_AGREEMENT = 0.5
#: Of such a network too: every so many frames the surroundings are looked at, so that a drift onto
#: an arm ends.
_CHECK_EVERY = 10
_FAR_APART_MM = 110.0
#: So many checks in a row may find nothing that hangs like a hand, here or elsewhere, before the
#: hand counts as lost: it is an arm whose hand has left the frame.
_MOST_DOUBTS = 3
#: Joints that move so far from one frame to the next are no motion but a cut: so NYU's 17 cuts come
#: out exactly (LOG.md). A faster hand loses nothing but the help of the frames before.
_CUT_MM = 40.0
#: After so long without a frame the hand may be anywhere and the temporal memory says nothing.
_LONGEST_GAP_S = 0.5


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


#: A stream asks for a crop to be looked at with a memory, and is sent what the network says.
_Plan = Generator[Asked, Step, tuple[Hand, TrackState]]
_Close = Generator[Asked, Step, tuple[Hand, TrackState] | None]


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
    plans = [_plan(network, s, v, window) for s, v in zip(states, views, strict=True)]
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


def _plan(network: Network, state: TrackState, view: View, window: int | None) -> _Plan:
    """One frame of one stream; asks for looks and ends with the hand and the next state."""
    if state.hand is not None and view.time_s is not None and state.hand.time_s is not None:
        passed = view.time_s - state.hand.time_s
        if passed == 0 and view.camera == state.camera:
            return state.hand, state
        if not 0 < passed <= _LONGEST_GAP_S:
            state = TrackState(network.initial_state())
    if state.camera is not None and state.camera != view.camera:
        state = TrackState(network.initial_state())
    if window is not None and state.frames >= window:
        state = state._replace(stream=network.initial_state(), crop_mm=None, frames=0)
    hand, after = yield from _seek(network, state, view)
    hand = replace(hand, time_s=view.time_s)
    return hand, after._replace(camera=view.camera, hand=hand)


def _seek(network: Network, state: TrackState, view: View) -> _Plan:
    """Follow the hand; where there is none, or it looks like none, search the frame."""
    follow, age, doubts = state.center_mm, state.age + 1, state.doubts
    # A network that says whether there is a hand says it of every frame.
    check = follow is not None and age >= _CHECK_EVERY and not network.compact
    if check and follow is not None:
        age = 0
        doubts = 0 if still_there(view.depth_mm, view.camera, follow) else doubts + 1
    doubt = check and doubts > 0
    if follow is not None and not doubt:
        seen = yield from _close_in(network, state, view, follow, "followed")
        if seen is not None:
            return seen[0], seen[1]._replace(age=age, doubts=doubts)
    places = find_hands(
        view.depth_mm, view.camera, follow, view.apart_from_mm,
        most=_PLACES if network.compact else 1,
    )  # fmt: skip
    for place in places:
        away = 0.0 if follow is None else np.linalg.norm(place.center_xyz_mm - follow)
        if doubt and away <= _FAR_APART_MM:
            continue
        fresh = TrackState(network.initial_state())
        seen = yield from _close_in(network, fresh, view, place.center_xyz_mm, "found")
        if seen is not None:
            return seen
    if doubt and follow is not None and (places or doubts < _MOST_DOUBTS):
        seen = yield from _close_in(network, state, view, follow, "followed")
        if seen is not None:
            return seen[0], seen[1]._replace(age=_CHECK_EVERY // 2, doubts=doubts)
    return lost_hand(network), TrackState(network.initial_state())


def _close_in(
    network: Network, state: TrackState, view: View, center_mm: NDArray[np.float64], how: str
) -> _Close:
    """Look at a place, and again at where its joints are; None if no hand is there."""
    half_mm = network.cube_mm / 2
    for _ in range(_LOOKS):
        if center_mm[2] <= 0:
            return None
        turn = state.attitude.turn
        crop = crop_cube(view.depth_mm, view.camera, center_mm, network.cube_mm, network.size)
        image = turn_image(crop.image, turn)
        moved = np.zeros(3) if state.crop_mm is None else crop.center_xyz_mm - state.crop_mm
        shift = turn_shift(moved / half_mm, turn)
        out = yield Asked(image, state.stream, shift)
        if state.crop_mm is not None and _jumped(out, state.stream, shift, half_mm):
            # A cut, or frames that are missing: the memory speaks of another moment.
            # The hand's size stays: most often it is the same hand, and fast.
            state = TrackState(network.initial_state(), attitude=state.attitude, bones=state.bones)
            out = yield Asked(image, state.stream, np.zeros(3, np.float32))
        joints = turn_back(out.joints[0], crop, turn)
        # Joints behind the camera cannot be projected; nothing sensible puts them there.
        if not joints[:, 2].min() > 0:
            return None
        share = skin_share(joints, view.depth_mm, view.camera)
        agree = np.count_nonzero(share) / len(share)
        if not _is_hand(out, agree, how):
            return None
        middle = joints.sum(0) / len(joints)
        attitude = attitude_after(state.attitude, out.left, joints, upright=network.upright)
        placed = ((middle - center_mm) ** 2).sum() < _WELL_PLACED_MM**2
        # A hand that is followed is turned well enough by the frame before.
        if placed and (state.frames or attitude.turn == turn):
            break
        center_mm = middle
        memory = turn_memory(state.stream, turn, attitude.turn)
        state = state._replace(stream=memory, attitude=attitude)
    present, spread_mm, bones = float("nan"), np.full(len(share), np.nan, np.float32), None
    if out.present is not None and out.spread is not None:
        present, spread_mm = float(out.present[0]), out.spread[0] * np.float32(half_mm)
        joints, bones = keep_size(joints, spread_mm, state.bones, network.skeleton)
    hand = Hand(
        joints.astype(np.float32),
        True,
        how,
        agree,
        crop.center_xyz_mm,
        crop.cube_mm,
        out.w1[0].mean(-1),
        share.astype(np.float32),
        spread_mm,
        present,
        "unknown" if out.left is None else "left" if attitude.side > 0 else "right",
    )
    after = TrackState(
        turn_memory(out.state, turn, attitude.turn),
        middle,
        crop.center_xyz_mm,
        attitude,
        frames=state.frames + 1,
        bones=bones,
    )
    return hand, after


def _jumped(out: Step, before: StreamState, shift: NDArray[np.float32], half_mm: float) -> bool:
    """Whether one frame alone sees joints far from where a compact network said they were."""
    if out.spatial is None:
        return False
    said = before.before[0, :-1].reshape(-1, 3) - shift
    away = np.sqrt(((out.spatial[0] - said) ** 2).sum(-1)).mean()
    return bool(away * half_mm > _CUT_MM)


def _is_hand(out: Step, agreement: float, how: str) -> bool:
    """Whether what was looked at is a hand: as the network says, else as the surface does."""
    if out.present is None:
        return agreement >= _LEAST_AGREEMENT
    return float(out.present[0]) >= (_STILL_SURE if how == "followed" else _SURE)


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
