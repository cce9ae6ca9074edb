"""Smoothing of tracked joints: none, an exponential average, or the one-euro filter.

Off by default: every filter pays for a quieter hand with delay or with fast motion cut short. What
each does to error, acceleration error and delay is measured in ``docs/speed.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, nearest_name

Joints = NDArray[np.floating]


class Filter(Protocol):
    """Smooths one hand, frame by frame; a lost hand, a new one or a cut make it forget."""

    def __call__(self, joints_mm: Joints, time_s: float) -> Joints:
        """Take the joints (K, 3) of the next frame, NaN where lost; return them smoothed."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...


@dataclass
class Unfiltered:
    """Joints as the network gives them."""

    def __call__(self, joints_mm: Joints, time_s: float) -> Joints:
        """Return the joints."""
        return joints_mm

    def reset(self) -> None:
        """Nothing to forget."""


@dataclass
class Exponential:
    """``y += weight (x - y)``: a steady average, late by (1 - weight) / weight frames.

    Attributes:
        weight: of the new frame, in (0, 1].

    >>> smooth = Exponential(0.5)
    >>> [float(smooth(np.array([[x, 0.0, 0.0]]), 0.0)[0, 0]) for x in (0.0, 8.0, 8.0)]
    [0.0, 4.0, 6.0]
    """

    weight: float = 0.7
    _last: Joints | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise CadstnError(f"weight is {self.weight}", hint="give a number in (0, 1]")

    def __call__(self, joints_mm: Joints, time_s: float) -> Joints:
        """Average with the frames before."""
        if not np.isfinite(joints_mm).all():
            self.reset()
            return joints_mm
        if self._last is not None:
            joints_mm = self._last + self.weight * (joints_mm - self._last)
        self._last = joints_mm.copy()  # the caller may change what it gave and what it gets
        return joints_mm

    def reset(self) -> None:
        """Forget everything."""
        self._last = None


@dataclass
class OneEuro:
    """The one-euro filter: a low-pass whose cutoff rises with speed (Casiez et al., CHI 2012).

    A joint that rests is smoothed at ``min_cutoff_hz``; one that moves at ``v`` mm/s at
    ``min_cutoff_hz + beta v``. One cutoff a joint, from the speed of all three coordinates.

    Attributes:
        min_cutoff_hz: lower is steadier at rest, and later.
        beta: Hz for every mm/s; higher follows fast motion sooner.
        speed_cutoff_hz: of the low-pass on the speed itself; the paper's 1 Hz.
    """

    min_cutoff_hz: float = 3.0
    beta: float = 0.05
    speed_cutoff_hz: float = 1.0
    _last: Joints | None = field(default=None, init=False, repr=False)
    _raw: Joints | None = field(default=None, init=False, repr=False)
    _velocity: Joints | None = field(default=None, init=False, repr=False)
    _time_s: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.min_cutoff_hz > 0 and self.beta >= 0 and self.speed_cutoff_hz > 0):
            raise CadstnError(
                f"one-euro filter with cutoffs {self.min_cutoff_hz} and {self.speed_cutoff_hz} Hz "
                f"and beta {self.beta}",
                hint="give positive cutoffs and a beta of 0 or more",
            )

    def __call__(self, joints_mm: Joints, time_s: float) -> Joints:
        """Smooth by speed."""
        if not np.isfinite(joints_mm).all():
            self.reset()
            return joints_mm
        passed = time_s - self._time_s
        if self._last is None or self._raw is None or self._velocity is None or passed <= 0:
            first = self._last is None
            self._velocity = np.zeros_like(joints_mm) if first else self._velocity
            self._last = joints_mm.copy() if self._last is None else self._last
        else:
            velocity = (joints_mm - self._raw) / passed
            share = _share(self.speed_cutoff_hz, passed)
            self._velocity = self._velocity + share * (velocity - self._velocity)
            speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
            share = _share(self.min_cutoff_hz + self.beta * speed, passed)
            self._last = self._last + share * (joints_mm - self._last)
        # The caller may change what it gave and what it gets.
        self._raw, self._time_s = joints_mm.copy(), time_s
        return self._last.copy()

    def reset(self) -> None:
        """Forget everything."""
        self._last = self._raw = self._velocity = None


FILTERS = {"none": Unfiltered, "exponential": Exponential, "one-euro": OneEuro}


def make_filter(name: str) -> Filter:
    """Make a filter of `FILTERS` with its default numbers; CadstnError for an unknown name."""
    if name not in FILTERS:
        raise CadstnError(f"no filter '{name}'", hint=nearest_name(name, FILTERS))
    made: Filter = FILTERS[name]()
    return made


def _share(cutoff_hz: float | Joints, passed_s: float) -> Joints:
    """Weight of a new value in a first-order low-pass (the paper's alpha)."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff_hz) * passed_s)))
