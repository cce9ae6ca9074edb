"""Azure Kinect's ``.mkv`` recordings: their depth track, through PyAV (the extra ``video``).

Layout: "Azure Kinect DK recording file format", Microsoft; depth is the track DEPTH, 16 bits a
pixel, big-endian (b16g), millimetres.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library
from cadstn.io.png import MAX_PIXELS

_NAME, _FORMAT = "DEPTH", "gray16be"
_OTHERWISE = (
    "ffmpeg -i FILE.mkv -map 0:1 -fps_mode passthrough depth/%06d.png, then track depth "
    "--camera FX,FY,CX,CY"
)


class AzureDepth(NamedTuple):
    """The depth track of a recording."""

    path: Path  # the file
    times_s: NDArray[np.float64]  # (N,) from the first

    def frames(self, first: int = 0) -> Iterator[NDArray[Any] | CadstnError]:
        """Raw frames (H, W) uint16 mm from an index on.

        In place of a damaged one stands its error, so that the others keep their places.
        """
        with _track(self.path) as (file, stream):
            packets = (packet for packet in file.demux(stream) if packet.pts is not None)
            for packet in islice(packets, first, None):
                yield _frame(packet)


def open_azure(path: Path) -> AzureDepth:
    """Find the depth track of an ``.mkv`` file.

    Raises:
        CadstnError: if PyAV is missing, the file is damaged, or no depth track is in it.
    """
    with _track(path) as (file, stream):
        stamps = [packet.pts for packet in file.demux(stream) if packet.pts is not None]
        times = np.array(stamps, np.float64) * float(stream.time_base)
    if not times.size:
        raise CadstnError("its depth track holds no frames", where=path)
    return AzureDepth(path, times - times[0])


def _frame(packet: Any) -> NDArray[Any] | CadstnError:
    """The one frame of a packet, which is not compressed, or why there is none."""
    try:
        for frame in packet.decode():
            return np.asarray(frame.to_ndarray())
        why = "no picture in it"
    except Exception as error:  # PyAV's are of several classes, some of them built-in ones
        why = " ".join(str(error).split())[:120]
    return CadstnError(f"a damaged frame ({why})", hint="record or copy it again")


@contextmanager
def _track(path: Path) -> Iterator[tuple[Any, Any]]:
    with library(
        "Azure Kinect's .mkv needs PyAV", "video", otherwise=f"; or {_OTHERWISE}", where=path
    ):
        import av
    try:
        with av.open(str(path)) as file:
            stream = next((s for s in file.streams.video if _is_depth(s)), None)
            if stream is None:
                held = ", ".join(str(s.metadata.get("title", s.type)) for s in file.streams)
                raise CadstnError(
                    f"no depth track among: {held or 'none'}",
                    where=path,
                    hint="give the .mkv file that k4arecorder wrote, with its depth mode on",
                )
            yield file, stream
    except av.FFmpegError as error:
        raise CadstnError(
            f"not a readable .mkv file ({error.strerror})", where=path, hint="copy it again"
        ) from None


def _is_depth(stream: Any) -> bool:
    context = stream.codec_context
    if stream.metadata.get("title") != _NAME or context.pix_fmt != _FORMAT:
        return False
    return bool(0 < context.width * context.height <= MAX_PIXELS)
