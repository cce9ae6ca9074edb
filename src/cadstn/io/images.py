"""One depth image in a file: PNG, TIFF, PGM, NPY or EXR, as raw values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io.arrays import load_npy, read_regular
from cadstn.io.png import MAX_PIXELS, read_header, still_image

#: Endings of files that hold one depth image.
IMAGES = (".png", ".tif", ".tiff", ".pgm", ".npy", ".exr")
_GAP = rb"(?:\s|#[^\n]*\n)*"  # blanks, and comments to the ends of their lines
_PGM = re.compile(_GAP + rb"(P[25])" + 3 * (rb"\s" + _GAP + rb"(\d{1,20})") + rb"(?=\s|\Z)")
_HINT = "copy or record the frame again; it is left out until then"


def read_image(file: Path, camera: Camera) -> NDArray[Any]:
    """Read the raw values of an image: (H, W), or (H, W, 3) blue first for NYU's packing.

    Args:
        file: with one of the endings `IMAGES`, whatever the case.
        camera: that took it; its size and encoding are checked before a decoder runs.

    Raises:
        CadstnError: if it is no such image, damaged, of another size or too large.
        OSError: if it cannot be read.
    """
    ending = file.suffix.lower()
    if ending == ".npy":
        raw = load_npy(file)
        if raw.ndim == 4 or (raw.ndim == 3 and raw.shape[2] not in (1, 3)):
            raise CadstnError(
                f"holds {raw.shape[0]} frames, where each file of a folder holds one",
                hint="give the file itself as the recording",
            )
    elif ending == ".png":
        raw = _png(read_regular(file), camera)
    elif ending == ".pgm":
        raw = _pgm(read_regular(file), camera)
    else:
        kind = "exr" if ending == ".exr" else "tiff"
        data = read_regular(file)
        starts = (
            (b"\x76\x2f\x31\x01",) if kind == "exr" else (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
        )
        if not data.startswith(starts):
            raise CadstnError(f"no {kind} image, it begins with {data[:8]!r}", hint=_HINT)
        from cadstn.io.decoder import decode  # here, because it imports subprocess

        raw = decode(kind, data)
    return raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw


def _png(data: bytes, camera: Camera) -> NDArray[Any]:
    import cv2  # here, because it takes longer to import than all of this package

    header = read_header(data)
    camera.sized(header.width, header.height)  # before decoding: a header may claim any size
    whole = still_image(data)
    shape = (1, 1) if header.channels == 1 else (1, 1, header.channels)
    one_pixel = np.zeros(shape, np.uint16 if header.bits == 16 else np.uint8)
    camera.depth_mm(one_pixel)  # refuses what is not of the camera's encoding
    try:
        raw = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        raw = None
    if raw is None:
        raise CadstnError("PNG without readable pixels", hint=_HINT)
    return np.asarray(raw)


def _pgm(data: bytes, camera: Camera) -> NDArray[Any]:
    """Netpbm's grey images, binary (P5) and in text (P2)."""
    head = _PGM.match(data)
    if head is None:
        raise CadstnError(f"no PGM image, it begins with {data[:8]!r}", hint=_HINT)
    kind, place = head[1], head.end()
    width, height, most = (int(number) for number in head.groups()[1:])
    if not (0 < width * height <= MAX_PIXELS and 0 < most <= 65535):
        raise CadstnError(f"PGM of {width}x{height} pixels up to {most}", hint=_HINT)
    camera.sized(width, height)
    dtype = np.dtype(">u2" if most > 255 else "u1")
    if kind == b"P5":
        held, need = len(data) - place - 1, width * height * dtype.itemsize
        if held < need:
            raise CadstnError(f"PGM cut off after {len(data)} bytes", hint=_HINT)
        flat = np.frombuffer(data, dtype, width * height, place + 1)
    else:
        words = data[place:].split()
        if len(words) != width * height or not all(w.isdigit() and len(w) < 6 for w in words):
            raise CadstnError(f"PGM of {len(words)} numbers for {width}x{height}", hint=_HINT)
        flat = np.array(words, dtype=np.int64)
        if flat.max() > most:
            raise CadstnError(f"PGM with {flat.max()} where {most} is the most", hint=_HINT)
    return flat.reshape(height, width).astype(np.uint16 if most > 255 else np.uint8)
