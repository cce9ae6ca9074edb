"""Times as sources give them: absent, equal, backward, and in every unit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.tracking.clock import Clock


def run(times: list[float | None], fps: float = 30.0) -> tuple[list[float], list[str]]:
    clock = Clock()
    out, result = [], []
    for time in times:
        seconds, note = clock(time, fps)
        out.append(seconds)
        result += [note] if note is not None else []
    return out, result


def test_good_times_come_back_as_they_are() -> None:
    for times in (
        [0.0, 0.033, 0.066, 0.1],
        [1732.5, 1732.6, 1739.9, 1740.0],  # a gap of seconds is a gap
        [1.7e9, 1.7e9 + 0.04, 1.7e9 + 0.09],
        [-3.0, -2.9],
    ):
        assert run(list(times)) == (times, [])


@pytest.mark.parametrize(
    ("name", "unit"), [("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)]
)
@pytest.mark.parametrize("fps", [5.0, 30.0, 90.0])
@pytest.mark.parametrize("start", [0.0, 12.0, 1.7e6])
def test_finer_units_are_recognised(name: str, unit: float, fps: float, start: float) -> None:
    times = [(start + k / fps) * unit for k in range(20)]
    seconds, result = run(list(times), fps)
    assert result == [f"times are {name}: taken as such"]
    np.testing.assert_allclose(seconds[2:], start + np.arange(2, 20) / fps, rtol=1e-9, atol=1e-5)


def test_a_camera_that_stalls_once_is_not_in_milliseconds() -> None:
    times = [0.0, 0.033, 33.0, 33.033, 33.066, 70.0, 70.03]
    assert run(list(times)) == (times, [])


@pytest.mark.parametrize("absent", [None, math.nan, math.inf])
def test_absent_times_are_counted(absent: float | None) -> None:
    seconds, result = run([absent] * 4)
    np.testing.assert_allclose(seconds, np.arange(4) / 30)
    assert result == [f"time is {absent}: counted at 30 frames a second"]
    seconds, _ = run([5.0, absent, absent, 5.2])
    np.testing.assert_allclose(seconds, [5.0, 5 + 1 / 30, 5 + 2 / 30, 5.2])


def test_equal_times_go_forward() -> None:
    seconds, result = run([7.0] * 5)
    np.testing.assert_allclose(np.diff(seconds), 1 / 30)
    assert result == ["time stands still: counted at 30 frames a second"]
    seconds, _ = run([7.0, 7.0, 7.0667, 7.0667, 7.1333])  # two frames a stamp
    assert (np.diff(seconds) > 0).all()
    assert seconds[-1] == pytest.approx(7.1333)


def test_time_that_runs_back_is_left_out_once() -> None:
    clock = Clock()
    clock(5.0, 30.0)
    with pytest.raises(CadstnError, match=r"time 1\.000 s runs back from 5\.000 s"):
        clock(1.0, 30.0)
    assert clock(1.033, 30.0) == (1.033, None)
    clock.cut()
    assert clock(0.0, 30.0) == (0.0, None)
