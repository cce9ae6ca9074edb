"""Time stamps as sources give them, as seconds that go forward."""

from __future__ import annotations

import math

from cadstn.errors import CadstnError
from cadstn.io.labels import TIME_UNITS_S, unit_of_step

_ENOUGH = 2  # steps in a row that only a finer unit explains


class Clock:
    """Turns one stream's time stamps into seconds that go forward, whatever they are.

    A time that is absent, not finite or the same as the one before is estimated from the frame
    rate, so that a frame that differs never counts as the one before. Times in milliseconds,
    microseconds or nanoseconds are recognised by their steps after three frames, and are seconds
    from then on, with one step back. Good times in seconds come back as they are.
    """

    def __init__(self) -> None:
        self._raw: float | None = None
        self._seconds: float | None = None
        self._scale, self._votes = 1.0, 0
        self._reported: set[str] = set()

    def __call__(self, time: float | None, fps: float) -> tuple[float, str | None]:
        """Return the next frame's seconds, and a line for the user the first time it is corrected.

        Args:
            time: as the source gives it, in any unit; None where it gives none.
            fps: the source's frames a second.

        Raises:
            CadstnError: if time runs back; from the next frame on the stream goes on.
        """
        step = 1 / fps
        if time is None or not math.isfinite(time):
            note = self._once(f"time is {time}: counted at {fps:g} frames a second")
            seconds = 0.0 if self._seconds is None else self._seconds + step
            self._seconds = seconds
            return seconds, note
        note = None
        if self._raw is not None and self._seconds is not None:
            passed = time - self._raw
            if passed < 0:
                before = self._seconds
                self._raw, self._seconds = time, time * self._scale
                raise CadstnError(
                    f"time {self._seconds:.3f} s runs back from {before:.3f} s",
                    hint="frames are tracked in the order of their times; this one is left out",
                )
            note = self._recognise(passed * fps)
        last, seconds = self._seconds, time * self._scale
        if last is not None and seconds <= last:
            seconds = last + step
            if note is None:
                note = self._once(f"time stands still: counted at {fps:g} frames a second")
        self._raw, self._seconds = time, seconds
        return seconds, note

    def cut(self) -> None:
        """Accept any next time: another shot begins."""
        self._raw = self._seconds = None

    def _recognise(self, frames: float) -> str | None:
        """See whether a step of so many frames, were it in seconds, is one in a finer unit."""
        if self._scale != 1.0:
            return None
        name = unit_of_step(frames)
        self._votes = 0 if name is None else self._votes + 1
        if name is None or self._votes < _ENOUGH:
            return None
        self._scale = TIME_UNITS_S[name]
        self._seconds = None
        return f"times are {name}: taken as such"

    def _once(self, line: str) -> str | None:
        if line in self._reported:
            return None
        self._reported.add(line)
        return line


class StepCheck:
    """Warns once of a stream whose times cannot be seconds that go forward."""

    #: No camera's frames are so far apart, seconds.
    SLOW_S = 5.0
    #: Steps in a row before it warns.
    STEPS = 3

    def __init__(self) -> None:
        self._time_s: float | None = None
        self._steps: list[float] | None = []

    def __call__(self, time_s: float | None) -> list[str]:
        """Take the next frame's time; return the warnings, most often none."""
        before, self._time_s = self._time_s, time_s
        if time_s is None or before is None or self._steps is None or time_s == before:
            return []
        step = time_s - before
        self._steps = [*self._steps[1 - self.STEPS :], step]
        if len(self._steps) < self.STEPS or not all(
            one < 0 or one > self.SLOW_S for one in self._steps
        ):
            return []
        self._steps = None
        seen = "run back" if step < 0 else f"are {step:.3g} apart: milliseconds or finer?"
        return [f"times {seen}; give seconds that go forward, or each frame begins a new stream"]
