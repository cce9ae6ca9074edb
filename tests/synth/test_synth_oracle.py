"""The oracle against what can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cadstn.synth.oracle import Solids
from cadstn.synth.surface import Cones


def solids(*cones: tuple[tuple[float, ...], tuple[float, ...], float, float]) -> Solids:
    a, b, ra, rb = (torch.tensor(values)[None] for values in zip(*cones, strict=True))
    return Solids(Cones(a, b, ra, rb))


BALL = ((0.0, 0.0, 500.0), (0.0, 0.0, 500.0), 10.0, 10.0)
# Balls of 1 and 30 whose centres are 50 apart.
CONE = ((0.0, 0.0, 400.0), (50.0, 0.0, 400.0), 1.0, 30.0)


def test_distance_to_a_ball() -> None:
    assert solids(BALL).distance_mm(np.array([30.0, 40.0, 500.0])) == pytest.approx(40)
    assert solids(BALL).distance_mm(np.array([0.0, 0.0, 497.0])) == pytest.approx(-7)


def test_distance_to_the_side_of_a_cone() -> None:
    # Its side rises by the angle whose sine is 29 / 50 about the axis through the centres.
    sine, cosine = 29 / 50, math.sqrt(1 - (29 / 50) ** 2)
    foot = np.array([25.0, 0.0, 400.0])
    outward = np.array([-sine, cosine, 0.0])
    for away in (0.0, 3.0, 12.0, -2.0):
        point = foot + (1.0 + 0.5 * 29 + away) * outward
        assert solids(CONE).distance_mm(point) == pytest.approx(away, abs=1e-9)


def test_nearest_point_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    shares = np.linspace(0, 1, 20001)[:, None]
    for _ in range(50):
        a, b = rng.normal((0, 0, 400), 30, (2, 3))
        ra, rb = rng.uniform(0.5, 40, 2)
        point = rng.normal((0, 0, 400), 60)
        balls = np.linalg.norm(point - (a + shares * (b - a)), axis=1) - (ra + shares * (rb - ra)).T
        found = Solids(Cones(*(torch.tensor(v)[None, None] for v in (a, b, ra, rb)))).distance_mm(
            point
        )
        assert found == pytest.approx(balls.min(), abs=1e-3)


def test_ball_seen_from_the_front_and_missed() -> None:
    depth, grazing = solids(BALL).cast(0.0, 0.0)
    assert depth == pytest.approx(490, abs=1e-5)
    assert not grazing
    assert solids(BALL).cast(0.1, 0.0) == (math.inf, False)


def test_a_ray_along_the_outline_grazes() -> None:
    tangent = math.tan(math.asin(10 / 500))
    assert solids(BALL).cast(tangent * (1 - 1e-6), 0.0)[1]
    assert solids(BALL).cast(tangent * (1 + 1e-6), 0.0)[1]
    assert not solids(BALL).cast(tangent * 0.99, 0.0)[1]


def test_nearest_of_planes_and_cones() -> None:
    cones = Cones(*(torch.tensor(v)[None, None] for v in BALL))
    planes = torch.tensor([[[0.0, 0.0, -1.0, -495.0], [0.0, 0.0, -1.0, math.inf]]])
    both = Solids(cones, planes)
    (near, grazes), (beside, grazes_too) = both.cast(0.0, 0.0), both.cast(0.1, 0.0)
    assert (near, beside) == pytest.approx((490, 495), abs=1e-5)
    assert not grazes
    assert not grazes_too
