"""One round cone, the hull of two balls, met by rays: in closed form, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from cadstn.synth.surface import Cones


def coefficients(cones: Cones) -> Tensor:
    """Return (B * P, 13): what `enter` needs of every cone, worked out once.

    Both balls' centres, the axis over the length of the side, both radii, how far the side's first
    circle lies before the first centre, and the length of the side. Where one ball swallows the
    other, all that is left is the larger one.
    """
    axis, taper = cones.b - cones.a, cones.ra - cones.rb
    square = (axis * axis).sum(-1) - taper * taper
    ball = square < 1e-4
    first = (ball & (taper >= 0))[..., None]
    second = (ball & (taper < 0))[..., None]
    a, b = torch.where(second, cones.b, cones.a), torch.where(first, cones.a, cones.b)
    ra = torch.where(second[..., 0], cones.rb, cones.ra)
    rb = torch.where(first[..., 0], cones.ra, cones.rb)
    length = torch.where(ball, 1.0, square.clamp(min=1e-4).sqrt())
    alive = (~ball).to(length.dtype)
    unit = axis * (alive / length)[..., None]
    rest = torch.stack([ra, rb, taper * cones.ra * alive / length, length * alive], -1)
    return torch.cat([a, b, unit, rest], -1).flatten(0, 1)


def enter(rays: Tensor, i: Tensor, j: Tensor, cones: Tensor, floor: Tensor) -> Tensor:
    """Depth (N, M) at which lines of sight enter one round cone a row; ``inf`` where they miss.

    Depths up to ``floor`` are misses too. They are negative behind the camera, and where the
    camera is inside of the cone.

    The surface is the envelope of balls with centre ``a + s (b - a)`` and radius
    ``ra - s (ra - rb)``. A point on it makes ``f(s) = |p - c(s)|^2 - r(s)^2`` zero at the ``s``
    where ``f`` is smallest, which leaves a quadratic in the depth; beyond the ends it is a ball.
    """
    ax, ay, az, bx, by, bz, ux, uy, uz, ra, rb, lean, length = cones[:, :, None].unbind(1)
    x, y, step_x, step_y = rays[:, :, None].unbind(1)
    dx, dy = x + j * step_x, y + i * step_y
    dd = dx * dx + dy * dy + 1
    # Depth is counted from a's own depth, so that squares stay small and float32 suffices.
    wx, wy = dx * az - ax, dy * az - ay
    wd = wx * dx + wy * dy
    gap = wx * wx + wy * wy - ra * ra
    m0 = wx * ux + wy * uy - lean
    m1 = dx * ux + dy * uy + uz
    qa = dd - m1 * m1
    qb = wd - m0 * m1
    qc = gap - m0 * m0
    root = _root(qb * qb - qa * qc)
    # The way in is the root (-qb - root) / qa, in the form that subtracts nothing from its like.
    ahead = qb < 0
    s = torch.where(ahead, qc, -qb - root) / torch.where(ahead, root - qb, qa)
    along = m0 + s * m1
    best = torch.where((along >= 0) & (along <= length), az + s, torch.inf)
    ball = az - (wd + _root(wd * wd - dd * gap)) / dd
    best = torch.where(ball < best, ball, best)
    vx, vy = dx * bz - bx, dy * bz - by
    vd = vx * dx + vy * dy
    ball = bz - (vd + _root(vd * vd - dd * (vx * vx + vy * vy - rb * rb))) / dd
    best = torch.where(ball < best, ball, best)
    return torch.where(best > floor, best, torch.inf)


def _root(square: Tensor) -> Tensor:
    """Square root, NaN below zero: a ray that misses then fails every comparison.

    Processors take the root of a negative number many times slower than that of zero.
    """
    return torch.where(square < 0, torch.nan, square.clamp(min=0).sqrt())
