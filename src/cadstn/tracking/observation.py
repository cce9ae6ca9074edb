"""The one road from a depth frame to hands; the tracker, the benchmarks and `predict` take it.

A frame's hands are followed from where they were; where a place is free, or every few frames, the
detector reads the whole frame. Of each hand: crop, canonical view, network step, back to
millimetres, bone lengths, fit to the depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.crop import cut_cube
from cadstn.tracking.bones import keep_size
from cadstn.tracking.canonical import (
    joints_to_mm,
    transformed_memory,
    updated_view,
)
from cadstn.tracking.decision import AGAIN, AGAIN_MM, HOPELESS, MORE, Evidence
from cadstn.tracking.detector import Detection
from cadstn.tracking.fit import fit_hand
from cadstn.tracking.hand import (
    Frame,
    Hand,
    Refused,
    Seen,
    State,
    Track,
    Tried,
    apart_mm,
    lost_hand,
)
from cadstn.tracking.holes import without_filled
from cadstn.tracking.network import Network
from cadstn.tracking.prediction import (
    Begun,
    Prediction,
    begin,
    evidence_of,
    predict,
    remember,
)
from cadstn.tracking.support import surface_support

MOST_RUNS = 2
"""Runs of the network a hand and frame: one, and one more where the first was badly placed."""

#: Detections of a lower score are no candidates, nor do they keep a hand that is followed.
_CANDIDATE = 0.1
#: Presence that a hand must keep to be followed.
_STILL_SURE = 0.7
#: Of a network that predicts no presence: share of joints that must have surface at their place.
_LEAST_SUPPORT = 0.5
#: So many detections in a row without the hand that is followed, and it counts as lost.
_MOST_DOUBTS = 2
#: A cube so far off its joints is placed anew.
_WELL_PLACED_MM = 20.0
#: Joints that move so far from one frame to the next are a cut: so NYU's 17 cuts come out exactly.
_CUT_MM = 40.0
#: Hands nearer than this are one hand; a detection so near to a followed hand is that hand.
_SAME_MM, _APART_MM = 60.0, 90.0
#: A refused place is tried again after 1, 2, 4, ... frames, at most this many.
_LONGEST_WAIT = 16
#: Between two hands, or a hand and a face, the one held out to the camera is meant: a candidate so
#: much farther off counts a third.
_BEHIND_MM = 300.0


def observe(network: Network, state: State, frame: Frame) -> tuple[tuple[Hand, ...], State]:
    """Take one frame of a stream: a pure function of the network, the state and the frame.

    Args:
        network: see `cadstn.tracking.load_network`.
        state: what the frames before left, see `State.fresh`.
        frame: depth and camera.

    Returns:
        One hand a place, lost or found, and the state for the next frame.
    """
    # Depth that a camera's hole filling invented goes first: it makes faces and walls like hands.
    depth_mm, holes = without_filled(frame.depth_mm, frame.camera, state.holes)
    frame, state = frame._replace(depth_mm=depth_mm), state._replace(holes=holes)
    followed = [_follow(network, track, frame) for track in state.tracks]
    seen = [tried.seen for tried in followed]
    age, refused = state.age + 1, state.refused
    due = age >= state.detect_every
    if network.detector is not None and (None in seen or due):
        age = 0 if due or not any(seen) else age
        found = network.detector.detect(frame.depth_mm, frame.camera, _CANDIDATE)
        seen = [None if one is None else _checked(*one, found, due) for one in seen]
        spent = [tried.runs for tried in followed]
        seen, refused = _acquire(network, state, frame, seen, found, spent)
    seen = _apart(seen)
    hands, tracks = [], []
    for one, track in zip(seen, state.tracks, strict=True):
        hand, after = one or (lost_hand(network), track.lost(network))
        if state.fit:
            hand, fitted = fit_hand(hand, frame.depth_mm, frame.camera, after.bones, after.fitted)
            after = after._replace(fitted=fitted)
        hands.append(replace(hand, time_s=frame.time_s))
        tracks.append(after)
    after_all = state._replace(
        tracks=tuple(tracks), age=age, refused=refused, camera=frame.camera, hands=tuple(hands)
    )
    return after_all.hands, after_all


def _follow(network: Network, track: Track, frame: Frame) -> Tried:
    """Follow a hand from where it was."""
    if track.center_mm is None:
        return Tried(None)
    return _settle(network, track, frame, track.center_mm, None, MOST_RUNS)


def _acquire(
    network: Network,
    state: State,
    frame: Frame,
    seen: Sequence[Seen | None],
    found: list[Detection],
    spent: Sequence[int],
) -> tuple[list[Seen | None], tuple[Refused, ...]]:
    """Fill free places with detected hands, the best first; ``spent`` runs each place has had."""
    seen, refused = list(seen), [one.waited() for one in state.refused]
    left, decision = MOST_RUNS * len(seen) - sum(spent), network.wants.decision
    for detection in _candidates(found, seen):
        free = [k for k, one in enumerate(seen) if one is None]
        if not free:
            break
        known = next((r for r in refused if r.is_at(detection.center_mm)), None)
        if known is not None and known.wait > 0:
            continue
        place = _place(free, state.tracks, detection, None)
        # As if it were the only place, so that its hand is the same whatever other places see.
        most = min(left, MOST_RUNS - spent[place])
        # To find a new hand's view takes all runs: after a refused one it waits for the next frame.
        if most < 1 or (network.wants.upright and most < MOST_RUNS and not spent[place]):
            break
        if most < MOST_RUNS:  # too few runs to read both mirrored views: begin with the view before
            before = state.tracks[place]
            new = Begun(before.begun(network, before.view), detection.center_mm)
        else:
            new = begin(network, frame, detection)
            side = "left" if new.track.view.left_logit > 0 else "right"
            place = _place(free, state.tracks, detection, side)
        near = apart_mm(state.tracks[place].place_mm, detection.center_mm) < AGAIN_MM
        first = all(one is None for one in seen)
        least = AGAIN if near else 0.0 if first else MORE
        if new.evidence is not None and decision.log_odds(new.evidence) < least - HOPELESS:
            # The run that is saved is no other candidate's: a frame without a hand is to cost less.
            tried = Tried(None, most - new.runs, str(new.evidence), new.evidence)
        else:
            tried = _settle(
                network, new.track, frame, new.center_mm, detection.score, most - new.runs, least
            )
        left -= new.runs + tried.runs
        refused = [one for one in refused if one is not known]
        if tried.seen is not None:
            seen[place] = tried.seen
        else:
            wait = 1 if known is None else min(2 * known.begun_with, _LONGEST_WAIT)
            refused.append(Refused(detection.center_mm, wait, wait, tried.reason, tried.evidence))
    return seen, tuple(one for one in refused if one.wait > -_LONGEST_WAIT)


def _place(
    free: Sequence[int], tracks: Sequence[Track], detection: Detection, side: str | None
) -> int:
    """The place of a new hand: that which followed one near it a frame ago; else one of its side.

    Of several, that which lost a hand near it: so a hand that comes back has its old place.
    """

    def rank(k: int) -> float:
        away_mm = min(apart_mm(tracks[k].center_mm, detection.center_mm), AGAIN_MM)
        last_mm = min(apart_mm(tracks[k].place_mm, detection.center_mm), AGAIN_MM)
        return away_mm + (side is not None and tracks[k].side != side) + last_mm / (2 * AGAIN_MM)

    return min(free, key=rank)


def _candidates(found: list[Detection], seen: Sequence[Seen | None]) -> list[Detection]:
    """Detections that may be a hand that is not followed yet, the best first."""
    taken = [one[1].center_mm for one in seen if one is not None]
    some = [one for one in found if all(apart_mm(one.center_mm, t) > _APART_MM for t in taken)]
    nearest = min((float(one.center_mm[2]) for one in some), default=0.0)
    some.sort(key=lambda d: -d.score * np.exp(-(d.center_mm[2] - nearest) / _BEHIND_MM))
    return some


def _settle(
    network: Network,
    track: Track,
    frame: Frame,
    center_mm: NDArray[np.float64],
    score: float | None,
    most: int,
    least: float = 0.0,
) -> Tried:
    """Predict a hand at a place, and once more around its joints if the cube was badly placed.

    Args:
        network: see `observe`.
        track: what is known of the hand.
        frame: see `observe`.
        center_mm: (3,) the place.
        score: the detector's, of a new hand; None of one that is followed.
        most: runs of the network.
        least: log-odds that a new hand needs.
    """
    for runs in range(1, most + 1):
        crop = cut_cube(
            frame.depth_mm, frame.camera, center_mm, network.wants.cube_mm, network.wants.size
        )
        seen = predict(network, track, crop)
        # Of a badly placed cube the network is unsure: what counts for a new hand is the last run.
        last = runs == most or _placed(network, track, seen)
        evidence = evidence_of(seen, score) if last else None
        sure = evidence is None or network.wants.decision.log_odds(evidence) >= least
        reason, support = _refusal(seen, frame, evidence, sure)
        if reason:
            return Tried(None, runs, reason, evidence)
        center_mm = network.center_of(seen.joints_mm)
        if runs < most and _jumped(seen, track):
            track, center_mm = _after_jump(network, track, seen)
            continue
        if last:
            how = "followed" if score is None else "found"
            return Tried(_hand(network, track, seen, support, how), runs)
        memory = transformed_memory(track.memory, seen.view.transform, seen.after.transform)
        track = track._replace(memory=memory, view=seen.after)
    raise AssertionError("unreachable: the last run returns")


def _after_jump(
    network: Network, track: Track, seen: Prediction
) -> tuple[Track, NDArray[np.float64]]:
    """A track that begins anew where one frame alone sees the hand, and that place.

    It is another moment, or a fast hand: its size stays, what the memory holds does not.
    """
    assert seen.out.spatial is not None
    transform, wants = seen.view.transform, network.wants
    alone_mm = joints_to_mm(seen.out.spatial[0], seen.crop, transform, uvd=wants.uvd)
    view = updated_view(track.view, seen.out.handedness, alone_mm, upright=wants.upright)
    begun = track.begun(network, view)._replace(bones=track.bones, lasted=track.lasted)
    return begun, network.center_of(alone_mm)


def _placed(network: Network, track: Track, seen: Prediction) -> bool:
    """Whether a prediction's cube and view were good enough to keep it."""
    if not track.frames and seen.after.transform != seen.view.transform:
        return False
    center_mm = network.center_of(seen.joints_mm)
    return apart_mm(center_mm, seen.crop.center_xyz_mm) < _WELL_PLACED_MM


def _refusal(
    seen: Prediction, frame: Frame, evidence: Evidence | None, sure: bool
) -> tuple[str, NDArray[np.float64]]:
    """Why a prediction is no hand, empty if it is one; and each joint's surface support (K,)."""
    # Joints behind the camera cannot be projected; nothing sensible puts them there.
    if not seen.joints_mm[:, 2].min() > 0:
        return "joints behind the camera", np.zeros(len(seen.joints_mm))
    support = surface_support(seen.joints_mm, frame.depth_mm, frame.camera)
    if seen.out.presence is None or seen.out.error_scale is None:
        share = np.count_nonzero(support) / len(support)
        return (f"surface at {share:.0%} of the joints" if share < _LEAST_SUPPORT else ""), support
    if evidence is not None:
        return ("" if sure else str(evidence)), support
    presence = float(seen.out.presence[0])
    return ("" if presence >= _STILL_SURE else f"presence {presence:.2f}"), support


def _hand(
    network: Network, track: Track, seen: Prediction, support: NDArray[np.float64], how: str
) -> Seen:
    """The hand of the last prediction, its bones kept at their length; and the track after it."""
    out, joints = seen.out, seen.joints_mm
    presence, scale_mm, bones = float("nan"), np.full(len(joints), np.nan, np.float32), None
    if out.presence is not None:
        presence = float(out.presence[0])
    if out.error_scale is not None:
        scale_mm = out.error_scale[0] * np.float32(network.wants.cube_mm / 2)
        joints, bones = keep_size(joints, scale_mm, track.bones, network.skeleton)
    side = "unknown" if out.handedness is None else "left" if seen.after.left_logit > 0 else "right"
    hand = Hand(
        joints.astype(np.float32),
        True,
        how,
        np.count_nonzero(support) / len(support),
        seen.crop.center_xyz_mm.copy(),  # a hand is the user's, who may change it
        seen.crop.cube_mm,
        out.w1[0].mean(-1),
        support.astype(np.float32),
        scale_mm,
        presence,
        side,
        skeleton=network.skeleton,
    )
    after = remember(network, track, seen._replace(joints_mm=joints))
    return hand, after._replace(bones=bones, side=side)


def _checked(hand: Hand, track: Track, found: list[Detection], due: bool) -> Seen | None:
    """A followed hand, unless several detections that were due have missed it."""
    near = any(apart_mm(one.center_mm, track.center_mm) < _APART_MM for one in found)
    doubts = 0 if near else track.doubts + due
    return None if doubts > _MOST_DOUBTS else (hand, track._replace(doubts=doubts))


def _apart(seen: Sequence[Seen | None]) -> list[Seen | None]:
    """Where two places have come to follow one hand, the one that followed it for less lets go."""
    out = list(seen)
    order = sorted((k for k, one in enumerate(out) if one), key=lambda k: -out[k][1].lasted)  # type: ignore[index]
    for place, k in enumerate(order):
        for earlier in order[:place]:
            one, other = out[k], out[earlier]
            if one and other and apart_mm(one[1].center_mm, other[1].center_mm) < _SAME_MM:
                out[k] = None
                break
    return out


def _jumped(seen: Prediction, track: Track) -> bool:
    """Whether one frame alone sees joints far from where the memory expects them."""
    if seen.out.spatial is None or track.crop_mm is None:
        return False
    expected = track.memory.before[0, :-1].reshape(-1, 3) - seen.shift
    away = seen.out.spatial[0] - expected
    mean = np.sqrt((away * away).sum(1)).sum() / len(away)
    return bool(mean * seen.crop.cube_mm / 2 > _CUT_MM)
