"""Intervals: wide where neighbours err alike, and right as often as they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.evaluate.intervals import BLOCK_FRAMES, block_edges, bootstrap


def test_blocks_cross_no_cut() -> None:
    edges = block_edges(8252, (2440, 3136))
    assert edges[0] == 0
    assert {2440, 3136} <= set(edges)
    lengths = np.diff([*edges, 8252])
    assert lengths.min() > BLOCK_FRAMES / 2
    assert lengths.max() <= BLOCK_FRAMES * 1.5
    assert block_edges(5, (2, 400)) == [0, 1, 2, 3, 4]
    # A short test still has some twenty blocks to choose from.
    assert len(block_edges(200, ())) == 20


def test_the_mean_is_the_mean() -> None:
    values = np.random.default_rng(0).normal(10, 3, 3000)
    interval = bootstrap(values, (700,))
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low < interval.mean < interval.high
    assert bootstrap(values, (700,)) == interval


def test_lost_frames_are_left_out_and_nothing_stays_nothing() -> None:
    values = np.r_[np.ones(300), np.full(300, np.nan), np.full(300, 3.0)]
    assert bootstrap(values).mean == pytest.approx(2.0)
    nothing = bootstrap(np.full(9, np.nan))
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.low)
    with pytest.raises(CadstnError, match=r"values of shape \(3, 2\); give one number a frame"):
        bootstrap(np.zeros((3, 2)))


def test_neighbours_that_err_alike_widen_it() -> None:
    rng = np.random.default_rng(1)
    alone = rng.normal(0, 1, 4000)
    alike = np.repeat(rng.normal(0, 1, 40), 100)
    width = {name: bootstrap(v) for name, v in (("alone", alone), ("alike", alike))}
    assert width["alike"].high - width["alike"].low > 5 * (width["alone"].high - width["alone"].low)


def test_95_percent_of_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(120):
        # Each 25 frames share an error: a process whose mean is zero.
        values = np.repeat(rng.normal(0, 1, 120), 25) + rng.normal(0, 1, 3000)
        interval = bootstrap(values)
        held += interval.low <= 0 <= interval.high
    assert 105 <= held <= 120
