"""How sure a mean over frames is: bootstrap intervals from blocks of neighbouring frames.

Neighbouring frames show nearly the same hand and err alike, so resampling single frames would
promise far too much. Whole blocks are resampled instead (Kuensch, "The jackknife and the bootstrap
for general stationary observations", Annals of Statistics 1989), and no block crosses a cut.
Resampling whole shots would be safer still, but ICVL's test has two.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cadstn.errors import CadstnError
from cadstn.evaluate.joints import FloatArray

#: Frames in a block, some three seconds; a test of fewer than 20 such blocks is cut into 20.
BLOCK_FRAMES = 100
_LEAST_BLOCKS = 20
_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, in the unit of what was averaged; NaN where nothing was."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.2f} to {self.high:.2f}"


def block_edges(frames: int, cuts: Sequence[int]) -> list[int]:
    """Return where each block begins: shots cut into nearly equal parts of ``BLOCK_FRAMES``.

    Args:
        frames: N, how many there are.
        cuts: 0-based indices of the frames that begin a new shot; ones past the end are ignored.
    """
    block = min(BLOCK_FRAMES, max(1, frames // _LEAST_BLOCKS))
    shots = [0, *(cut for cut in cuts if 0 < cut < frames), frames]
    edges: list[int] = []
    for start, stop in itertools.pairwise(shots):
        parts = max(1, round((stop - start) / block))
        edges += [start + (stop - start) * i // parts for i in range(parts)]
    return edges


def bootstrap(values: ArrayLike, cuts: Sequence[int] = (), *, seed: int = 0) -> Interval:
    """Mean over frames and its 95 % percentile interval from 2,000 resamplings of blocks.

    The interval of a difference between two methods comes from the frame-by-frame difference of
    their errors: both are then resampled together, which is far sharper than comparing intervals.

    Args:
        values: (N,) one number a frame; NaN for a frame that does not count.
        cuts: as in `block_edges`.
        seed: of the resampling.

    Raises:
        CadstnError: if the values are not one number a frame.
    """
    frames = np.asarray(values, dtype=np.float64)
    if frames.ndim != 1 or not len(frames):
        raise CadstnError(f"values of shape {frames.shape}", mend="give one number a frame")
    counted = ~np.isnan(frames)
    if not counted.any():
        return Interval(math.nan, math.nan, math.nan)
    edges = block_edges(len(frames), cuts)
    sums = np.add.reduceat(np.where(counted, frames, 0.0), edges)
    counts = np.add.reduceat(counted.astype(np.float64), edges)
    kept = counts > 0  # a block of lost frames says nothing of the others
    sums, counts = sums[kept], counts[kept]
    rng = np.random.default_rng(seed)
    often = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_RESAMPLES)
    means: FloatArray = (often @ sums) / (often @ counts)
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))
