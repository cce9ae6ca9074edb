"""Filters: what they do to a rest, a ramp, noise, a lost hand."""

from itertools import pairwise

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.tracking.filters import FILTERS, Exponential, Filter, OneEuro, make_filter

STEP = 1 / 30


def run(smooth: Filter, joints: np.ndarray) -> np.ndarray:
    return np.array([smooth(j, i * STEP) for i, j in enumerate(joints)])


@pytest.mark.parametrize("name", FILTERS)
def test_rest_stays_and_a_lost_frame_forgets(name: str) -> None:
    smooth = make_filter(name)
    rest = np.tile(np.arange(6.0).reshape(2, 3), (20, 1, 1))
    np.testing.assert_allclose(run(smooth, rest), rest)
    assert np.isnan(smooth(np.full((2, 3), np.nan), 20 * STEP)).all()
    far = rest[0] + 500
    np.testing.assert_array_equal(smooth(far, 21 * STEP), far)
    smooth.reset()
    np.testing.assert_array_equal(smooth(rest[0], 0.0), rest[0])


@pytest.mark.parametrize("name", FILTERS)
def test_what_the_caller_does_to_its_arrays_changes_no_later_frame(name: str) -> None:
    joints = np.random.default_rng(2).normal(0, 5, (6, 2, 3))
    times = [i // 2 * STEP for i in range(6)]  # each twice
    smooth, other = make_filter(name), make_filter(name)
    expected = [other(one, when) for one, when in zip(joints, times, strict=True)]
    for given, when, wanted in zip(joints.copy(), times, expected, strict=True):
        got = smooth(given, when)
        np.testing.assert_allclose(got, wanted)
        given += 100
        got -= 300


def test_one_euro_quiets_rest_and_keeps_up_with_motion() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (300, 2, 3))
    quiet = run(OneEuro(), noise)
    assert np.diff(quiet[50:], axis=0).std() < 0.5 * np.diff(noise[50:], axis=0).std()
    ramp = np.zeros((90, 2, 3))
    ramp[:, :, 0] = np.arange(90)[:, None] * STEP * 800  # 800 mm/s
    late_mm = (ramp - run(OneEuro(), ramp))[60:, :, 0].mean()
    slow = OneEuro(min_cutoff_hz=3.0, beta=0.0)
    assert late_mm < 0.35 * (ramp - run(slow, ramp))[60:, :, 0].mean()


def test_one_euro_is_that_of_the_paper() -> None:
    """Casiez et al. 2012, equations 2 to 7, written out for one number."""
    x = np.random.default_rng(1).normal(0, 5, 40).cumsum()
    cutoff, beta, dcutoff = 1.7, 0.03, 1.0

    def alpha(fc: float) -> float:
        tau = 1 / (2 * np.pi * fc)
        return float(1 / (1 + tau / STEP))

    hat, speed, expected = x[0], 0.0, [x[0]]
    for before, now in pairwise(x):
        a = alpha(dcutoff)
        speed = a * (now - before) / STEP + (1 - a) * speed
        a = alpha(cutoff + beta * abs(speed))
        hat = a * now + (1 - a) * hat
        expected.append(hat)
    joints = np.zeros((40, 1, 3))
    joints[:, 0, 0] = x
    np.testing.assert_allclose(run(OneEuro(cutoff, beta), joints)[:, 0, 0], expected)


def test_repeated_and_backward_times_do_no_harm() -> None:
    smooth = OneEuro()
    smooth(np.zeros((1, 3)), 0.0)
    kept = smooth(np.ones((1, 3)), 0.1)
    two = np.full((1, 3), 2.0)
    for when in (0.1, 0.05):
        np.testing.assert_array_equal(smooth(two, when), kept)
    after = smooth(two, 0.2)
    assert ((kept < after) & (after < two)).all()


def test_nonsense_is_one_line() -> None:
    with pytest.raises(CadstnError, match="weight is 0"):
        Exponential(0)
    with pytest.raises(CadstnError, match="one-euro"):
        OneEuro(min_cutoff_hz=0)
    with pytest.raises(CadstnError, match="did you mean 'one-euro'"):
        make_filter("oneeuro")


def test_one_euro_knows_each_joints_speed_and_no_axes() -> None:
    joints = np.random.default_rng(3).normal(0, 1, (30, 2, 3))
    joints[:, 1, 0] += np.arange(30) * 40  # one joint is fast: the other stays as quiet
    np.testing.assert_allclose(run(OneEuro(), joints)[:, :1], run(OneEuro(), joints[:, :1]))
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(run(OneEuro(), joints @ turn), run(OneEuro(), joints) @ turn)


def test_the_default_average_is_late_by_less_than_a_frame() -> None:
    step = np.array([0.0, 10.0, 10.0]).reshape(3, 1, 1).repeat(3, 2)
    np.testing.assert_allclose(run(make_filter("exponential"), step)[:, 0, 0], [0, 7, 9.1])
