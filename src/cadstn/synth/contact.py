"""How deep fingers are in one another and in the palm, measured on the cones that are rendered.

Two cones are *relevant* to one
another if they belong to parts that can meet. Flesh that is one piece does not count as passing
through itself: a finger's first phalanx up to where the web ends, and the palm it grows from.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from cadstn.synth.hand import CONE_PARTS, CONE_SEGMENT, FINGERS, Cones, Shape, forward

#: Share of a first phalanx that lies in the web with its neighbours and the palm. The web's edge
#: is somewhat short of the phalanx's middle; the rest is the joint's round, our own estimate.
WEB_SHARE = 0.5
_PALM = ("palm", "thenar")
_SWEEPS = 12


class Pairs(NamedTuple):
    """Which cones may meet."""

    # first, second: (Q,) their places among the hand's cones
    first: Tensor
    second: Tensor
    # from_first, from_second: (Q,) where along each it begins to count, 0 to 1
    from_first: Tensor
    from_second: Tensor
    names: tuple[str, ...]  # Q names of the two parts, such as "index-middle" or "ring-palm"


@functools.cache
def relevant_pairs(device: torch.device) -> Pairs:
    """Return all pairs of cones that can meet."""
    digits = [i for i, s in enumerate(CONE_SEGMENT) if s >= 0]
    palm = [i for i, part in enumerate(CONE_PARTS) if part in _PALM]
    rows: list[tuple[int, int, float, float, str]] = []
    for n, i in enumerate(digits):
        part, bone = CONE_PARTS[i], CONE_SEGMENT[i]
        own = WEB_SHARE if bone == (0 if part in FINGERS else 1) else 0.0
        for j in digits[n + 1 :]:
            other, far = CONE_PARTS[j], CONE_SEGMENT[j]
            if other == part:
                continue
            theirs = WEB_SHARE if far == (0 if other in FINGERS else 1) else 0.0
            if other == "thumb" and far == 0 and bone == 0:
                continue  # both are rooted in the palm
            rows.append((i, j, own, theirs, f"{part}-{other}"))
        for j in palm:
            # The thumb's pad is its own muscle, and first phalanges grow from the palm.
            if bone >= 1 and not (part == "thumb" and CONE_PARTS[j] == "thenar"):
                rows.append((i, j, own, 0.0, f"{part}-palm"))
    first, second, from_first, from_second, names = zip(*rows, strict=True)
    return Pairs(
        torch.tensor(first, device=device),
        torch.tensor(second, device=device),
        torch.tensor(from_first, device=device),
        torch.tensor(from_second, device=device),
        names,
    )


def penetration_mm(cones: Cones) -> Tensor:
    """How deep relevant cones are in one another, to about 0.01 mm.

    The depth is the largest overlap ``r(s) + r(t) - |c(s) - c(t)|`` of any two balls, one of each
    cone. Its negative is convex in (s, t), so going to and fro between the best ball of either
    cone, each in closed form, finds it; the start is where the cones' axes are nearest.

    Args:
        cones: (B, P) of hands, as `cadstn.synth.hand.forward` gives them.

    Returns:
        (B, Q) mm in the order of `relevant_pairs`, negative where there is a gap.
    """
    one, two = _both(cones)
    s, t = _nearest_axes(one, two)
    for _ in range(_SWEEPS):
        s = _nearest_ball(one, two.at(t))
        t = _nearest_ball(two, one.at(s))
    return (one.radius(s) + two.radius(t) - norm(one.at(s) - two.at(t))).T


class _Sticks(NamedTuple):
    """Cones with coordinates first and hands last, the order processors gather and add up fast.

    ``a`` and ``axis`` are (3, Q, N), ``r`` and ``taper`` (Q, N): radius at ``a``, and what is
    added to it on the way to ``b``.
    """

    a: Tensor
    axis: Tensor
    r: Tensor
    taper: Tensor

    def at(self, s: Tensor) -> Tensor:
        """Centres (3, Q, N) of the balls at ``s``."""
        return self.a + s * self.axis

    def radius(self, s: Tensor) -> Tensor:
        """Radii of the balls at ``s``."""
        return self.r + s * self.taper


def _both(cones: Cones, chosen: Tensor | None = None) -> tuple[_Sticks, _Sticks]:
    """The two cones of each pair, or of (N, K) chosen ones, without what does not count of them."""
    pairs = relevant_pairs(cones.a.device)
    a, b = cones.a.permute(2, 1, 0).contiguous(), cones.b.permute(2, 1, 0).contiguous()
    ra, rb = cones.ra.T.contiguous(), cones.rb.T.contiguous()
    axis, taper = b - a, rb - ra

    def sticks(which: Tensor, start: Tensor) -> _Sticks:
        if chosen is None:
            rows = [field.index_select(-2, which) for field in (a, axis, ra, taper)]
            begin = start[:, None]
        else:
            index, begin = which[chosen.T], start[chosen.T]
            rows = [
                field.gather(-2, index.expand(*field.shape[:-2], -1, -1))
                for field in (a, axis, ra, taper)
            ]
        first, along, radius, thinner = rows
        return _Sticks(
            first + begin * along, (1 - begin) * along,
            radius + begin * thinner, (1 - begin) * thinner,
        )  # fmt: skip

    return sticks(pairs.first, pairs.from_first), sticks(pairs.second, pairs.from_second)


def dot(one: Tensor, two: Tensor) -> Tensor:
    """Scalar product of vectors whose coordinates come first."""
    return (one * two).sum(0)


def norm(vector: Tensor) -> Tensor:
    """Length of vectors whose coordinates come first."""
    return dot(vector, vector).sqrt()


def cross(one: Tensor, two: Tensor) -> Tensor:
    """Vector product of vectors whose coordinates come first."""
    (x, y, z), (u, v, w) = one.unbind(0), two.unbind(0)
    return torch.stack([y * w - z * v, z * u - x * w, x * v - y * u])


def _nearest_axes(one: _Sticks, two: _Sticks) -> tuple[Tensor, Tensor]:
    """Where two segments are nearest to one another (Ericson, Real-Time Collision Detection)."""
    between = one.a - two.a
    aa, ee = dot(one.axis, one.axis).clamp(min=1e-6), dot(two.axis, two.axis).clamp(min=1e-6)
    b, c, f = dot(one.axis, two.axis), dot(one.axis, between), dot(two.axis, between)
    # Parallel segments are equally near all along: begin in the middle, smoothly.
    flat = 0.02 * aa * ee
    s = ((b * f - c * ee + 0.5 * flat) / (aa * ee - b * b + flat)).clamp(0, 1)
    t = ((b * s + f) / ee).clamp(0, 1)
    s = ((b * t - c) / aa).clamp(0, 1)
    return s, ((b * s + f) / ee).clamp(0, 1)


def _nearest_ball(cone: _Sticks, points: Tensor) -> Tensor:
    """Which ball of each cone reaches nearest to a point, 0 to 1."""
    length = norm(cone.axis).clamp(min=1e-6)
    off = points - cone.a
    along = dot(off, cone.axis) / length
    beside = (dot(off, off) - along.square()).clamp(min=0).sqrt()
    # The side of a cone is met at a slant: towards the thick end by the slope of its side.
    slope = cone.taper / length
    shift = beside * slope / (1 - slope.square()).clamp(min=1e-6).sqrt()
    return ((along + shift) / length).clamp(0, 1)


class Touch(NamedTuple):
    """How the relevant pairs of cones lie."""

    joints: Tensor  # (N, 21, 3) mm
    # first, second: (3, Q, N) mm, the balls of either cone that are nearest to one another
    first: Tensor
    second: Tensor
    depth: Tensor  # (N, Q) mm, negative where there is a gap


def touch(angles: Tensor, shape: Shape, chosen: Tensor | None = None) -> Touch:
    """Measure hands, all pairs or (N, K) chosen ones, nearly as `penetration_mm` does."""
    joints, cones = forward(angles, shape)
    one, two = _both(cones, chosen)
    s, t = _nearest_axes(one, two)
    first, second = one.at(s), two.at(t)
    depth = one.radius(s) + two.radius(t) - norm(first - second)
    return Touch(joints, first, second, depth.T.contiguous())
