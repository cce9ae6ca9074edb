"""One frame of one stream: follow the hand or search it, look at it, and look whether it is one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import crop_cube
from cadstn.tracking.bones import keep_size
from cadstn.tracking.hand import Hand, TrackState, View, lost_hand
from cadstn.tracking.locate import find_hands, still_there
from cadstn.tracking.network import Asked, Network, Step, StreamState
from cadstn.tracking.skin import skin_share
from cadstn.tracking.turn import (
    attitude_after,
    shift_seen,
    turn_back,
    turn_image,
    turn_memory,
)

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

#: A stream asks for a crop to be looked at with a memory, and is sent what the network says.
Plan = Generator[Asked, Step, tuple[Hand, TrackState]]
_Close = Generator[Asked, Step, tuple[Hand, TrackState] | None]


def plan(network: Network, state: TrackState, view: View, window: int | None) -> Plan:
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


def _seek(network: Network, state: TrackState, view: View) -> Plan:
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
        seen = yield from _find(network, view, place.center_xyz_mm)
        if seen is not None:
            return seen
    if doubt and follow is not None and (places or doubts < _MOST_DOUBTS):
        seen = yield from _close_in(network, state, view, follow, "followed")
        if seen is not None:
            return seen[0], seen[1]._replace(age=_CHECK_EVERY // 2, doubts=doubts)
    return lost_hand(network), TrackState(network.initial_state())


def _find(network: Network, view: View, center_mm: NDArray[np.float64]) -> _Close:
    """Look at a place for the first time; where another network looks first, then with both."""
    seen = yield from _close_in(
        network, TrackState(network.initial_state()), view, center_mm, "found"
    )
    if seen is None or not network.looks_first or seen[1].center_mm is None:
        return seen
    again = yield from _close_in(network, seen[1], view, seen[1].center_mm, "followed")
    if again is None:
        return None
    return replace(again[0], how="found"), again[1]._replace(frames=1)


def _close_in(
    network: Network, state: TrackState, view: View, center_mm: NDArray[np.float64], how: str
) -> _Close:
    """Look at a place, and again at where its joints are; None if no hand is there."""
    half_mm = network.cube_mm / 2
    first = network.looks_first and how == "found"
    for _ in range(_LOOKS):
        if center_mm[2] <= 0:
            return None
        turn = state.attitude.turn
        crop = crop_cube(view.depth_mm, view.camera, center_mm, network.cube_mm, network.size)
        image = turn_image(crop.image, turn)
        shift = shift_seen(state.crop_mm, crop, turn)
        out = yield Asked(image, state.stream, shift, first)
        if state.crop_mm is not None and _jumped(out, state.stream, shift, half_mm):
            # A cut, or frames that are missing: the memory speaks of another moment.
            # The hand's size stays: most often it is the same hand, and fast.
            state = TrackState(network.initial_state(), attitude=state.attitude, bones=state.bones)
            out = yield Asked(image, state.stream, np.zeros(3, np.float32))
        joints = turn_back(out.joints[0], crop, turn, uvd=network.uvd)
        # Joints behind the camera cannot be projected; nothing sensible puts them there.
        if not joints[:, 2].min() > 0:
            return None
        share = skin_share(joints, view.depth_mm, view.camera)
        agree = np.count_nonzero(share) / len(share)
        if not _is_hand(out, agree, how):
            return None
        middle = network.center_of(joints, first=first)
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
        network.center_of(joints),
        None if first else crop.center_xyz_mm,  # what looks first leaves no memory
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
