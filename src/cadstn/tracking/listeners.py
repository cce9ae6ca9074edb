"""What becomes of tracked frames in ``cadstn live``: a view, lines, a video; whole files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from shutil import get_terminal_size
from typing import Protocol, Self, TextIO

from cadstn.errors import CadstnError
from cadstn.geometry.plausible import describe_scene
from cadstn.geometry.skeleton import Skeleton
from cadstn.io.whole import alone_in, writing
from cadstn.io.workers import ENDING, ignored
from cadstn.tracking.live import JsonLines, Tracked
from cadstn.tracking.rerun_view import RerunView
from cadstn.tracking.serve import PageView
from cadstn.tracking.video import FORMATS, VideoFile
from cadstn.tracking.views import Image, in_front, overlay
from cadstn.tracking.window import PlainWindow

_LINES, _VIDEO, _VIEW = "joints.jsonl", "live", "view.rrd"
_LINES_PART = f"{_LINES}.part"
#: While it is written; rerun opens files of this ending alone.
_VIEW_PART = "view-part.rrd"
#: A video repeats a picture for frames that were dropped, so that it keeps time; at most so often.
_MOST_REPEATS = 300
_VIDEOS = tuple(f"{_VIDEO}{ending}" for ending, _ in FORMATS)


class _View(Protocol):
    """Shows frames; ``closed`` when the user wants no more of it."""

    url: str | None

    @property
    def closed(self) -> bool: ...

    def __call__(self, seen: Tracked, picture: Callable[[], Image]) -> None: ...

    def close(self) -> None: ...


class Listeners:
    """Passes each tracked frame to every output of the request.

    Files are written beside earlier ones, as ``joints.jsonl.part``, ``live-part.webm`` and
    ``view-part.rrd``, and take the place of the earlier ones at the end; those that this session
    does not write are removed. After a kill or on a full disk the parts hold what was written, and
    the earlier files stay. The next session keeps such parts as ``joints-1.jsonl``, ``live-1.webm``
    and ``view-1.rrd``, or under the next free number.

    Args:
        skeleton: of the tracker.
        out: folder for ``joints.jsonl``, ``live.webm`` and the view's file; None for no files.
        emit: where to write lines as well, None for nowhere.
        convention: order of the joints in the lines, see `cadstn.tracking.conventions`.
        view: ``window`` (rerun's where it is installed, and else the plain one), ``plain``,
            ``browser`` or ``file``; None for none.
        pose: whether the lines hold angles, gesture and wrist, see `JsonLines`.
        serve: address and port at which a page shows the frames, see `PageView`; None for no page.
        live: whether frames come while one is passed on: the video then leaves pictures out rather
            than hold them up.

    Attributes:
        written: the files that were made.
        kept: what a session that was cut off left, under its new names.
        url: where a browser finds the page or the view; None unless one is for a browser.

    Raises:
        CadstnError: if the folder cannot be made or written to, another process writes into it, the
            view does not start, or the skeleton cannot be put into that order.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        out: Path | None,
        emit: TextIO | None,
        convention: str = "hand21",
        view: str | None = None,
        pose: bool = False,
        serve: tuple[str, int] | None = None,
        live: bool = False,
    ) -> None:
        self._skeleton, self._out, self._live = skeleton, out, live
        self._video: VideoFile | None = None
        self._view_part: Path | None = None
        self._dropped = 0
        self._torn = False  # whether the file's last line may have been written in part
        self._any = False  # whether a frame was passed on
        self.written: list[Path] = []
        self.kept: list[Path] = []
        if out is None and view == "file":
            raise CadstnError("--view file writes view.rrd", hint="add --out DIR")
        # If one of them fails, those before it are closed again.
        with ExitStack() as held, ExitStack() as opened:
            self._lines: list[JsonLines] = []
            if out is not None:
                held.enter_context(alone_in(out))
                self.kept = _kept(out)
                file = opened.enter_context(_opened(out))
                self._lines.append(JsonLines(file, skeleton, convention, pose=pose))
                self.written.append(out / _LINES)
            if emit is not None:
                self._lines.append(JsonLines(emit, skeleton, convention, pose=pose))
            self._views: list[_View] = []
            if serve is not None:
                self._views.append(PageView(skeleton, *serve))
                opened.callback(self._views[-1].close)
            if view is not None:
                path = out / _VIEW_PART if out is not None and view == "file" else None
                self._views.append(_make_view(skeleton, view, path))
                opened.callback(self._views[-1].close)
                self._view_part = path
            self._closing, self._held = opened.pop_all(), held.pop_all()

    @property
    def closed(self) -> bool:
        """Whether the user has closed the window, which requests the end."""
        return any(view.closed for view in self._views)

    @property
    def url(self) -> str | None:
        """See the class."""
        return next((view.url for view in self._views if view.url is not None), None)

    @property
    def unfilmed(self) -> bool:
        """Whether no video was written, see `cadstn.tracking.video.NO_VIDEO`."""
        return self._video is not None and self._video.path is None

    @property
    def left_out(self) -> int:
        """How many frames the video lacks because it was made slower than they came."""
        return 0 if self._video is None else self._video.left_out

    @property
    def full(self) -> bool:
        """Whether ``view.rrd`` has reached its size; depth is left out of it from then on."""
        return any(getattr(view, "full", False) for view in self._views)

    def __call__(self, seen: Tracked) -> None:
        """Pass a frame on.

        Raises:
            CadstnError: if something cannot be written any more, such as on a full disk.
        """
        self._any = True
        picture = cache(lambda: self._draw(seen))  # drawn once, and only if an output needs it
        for place, line in enumerate(self._lines):
            try:
                line(seen)
            except (OSError, CadstnError):  # and no Ctrl-C, which comes between two lines
                self._torn |= place == 0  # the file's, where there is one
                raise
        for view in self._views:
            view(seen, picture)
        if self._out is not None:
            self._film(seen, picture(), self._out / f"{_VIDEO}-part")

    def _draw(self, seen: Tracked) -> Image:
        frame = seen.frame
        shown, others = in_front(seen.hands)
        caption = f"{frame.time_s:.2f} s  {shown.how}  {seen.took_ms:.1f} ms"
        caption += f"  {frame.dropped} dropped" if frame.dropped else ""
        return overlay(frame.depth_mm, frame.camera, shown, self._skeleton, caption, others)

    def _film(self, seen: Tracked, picture: Image, stem: Path) -> None:
        frame = seen.frame
        if self._video is None:
            self._video = VideoFile(stem, frame.camera.fps, background=True, live=self._live)
            self._dropped = frame.dropped
        missed, self._dropped = frame.dropped - self._dropped, frame.dropped
        self._video.write(picture, 1 + min(max(missed, 0), _MOST_REPEATS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with ignored(*ENDING), self._held:  # a second Ctrl-C would cut the files off
            # Nobody reads of an exit or an interrupt why the files are not in place.
            self._close(isinstance(error, Exception))

    def _close(self, failed: bool) -> None:
        if self._video is not None:
            self._video.close()
        try:
            self._closing.close()
        except OSError:  # of a full disk
            self._torn = True
        if self._out is None:
            return
        if not self._any:  # what an earlier session left stays
            (self._out / _LINES_PART).unlink(missing_ok=True)
            if self._view_part is not None:
                self._view_part.unlink(missing_ok=True)
            self.written.clear()
            return
        try:
            self._put_in_place(self._out)
        except CadstnError:
            if not failed:  # else the first error is reported
                raise

    def _put_in_place(self, out: Path) -> None:
        """Give the files their names.

        Raises:
            CadstnError: if one could not be written; then it keeps the name of a part.
        """
        with writing(out):
            if self._torn:
                raise CadstnError(f"{_LINES} could not be written", hint="is the disk full?")
            os.replace(out / _LINES_PART, out / _LINES)
            if self._view_part is not None:
                os.replace(self._view_part, out / _VIEW)
                self.written.append(out / _VIEW)
            if self._video is not None and self._video.path is not None:
                self._video.check()
                path = out / f"{_VIDEO}{self._video.path.suffix}"
                os.replace(self._video.path, path)
                self.written.append(path)
            # Of an earlier session, they would pass for this one's.
            for name in (_VIEW, *_VIDEOS):
                if out / name not in self.written:
                    (out / name).unlink(missing_ok=True)


class StatusLine:
    """Reports how tracking does, where no other output was requested.

    On a terminal once a second, each line over the one before; elsewhere a line every five seconds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._since, self._frames = stream, time.monotonic(), 0
        self._terminal = stream.isatty()
        self._every_s = 1.0 if self._terminal else 5.0

    def __call__(self, seen: Tracked) -> None:
        """Count a frame."""
        self._frames += 1
        passed = time.monotonic() - self._since
        if passed < self._every_s:
            return
        rate = self._frames / passed
        numbers = f"{rate:.0f} frames a second, {seen.took_ms:.1f} ms"
        numbers += f", {seen.frame.dropped} dropped, {seen.bad} bad"
        text = f"{seen.frame.time_s:.0f} s: {_in_view(seen)}; {numbers}"
        # On a terminal, what comes next is written over it.
        width = get_terminal_size((120, 24)).columns - 1
        self._stream.write(f"{text[:width]:<{width}}\r" if self._terminal else f"{text}\n")
        self._stream.flush()
        self._since, self._frames = time.monotonic(), 0


def _in_view(seen: Tracked) -> str:
    """Describe which hands are there and how far away, or the scene without one."""
    found = [hand for hand in seen.hands if hand.found]
    if not found:
        # A terminal may be too narrow for all: first what another place of the hand would change.
        why = f"{seen.refused}; " if seen.refused else ""
        return f"no hand: {why}{describe_scene(seen.frame.depth_mm)}"
    sides = [
        f"{hand.side if hand.side != 'unknown' else 'a'} hand {hand.center_mm[2] / 1000:.2f} m away"
        for hand in found
    ]
    return ", ".join(sides)


def _make_view(skeleton: Skeleton, view: str, path: Path | None) -> _View:
    if view == "plain" or (view == "window" and find_spec("rerun") is None):
        return PlainWindow()
    return RerunView(skeleton, view, path)


def _opened(out: Path) -> TextIO:
    with writing(out):
        return (out / _LINES_PART).open("w", encoding="utf-8")


def _kept(out: Path) -> list[Path]:
    """Give the parts of a session that was cut off names that no session takes; return these."""
    with writing(out):
        lines = out / _LINES_PART
        if not lines.is_file() or not _holds_hands(lines):
            return []
        parts = {lines: (Path(_LINES).stem, Path(_LINES).suffix)}
        for name in (_VIEW, *_VIDEOS):
            stem, ending = Path(name).stem, Path(name).suffix
            parts[out / f"{stem}-part{ending}"] = stem, ending
        parts = {part: names for part, names in parts.items() if part.is_file()}
        kept: list[Path] = []
        for number in count(1):
            kept = [out / f"{stem}-{number}{ending}" for stem, ending in parts.values()]
            if not any(os.path.lexists(path) for path in kept):
                break
        for part, path in zip(parts, kept, strict=True):
            os.rename(part, path)
        return kept


def _holds_hands(lines: Path) -> bool:
    """Whether there is more than the first line, which names the joints."""
    with lines.open("rb") as file:
        file.readline()
        return bool(file.readline())
