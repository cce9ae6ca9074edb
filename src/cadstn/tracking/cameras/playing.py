"""Playing what was recorded: at its own speed or as fast as it is taken, once or in a loop."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

from cadstn.tracking.cameras.frames import BaseSource, LiveFrame


class Played(BaseSource, ABC):
    """A source of recorded frames; a subclass gives one pass of them.

    Args:
        name: for people.
        real_time: wait for each frame's time, as a camera would; then the source is live.
        loop: begin again at the end, with a cut; times go on.
    """

    patience_s = math.inf  # a recording may pause

    def __init__(self, name: str, *, real_time: bool, loop: bool) -> None:
        self.name, self.live, self._loop = name, real_time, loop

    @abstractmethod
    def _once(self) -> Iterator[LiveFrame]:
        """All frames, with the index and the time that they have in the recording."""

    def _length(self, last: LiveFrame) -> int:
        """How many frames the recording has, unreadable ones included."""
        return last.index + 1

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
                    time.sleep(max(0.0, began + when - start_s - time.monotonic()))
                yield replace(frame, time_s=when, index=index, dropped=index - given)
                given += 1
            if last is None or not self._loop:
                return
            before += self._length(last)
            end_s = later_s + last.time_s + 1 / last.camera.fps
