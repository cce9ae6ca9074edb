"""Each file reader on thousands of broken files: a value or one clear line, nothing else, in time.

Hypothesis draws what is broken: bytes flipped, cut, repeated, inserted, numbers made huge. In CI
all of it takes about ten seconds; ``make fuzz`` sets ``CADSTN_FUZZ`` to the cases a reader. Every
file that ever failed lies in `CORPUS` as the code that makes it.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cadstn.data.files import load_mat, parse_numbers, read_lines
from cadstn.data.icvl import read_labels as read_icvl
from cadstn.data.msra import CAMERA as MSRA
from cadstn.data.msra import read_bin
from cadstn.data.msra import read_labels as read_msra
from cadstn.errors import CadstnError
from cadstn.evaluate.predictions import load_predictions, read_joints_text
from cadstn.geometry.camera import Camera, parse_camera
from cadstn.io import open_recording
from cadstn.io.files import read_png
from cadstn.io.labels import read_labels

UNITS = np.random.default_rng(5).integers(400, 900, (2, 12, 16)).astype(np.uint16)
CAMERA = Camera(30.0, 30.0, 8.0, 6.0)


def png() -> bytes:
    return cv2.imencode(".png", UNITS[0])[1].tobytes()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def mat() -> bytes:
    scipy_io = pytest.importorskip("scipy.io")
    file = io.BytesIO()
    names = np.empty((1, 2), object)
    names[0] = ["a", "b"]
    values = {"joint_names": names, "joint_uvd": np.zeros((3, 2, 4, 3))}
    scipy_io.savemat(file, values)
    return file.getvalue()


def pgm() -> bytes:
    pixels: bytes = UNITS[0].astype(">u2").tobytes()
    return b"P5 16 12 65535\n" + pixels


def msra_bin() -> bytes:
    box = UNITS[0, :4, :5].astype("<f4")
    return np.array([320, 240, 3, 2, 8, 6], "<i4").tobytes() + box.tobytes()


TRUTH = np.random.default_rng(2).normal(500, 50, (2, 21, 3)).astype(np.float32)
JOINTS = npz(joints_xyz_mm=TRUTH, skeleton=np.array("hand21"), cuts=np.array([1]))
ROWS = "\n".join(" ".join(f"{v:.3f}" for v in row.ravel()) for row in TRUTH).encode()
ICVL_ROWS = b"\n".join(b"a/b_%04d.png " % i + b"1.5 " * 48 for i in range(3))
MSRA_ROWS = b"2\n" + b"\n".join(b"1 2 -300 " * 21 for _ in range(2))


def frames(path: Path) -> None:
    list(open_recording(path, CAMERA).frames(lambda bad: None))


def read_rows(path: Path) -> None:
    parse_numbers(path, read_lines(path, "m"), 63, first_line=1, hint="m")


#: By name: a whole file, its ending, and what reads it.
READERS: dict[str, tuple[bytes, str, Callable[[Path], object]]] = {
    "png": (png(), ".png", lambda p: read_png(p, CAMERA)),
    "tiff": (bytes(cv2.imencode(".tiff", UNITS[0])[1]), ".tiff", lambda p: read_png(p, CAMERA)),
    "pgm": (pgm(), ".pgm", lambda p: read_png(p, CAMERA)),
    "npy": (npy(UNITS), ".npy", frames),
    "npz": (npz(depth=UNITS, camera=np.array(CAMERA.to_json())), ".npz",
            lambda p: list(open_recording(p).frames(lambda bad: None))),
    "truth": (JOINTS, ".npz", lambda p: read_labels(p, 2)),
    "joints": (JOINTS, ".npz", load_predictions),
    "camera": (CAMERA.to_json().encode(), ".json", lambda p: parse_camera(str(p))),
    "text": (ROWS, ".txt", lambda p: read_joints_text(p, 21)),
    "rows": (ROWS, ".txt", read_rows),
    "icvl": (ICVL_ROWS, ".txt", read_icvl),
    "msra": (MSRA_ROWS, ".txt", read_msra),
    "bin": (msra_bin(), ".bin", lambda p: read_bin(p, MSRA)),
    "mat": (mat(), ".mat", lambda p: load_mat(p, ("joint_uvd", "joint_names"), "m")),
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_broken_files_end_in_one_line(tmp_path: Path, name: str, fuzz: Any) -> None:
    whole, ending, reader = READERS[name]
    path = tmp_path / f"file{ending}"
    path.write_bytes(whole)
    reader(path)  # the whole file is read

    def broken(data: bytes) -> None:
        path.write_bytes(data)
        fuzz.accepts(lambda: reader(path), path.name, "camera")

    fuzz.run(fuzz.damages(whole), broken)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def animated() -> bytes:
    """Right checksums, acTL and fcTL before the pixels: OpenCV's decoder ends the process."""
    good = png()
    control = struct.pack(">5I2H2B", 0, 160, 120, 0, 0, 1, 1, 0, 0)
    extra = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control)
    return good[:33] + extra + good[33:]


def zip_of(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def split_pixels() -> bytes:
    good = png()
    start = good.index(b"IDAT") - 4
    length = int.from_bytes(good[start : start + 4], "big")
    data = good[start + 8 : start + 8 + length]
    parts = chunk(b"IDAT", data[:9]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[9:])
    return good[:33] + parts + chunk(b"IEND", b"")


def huge_header(shape: str) -> bytes:
    text = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(64)


HEADER = np.frombuffer(png()[16:24], ">u4")
#: What once ended in a traceback, a killed process, gigabytes or a silent wrong figure.
CORPUS: dict[str, tuple[str, bytes]] = {
    "animated PNG": ("png", animated()),
    "PNG with pixels in two places": ("png", split_pixels()),
    "PNG whose pixels are short": (
        "png", png()[:33] + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")),
    "PNG whose pixels are a bomb": (
        "png", png()[:33] + chunk(b"IDAT", zlib.compress(bytes(10**8))) + chunk(b"IEND", b"")),
    "PNG without a header's end": ("png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
    "npy that claims terabytes": ("npy", huge_header("(99999, 99999, 999)")),
    "npy of negative shape": ("npy", huge_header("(-2, -12, 16)")),
    "npy of a deep header": ("npy", huge_header("(" * 5000)),
    "npz with a pickle": ("npz", zip_of("depth.npy", npy(np.array([None])))),
    "npz whose array claims gigabytes": ("npz", zip_of("depth.npy", huge_header("(999999999, 9)"))),
    "npz whose member is no array": ("npz", zip_of("d", npy(UNITS))),
    "npz that is one array": ("joints", npy(TRUTH)),
    "npz of text": ("joints", npz(joints_xyz_mm=np.array(["a"]))),
    "npz with text for cuts": ("joints", npz(joints_xyz_mm=TRUTH, cuts=np.array(["x"]))),
    "camera of 1e19": ("camera", CAMERA.to_json().replace("30.0", "1e19").encode()),
    "camera of thousands of digits": ("camera", b'{"fx": ' + b"9" * 5000 + b"}"),
    "camera nested deeply": ("camera", b"[" * 100_000),
    "camera with a long list": (
        "camera", CAMERA.to_json().replace("[]", json.dumps([7] * 10_000)).encode()),
    "labels outside of their set": ("icvl", ICVL_ROWS.replace(b"a/b_", b"../../etc/b_")),
    "labels from the root": ("icvl", ICVL_ROWS.replace(b"a/b_", b"/etc/b_")),
    "text that is no text": ("text", b"\x1b[31m" * 63),
    "text of 1e400": ("text", b" ".join([b"1e400"] * 63)),
    "mat of one wrong byte": ("mat", mat()[:130] + b"\xff" + mat()[131:]),
    "mat cut off": ("mat", mat()[:300]),
    "pgm of a huge size": ("pgm", b"P5 999999999 999999999 65535\n"),
    "bin of a box outside": ("bin", np.array([320, 240, -3, 2, 8, 6], "<i4").tobytes()),
    "tiff of nothing": ("tiff", b"II*\0" + bytes(60)),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_what_once_failed_is_refused(tmp_path: Path, name: str, fuzz: Any) -> None:
    kind, data = CORPUS[name]
    _, ending, reader = READERS[kind]
    path = tmp_path / f"file{ending}"
    path.write_bytes(data)
    fuzz.accepts(lambda: reader(path), path.name, "camera")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CadstnError):
            reader(path)
