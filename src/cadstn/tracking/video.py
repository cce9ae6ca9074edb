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
    """Writes pictures to a video on a thread of its own.

    Args:
        stem: path of the file without its ending.
        fps: frames a second.

    Attributes:
        path: the file; None before the first picture, and where no format takes the pictures.
        frames: how many were written.
    """

    def __init__(self, stem: Path, fps: float) -> None:
        self._stem, self._fps = stem, fps
        self.path: Path | None = None
        self.frames = 0
        self._size = (0, 0)
        self._pictures: Queue[Image | None] = Queue(_WAITING)
        self._thread: threading.Thread | None = None

    def write(self, picture: Image, times: int = 1) -> None:
        """Add a picture, ``times`` times; one of another size is fitted to the first's."""
        if self._thread is None:
            height, width = picture.shape[:2]
            self._size = (2 * round(width * _SHARE / 2), 2 * round(height * _SHARE / 2))
            writer = self._opened()
            self._thread = threading.Thread(
                target=self._encode, args=(writer,), name="cadstn-video", daemon=True
            )
            self._thread.start()
        if self.path is None:
            return
        small = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        for _ in range(times):
            self._pictures.put(small)
            self.frames += 1

    def close(self) -> None:
        """Write what is waiting and finish the file; a second call does nothing."""
        if self._thread is not None and self._thread.is_alive():
            self._pictures.put(None)
            self._thread.join()

    def check(self) -> None:
        """Raise CadstnError where the file does not hold its frames: OpenCV hides a full disk."""
        if self.path is None:
            return
        video = cv2.VideoCapture(str(self.path))
        held = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        video.release()
        if abs(held - self.frames) > 1:  # WebM counts by its duration
            raise CadstnError(
                f"{self.path.name} could not be written ({held} of {self.frames} frames)",
                where=self.path.parent,
                mend="make room, or give another --out",
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

    def _encode(self, writer: cv2.VideoWriter | None) -> None:
        while (picture := self._pictures.get()) is not None:
            if writer is not None:
                writer.write(picture)
        if writer is not None:
            writer.release()


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
