"""A video that browsers play: VP9 in WebM through PyAV, VP8 where PyAV is missing.

The extra ``video`` brings PyAV (BSD), whose wheels hold libvpx; of the other encoders in them, such
as x264 (GPL), none is used. OpenCV's wheels encode as well, but take no settings: their VP9 is no
smaller than their VP8 and takes four times as long. Both codecs are free of patent licences. What
is written is 3/4 as large as what is drawn.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import cv2
import numpy as np

from cadstn.errors import CadstnError
from cadstn.tracking.views import Image

#: OpenCV's file endings and codecs, the first that opens is taken.
FORMATS = ((".webm", "VP80"), (".mp4", "mp4v"))
#: Of libvpx: its fastest VP9 with a constant quality, chosen by eye on lines and letters.
_VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "36", "b": "0", "threads": "1"}
_SHARE = 0.75
_FASTEST = 1000.0  # frames a second: WebM counts milliseconds
#: Why there is none, where nothing failed.
NO_VIDEO = "no format takes so many frames a second, or the folder's name is not UTF-8"
_WAITING = 8  # pictures; a recording's tracker that is faster than the encoder waits for it
_PAUSE_S = 0.002  # of a tracker that waits; a picture takes the encoder longer
#: Frames, repeats among them, at which a live source's next picture is left out: the end waits for
#: the encoder no longer than it takes for these.
_WAITING_FRAMES = 60


class _Writer(Protocol):
    def write(self, picture: Image) -> Any: ...

    def release(self) -> Any: ...


class VideoFile:
    """Writes pictures to a video.

    Args:
        stem: path of the file without its ending.
        fps: frames a second.
        background: encode on a thread of its own; without it what runs between two pictures has
            the processor for itself.
        live: leave pictures out where the encoder is too slow, rather than hold up what makes them;
            needs ``background``.

    Attributes:
        path: the file; None before the first picture, and where no format takes the pictures or
            the path is not UTF-8.
        frames: how many were written.
        left_out: how many were not, see ``live``; so much shorter is the video.
    """

    def __init__(
        self, stem: Path, fps: float, *, background: bool = False, live: bool = False
    ) -> None:
        self._stem, self._fps, self._background, self._live = stem, fps, background, live
        self.path: Path | None = None
        self.frames = self.left_out = 0
        self._encoded = 0  # the thread's own count
        self._size = (0, 0)
        # Queue's wakening of the thread is lost where Ctrl-C comes within it, and close() waits for
        # ever; SimpleQueue.put cannot be interrupted.
        self._pictures: SimpleQueue[tuple[Image, int] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writer: _Writer | None = None

    def write(self, picture: Image, times: int = 1) -> None:
        """Add a picture, ``times`` times; one of another size is fitted to the first's."""
        if self._size == (0, 0):
            height, width = picture.shape[:2]
            self._size = (2 * round(width * _SHARE / 2), 2 * round(height * _SHARE / 2))
            self._writer = self._opened()
            if self._background and self._writer is not None:
                self._thread = threading.Thread(
                    target=self._encode, args=(self._writer,), name="cadstn-video", daemon=True
                )
                self._thread.start()
        if self._writer is None:
            return
        waiting = self.frames - self._encoded
        late = self._full() or (waiting and waiting + times > _WAITING_FRAMES)
        if self._live and self._thread is not None and late:
            self.left_out += times
            return
        small = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self.frames += times
        if self._thread is None:
            _repeat(self._writer, small, times)
        else:
            while self._full():
                time.sleep(_PAUSE_S)
            self._pictures.put((small, times))

    def close(self) -> None:
        """Write what is waiting and finish the file; a second call does nothing."""
        if self._thread is not None:
            self._pictures.put(None)
            self._thread.join()
            self._thread = None
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def check(self) -> None:
        """Raise CadstnError where the file does not hold its frames: writers hide a full disk."""
        if self.path is None:
            return
        with _quiet():
            video = cv2.VideoCapture(str(self.path))
        # Of a file without an end OpenCV counts a negative number.
        held = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))) if video.isOpened() else 0
        video.release()
        if held <= 0 or abs(held - self.frames) > 1:  # WebM counts by its duration
            raise CadstnError(
                f"{self.path.name} could not be written ({held} of {self.frames} frames)",
                hint="make room, or give another --out",
            )

    def _opened(self) -> _Writer | None:
        if self._fps > _FASTEST or not _is_utf8(self._stem):
            return None
        writer = _vp9(self._stem.with_suffix(".webm"), self._fps, self._size)
        if writer is not None:
            self.path = self._stem.with_suffix(".webm")
            return writer
        for ending, codec in FORMATS:
            path = self._stem.with_suffix(ending)
            with _quiet():
                fourcc = cv2.VideoWriter.fourcc(*codec)
                opencv = cv2.VideoWriter(str(path), fourcc, self._fps, self._size)
            if opencv.isOpened():
                self.path = path
                return opencv
            path.unlink(missing_ok=True)
        return None

    def _full(self) -> bool:
        return self._pictures.qsize() >= _WAITING

    def _encode(self, writer: _Writer) -> None:
        while (waiting := self._pictures.get()) is not None:
            _repeat(writer, *waiting)
            self._encoded += waiting[1]


def _repeat(writer: _Writer, picture: Image, times: int) -> None:
    for _ in range(times):
        writer.write(picture)


class _Vp9:
    """Encodes by PyAV, in the manner of OpenCV's writer: what fails is seen in the file."""

    def __init__(self, file: Any, stream: Any, errors: type[Exception]) -> None:
        self._file, self._stream, self._errors = file, stream, errors
        self._failed = False

    def write(self, picture: Image) -> None:
        from av import VideoFrame

        self._mux(VideoFrame.from_ndarray(picture, format="bgr24"))

    def release(self) -> None:
        self._mux(None)
        with suppress(self._errors):
            self._file.close()

    def _mux(self, frame: Any) -> None:
        if self._failed:
            return
        try:
            self._file.mux(self._stream.encode(frame))
        except self._errors:
            self._failed = True


def _vp9(path: Path, fps: float, size: tuple[int, int]) -> _Writer | None:
    """Open a VP9 file; None where PyAV or its encoder is missing, or the file cannot be made."""
    try:
        import av
    except ImportError:
        return None
    from fractions import Fraction

    try:
        file = av.open(str(path), "w")
        rate = Fraction(fps).limit_denominator(1001)
        stream = file.add_stream("libvpx-vp9", rate=rate, options=_VP9)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.open()
    except (av.FFmpegError, ValueError):
        path.unlink(missing_ok=True)
        return None
    return _Vp9(file, stream, av.FFmpegError)


def _is_utf8(path: Path) -> bool:
    """Whether a path is UTF-8; on another one OpenCV crashes."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep C's words off standard error: OpenCV prints that WebM has no such tag, and writes it."""
    try:
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
