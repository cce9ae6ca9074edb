"""ROS 1 ``.bag`` and ROS 2 ``.db3`` / ``.mcap`` recordings, through the ``rosbags`` library."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library
from cadstn.geometry.camera import Camera
from cadstn.io.files import error_context
from cadstn.io.png import MAX_PIXELS, read_header, still_image

#: Endings of files that hold such a recording; a folder with ``metadata.yaml`` does as well.
BAGS = (".bag", ".db3", ".mcap")
_IMAGE, _PACKED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_INFO = "sensor_msgs/msg/CameraInfo"
_OTHERS_INFO = re.compile("colou?r|rgb|infra", re.I)  # in the topic of a CameraInfo
_PNG = b"\x89PNG"
_ENCODINGS = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}
_MAX_FRAMES = 10_000_000
_HEAD = struct.Struct("<iff")  # before the PNG of compressed depth
#: Lens models by the names of ROS and of librealsense, and how many coefficients count.
_LENSES = {
    "plumb_bob": ("brown-conrady", 5),
    "rational_polynomial": ("brown-conrady", 8),
    "equidistant": ("kannala-brandt", 4),
    "brown conrady": ("brown-conrady", 5),
    "modified brown conrady": ("brown-conrady", 5),
    "inverse brown conrady": ("inverse-brown-conrady", 5),
    "kannala brandt4": ("kannala-brandt", 4),
}


class Bag(NamedTuple):
    """A depth topic of a bag: raw frames, in the camera's unit."""

    path: Path  # the file or folder
    topic: str  # of the images
    times_s: NDArray[np.float64]  # (N,) from the first, by the messages' own stamps
    camera: Camera | None  # by the topic's CameraInfo; None where there is none
    unit_mm: float  # of integers; RealSense writes its unit into the bag, ROS has mm otherwise

    def frames(self, first: int = 0) -> Iterator[NDArray[Any] | CadstnError]:
        """Raw frames (H, W) from an index on: uint16 units, or float32 metres.

        In place of a damaged one stands its error, so that the others keep their places.
        """
        with _bag_errors(self.path), _opened(self.path) as reader:
            chosen = [c for c in reader.connections if c.topic == self.topic]
            for index, (connection, _, data) in enumerate(reader.messages(chosen)):
                if index >= first:
                    yield _frame(reader, connection, data)


def is_bag(path: Path) -> bool:
    """Whether a path is a file or folder that `open_bag` reads."""
    return path.suffix.lower() in BAGS or (path / "metadata.yaml").is_file()


def open_bag(path: Path, pattern: str | None = None, *, own_camera: bool = True) -> Bag:
    """Find the depth images of a bag.

    Args:
        path: the file or folder.
        pattern: which topic they are in, where there are several; may hold ``*``.
        own_camera: read its CameraInfo; not where another camera is given.

    Raises:
        CadstnError: if ``rosbags`` is missing, the file is damaged, or it holds no depth images,
            or several topics of them.
    """
    with _bag_errors(path), _opened(path) as reader:
        images = [c for c in reader.connections if c.msgtype in (_IMAGE, _PACKED) and c.msgcount]
        kinds = {c.topic: _encoding(reader, c) for c in images}
        topic = _depth_topic(kinds, pattern)
        times = _times(reader, [c for c in images if c.topic == topic])
        camera = _camera(reader, topic, times) if own_camera else None
        return Bag(path, topic, times - times[0], camera, _unit_mm(reader, topic))


def _times(reader: Any, connections: list[Any]) -> NDArray[np.float64]:
    """Seconds (N,) by the messages' own stamps, or else by when they were recorded."""
    own, recorded = [], []
    for connection, stamp, data in reader.messages(connections):
        message = _message(reader, connection, data)
        when = message.header.stamp if message is not None else None
        own.append(0.0 if when is None else when.sec + 1e-9 * when.nanosec)
        recorded.append(1e-9 * stamp)
        if len(own) > _MAX_FRAMES:
            raise ValueError(f"more than {_MAX_FRAMES} frames")
    times, clock = np.array(own), np.array(recorded)
    stamped = times > 0
    # A message that is damaged, or not stamped, is as late as the others are recorded.
    late = float(np.median(clock[stamped] - times[stamped])) if stamped.any() else 0.0
    return np.where(stamped, times, clock - late)


def _message(reader: Any, connection: Any, data: bytes) -> Any:
    """The message, or None if it is damaged: rosbags raises a dozen kinds of errors then."""
    try:
        return reader.deserialize(data, connection.msgtype)
    except Exception:
        return None


def _frame(reader: Any, connection: Any, data: bytes) -> NDArray[Any] | CadstnError:
    """Pixels of a message, or why there are none."""
    message = _message(reader, connection, data)
    try:
        if message is None:
            raise ValueError("cut off, or of another type")
        return _pixels(message)
    except CadstnError as error:
        return error
    except Exception as error:  # OpenCV's among them
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        return CadstnError(f"a damaged message ({why})", hint="record or copy it again")


def _depth_topic(kinds: dict[str, str], pattern: str | None) -> str:
    """The topic of depth among those of images, each with its encoding."""
    known = (*_ENCODINGS, "compressedDepth")
    topics = sorted(topic for topic, kind in kinds.items() if kind in known)
    if pattern is None:
        chosen = [topic for topic in topics if "depth" in topic.lower()] or topics
    else:
        chosen = [topic for topic in topics if fnmatchcase(topic, pattern)]
    # A whole camera's topics hold the same images once more, compressed.
    chosen = [t for t in chosen if not any(t.startswith(f"{plain}/") for plain in chosen)]
    if len(chosen) == 1:
        return chosen[0]
    held = ", ".join(f"{topic} ({kind})" for topic, kind in kinds.items()) or "none"
    meant = "" if pattern is None else f" that match '{pattern}'"
    hint = "record one topic of 16UC1 or 32FC1 images"
    if topics:
        hint = f"choose one: --pattern {(chosen or topics)[0]}"
    raise CadstnError(f"{len(chosen)} topics of depth images{meant} among: {held}", hint=hint)


def _opened(path: Path) -> Any:
    with library("a ROS bag needs rosbags", "ros", where=path):
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    return AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))


@contextmanager
def _bag_errors(path: Path) -> Iterator[None]:
    """Name the bag in errors; rosbags, sqlite and struct raise a dozen kinds on damaged ones."""
    with error_context(path):
        try:
            yield
        except CadstnError:
            raise
        except Exception as error:
            why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise CadstnError(
                f"not a readable ROS bag ({why})", where=path, hint="record or copy it again"
            ) from None


def _encoding(reader: Any, connection: Any) -> str:
    for _, _, data in reader.messages([connection]):
        message = _message(reader, connection, data)
        if message is None:
            continue
        if connection.msgtype == _IMAGE:
            return str(message.encoding)
        # A configuration of 12 bytes and a 16-bit PNG; colour is packed as JPEG.
        return "compressedDepth" if _png_start(message) >= 0 else str(message.format)
    return "empty"


def _png_start(message: Any) -> int:
    start = bytes(message.data[:64]).find(_PNG)
    return start if "depth" in str(message.format).lower() or start == 12 else -1


def _pixels(message: Any) -> NDArray[Any]:
    if not hasattr(message, "encoding"):
        packed, start = bytes(message.data), max(_png_start(message), 0)
        units = _unpacked(packed[start:])
        inverse = str(message.format).startswith("32FC1")
        return _of_inverse(units, packed[:start]) if inverse else units
    height, width, step = int(message.height), int(message.width), int(message.step)
    if message.encoding not in _ENCODINGS or not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"an image of {width}x{height}, {message.encoding}")
    dtype = np.dtype((">" if message.is_bigendian else "<") + _ENCODINGS[message.encoding])
    data = np.asarray(message.data, np.uint8)
    if step < width * dtype.itemsize or len(data) != step * height:
        raise ValueError(f"an image of {len(data)} bytes where {height} rows of {step} are meant")
    rows = np.ascontiguousarray(data.reshape(height, step)[:, : width * dtype.itemsize])
    return rows.view(dtype).astype(dtype.newbyteorder("="))


def _unpacked(data: bytes) -> NDArray[Any]:
    import cv2

    header = read_header(data)
    if (header.bits, header.channels) != (16, 1):
        raise ValueError(f"a PNG of {header.bits} bits and {header.channels} channels")
    raw = cv2.imdecode(np.frombuffer(still_image(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise ValueError("a PNG without readable pixels")
    return np.asarray(raw)


def _of_inverse(quantized: NDArray[Any], head: bytes) -> NDArray[np.float32]:
    """Metres (H, W) of the inverse depth that ROS packs floats as; 0 where nothing was measured.

    Source: ``compressed_depth_image_transport``, codec.cpp: q = A / depth + B, 0 for none, with a
    head of the format's number, A and B.
    """
    if len(head) < _HEAD.size:
        raise ValueError("compressed floats without their head")
    _, a, b = _HEAD.unpack(head[-_HEAD.size :])
    if not (np.isfinite(a) and np.isfinite(b) and a > 0):
        raise ValueError(f"compressed floats of A {a:g} and B {b:g}")
    above = quantized.astype(np.float32) - np.float32(b)
    measured = (quantized > 0) & (above > 0)
    return np.where(measured, np.float32(a) / np.where(measured, above, 1), np.float32(0))


def _camera(reader: Any, topic: str, times: NDArray[np.float64]) -> Camera | None:
    """The camera of the CameraInfo of the same namespace, or of the bag's only one.

    The only one is not taken where it belongs to other images: those beside it, or colour's.
    """
    root = topic.rsplit("/image", 1)[0]
    infos = [c for c in reader.connections if c.msgtype == _INFO]
    others = {
        c.topic.rsplit("/", 1)[0] for c in reader.connections
        if c.msgtype in (_IMAGE, _PACKED) and c.topic != topic
    }  # fmt: skip
    for connection in sorted(infos, key=lambda c: not c.topic.startswith(root + "/")):
        place = connection.topic.rsplit("/", 1)[0]
        alone = len(infos) == 1 and place not in others and not _OTHERS_INFO.search(place)
        if not (connection.topic.startswith(root + "/") or alone):
            break
        for _, _, data in reader.messages([connection]):
            info = _message(reader, connection, data)
            if info is None:
                continue
            spacing = np.median(np.diff(times)) if len(times) > 1 else 0.0
            fps = round(float(1 / spacing), 3) if spacing > 0 else 30.0
            return _of_info(info, fps, rectified="rect" in topic[len(root) :])
    return None


def _of_info(info: Any, fps: float, *, rectified: bool) -> Camera | None:
    """The camera of a CameraInfo, whose letters are capitals in ROS 1; None if uncalibrated.

    ``K`` and ``D`` are of the lens's own image. A rectified one is a pinhole's, with ``P``.
    """
    d, k, p = (getattr(info, name if hasattr(info, name) else name.upper()) for name in "dkp")
    fx, cx, fy, cy = k[0], k[2], k[4], k[5]
    if rectified and p[0] > 0:
        fx, cx, fy, cy = p[0], p[2], p[5], p[6]
    if not fx > 0:
        return None
    name = str(info.distortion_model)
    model, count = _LENSES.get(name.lower(), (name, len(d)))
    bent = not rectified and np.any(d)
    return Camera(
        float(fx), float(fy), float(cx), float(cy), int(info.width), int(info.height), fps=fps,
        distortion=tuple(float(value) for value in d[:count]) if bent else (),
        distortion_model=model if bent else "brown-conrady",
    )  # fmt: skip


def _unit_mm(reader: Any, topic: str) -> float:
    """RealSense's own bags hold the metres a step under ``option/Depth Units/value``."""
    root = "/".join(topic.split("/")[:3])
    for connection in reader.connections:
        name = connection.topic.replace("_", " ")
        if name.endswith("option/Depth Units/value") and connection.topic.startswith(root):
            for _, _, data in reader.messages([connection]):
                message = _message(reader, connection, data)
                if message is None:
                    continue
                value = float(message.data)
                # Written as float32: 0.001 m is not 1.0000000474974513 mm.
                return float(f"{1000 * value:.6g}")
    return 1.0
