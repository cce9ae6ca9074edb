"""`cadstn.tracking.observe` as one ONNX graph: detector and runs of the network in a loop.

The network stands in the loop's body once, so that each of its runs takes the same weights. What
the loop carries:

    phase      (1,) what the next round does, see `cadstn.graph.step`
    again      (1,) whether a followed hand is in its second run
    place      (1,) of the hand that the next run is of
    left       (1,) runs that may still be made
    spent      (P,) runs in which each place's hand was followed
    track, memory, centre   of the next run
    job        (7,) of a candidate: place, score, wait if refused, direction
    candidates (8, 7) place, score, direction, whether it may still be tried; the best first
    refused    (R, 5) see `cadstn.graph.track.Remembered`
    seen       (P,) whether a hand was found for each place
    rows, memories, hands   (P, ...) of those
    checked    (1,) whether a detection was due, or no hand followed when the detector ran
"""

from __future__ import annotations

import math

from cadstn.graph.builder import BOOL, DOUBLE, FLOAT, INT, LONG, Carried, Graph, Value
from cadstn.graph.step import (
    ACQUIRE,
    BEGIN,
    DETECT,
    DONE,
    FOLLOW,
    SETTLE,
    Parts,
    place_of,
    run,
)
from cadstn.graph.track import (
    FOLLOWED,
    Remembered,
    flag_at,
    fresh_row,
    identity_view,
    packed,
    row_length,
    unpacked,
)
from cadstn.graph.views import Scene, View, is_square, length, squaring
from cadstn.tracking import detector as finder
from cadstn.tracking import observation as source
from cadstn.tracking.hand import _SAME_PLACE_MM, DETECT_EVERY

_MOST_FOUND = 8


def observed(
    g: Graph, parts: Parts, scene: Scene, before: Remembered
) -> tuple[Value, Value, Remembered]:
    """`observe`: whether each hand was found (P,), its numbers (P, ...), and what is remembered."""
    hands = parts.hands
    start = {
        **_next_followed(g, parts, before, g.constant([-1], LONG), g.constant([DETECT], LONG)),
        "again": g.constant([False], BOOL),
        "left": g.constant([source.MOST_RUNS * hands], LONG),
        "spent": g.constant([0] * hands, LONG),
        "job": g.constant([0.0] * 7, DOUBLE),
        "candidates": g.constant([[0.0] * 7] * _MOST_FOUND, DOUBLE),
        "refused": before.refused,
        "seen": g.constant([False] * hands, BOOL),
        "rows": before.rows,
        "memories": before.memories,
        "hands": g.constant([[math.nan] * sum(parts.hand)] * hands, FLOAT),
        "checked": g.constant([False], BOOL),
    }

    def body(c: Carried) -> tuple[Value, Carried]:
        c = g.branch(
            c["phase"] >= DETECT,
            lambda: _acquired(g, parts, scene, before, c),
            lambda: dict(c),
        )
        c = g.branch(
            c["phase"] < DETECT,
            lambda: _advanced(g, parts, before, c["phase"], run(g, parts, scene, before.rows, c)),
            lambda: dict(c),
        )
        return c["phase"] < DONE, c

    c = g.loop(source.MOST_RUNS * hands + 2, start, body)
    seen = _apart(g, parts, c)
    column = seen.reshape(hands, 1)
    fresh = packed(g, fresh_row(g, parts.bones, identity_view(g), g.constant([0.0], DOUBLE)))
    # `Track.lost`: side and centre stay, the centre for some frames.
    kept = [_column(g, parts, k) for k in (0, 1, 2, flag_at("side", parts.bones))]
    lost = g.where(kept[0] | kept[1] | kept[2] | kept[3], before.rows, fresh)
    waned = (before.rows - 1.0).largest(0.0)
    lost = g.where(_column(g, parts, flag_at("followed", parts.bones)), waned, lost)
    after = Remembered(
        g.where(column, c["rows"], lost),
        g.where(column, c["memories"], 0.0),
        c["refused"],
        g.where(c["checked"], 0.0, before.age + 1.0),
    )
    return seen, g.where(column, c["hands"], math.nan), after


def _next_followed(
    g: Graph, parts: Parts, before: Remembered, place: Value, otherwise: Value
) -> Carried:
    """What the loop carries for the next place that follows a hand; else another phase."""
    followed = before.rows.take(flag_at("followed", parts.bones), axis=1) > float(FOLLOWED - 1)
    some = followed & (g.constant(list(range(parts.hands)), LONG) > place)
    k = some.first()
    track = before.rows.take(k).reshape(-1)
    return {
        "phase": g.where(some.any(), FOLLOW, otherwise),
        "place": k,
        "track": track,
        "memory": before.memories.take(k).reshape(-1),
        "center": track.take([0, 1, 2]),
    }


def _advanced(g: Graph, parts: Parts, before: Remembered, phase: Value, c: Carried) -> Carried:
    """Go to the next phase after a run that ended with a hand or without one."""
    complete = c["seen"].all() & (before.age + 1.0 < float(DETECT_EVERY))
    detect = g.where(complete, g.constant([DONE], LONG), DETECT)
    after = _next_followed(g, parts, before, c["place"], detect)
    over = c["seen"].all() | (c["left"] < 1)
    acquire = g.where(over, g.constant([DONE], LONG), ACQUIRE)
    ended = c["phase"].equals(DONE)
    following = ended & phase.equals(FOLLOW)
    return {
        name: g.where(following, after[name], value) if name in after else value
        for name, value in c.items()
    } | {"phase": g.where(ended, g.where(following, after["phase"], acquire), c["phase"])}


def _acquired(g: Graph, parts: Parts, scene: Scene, before: Remembered, c: Carried) -> Carried:
    """The next candidate for a free place, see `_acquire`; the detector first, if it is due."""
    c = g.branch(
        c["phase"].equals(DETECT), lambda: _detected(g, parts, scene, before, c), lambda: dict(c)
    )
    center, score, direction, alive = c["candidates"].split(3, 1, 2, 1, axis=1)
    refused, wait = c["refused"].split(3, 2, axis=1)
    apart = center.reshape(-1, 1, 3) - refused.reshape(1, -1, 3)
    near = (apart * apart).sum(2) < _SAME_PLACE_MM**2
    # The first refused place that a candidate is at; past the last one stands "none".
    match = g.cat(near, g.constant([[True]] * _MOST_FOUND, BOOL), axis=1)
    known = g.op("ArgMax", match.cast(INT), dtype=LONG, axis=1, keepdims=0)
    waits = g.cat(wait, g.constant([[0.0, 0.5]], DOUBLE)).take(known)
    waiting, begun_with = waits.split(1, 1, axis=1)
    usable = ((alive > 0.0) & ~(waiting > 0.0)).reshape(-1)
    free = ~c["seen"]
    k = usable.first()
    here = center.take(k).reshape(3)
    place = place_of(g, before.rows, c["seen"], here, None, parts)
    spent = c["spent"].take(place)
    begin = (c["left"] >= source.MOST_RUNS) & (spent < 1)
    again = (c["left"] >= 1) & (spent >= 1) & (spent < source.MOST_RUNS)
    go = usable.any() & free.any() & (begin | again)
    count = g.op("Shape", c["refused"], dtype=LONG, start=0, end=1).reshape()
    number = g.op("Range", g.constant(0, LONG), count, g.constant(1, LONG))
    kept = ~(number.equals(known.take(k)) & go)
    old = unpacked(before.rows.take(place).reshape(-1), parts.bones)
    view = View(*(g.where(begin, a, b) for a, b in zip(identity_view(g), old.view, strict=True)))
    phase = g.where(begin, g.constant([BEGIN], LONG), SETTLE)
    next_wait = (begun_with.take(k).reshape(1) * 2.0).least(float(source._LONGEST_WAIT))
    later = g.constant(list(range(_MOST_FOUND)), LONG) > k
    alive = alive * later.cast(DOUBLE).reshape(-1, 1)
    return {
        **c,
        "phase": g.where(go, phase, DONE),
        "again": g.constant([False], BOOL),
        "place": place,
        "track": packed(g, fresh_row(g, parts.bones, view, old.side)),
        "memory": g.constant([0.0] * sum(parts.memory), FLOAT),
        "center": here,
        "job": g.cat(here, score.take(k).reshape(1), next_wait, direction.take(k).reshape(2)),
        "candidates": g.cat(center, score, direction, alive, axis=1),
        "refused": g.op("Compress", c["refused"], kept, axis=0),
    }


def _detected(g: Graph, parts: Parts, scene: Scene, before: Remembered, c: Carried) -> Carried:
    """Run the detector: candidates, and the doubts of hands that it does not see."""
    score, center, direction, valid = _found(g, parts, scene)
    gap = c["rows"].take([0, 1, 2], axis=1).reshape(-1, 1, 3) - center.reshape(1, -1, 3)
    away = length(g, gap, 2)
    near = ((away < source._APART_MM) & valid).any(1).reshape(-1, 1)
    due = before.age + 1.0 >= float(DETECT_EVERY)
    doubts = g.where(near, 0.0, c["rows"] + due.cast(DOUBLE))
    rows = g.where(_column(g, parts, flag_at("doubts", parts.bones)), doubts, c["rows"])
    certain = rows.take(flag_at("doubts", parts.bones), axis=1) <= float(source._MOST_DOUBTS)
    seen = c["seen"] & certain
    taken = (~(away > source._APART_MM) & seen.reshape(-1, 1)).any(0)
    some = valid & ~taken
    z = center.take(2, axis=1)
    nearest = g.where(some, z, 1e9).reduced("Min")
    key = g.where(some, score * g.op("Exp", (nearest - z) / source._BEHIND_MM), -1.0)
    _, order = g.ops("TopK", key, g.constant([_MOST_FOUND], LONG), count=2, axis=0)
    order = Value(g, order.name, LONG)
    alive = some.cast(DOUBLE)
    found = g.cat(center, score.reshape(-1, 1), direction, alive.reshape(-1, 1), axis=1)
    return {
        **c,
        "candidates": found.take(order),
        "refused": c["refused"] + g.constant([0.0, 0.0, 0.0, -1.0, 0.0], DOUBLE),
        "seen": seen,
        "rows": rows,
        "checked": due | ~c["seen"].any(),
    }


def _found(g: Graph, parts: Parts, scene: Scene) -> tuple[Value, Value, Value, Value]:
    """`Detector.detect`: score (8,), center (8, 3), direction (8, 2), whether it counts (8,).

    A direction is cosine and sine of its angle.
    """
    factors = squaring(g, scene.focal)
    size = g.op("Round", scene.size.cast(DOUBLE) * factors).largest(1.0)
    wide, high = size.split(1, 1)
    stride = g.op("Round", g.op("Sqrt", wide * high / float(finder.REDUCED_PX))).largest(1.0)
    (across, down), (most_wide, most_high) = factors.split(1, 1), scene.size.split(1, 1)
    columns = _sources(g, wide, most_wide, across, stride)
    rows = _sources(g, high, most_high, down, stride)
    small = scene.to_mm(scene.depth.take(rows).take(columns, axis=1))
    small = g.where((small > finder._LEAST_MM) & (small < finder._MOST_MM), small, 0.0)
    shape = g.op("Shape", small, dtype=LONG)
    more = g.op("Mod", -shape, finder._MULTIPLE)
    small = g.op("Pad", small, g.cat(g.constant([0, 0], LONG), more))
    focals, square = scene.focal * factors, is_square(scene.focal)
    middle = g.where(square, scene.middle, (scene.middle + 0.5) * factors - 0.5)
    focal = (focals.sum() / 2.0 / stride).cast(FLOAT)
    depth = g.op("Unsqueeze", small, g.constant([0], LONG))
    hands = g.inline(parts.detector, {"depth": depth, "focal": focal}, ["hands"])["hands"]
    numbers = hands.cast(DOUBLE).reshape(_MOST_FOUND, 8)
    score, place, z, _, right, down, _ = numbers.split(1, 2, 1, 1, 1, 1, 1, axis=1)
    xy = (place * stride - middle) * z / focals
    reach = length(g, g.cat(right, down, axis=1), 1, keep=True)
    far = reach > 0.0
    direction = g.cat(g.where(far, -down / reach, 1.0), g.where(far, right / reach, 0.0), axis=1)
    valid = (score >= source._CANDIDATE) & (z >= finder.NEAR_MM) & (z <= finder.FAR_MM)
    return score.reshape(-1), g.cat(xy, z, axis=1), direction, valid.reshape(-1)


def _sources(g: Graph, count: Value, most: Value, factor: Value, stride: Value) -> Value:
    """`_sources` of the detector, of one axis."""
    start, end, step = (v.cast(LONG).reshape() for v in (stride * 0.0, count, stride))
    place = (g.op("Range", start, end, step).cast(DOUBLE) + 0.5) / factor
    return place.cast(LONG).least(most - 1)


def _apart(g: Graph, parts: Parts, c: Carried) -> Value:
    """`_apart`: whether each hand is kept (P,)."""
    if parts.hands == 1:
        return c["seen"]
    first, second = (unpacked(c["rows"].take(k), parts.bones) for k in (0, 1))
    same = c["seen"].all() & (length(g, first.center - second.center) < source._SAME_MM)
    newer = g.cat(first.lasted < second.lasted, ~(first.lasted < second.lasted))
    return c["seen"] & ~(same & newer)


def _column(g: Graph, parts: Parts, at: int) -> Value:
    """Which number of a row is the one at a place."""
    return g.constant([k == at for k in range(row_length(parts.bones))], BOOL)
