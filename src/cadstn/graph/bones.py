"""`cadstn.tracking.bones.keep_size` as a part of a graph, with its system of equations solved."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.skeleton import Skeleton
from cadstn.graph.builder import DOUBLE, Graph, Value
from cadstn.graph.views import length
from cadstn.tracking import bones as source


class BoneSums(NamedTuple):
    """`cadstn.tracking.bones.Bones`, zeros for none: weight and length (N,)."""

    weight: Value
    length: Value


def keep_size(
    g: Graph, joints: Value, scale: Value, before: BoneSums, known: Value, skeleton: Skeleton
) -> tuple[Value, BoneSums]:
    """`keep_size` of joints (K, 3) in mm.

    Args:
        g: the graph.
        joints: float64.
        scale: (K,) error scales in mm, float32.
        before: of the frames before.
        known: (1,) whether there were any.
        skeleton: names the bones.
    """
    matrix, either, slack = source.bone_ends(skeleton.bones, len(skeleton))
    ends, ends_t = g.constant(matrix, DOUBLE), g.constant(matrix.T, DOUBLE)
    apart = ends @ joints
    long = length(g, apart, 1).largest(source._SHORTEST_MM)
    scale = scale.cast(DOUBLE)
    variance = scale * scale
    weight = 1.0 / (g.constant(either, DOUBLE) @ variance)
    # Without frames before, 0 / 0: it is compared as false.
    agreed = before.length / before.weight
    size = (weight * long * agreed).sum(0) / (weight * agreed * agreed).sum(0)
    known = known & (size > 1 / source._OTHER_HAND) & (size < source._OTHER_HAND)
    sums = BoneSums(
        g.where(known, before.weight * source._KEEP + weight, weight),
        g.where(known, before.length * source._KEEP + weight * long, weight * long),
    )
    along = apart / long.reshape(-1, 1)
    pull = ((ends * variance) @ ends_t) * (along @ along.transposed(len(skeleton.bones), 3))
    force = _solved(
        g, pull + g.constant(slack, DOUBLE), long - sums.length / sums.weight, _steps(matrix)
    )
    moved = joints - variance.reshape(-1, 1) * (ends_t @ (force * along))
    return g.where(known, moved, joints), sums


def _solved(g: Graph, matrix: Value, right: Value, steps: list[list[int]]) -> Value:
    """Gauss-Jordan of a positive definite system; unknowns of one step share no equation."""
    size = sum(map(len, steps))
    both = g.cat(matrix, right.reshape(-1, 1), axis=1)
    for step in steps:
        own = np.eye(size)[step]
        rows, columns = both.take(step), both.take(step, axis=1)
        pivots = (columns * g.constant(own.T, DOUBLE)).sum(0).reshape(-1, 1)
        both = both - (columns - g.constant(own.T, DOUBLE)) @ (rows / pivots)
    return both.take([size], axis=1)


def _steps(ends: NDArray[np.float64]) -> list[list[int]]:
    """Bones in an order of elimination, from the tips on, together where none meets another."""
    meets = (np.abs(ends) @ np.abs(ends).T > 0) & ~np.eye(len(ends), dtype=bool)
    left, steps = set(range(len(ends))), []
    while left:
        fewest = min(meets[k, sorted(left)].sum() for k in left)
        step: list[int] = []
        for k in sorted(left):
            if meets[k, sorted(left)].sum() == fewest and not meets[k, step].any():
                step.append(k)
        left -= set(step)
        for k in step:  # what met an eliminated bone meets each other now
            others = [other for other in left if meets[k, other]]
            meets[np.ix_(others, others)] |= ~np.eye(len(others), dtype=bool)
        steps.append(step)
    return steps
