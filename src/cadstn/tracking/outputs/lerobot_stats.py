"""The statistics that a LeRobot data set holds of each feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def stats_of(values: NDArray[Any]) -> dict[str, list[float]]:
    """Return statistics of a feature over frames.

    Args:
        values: (N, D).

    Returns:
        ``min``, ``max``, ``mean``, ``std`` and five quantiles, D numbers each, and ``count``, [N].
    """
    table = np.asarray(values, np.float64)
    found = {
        "min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0),
        **{name: np.quantile(table, share, axis=0) for name, share in _QUANTILES.items()},
    }  # fmt: skip
    return {name: value.tolist() for name, value in found.items()} | {"count": [len(table)]}


class ImageStats:
    """Statistics over the pixels of 16-bit images, exact, by counting each value."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(1 << 16, np.int64)
        self._frames = 0

    def add(self, image: NDArray[np.uint16]) -> None:
        """Count an image's pixels."""
        self._counts += np.bincount(image.ravel(), minlength=1 << 16)
        self._frames += 1

    def merge(self, other: ImageStats) -> None:
        """Add another's counts."""
        self._counts += other._counts
        self._frames += other._frames

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics of `stats_of`, each of shape (1, 1, 1): a channel's."""
        values = np.flatnonzero(self._counts)
        counts = self._counts[values]
        total, below = counts.sum(), np.cumsum(counts)
        mean = float(values @ counts / total)
        found = {
            "min": values[0], "max": values[-1], "mean": mean,
            "std": np.sqrt((values - mean) ** 2 @ counts / total),
            **{name: values[np.searchsorted(below, q * total)] for name, q in _QUANTILES.items()},
        }  # fmt: skip
        return {name: [[[float(value)]]] for name, value in found.items()} | {
            "count": [self._frames]
        }
