"""One run of the network on one place, and what follows from it, as a part of a graph.

Mirrors `_settle` and `_hand` of `cadstn.tracking.observation`, and `begin` of
`cadstn.tracking.prediction`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from cadstn.geometry.skeleton import Skeleton
from cadstn.graph.bones import keep_size
from cadstn.graph.builder import DOUBLE, FLOAT, LONG, Carried, Graph, Value
from cadstn.graph.track import FOLLOWED, TrackRow, flag_at, fresh_row, packed, unpacked
from cadstn.graph.views import (
    Scene,
    View,
    canonical_images,
    center_of,
    center_shift,
    crop_image,
    joints_mm,
    length,
    logit,
    transformed,
    updated_view,
)
from cadstn.io.onnx_check import NAMES_IN_FILE
from cadstn.tracking import canonical, decision
from cadstn.tracking import observation as source
from cadstn.tracking.network import Wants

#: What the next run is of: a hand that is followed, a candidate, a candidate whose side and view
#: are not known yet; or first the detector, or the next candidate; or nothing.
FOLLOW, SETTLE, BEGIN, DETECT, ACQUIRE, DONE = range(6)


class Parts(NamedTuple):
    """What a graph is built from.

    Attributes:
        network: ONNX model of the exported step.
        detector: ONNX model of the detector.
        wants: how the network is to be run.
        skeleton: of its joints.
        hands: P, how many are followed at most.
    """

    network: Any
    detector: Any
    wants: Wants
    skeleton: Skeleton
    hands: int

    @property
    def joints(self) -> int:
        """K."""
        return len(self.skeleton)

    @property
    def bones(self) -> int:
        """N."""
        return len(self.skeleton.bones)

    @property
    def memory(self) -> tuple[int, int, int]:
        """Numbers of h, c and before."""
        return self.wants.hidden, self.wants.hidden, 3 * self.joints + 1

    @property
    def hand(self) -> tuple[int, int, int, int]:
        """Numbers of a hand's output: joints, error scales, presence, whether it is left."""
        return 3 * self.joints, self.joints, 1, 1


class Seen(NamedTuple):
    """A prediction, see `cadstn.tracking.observation.Prediction`: of one view, without a batch.

    Attributes:
        joints: (K, 3) mm.
        view, after: before and after it; `changed` is whether their transforms differ.
        center: (3,) where the hand is.
        front: whether it lies in front of the camera.
        out: the network's outputs, by their names in `cadstn.tracking.network.Step`.
        shift: see `Prediction`.
    """

    joints: Value
    view: View
    after: View
    changed: Value
    center: Value
    front: Value
    out: dict[str, Value]
    shift: Value


def run(g: Graph, parts: Parts, scene: Scene, before: Value, c: Carried) -> Carried:
    """One run of the network.

    Args:
        g: the graph.
        parts: see there.
        scene: the frame.
        before: (P, row) tracks of the frame before.
        c: what the loop carries, see `cadstn.graph.frame`.
    """
    begin, settle = c["phase"].equals(BEGIN), c["phase"].equals(SETTLE)
    track = unpacked(c["track"], parts.bones)
    seen = _predict(g, parts, scene, track, c, begin)
    presence = seen.out["presence"].cast(DOUBLE)
    scale = seen.out["error_scale"] * (parts.wants.cube_mm / 2)
    right = (track.frames > 0.0) | ~seen.changed
    placed = right & (length(g, seen.center - c["center"]) < source._WELL_PLACED_MM)
    candidate = c["job"].take([0, 1, 2])
    side = g.where(seen.after.left_logit > 0.0, g.constant([2.0], DOUBLE), 1.0)
    place = g.where(begin, place_of(g, before, c["seen"], candidate, side, parts), c["place"])
    odds = _sure(g, c["job"], presence, seen.out["error_scale"], parts)
    least = _least(g, c["job"], before.take(place).reshape(-1), c["seen"].any(), parts)
    sure, hopeless = odds >= least, begin & (odds < least - decision.HOPELESS)
    still_sure = presence >= source._STILL_SURE
    ok = seen.front & ((settle & sure) | (~settle & still_sure))
    follow = ~(begin | settle)
    jumped = follow & ok & ~c["again"] & _jumped(parts, track, c["memory"], seen)
    success = ~begin & ok & (settle | c["again"] | placed) & ~jumped
    retry = follow & ok & ~success
    hand, row, memory = _hand(g, parts, track, c, seen, scale)
    tried = g.branch(
        begin | retry,
        lambda: _tried_again(g, parts, track, c, seen, begin, jumped),
        lambda: {name: c[name] for name in ("track", "memory", "center")},
    )
    places = g.constant(list(range(parts.hands)), LONG)
    mine = places.equals(c["place"]) & success
    column = mine.reshape(parts.hands, 1)
    refused = g.op("Compress", _refusal(g, c["job"]), (settle & ~ok) | hopeless, axis=0)
    done = g.where(begin & ~hopeless, g.constant([SETTLE], LONG), DONE)
    return {
        **c,
        **tried,
        "phase": g.where(retry, FOLLOW, done),
        "again": retry,
        "place": place,
        "left": c["left"] - 1 - hopeless.cast(LONG),
        "spent": c["spent"] + (places.equals(c["place"]) & follow).cast(LONG),
        "refused": g.cat(c["refused"], refused),
        "seen": c["seen"] | mine,
        "rows": g.where(column, row, c["rows"]),
        "memories": g.where(column, memory, c["memories"]),
        "hands": g.where(column, hand, c["hands"]),
    }


def _predict(
    g: Graph, parts: Parts, scene: Scene, track: TrackRow, c: Carried, begin: Value
) -> Seen:
    """`predict`; of a candidate (`begin`) as a right and as a left hand, the better of them."""
    wants = parts.wants
    image = crop_image(g, scene, c["center"], wants.cube_mm, wants.size)
    rows = g.cat(g.cat(*track.view), *_given_views(g, c["job"])).reshape(3, 5)
    start, end = begin.cast(LONG), begin.cast(LONG) * 2 + 1
    views, axis = g.op("Slice", rows, start, end), g.constant([0], LONG)
    known = track.cropped > 0.0
    shift = center_shift(g, track.crop, c["center"], track.view, wants.cube_mm)
    shift = g.where(known, shift, 0.0)
    memory = g.cat(c["memory"], shift).reshape(1, -1)
    batch = g.cat(end - start, g.constant([1], LONG))
    h, cell, joints, moved = g.op("Tile", memory, batch).split(*parts.memory, 3, axis=1)
    feeds = {
        "crops": canonical_images(g, image, views, wants.size),
        "shift": moved, "h": h, "c": cell, "before": joints,
    }  # fmt: skip
    names = ["joints", "h_next", "c_next", "before_next", "spatial", *NAMES_IN_FILE]
    wanted = [NAMES_IN_FILE.get(name, name) for name in names]
    outs = dict(zip(names, g.inline(parts.network, feeds, wanted).values(), strict=True))
    best = g.op("ArgMin", outs["error_scale"].reduced("Mean", 1), dtype=LONG, axis=0)
    out = {name: g.op("Squeeze", v.take(best), axis) for name, v in outs.items()}
    for name in ("presence", "handedness"):
        out[name] = out[name].reshape(1)
    view = View(*views.take(best).reshape(5).split(1, 1, 1, 1, 1))
    joints = joints_mm(g, out["joints"], view, c["center"], wants.cube_mm)
    front = joints.take(2, axis=1).reduced("Min") > 0.0
    after, changed = updated_view(g, view, out["handedness"], joints)
    return Seen(joints, view, after, changed, center_of(joints), front, out, shift)


def _given_views(g: Graph, job: Value) -> list[Value]:
    """`given_view` of a candidate's direction: (5,) as a right hand, and as a left one."""
    _, cosine, sine = job.split(5, 1, 1)
    logit_, frames = canonical._GIVEN_LOGIT, float(canonical._GIVEN_FRAMES)
    right = g.constant([0.0, -logit_, frames], DOUBLE)
    left = g.constant([1.0, logit_, frames], DOUBLE)
    return [g.cat(cosine, -sine, right), g.cat(cosine, sine, left)]


def _sure(g: Graph, job: Value, presence: Value, error_scale: Value, parts: Parts) -> Value:
    """Log-odds that a candidate is a hand."""
    scale_mm = error_scale.reduced("Mean").cast(DOUBLE) * parts.wants.cube_mm / 2.0
    weights = parts.wants.decision
    return (
        logit(g, job.take([3])) * weights.score
        + logit(g, presence) * weights.presence
        + g.op("Log", scale_mm) * weights.error_scale
        + weights.bias
    )


def _least(g: Graph, job: Value, before: Value, seen: Value, parts: Parts) -> Value:
    """What a candidate needs: less where a hand was a frame ago, more if another is seen."""
    track = unpacked(before, parts.bones)
    away = length(g, track.center - job.take([0, 1, 2]))
    near = (track.followed > 0.0) & (away < decision.AGAIN_MM)
    new = g.where(seen, g.constant([decision.MORE], DOUBLE), 0.0)
    return g.where(near, g.constant([decision.AGAIN], DOUBLE), new)


def _jumped(parts: Parts, track: TrackRow, memory: Value, seen: Seen) -> Value:
    """`_jumped` of the memory that the network read."""
    before = memory.split(*parts.memory)[2]
    expected = before.split(3 * parts.joints, 1)[0].reshape(-1, 3) - seen.shift
    g = memory.graph
    mean = length(g, seen.out["spatial"] - expected, 1).sum() / float(parts.joints)
    far = mean * parts.wants.cube_mm / 2.0 > source._CUT_MM
    return (track.cropped > 0.0) & far


def _hand(
    g: Graph, parts: Parts, track: TrackRow, c: Carried, seen: Seen, scale: Value
) -> tuple[Value, Value, Value]:
    """`_hand`: its numbers (see `Parts.hand`), its track's row and its memory."""
    joints, bones = keep_size(g, seen.joints, scale, track.bones, track.sized > 0.0, parts.skeleton)
    left = (seen.after.left_logit > 0.0).cast(DOUBLE)
    one = g.constant([1.0], DOUBLE)
    row = TrackRow(
        center_of(joints), c["center"], seen.after, bones, track.frames + 1.0, track.lasted + 1.0,
        track.doubts, left + 1.0, one * float(FOLLOWED), one, one,
    )  # fmt: skip
    values = g.cat(joints.cast(FLOAT).reshape(-1), scale, seen.out["presence"], left.cast(FLOAT))
    out = seen.out
    before = transformed(g, out["before_next"], seen.view, seen.after, parts.joints)
    return values, packed(g, row), g.cat(out["h_next"], out["c_next"], before)


def _tried_again(
    g: Graph, parts: Parts, track: TrackRow, c: Carried, seen: Seen, begin: Value, jumped: Value
) -> Carried:
    """Track, memory and center of the next run of the same hand."""
    bones = parts.bones
    zeros = g.constant([0.0] * sum(parts.memory), FLOAT)
    # A candidate: as it was seen; where that makes no sense, as the detector sees it.
    view = View(*(g.where(seen.front, a, b) for a, b in zip(seen.after, seen.view, strict=True)))
    begun = packed(g, fresh_row(g, bones, view, track.side))
    begun_center = g.where(seen.front, seen.center, c["job"].take([0, 1, 2]))
    # After a jump: from what one frame alone shows.
    alone = joints_mm(g, seen.out["spatial"], seen.view, c["center"], parts.wants.cube_mm)
    new, _ = updated_view(g, track.view, seen.out["handedness"], alone)
    anew = fresh_row(g, bones, new, track.side)._replace(
        bones=track.bones, sized=track.sized, lasted=track.lasted
    )
    # A badly placed cube: around its joints.
    *cells, before = c["memory"].split(*parts.memory)
    moved = g.cat(*cells, transformed(g, before, seen.view, seen.after, parts.joints))
    again = packed(g, track._replace(view=seen.after))
    row = g.where(begin, begun, g.where(jumped, packed(g, anew), again))
    center = g.where(begin, begun_center, g.where(jumped, center_of(alone), seen.center))
    return {"track": row, "memory": g.where(begin | jumped, zeros, moved), "center": center}


def _refusal(g: Graph, job: Value) -> Value:
    """(1, 5) a refused place, see `cadstn.tracking.hand.Refused`."""
    wait = job.take([4])
    return g.cat(job.take([0, 1, 2]), wait, wait).reshape(1, 5)


def place_of(
    g: Graph, before: Value, seen: Value, center: Value, side: Value | None, parts: Parts
) -> Value:
    """The place of a new hand, see `_place` of the tracker: (1,)."""
    tracks = before.take([0, 1, 2], axis=1)
    sides = before.take(flag_at("side", parts.bones), axis=1)
    followed = before.take(flag_at("followed", parts.bones), axis=1)
    away = length(g, tracks - center.reshape(1, 3), 1).least(decision.AGAIN_MM)
    rank = g.where(followed > float(FOLLOWED - 1), away, decision.AGAIN_MM)
    if side is not None:  # it decides among places that followed nothing near
        rank = rank + (~sides.equals(side)).cast(DOUBLE)
    last = g.where(followed > 0.0, away, decision.AGAIN_MM)
    rank = rank + last / (2 * decision.AGAIN_MM)
    return g.op("ArgMin", g.where(seen, math.inf, rank), dtype=LONG, axis=0)
