"""One file of a recording: a frame's PNG, the arrays of an ``.npz``, and what is wrong with it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io.whole import write_bytes

Arrays = Mapping[str, Any]  # of NumPy arrays
_FRAME_MEND = "copy or record the frame again; it is left out until then"


@contextmanager
def told_of(where: object) -> Iterator[None]:
    """Name the file in errors that do not know it, and make the system's errors ours."""
    try:
        yield
    except CadstnError as error:
        if error.where is not None:
            raise
        raise CadstnError(error.what, where=where, mend=error.mend) from None
    except OSError as error:
        raise CadstnError(
            f"cannot read or write ({error.strerror or error})",
            where=where,
            mend="check its permissions and the space left",
        ) from None


def load_npz(path: Path, keys: Sequence[str]) -> Arrays:
    """Those of the arrays that an ``.npz`` file holds; never unpickles."""
    try:
        # Opened here, because np.load leaves a file open that turns out to be damaged.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            return {key: np.asarray(archive[key]) for key in keys if key in archive.files}
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds on damaged files
        why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise CadstnError(f"not a readable .npz file ({why})", mend="write it again") from None


def write_png(file: Path, units: NDArray[np.uint16], camera: Camera) -> None:
    """Write one raw frame in the camera's encoding, whole or not at all."""
    import cv2  # here, because it takes longer to import than all of this package

    image: NDArray[Any] = units
    if camera.encoding == "nyu":  # green * 256 + blue; OpenCV writes blue first
        image = np.stack([units & 255, units >> 8, units & 0], axis=-1).astype(np.uint8)
    made, data = cv2.imencode(".png", image)
    if not made:
        raise CadstnError("OpenCV cannot make a PNG of it", where=file)
    write_bytes(file, data.tobytes(), durable=False)


def read_png(file: Path, camera: Camera) -> DepthMm:
    """Read one frame into mm; raises CadstnError naming the file."""
    import cv2

    with told_of(file):
        data = file.read_bytes()  # not cv2.imread, which fails on non-ASCII paths on Windows
        camera.sized(*_png_size(data))  # before decoding: a header may claim any size
        try:
            raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            raw = None
        if raw is None:
            raise CadstnError("PNG without readable pixels", mend=_FRAME_MEND)
        return to_mm(raw, camera)


def to_mm(raw: NDArray[Any], camera: Camera) -> DepthMm:
    """Raw image -> (H, W) mm of the camera's size, with at least one pixel measured."""
    camera.sized(raw.shape[1], raw.shape[0])
    depth = camera.depth_mm(raw)
    if not depth.any():
        units = raw if raw.ndim == 2 else raw[..., 1] * np.uint16(256) + raw[..., 0]
        low, high = int(units.min()), int(units.max())
        seen = f"every pixel is {low}" if low == high else f"pixels {low} to {high}"
        raise CadstnError(
            f"nothing measured: {seen}", mend="check the sensor, and 'invalid' in camera.json"
        )
    return depth


def _png_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG that is whole.

    Some versions of OpenCV fill what a cut-off file lacks with zeros and only print that they did,
    so the chunks are counted and their checksums compared before it sees the file.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise CadstnError(f"not a PNG, it begins with {data[:8]!r}", mend=_FRAME_MEND)
    start, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[start : start + 4], "big")
        end = start + length + 12
        if end > len(data):
            raise CadstnError(f"PNG cut off after {len(data)} bytes", mend=_FRAME_MEND)
        kind = data[start + 4 : start + 8]
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise CadstnError(f"PNG damaged near byte {start}", mend=_FRAME_MEND)
        start = end
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
