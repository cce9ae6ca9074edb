"""What becomes of tracked frames in ``cadstn live``: a view, lines, a video; whole files."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

import cv2

from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import Skeleton
from cadstn.tracking.live import JsonLines, Tracked
from cadstn.tracking.rerun_view import RerunView
from cadstn.tracking.views import Image, overlay
from cadstn.tracking.window import PlainWindow

#: ``window`` is rerun's where it is installed, and else the plain one.
VIEWS = ("window", "plain", "browser", "file")
_LINES, _VIDEO, _VIEW = "joints.jsonl", "live.mp4", "view.rrd"
#: A video repeats a picture for frames that were dropped, so that it keeps time; at most so often.
_MOST_REPEATS = 300


class _View(Protocol):
    """Shows frames; ``closed`` when the user wants no more of it."""

    url: str | None

    @property
    def closed(self) -> bool: ...

    def __call__(self, seen: Tracked, picture: Callable[[], Image]) -> None: ...

    def close(self) -> None: ...


class Listeners:
    """Hands each tracked frame to everything that was asked for.

    Files are valid whenever it ends: a line is written whole, the video is closed on the way out.

    Args:
        skeleton: of the tracker.
        out: folder for ``joints.jsonl`` and ``live.mp4``; None for no files.
        emit: where to write lines as well, None for nowhere.
        convention: order of the joints in the lines, see `cadstn.tracking.conventions`.
        view: one of `VIEWS`, or None.

    Attributes:
        written: the files that were made.
        url: where a browser finds the view; None unless it is one for a browser.

    Raises:
        CadstnError: if the folder cannot be made or written to, the view does not start, or the
            skeleton cannot be put into that order.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        out: Path | None,
        emit: TextIO | None,
        convention: str = "hand21",
        view: str | None = None,
    ) -> None:
        self._skeleton, self._out = skeleton, out
        self._video: cv2.VideoWriter | None = None
        self._size: tuple[int, int] | None = None
        self._dropped = 0
        self.written: list[Path] = []
        if out is None and view == "file":
            raise CadstnError("--view file writes view.rrd", mend="say where: --out DIR")
        # If one of them fails, those before it are closed again.
        with ExitStack() as opened:
            lines: list[JsonLines] = []
            if out is not None:
                file = opened.enter_context(_opened(out))
                lines.append(JsonLines(file, skeleton, convention))
                self.written.append(out / _LINES)
            if emit is not None:
                lines.append(JsonLines(emit, skeleton, convention))
            self._lines = lines
            self._view: _View | None = None
            if view is not None:
                path = out / _VIEW if out is not None and view == "file" else None
                self._view = _make_view(skeleton, view, path)
                opened.callback(self._view.close)
                self.written += [path] if path is not None else []
            self._closing = opened.pop_all()

    @property
    def closed(self) -> bool:
        """Whether the user has closed the window, and with it asked for the end."""
        return self._view is not None and self._view.closed

    @property
    def url(self) -> str | None:
        """See the class."""
        return None if self._view is None else self._view.url

    def __call__(self, seen: Tracked) -> None:
        """Pass a frame on.

        Raises:
            CadstnError: if something cannot be written any more, such as on a full disk.
        """
        picture = cache(lambda: self._draw(seen))  # drawn once, and only if somebody looks
        for line in self._lines:
            line(seen)
        if self._view is not None:
            self._view(seen, picture)
        if self._out is not None:
            self._film(seen, picture(), self._out / _VIDEO)

    def _draw(self, seen: Tracked) -> Image:
        frame = seen.frame
        caption = f"{frame.time_s:.2f} s  {seen.hand.how}  {seen.took_ms:.1f} ms"
        caption += f"  {frame.dropped} dropped" if frame.dropped else ""
        first, *others = seen.hands
        return overlay(frame.depth_mm, frame.camera, first, self._skeleton, caption, others)

    def _film(self, seen: Tracked, picture: Image, path: Path) -> None:
        frame = seen.frame
        size = (picture.shape[1], picture.shape[0])
        if self._video is None:
            self._size = size
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(path), fourcc, frame.camera.fps, size)
            if not self._video.isOpened():
                raise CadstnError("OpenCV cannot write MPEG-4 here", where=path)
            self.written.append(path)
            self._dropped = frame.dropped
        # A video has one size; another camera's frames are fitted into it.
        fitted = picture if size == self._size else cv2.resize(picture, self._size)
        missed, self._dropped = frame.dropped - self._dropped, frame.dropped
        for _ in range(1 + min(max(missed, 0), _MOST_REPEATS)):
            self._video.write(fitted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._video is not None:
            self._video.release()
        with suppress(OSError):  # of a full disk, which was told when the line was written
            self._closing.close()


class StatusLine:
    """Says on a terminal, once a second, how tracking does; for those who asked for nothing else.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._since, self._frames = stream, time.monotonic(), 0

    def __call__(self, seen: Tracked) -> None:
        """Count a frame."""
        self._frames += 1
        passed = time.monotonic() - self._since
        if passed < 1.0:
            return
        found = sum(hand.found for hand in seen.hands)
        hands = f"{found} of {len(seen.hands)} hands" if len(seen.hands) > 1 else seen.hand.how
        text = (
            f"{seen.frame.time_s:.0f} s: {self._frames / passed:.0f} frames a second, {hands}, "
            f"{seen.took_ms:.1f} ms, {seen.frame.dropped} dropped, {seen.bad} bad"
        )
        # What comes next is written over it.
        self._stream.write(f"{text:<79}\r")
        self._stream.flush()
        self._since, self._frames = time.monotonic(), 0


class _Window:
    """The plain window as a view."""

    url: str | None = None

    def __init__(self) -> None:
        self._window = PlainWindow()
        self.close = self._window.close

    @property
    def closed(self) -> bool:
        return self._window.closed

    def __call__(self, seen: Tracked, picture: Callable[[], Image]) -> None:
        self._window.show(picture())


def _make_view(skeleton: Skeleton, view: str, path: Path | None) -> _View:
    if view == "plain" or (view == "window" and find_spec("rerun") is None):
        return _Window()
    return RerunView(skeleton, view, path)


def _opened(out: Path) -> TextIO:
    try:
        out.mkdir(parents=True, exist_ok=True)
        return (out / _LINES).open("w", encoding="utf-8")
    except OSError as error:
        raise CadstnError(
            f"cannot write ({error.strerror or error})", where=out, mend="another --out"
        ) from None
