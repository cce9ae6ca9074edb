"""Orbbec cameras, through pyorbbecsdk2 (an extra).

Written against the library's names, signatures and intrinsics; it has not met a camera yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from cadstn.errors import CadstnError, library
from cadstn.geometry.camera import Camera
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame, device_calibration

_PLUG = "plug it in and check its udev rules; 'cadstn doctor' lists what is found"


class Orbbec(BaseSource):
    """Depth of the first Orbbec camera; intrinsics and depth unit are its own, read once.

    Args:
        pipeline: pyorbbecsdk's own, already at hand; None for that of the first camera.

    Raises:
        CadstnError: if pyorbbecsdk2 is missing, there is no camera, or it will not start.
    """

    live = True
    name = "Orbbec"

    def __init__(self, *, pipeline: Any = None) -> None:
        ob = _library()
        try:
            self._pipeline = ob.Pipeline() if pipeline is None else pipeline
            profiles = self._pipeline.get_stream_profile_list(ob.OBSensorType.DEPTH_SENSOR)
            profile = profiles.get_default_video_stream_profile()
            config = ob.Config()
            config.enable_stream(profile)
            self._lens, self._fps = profile.get_intrinsic(), float(profile.get_fps())
            self._pipeline.start(config)
        except Exception as error:  # the library's OBError is no public base class
            raise CadstnError(f"will not start ({error})", where=self.name, hint=_PLUG) from None

    def close(self) -> None:
        """Stop the camera."""
        with suppress(Exception):  # it has been unplugged
            self._pipeline.stop()

    def __iter__(self) -> Iterator[LiveFrame]:
        camera: Camera | None = None
        first = given = 0
        while True:
            try:
                frames = self._pipeline.wait_for_frames(round(self.patience_s * 1000))
            except Exception as error:  # see above
                raise CadstnError(f"stopped ({error})", where=self.name, hint=_PLUG) from None
            if frames is None:
                raise CadstnError("stopped", where=self.name, hint=_PLUG)
            frame = frames.get_depth_frame()
            if frame is None:
                continue
            if camera is None:  # the unit comes with the first frame and stays
                camera = camera_of(self._lens, frame.get_depth_scale(), self._fps)
                first = frame.get_index()
            index = frame.get_index() - first
            yield LiveFrame(
                camera.depth_mm(_units(frame)),
                camera,
                frame.get_timestamp() / 1000,
                index,
                max(0, index - given),
            )
            given += 1


def camera_of(lens: Any, unit_mm: float, fps: float) -> Camera:
    """Read an ``OBCameraIntrinsic``.

    Args:
        lens: pyorbbecsdk's.
        unit_mm: its frames' depth scale, millimetres.
        fps: of its stream.

    Raises:
        CadstnError: if the device reports nonsense, such as a focal length of zero.
    """
    with device_calibration("Orbbec"):
        return Camera(
            lens.fx, lens.fy, lens.cx, lens.cy, lens.width, lens.height,
            depth_unit_mm=unit_mm, fps=fps,
        )  # fmt: skip


def _units(frame: Any) -> np.ndarray:
    """(H, W) uint16 of one of pyorbbecsdk's depth frames; its memory is the library's."""
    height, width = frame.get_height(), frame.get_width()
    raw = np.asarray(frame.get_data())
    if raw.nbytes != 2 * height * width:
        raise CadstnError(
            f"a frame of {width}x{height} has {raw.nbytes} bytes",
            where="Orbbec",
            hint="set its depth stream to 16 bits (Y16), uncompressed",
        )
    return np.frombuffer(raw.tobytes(), np.uint16).reshape(height, width)


def found() -> list[str]:
    """Name the Orbbec cameras that are plugged in."""
    devices = _library().Context().query_devices()
    return [devices.get_device_name_by_index(i) for i in range(devices.get_count())]


def _library() -> Any:
    with library("needs pyorbbecsdk2", "orbbec"):
        import pyorbbecsdk
    with suppress(Exception):  # or it leaves a folder 'Log' wherever it is started
        pyorbbecsdk.Context.set_logger_to_file(pyorbbecsdk.OBLogLevel.NONE, "")
    return pyorbbecsdk
