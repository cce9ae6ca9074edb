"""Confidence intervals of a mean over frames: a bootstrap over shots.

Frames of one shot show one hand in one motion and err alike, so single frames, and blocks of a few
seconds, promise far too much: on NYU's test, intervals from 100-frame blocks are 2.1 to 2.7 times
narrower than those from its shots. Whole shots are resampled instead. A test of fewer
than ``LEAST_UNITS`` shots is cut into that many stretches; these are not independent, so that the
interval is a lower bound of the real one, and `Units.few` marks it.

Percentile intervals from few units are too narrow; they are expanded as in Hesterberg, "What
teachers should know about the bootstrap", The American Statistician 2015, section 5.3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from cadstn.errors import CadstnError
from cadstn.evaluate.metrics import check_cuts
from cadstn.io.joints import FloatArray
from cadstn.io.text import counted

#: With fewer shots the test is cut into this many stretches.
LEAST_UNITS = 8
_RESAMPLES = 2000
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, in the unit of what was averaged; NaN where nothing was.

    Attributes:
        mean: of all frames that count.
        low, high: ends of the interval.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return "-" if math.isnan(self.low) else f"{self.low:.2f} to {self.high:.2f}"

    @property
    def gap(self) -> str:
        """Text of a difference: signed mean and interval, or a dash."""
        if math.isnan(self.mean):
            return "-"
        low = "" if math.isnan(self.low) else f" ({self.low:+.2f} to {self.high:+.2f})"
        return f"{self.mean:+.2f}{low}"


@dataclass(frozen=True)
class Units:
    """What is resampled."""

    starts: tuple[int, ...]  # 0-based first frame of each shot or stretch
    few: bool  # whether these are stretches of shots, because there are too few shots
    shots: int  # how many shots there are

    def __str__(self) -> str:
        if not self.few:
            return f"a bootstrap over the {self.shots} shots"
        return (
            f"a bootstrap over {len(self.starts)} stretches of the {counted(self.shots, 'shot')}: "
            "too few shots to resample, so that intervals are narrower than they should be"
        )


def resampling_units(frames: int, cuts: Sequence[int]) -> Units:
    """Return the shots, or stretches of nearly equal length where there are too few of them.

    Args:
        frames: N, how many there are.
        cuts: 0-based indices of the frames that begin a new shot; ones past the end are ignored.

    Raises:
        CadstnError: if the cuts are no increasing indices.

    >>> resampling_units(800, ()).starts
    (0, 100, 200, 300, 400, 500, 600, 700)
    """
    check_cuts(cuts)
    shots = [0, *(cut for cut in cuts if 0 < cut < frames), frames]
    count = len(shots) - 1
    if count >= LEAST_UNITS:
        return Units(tuple(shots[:-1]), False, count)
    length = max(1.0, frames / LEAST_UNITS)
    starts: list[int] = []
    for start, stop in itertools.pairwise(shots):
        parts = max(1, math.ceil((stop - start) / length - 1e-9))
        starts += [start + (stop - start) * i // parts for i in range(parts)]
    return Units(tuple(starts), True, count)


def bootstrap(values: ArrayLike, cuts: Sequence[int] = ()) -> Interval:
    """Mean over frames and its 95 % interval from 2,000 resamplings of shots.

    The interval of a difference between two methods comes from the frame-by-frame difference of
    their errors: both are then resampled together, which is far sharper than comparing intervals.

    Args:
        values: (N,) one number a frame, or (S, N) for S trainings of one method that are resampled
            as well; NaN for a frame that does not count.
        cuts: as in `resampling_units`.

    Raises:
        CadstnError: if the values are not one number a frame, or the cuts no increasing indices.
    """
    runs = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if np.ndim(values) not in (1, 2) or not runs.size:
        raise CadstnError(f"values of shape {np.shape(values)}", hint="give one number a frame")
    known = ~np.isnan(runs)
    if not known.any():
        return Interval(math.nan, math.nan, math.nan)
    starts = resampling_units(runs.shape[1], cuts).starts
    sums = np.add.reduceat(np.where(known, runs, 0.0), starts, axis=1)
    counts = np.add.reduceat(known.astype(np.float64), starts, axis=1)
    kept = counts.sum(axis=0) > 0  # a shot of lost frames alone does not count
    sums, counts = sums[:, kept], counts[:, kept]
    mean = float(sums.sum() / counts.sum())
    if sums.shape[1] < 2:
        return Interval(mean, math.nan, math.nan)
    rng = np.random.default_rng(0)
    often = _draws(rng, sums.shape[1])
    if len(runs) > 1:
        trainings = _draws(rng, len(runs))
        sums, counts = trainings @ sums, trainings @ counts
        totals: FloatArray = (often * sums).sum(axis=1) / (often * counts).sum(axis=1)
    else:
        totals = (often @ sums[0]) / (often @ counts[0])
    tail = 100 * _expanded_tail(sums.shape[1])
    low, high = np.nanpercentile(totals, (tail, 100 - tail))
    return Interval(mean, float(low), float(high))


def _draws(rng: np.random.Generator, units: int) -> FloatArray:
    """How often each unit is drawn in each resampling: (``_RESAMPLES``, units)."""
    return rng.multinomial(units, np.full(units, 1 / units), size=_RESAMPLES).astype(np.float64)


def _expanded_tail(units: int) -> float:
    """Share beyond each end of a 95 % percentile interval that is right for a mean of few units."""
    z, free = _NORMAL.inv_cdf(0.975), units - 1
    # Student's t quantile (Abramowitz and Stegun 26.7.5): within 0.5 % from 7 degrees of freedom.
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return _NORMAL.cdf(-math.sqrt(units / free) * t)
