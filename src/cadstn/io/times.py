"""Times of a recording that cannot be seconds: recognised by how far its frames are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cadstn.io.recording import Recording

#: Units that clocks count in besides seconds, in seconds.
UNITS_S = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
#: No camera's frames are so far apart, seconds.
SLOW_S = 5.0


def finer_unit(frames: float) -> str | None:
    """Name the unit of `UNITS_S` in which a step is one of a camera's frames; None if none is.

    Args:
        frames: the step times the frame rate, as if it were in seconds.
    """
    return next((name for name, unit in UNITS_S.items() if _is_one(frames * unit)), None)


def _is_one(frames: float) -> bool:
    return 0.3 < frames < 4


def unit_of_times(times: NDArray[Any], fps: float) -> str | None:
    """Name the finer unit that times (N,) are in by most of their steps; None for seconds."""
    if len(times) < 3:  # one step may be a pause
        return None
    return finer_unit(float(np.median(np.diff(times))) * fps)


def implausible_times(recording: Recording) -> str | None:
    """Return one line on why a recording's times cannot be seconds; None where they may be.

    They cannot where its frames are `SLOW_S` or more apart, half of them and not by its frame rate.
    """
    if recording.times_s is None or len(recording) < 3:  # of one step nothing is concluded
        return None
    step = float(np.median(np.diff(recording.times_s)))
    frames = step * recording.camera.fps
    if step < SLOW_S or _is_one(frames):
        return None
    unit = finer_unit(frames)
    hint = "store" if unit is None else f"{unit}? store time_s * {UNITS_S[unit]:g}, which are"
    return f"times are {step:.4g} s apart, so that each frame begins a new stream; {hint} seconds"
