"""What every source of depth frames gives, and the thread that keeps a live one from lagging."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, Self

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame of a source.

    Attributes:
        depth_mm: (H, W) float32 mm, 0 where nothing was measured.
        camera: that took it, with its size.
        time_s: when, on the source's own clock.
        index: how many frames the source has made before this one.
        dropped: how many of them nobody saw, since the source was opened.
        cut: whether a shot begins here: a tracker must forget the hand it followed.
    """

    depth_mm: DepthMm
    camera: Camera
    time_s: float
    index: int
    dropped: int = 0
    cut: bool = False


class Source(Protocol):
    """Depth frames one after the other: ``with source: for frame in source: ...``."""

    name: str  # for people
    live: bool  # whether frames come when they come, and those that nobody takes are lost
    # silent for longer than this, a live source has been unplugged; infinite of a recording
    patience_s: float

    def __iter__(self) -> Iterator[LiveFrame]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class BaseSource:
    """What sources have in common: they are opened by iteration, and closed once."""

    name = "source"
    live = False
    patience_s = 5.0

    def close(self) -> None:
        """Let go of the device or file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Newest:
    """The newest frame of a live source, whatever the consumer's speed.

    A thread takes every frame as it comes. A consumer that is slower than the source gets the
    newest one and learns how many it missed; it never gets an old one.

    Args:
        source: a live source; one that is not live is better iterated by itself.
        until: a time of `time.monotonic` at which it ends, also while it waits for a frame.
    """

    def __init__(self, source: Source, until: float | None = None) -> None:
        self._until = math.inf if until is None else until
        self.name, self.live, self.patience_s = source.name, True, source.patience_s
        self._source = source
        self._news = threading.Condition()
        self._frame: LiveFrame | None = None
        self._error: BaseException | None = None
        self._ended = self._stop = False
        self._missed, self._cut = 0, False
        self._thread = threading.Thread(target=self._take, name="cadstn-source", daemon=True)

    def __enter__(self) -> Self:
        self._source.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop = True
        # A recording's thread may sleep through a pause; it ends with the process.
        self._thread.join(timeout=1.0 if math.isinf(self.patience_s) else self.patience_s)
        self._source.__exit__(*error)

    def __iter__(self) -> Iterator[LiveFrame]:
        while True:
            with self._news:
                if not self._news.wait_for(
                    lambda: self._frame is not None or self._ended, self._patience()
                ):
                    if time.monotonic() >= self._until:
                        return
                    raise CadstnError(
                        f"no frame for {self.patience_s:g} s",
                        where=self.name,
                        hint="check that it is plugged in and not in use by another program",
                    )
                frame, self._frame = self._frame, None
                missed, cut, self._cut = self._missed, self._cut, False
                if frame is None:  # it has ended, and the last frame has been seen
                    # Taken out first: an error that its own frame holds on to keeps both alive.
                    error, self._error = self._error, None
                    if error is not None:
                        raise error
                    return
            # A cut that fell on a frame nobody saw is still a cut.
            yield replace(frame, dropped=frame.dropped + missed, cut=frame.cut or cut)

    def _patience(self) -> float | None:
        """How long to wait for a frame, seconds; None for as long as it takes."""
        left = min(self.patience_s, max(0.0, self._until - time.monotonic()))
        return None if math.isinf(left) else min(left, threading.TIMEOUT_MAX)

    def _take(self) -> None:
        try:
            for frame in self._source:
                with self._news:
                    if self._frame is not None:
                        self._missed += 1
                        self._cut |= self._frame.cut
                    self._frame = frame
                    self._news.notify()
                if self._stop:
                    break
        except BaseException as error:  # raised in the consumer's thread, where it belongs
            self._error = error
        finally:
            with self._news:
                self._ended = True
                self._news.notify()


@contextmanager
def device_calibration(maker: str) -> Iterator[None]:
    """Name the device in errors of a camera that is made of what the device reports."""
    try:
        yield
    except CadstnError as error:
        hint = "the device's calibration is empty; recalibrate it"
        raise CadstnError(error.what, where=maker, hint=hint) from None
