"""Intervals: wide where a shot's frames err alike, and right as often as they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.evaluate.intervals import LEAST_UNITS, Interval, bootstrap, resampling_units
from cadstn.evaluate.protocol import PROTOCOLS


def test_shots_are_the_units() -> None:
    rules = PROTOCOLS["nyu"]
    units = resampling_units(rules.test_frames, rules.cuts)
    assert units.starts == (0, *rules.cuts)
    assert not units.few
    assert str(units) == "a bootstrap over the 18 shots"


def test_few_shots_are_cut_into_stretches_and_that_is_marked() -> None:
    units = resampling_units(1596, (702,))
    assert units.few
    assert 702 in units.starts
    assert LEAST_UNITS <= len(units.starts) <= LEAST_UNITS + 1
    assert np.diff([*units.starts, 1596]).max() <= math.ceil(1596 / LEAST_UNITS)
    assert "of the 2 shots: too few shots to resample" in str(units)
    assert resampling_units(5, (2, 400)).starts == (0, 1, 2, 3, 4)
    assert "of the 1 shot:" in str(resampling_units(50, ()))


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
    assert bootstrap([4.0]).mean == 4
    assert (str(bootstrap([4.0])), bootstrap([4.0]).gap) == ("-", "+4.00")
    assert nothing.gap == "-"
    assert Interval(1, 0.5, 1.5).gap == "+1.00 (+0.50 to +1.50)"
    with pytest.raises(CadstnError, match=r"values of shape \(3, 2, 1\); give one number a frame"):
        bootstrap(np.zeros((3, 2, 1)))


def test_frames_of_a_shot_that_err_alike_widen_it() -> None:
    rng = np.random.default_rng(1)
    cuts = tuple(range(400, 8000, 400))
    alone = rng.normal(0, 1, 8000)
    alike = np.repeat(rng.normal(0, 1, 20), 400)
    width = {name: bootstrap(v, cuts) for name, v in (("alone", alone), ("alike", alike))}
    assert width["alike"].high - width["alike"].low > 8 * (width["alone"].high - width["alone"].low)


@pytest.mark.parametrize("shots", [8, 18, 60])
def test_95_percent_of_intervals_hold_the_truth(shots: int) -> None:
    rng = np.random.default_rng(2)
    length = 100
    cuts = tuple(range(length, shots * length, length))
    held = 0
    for _ in range(200):
        # The frames of a shot share an error: a process whose mean is zero.
        values = np.repeat(rng.normal(0, 1, shots), length) + rng.normal(0, 1, shots * length)
        interval = bootstrap(values, cuts)
        held += interval.low <= 0 <= interval.high
    assert 180 <= held <= 199


def test_trainings_are_resampled_with_the_shots() -> None:
    rng = np.random.default_rng(3)
    cuts = tuple(range(50, 1000, 50))
    shots = np.repeat(rng.normal(10, 0.1, 20), 50)
    one = bootstrap(shots, cuts)
    same = bootstrap(np.stack([shots] * 4), cuts)
    assert same.mean == pytest.approx(one.mean)
    assert (same.low, same.high) == pytest.approx((one.low, one.high), abs=0.02)
    differing = bootstrap(shots + np.array([[-2.0], [-1], [1], [2]]), cuts)
    assert differing.high - differing.low > 5 * (one.high - one.low)
