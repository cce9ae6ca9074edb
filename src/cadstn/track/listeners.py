"""What becomes of tracked frames in ``cadstn live``: a view, lines, a video; whole files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import cv2

from cadstn.errors import CadstnError
from cadstn.skeleton import Skeleton
from cadstn.track.live import JsonLines, Tracked
from cadstn.track.rerun_view import RerunView
from cadstn.track.views import overlay

_LINES, _VIDEO, _VIEW = "joints.jsonl", "live.mp4", "view.rrd"


class Listeners:
    """Hands each tracked frame to everything that was asked for.

    Files are valid whenever it ends: a line is written whole, the video is closed on the way out.

    Args:
        skeleton: of the tracker.
        out: folder for ``joints.jsonl`` and ``live.mp4``; None for no files.
        emit: where to write lines as well, None for nowhere.
        convention: order of the joints in the lines, see `cadstn.track.conventions`.
        view: one of `cadstn.track.rerun_view.WAYS`, or None.

    Attributes:
        written: the files that were made.

    Raises:
        CadstnError: if the folder cannot be made, or the view does not start.
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
        self._closing = ExitStack()
        self.written: list[Path] = []
        if out is None and view == "file":
            raise CadstnError("--view file writes view.rrd", mend="say where: --out DIR")
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
                lines = self._closing.enter_context((out / _LINES).open("w", encoding="utf-8"))
            except OSError as error:
                raise CadstnError(
                    f"cannot write ({error.strerror or error})", where=out, mend="another --out"
                ) from None
            self.written.append(out / _LINES)
        streams = ([lines] if out is not None else []) + ([emit] if emit is not None else [])
        self._lines = [JsonLines(stream, skeleton, convention) for stream in streams]
        self._view: RerunView | None = None
        if view is not None:
            path = out / _VIEW if out is not None and view == "file" else None
            self._view = RerunView(skeleton, view, path)
            self._closing.callback(self._view.close)
            self.written += [path] if path is not None else []

    def __call__(self, seen: Tracked) -> None:
        """Pass a frame on."""
        for line in self._lines:
            line(seen)
        if self._view is not None:
            self._view(seen)
        if self._out is not None:
            self._film(seen, self._out / _VIDEO)

    def _film(self, seen: Tracked, path: Path) -> None:
        frame = seen.frame
        caption = f"{frame.time_s:.2f} s  {seen.hand.how}  {seen.took_ms:.1f} ms"
        caption += f"  {frame.dropped} dropped" if frame.dropped else ""
        first, *others = seen.hands
        picture = overlay(frame.depth_mm, frame.camera, first, self._skeleton, caption, others)
        size = (picture.shape[1], picture.shape[0])
        if self._video is None:
            self._size = size
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(path), fourcc, frame.camera.fps, size)
            if not self._video.isOpened():
                raise CadstnError("OpenCV cannot write MPEG-4 here", where=path)
            self.written.append(path)
        # A video has one size; another camera's frames are fitted into it.
        self._video.write(picture if size == self._size else cv2.resize(picture, self._size))

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
        self._closing.close()
