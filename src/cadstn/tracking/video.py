"""A video that browsers play: VP8 in WebM, which OpenCV's own wheels write, else MPEG-4.

PyAV and imageio-ffmpeg ship x264, whose licence is the GPL; OpenCV's FFmpeg is LGPL, has no H.264
encoder, and takes 2 times as long for VP9 as for VP8 at 0.8 of the size. VP8 has no patent licence
to ask for, and every browser plays it. What is written is 3/4 as large as what is drawn.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import cv2
import numpy as np

from cadstn.errors import CadstnError
from cadstn.tracking.views import Image

#: File endings and codecs, the first that opens is taken.
FORMATS = ((".webm", "VP80"), (".mp4", "mp4v"))
_SHARE = 0.75
_WAITING = 8  # pictures; a tracker that is faster than the encoder waits for it


class VideoFile:
    """Writes pictures to a video.

    Args:
        stem: path of the file without its ending.
        fps: frames a second.
        background: encode on a thread of its own, for a live source; without it what runs between
            two pictures has the processor for itself.

    Attributes:
        path: the file; None before the first picture, and where no format takes the pictures.
        frames: how many were written.
    """

    def __init__(self, stem: Path, fps: float, *, background: bool = False) -> None:
        self._stem, self._fps, self._background = stem, fps, background
        self.path: Path | None = None
        self.frames = 0
        self._size = (0, 0)
        self._pictures: Queue[Image | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._writer: cv2.VideoWriter | None = None

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
        small = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        for _ in range(times):
            if self._thread is None:
                self._writer.write(small)
            else:
                self._pictures.put(small)
            self.frames += 1

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
        """Raise CadstnError where the file does not hold its frames: OpenCV hides a full disk."""
        if self.path is None:
            return
        with _quiet():
            video = cv2.VideoCapture(str(self.path))
        held = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if held <= 0 or abs(held - self.frames) > 1:  # WebM counts by its duration
            raise CadstnError(
                f"{self.path.name} could not be written ({held} of {self.frames} frames)",
                hint="make room, or give another --out",
            )

    def _opened(self) -> cv2.VideoWriter | None:
        for ending, codec in FORMATS:
            path = self._stem.with_suffix(ending)
            with _quiet():
                fourcc = cv2.VideoWriter.fourcc(*codec)
                writer = cv2.VideoWriter(str(path), fourcc, self._fps, self._size)
            if writer.isOpened():
                self.path = path
                return writer
            path.unlink(missing_ok=True)
        return None

    def _encode(self, writer: cv2.VideoWriter) -> None:
        while (picture := self._pictures.get()) is not None:
            writer.write(picture)


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
