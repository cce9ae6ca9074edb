"""Playing what was recorded: at its own speed or as fast as it is taken, once or in a loop."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace

from cadstn.tracking.cameras.frames import BaseSource, LiveFrame

_LONG_S = 5.0  # who watches wonders by then
_MOST_S = 60.0  # the system takes no pause of centuries


class Played(BaseSource, ABC):
    """A source of recorded frames; a subclass gives one pass of them.

    Args:
        name: for people.
        real_time: wait for each frame's time, as a camera would; then the source is live.
        loop: begin again at the end, with a cut; times go on.
        on_wait: called, in real time, with the seconds of a pause that is longer than five.
    """

    patience_s = math.inf  # a recording may pause

    #: Of the recording's times, seconds; `track_source` corrects these, here they are waited for.
    _unit_s = 1.0

    def __init__(
        self,
        name: str,
        *,
        real_time: bool,
        loop: bool,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.name, self.live, self._loop, self._on_wait = name, real_time, loop, on_wait

    @abstractmethod
    def _once(self) -> Iterator[LiveFrame]:
        """All frames, with the index and the time that they have in the recording."""

    @abstractmethod
    def _length(self) -> int:
        """How many frames the recording has, unreadable ones included."""

    def __iter__(self) -> Iterator[LiveFrame]:
        began = time.monotonic()
        given = before = 0
        start_s: float | None = None  # the first frame's time
        # What is added to the recording's times, and where the next pass begins.
        later_s = end_s = 0.0
        while True:
            last: LiveFrame | None = None
            for frame in self._once():
                if start_s is None:
                    start_s = frame.time_s
                if last is None and before:
                    later_s = end_s - frame.time_s
                    frame = replace(frame, cut=True)
                last = frame
                index, when = before + frame.index, later_s + frame.time_s
                if self.live:
                    # Recordings' clocks begin anywhere: only what has passed since counts.
                    self._wait_until(began + (when - start_s) * self._unit_s)
                yield replace(frame, time_s=when, index=index, dropped=index - given)
                given += 1
            if last is None or not self._loop:
                return
            before += self._length()
            end_s = later_s + last.time_s + 1 / last.camera.fps / self._unit_s

    def _wait_until(self, due: float) -> None:
        left = due - time.monotonic()
        if left > _LONG_S:
            self._on_wait(left)
        while left > 0:
            time.sleep(min(left, _MOST_S))
            left = due - time.monotonic()
