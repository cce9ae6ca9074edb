"""Crop, canonical view and millimetres as parts of a graph.

Each function mirrors one of `cadstn.geometry.crop` and `cadstn.tracking.canonical`, in their order
of arithmetic and in 64 bits where they have 64. A scalar is a value of shape (1,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from cadstn.geometry import square
from cadstn.geometry.crop import CENTER_PX
from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.graph.builder import DOUBLE, FLOAT, LONG, Graph, Value
from cadstn.tracking import canonical


class Scene(NamedTuple):
    """A frame inside the graph.

    Attributes:
        depth: (H, W) as it was given.
        to_mm: any part of it as float32 mm.
        size: (2,) W and H.
        focal: (2,) fx and fy, float64.
        middle: (2,) cx and cy, float64.
    """

    depth: Value
    to_mm: Callable[[Value], Value]
    size: Value
    focal: Value
    middle: Value


class View(NamedTuple):
    """`cadstn.tracking.canonical.HandView`, its angle as a direction.

    Attributes:
        cosine, sine: of the angle.
        mirror: 1 where left and right are swapped first, else 0.
        left_logit: see `HandView`.
        frames: likewise.
    """

    cosine: Value
    sine: Value
    mirror: Value
    left_logit: Value
    frames: Value

    @property
    def matrix(self) -> Value:
        """(2, 2), see `ViewTransform.matrix`."""
        across = 1.0 - self.mirror * 2.0
        rows = (across * self.cosine, -self.sine, across * self.sine, self.cosine)
        return self.cosine.graph.cat(*rows).reshape(2, 2)


def is_square(focal: Value) -> Value:
    """`cadstn.geometry.square.is_square` of fx and fy (2,): (1,)."""
    return focal.reduced("Max") <= focal.reduced("Min") * square.SQUARE


def squaring(g: Graph, focal: Value) -> Value:
    """`cadstn.geometry.square.squaring` of fx and fy (2,): (2,)."""
    least, most = focal.reduced("Min"), focal.reduced("Max")
    return g.where(is_square(focal), 1.0, most.least(least * square._MOST) / focal)


def crop_image(g: Graph, scene: Scene, center: Value, cube_mm: float, size: int) -> Value:
    """`cut_cube`: (M, M) float32 around a centre (3,)."""
    xy, z = center.split(2, 1)
    half = cube_mm / 2
    uv = xy * scene.focal / z + scene.middle
    reach = scene.focal * half / z
    low, high = (g.op("Floor", side).cast(LONG) for side in (uv - reach, uv + reach))
    count = (high - low).largest(1)
    filled = count * size / count.reduced("Max")
    pixels = g.where(is_square(scene.focal), filled, size)
    first, count, pixels, most = (v.reshape(2, 1) for v in (low, count, pixels, scene.size))
    place = g.constant(np.arange(size), LONG) - (size - pixels) / 2
    inside = (place >= 0) & (place < pixels)
    source = g.where(inside, first + place * count / pixels.largest(1), -1)
    seen = (source >= 0) & (source < most)
    columns, rows = source.largest(0).least(most - 1).split(1, 1)
    across, down = seen.split(1, 1)
    patch = scene.depth.take(rows.reshape(size)).take(columns.reshape(size), axis=1)
    patch_mm = scene.to_mm(patch)
    image = ((patch_mm - z.cast(FLOAT)) / half).clip(-1.0, 1.0)
    return g.where((patch_mm > 0.0) & across & down.reshape(size, 1), image, 1.0)


def canonical_images(g: Graph, image: Value, views: Value, size: int) -> Value:
    """`canonical_image` of a crop (M, M) for views (B, 5): (B, M, M).

    OpenCV 5 computes places in 32 bits, with the column's product and the sum rounded once.
    """
    cosine, sine, mirror, _, _ = views.reshape(-1, 5, 1, 1).split(1, 1, 1, 1, 1, axis=1)
    across = 1.0 - mirror * 2.0
    first = g.cat(across * cosine, -sine, axis=1)
    second = g.cat(across * sine, cosine, axis=1)
    offset = (1.0 - first - second) * ((size - 1) / 2 + CENTER_PX)
    steps = g.constant(np.arange(size), FLOAT)
    row = second.cast(FLOAT) * steps.reshape(size, 1) + offset.cast(FLOAT)
    column = single(first) * steps.cast(DOUBLE)
    place = g.op("Round", (column + row.cast(DOUBLE)).cast(FLOAT))
    near = place.clip(0.0, size - 1.0)
    x, y = near.split(1, 1, axis=1)
    seen_x, seen_y = near.equals(place).split(1, 1, axis=1)
    index = g.where(seen_x & seen_y, y * float(size) + x, float(size * size))
    pixels = g.cat(image.reshape(-1), g.constant([1.0], FLOAT))
    return pixels.take(index.cast(TensorProto.INT32).reshape(-1, size, size))


def joints_mm(g: Graph, joints: Value, view: View, center: Value, cube_mm: float) -> Value:
    """`joints_to_mm` of joints (K, 3) as they are seen in the view's image."""
    uv, d = joints.cast(DOUBLE).split(2, 1, axis=1)
    xyz = g.cat(uv @ view.matrix, d, axis=1) * (cube_mm / 2) + center
    xy, z = xyz.split(2, 1, axis=1)
    return g.cat(xy * (z / center.take([2])), z, axis=1)


def center_of(joints: Value) -> Value:
    """(3,) the middle of the knuckles, where the next cube goes."""
    return joints.take(KNUCKLES).sum(0) / float(len(KNUCKLES))


def center_shift(g: Graph, before: Value, center: Value, view: View, cube_mm: float) -> Value:
    """`center_shift`: (3,) float32 between two centres of crops."""
    (xy, z), (xy0, z0) = center.split(2, 1), before.split(2, 1)
    moved = view.matrix @ (xy - xy0 * z / z0)
    return (g.cat(moved, z - z0) / (cube_mm / 2)).cast(FLOAT)


def transformed(g: Graph, before: Value, old: View, new: View, joints: int) -> Value:
    """`transformed_memory` of the joints (3K + 1,) that a network predicted last."""
    values, last = before.split(3 * joints, 1)
    uv, d = values.reshape(joints, 3).split(2, 1, axis=1)
    both = new.matrix @ old.matrix.transposed(2, 2)
    rotated = uv.cast(DOUBLE) @ both.transposed(2, 2)
    return g.cat(g.cat(rotated.cast(FLOAT), d, axis=1).reshape(-1), last)


def updated_view(g: Graph, before: View, handedness: Value, joints: Value) -> tuple[View, Value]:
    """`updated_view` of an upright network, and whether its transform is another one.

    Args:
        g: the graph.
        before: see there.
        handedness: (1,) probability of a left hand.
        joints: (K, 3) mm.
    """
    known = (before.frames > 0.0).cast(DOUBLE)
    news = logit(g, handedness) + known * canonical._RIGHT_LOGIT
    news = news * (1.0 - before.mirror * 2.0)
    share = (1.0 / before.frames.largest(1.0)).largest(canonical._SIDE_NEWS)
    average = before.left_logit + share * (news - before.left_logit)
    mirror = (average > 0.0).cast(DOUBLE)
    cosine, sine, kept = _next_transform(g, before, joints, mirror)
    view = View(
        g.where(kept, before.cosine, cosine),
        g.where(kept, before.sine, sine),
        g.where(kept, before.mirror, mirror),
        average,
        before.frames + 1.0,
    )
    return view, ~kept


def logit(g: Graph, probability: Value) -> Value:
    """Log-odds in 64 bits, bounded as those of `canonical.logit`."""
    likely = probability.cast(DOUBLE).clip(1e-6, 1 - 1e-6)
    return g.op("Log", likely / (1.0 - likely))


def single(number: Value) -> Value:
    """A float64 rounded to the 24 bits that float32 holds (Veltkamp 1968).

    Not by two casts: runtimes take those out.
    """
    far = number * float(2**29 + 1)
    return far - (far - number)


def length(g: Graph, vector: Value, axis: int | None = None, *, keep: bool = False) -> Value:
    """Euclidean length along an axis."""
    return g.op("Sqrt", (vector * vector).sum(axis, keep=keep))


def _next_transform(
    g: Graph, before: View, joints: Value, left: Value
) -> tuple[Value, Value, Value]:
    """Cosine and sine of the angle to a hand that points up, and whether the old one does."""
    wrist, knuckles = joints.take(WRIST), joints.take(KNUCKLES)
    count = float(len(KNUCKLES))
    middle = knuckles.sum(0) / count
    (xy0, z0), (xy, z) = wrist.split(2, 1), knuckles.split(2, 1, axis=1)
    aside = (xy / z).sum(0) / count - xy0 / z0
    reach = length(g, aside)
    seen = reach * z0 / length(g, middle - wrist)
    across, down = aside.split(1, 1)
    # The angle is -atan2(across, -down), of a left hand -atan2(-across, -down).
    far = reach > 0.0
    cosine = g.where(far, -down / reach, 1.0)
    sine = g.where(far, across * (left * 2.0 - 1.0) / reach, 0.0)
    sine_apart = g.op("Abs", sine * before.cosine - cosine * before.sine)
    alike = (1.0 + cosine * before.cosine + sine * before.sine).largest(1e-12)
    away = g.op("Atan", (sine_apart / alike).cast(FLOAT)).cast(DOUBLE) * 2.0
    little = away * seen.largest(canonical._LEAST_SEEN) < canonical._SLACK
    return cosine, sine, little & left.equals(before.mirror)
