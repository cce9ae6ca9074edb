"""A hand's track as rows of numbers, and all that a stream remembers as one array per hand.

The state is float32, for callers' sake. Numbers that the tracker keeps in 64 bits are stored as a
sum of two, which leaves 48 bits of their 53.
"""

from __future__ import annotations

from typing import NamedTuple

from cadstn.geometry.same_camera import SHARE
from cadstn.graph.bones import BoneSums
from cadstn.graph.builder import DOUBLE, FLOAT, LONG, Graph, Value
from cadstn.graph.views import View, single
from cadstn.tracking.hand import REMEMBERED
from cadstn.tracking.observation import _LONGEST_WAIT

REFUSED = 2 * _LONGEST_WAIT
"""Refused places that can be remembered at once for each hand: one a frame, each so many frames."""
_PLACE = 8  # numbers of a refused place: x, y, z twice, wait, begun_with
#: Age, fx, fy, cx, cy, width, height.
SHARED = 7
#: The whole numbers at the end of a row, in their order.
_FLAGS = ("mirror", "seen", "frames", "lasted", "doubts", "side", "followed", "cropped", "sized")

FOLLOWED = REMEMBERED + 1
"""`TrackRow.followed` of a hand that is followed."""


class TrackRow(NamedTuple):
    """`cadstn.tracking.hand.Track` without its memory: float64 scalars (1,), places (3,).

    Attributes:
        center, crop: see `Track`; meaningful where their flag is 1.
        view: likewise.
        bones: likewise.
        frames, lasted, doubts: likewise.
        side: 0 unknown, 1 right, 2 left.
        followed: `FOLLOWED` while a hand is; one less in each frame after, to 0: then there is no
            centre.
        cropped: whether there is a crop.
        sized: whether there are bones.
    """

    center: Value
    crop: Value
    view: View
    bones: BoneSums
    frames: Value
    lasted: Value
    doubts: Value
    side: Value
    followed: Value
    cropped: Value
    sized: Value


def packed(g: Graph, track: TrackRow) -> Value:
    """One row (reals, then the whole numbers of `_FLAGS`)."""
    view = track.view
    return g.cat(
        track.center, track.crop, view.cosine, view.sine, view.left_logit, *track.bones,
        view.mirror, view.frames, track.frames, track.lasted, track.doubts, track.side,
        track.followed, track.cropped, track.sized,
    )  # fmt: skip


def unpacked(row: Value, bones: int) -> TrackRow:
    """The track of a row."""
    parts = row.split(3, 3, 1, 1, 1, bones, bones, *[1] * len(_FLAGS))
    center, crop, cosine, sine, left, weight, length, mirror, seen, *rest = parts
    return TrackRow(center, crop, View(cosine, sine, mirror, left, seen), BoneSums(weight, length),
                    *rest)  # fmt: skip


def row_length(bones: int) -> int:
    """Numbers of a row."""
    return 9 + 2 * bones + len(_FLAGS)


def flag_at(name: str, bones: int) -> int:
    """Where a row holds one of `_FLAGS`."""
    return row_length(bones) - len(_FLAGS) + _FLAGS.index(name)


def fresh_row(g: Graph, bones: int, view: View, side: Value) -> TrackRow:
    """`Track.begun`: a new hand at a place."""
    none, zero = g.constant([0.0] * 3, DOUBLE), g.constant([0.0], DOUBLE)
    empty = g.constant([0.0] * bones, DOUBLE)
    sums = BoneSums(empty, empty)
    return TrackRow(none, none, view, sums, zero, zero, zero, side, zero, zero, zero)


def identity_view(g: Graph) -> View:
    """`HandView()`."""
    zero = g.constant([0.0], DOUBLE)
    return View(g.constant([1.0], DOUBLE), zero, zero, zero, zero)


class Remembered(NamedTuple):
    """What a stream remembers, inside the graph.

    Attributes:
        rows: (P, row) float64 tracks.
        memories: (P, memory) float32.
        refused: (R, 5) float64: x, y, z, wait, begun_with.
        age: (1,) see `cadstn.tracking.hand.State`.
    """

    rows: Value
    memories: Value
    refused: Value
    age: Value


def state_length(memory: int, bones: int) -> int:
    """Numbers of the state of one hand."""
    flags = len(_FLAGS)
    return memory + 2 * (row_length(bones) - flags) + flags + _PLACE * REFUSED + SHARED


def read_state(g: Graph, state: Value, camera: Value, memory: int, bones: int) -> Remembered:
    """What a state holds (P, S); nothing if another camera took the frame before.

    Args:
        g: the graph.
        state: see `write_state`.
        camera: (6,) float32.
        memory: numbers of a network's memory.
        bones: how many.
    """
    reals = row_length(bones) - len(_FLAGS)
    sizes = memory, reals, reals, len(_FLAGS), _PLACE * REFUSED, 1, SHARED - 1
    same = _is_same_camera(g, state.take([0]).split(*sizes, axis=1)[-1].reshape(-1), camera)
    # Zeros for a state of another camera. A caller's NaN is no number either.
    state = g.where(same, state, 0.0)
    memories, high, low, flags, refused, age, _ = state.split(*sizes, axis=1)
    numbers = high.cast(DOUBLE) + low.cast(DOUBLE)
    rows = g.cat(numbers, flags.cast(DOUBLE), axis=1)
    head, cosine, rest = rows.split(6, 1, row_length(bones) - 7, axis=1)
    sine = rest.split(1, row_length(bones) - 8, axis=1)[0]
    nothing = cosine.equals(0.0) & sine.equals(0.0)  # a fresh start's direction is up
    rows = g.cat(head, g.where(nothing, 1.0, cosine), rest, axis=1)
    places = refused.cast(DOUBLE).reshape(-1, _PLACE)
    high, low, wait = places.split(3, 3, 2, axis=1)
    places = g.cat(high + low, wait, axis=1)
    begun = wait.take(1, axis=1) > 0.0
    places = g.op("Compress", places, begun, axis=0)
    return Remembered(rows, memories, places, age.take([0]).reshape(1).cast(DOUBLE))


def _is_same_camera(g: Graph, before: Value, camera: Value) -> Value:
    """`cadstn.geometry.same_camera.is_same_camera` of two cameras (6,): (1,)."""
    (focal, _, size), (_, _, new_size) = before.split(2, 2, 2), camera.split(2, 2, 2)
    moved = g.op("Abs", before.split(4, 2)[0] - camera.split(4, 2)[0])
    near = moved <= g.cat(focal, focal) * SHARE
    return near.all() & size.equals(new_size).all()


def write_state(g: Graph, after: Remembered, camera: Value, hands: int, bones: int) -> Value:
    """One array (P, S); the last numbers, of the whole stream, stand in each row."""
    numbers, flags = after.rows.split(row_length(bones) - len(_FLAGS), len(_FLAGS), axis=1)
    high, low = _halves(numbers)
    lately = after.refused.take(3, axis=1) > float(-_LONGEST_WAIT)
    some = g.op("Compress", after.refused, lately, axis=0)
    full = hands * REFUSED
    room = g.cat(some, g.constant([[0.0] * 5] * full, DOUBLE)).take(list(range(full)))
    places, wait = room.split(3, 2, axis=1)
    refused = g.cat(*_halves(places), wait.cast(FLOAT), axis=1).reshape(hands, -1)
    shared = g.cat(after.age.cast(FLOAT), camera).reshape(1, SHARED)
    shared = g.op("Expand", shared, g.constant([hands, SHARED], LONG))
    return g.cat(after.memories, high, low, flags.cast(FLOAT), refused, shared, axis=1)


def _halves(numbers: Value) -> tuple[Value, Value]:
    """Two float32 whose sum is a float64, all but its last bits."""
    high = single(numbers)
    return high.cast(FLOAT), (numbers - high).cast(FLOAT)
