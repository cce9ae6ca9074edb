"""Intel RealSense cameras, through pyrealsense2 (an extra)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from cadstn.errors import CadstnError, library
from cadstn.geometry.camera import Camera
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame, device_calibration

_PLUG = "plug it into a USB 3 port; 'cadstn doctor' lists what is found"
#: librealsense's models of a depth stream, and how many of its coefficients they have.
_MODELS = {
    "brown_conrady": ("brown-conrady", 5),
    "modified_brown_conrady": ("brown-conrady", 5),
    "inverse_brown_conrady": ("inverse-brown-conrady", 5),
    "kannala_brandt4": ("kannala-brandt", 4),
}


class RealSense(BaseSource):
    """Depth of one RealSense camera; intrinsics and depth unit are its own, read once.

    Args:
        serial: of the camera; None for the first.
        device: pyrealsense2's own, already at hand, such as a ``software_device``.

    Raises:
        CadstnError: if pyrealsense2 is missing, there is no such camera, or it will not start.
    """

    live = True

    def __init__(self, serial: str | None = None, *, device: Any = None) -> None:
        rs = _library()
        device = _device(rs, serial) if device is None else device
        self.name = _name(rs, device)
        # One frame is kept: a consumer that is slow gets the newest.
        self._queue = rs.frame_queue(1)
        try:
            self._sensor = device.first_depth_sensor()
            profile = _depth_profile(rs, self._sensor)
            self.camera = camera_of(profile, self._sensor.get_depth_scale() * 1000)
            _start(self._sensor, profile, self._queue)
        except RuntimeError as error:
            raise CadstnError(f"will not start ({error})", where=self.name, hint=_PLUG) from None

    def close(self) -> None:
        """Stop the camera."""
        with suppress(RuntimeError):  # it has been unplugged
            self._sensor.stop()
            self._sensor.close()

    def __iter__(self) -> Iterator[LiveFrame]:
        first: int | None = None
        given = 0
        while True:
            try:
                frame = self._queue.wait_for_frame(round(self.patience_s * 1000))
            except RuntimeError as error:
                raise CadstnError(f"stopped ({error})", where=self.name, hint=_PLUG) from None
            number = int(frame.get_frame_number())
            first = number if first is None else first
            yield live_frame(frame, self.camera, number - first, number - first - given)
            given += 1


def camera_of(profile: Any, unit_mm: float) -> Camera:
    """Read a video stream profile's intrinsics.

    Args:
        profile: pyrealsense2's ``video_stream_profile``.
        unit_mm: of one step of its depth.

    Raises:
        CadstnError: if the device reports nonsense, such as a focal length of zero.
    """
    lens = profile.get_intrinsics()
    # Without a leading underscore or "distortion.": brown_conrady, inverse_brown_conrady, ...
    kind = str(lens.model).rpartition(".")[2]
    model, count = _MODELS.get(kind, ("brown-conrady", 0))
    coefficients = tuple(float(value) for value in lens.coeffs[:count])
    with device_calibration("RealSense"):
        return Camera(
            lens.fx,
            lens.fy,
            lens.ppx,
            lens.ppy,
            lens.width,
            lens.height,
            depth_unit_mm=unit_mm,
            fps=float(profile.fps()),
            distortion=coefficients if any(coefficients) else (),
            distortion_model=model,
        )


def live_frame(frame: Any, camera: Camera, index: int, dropped: int) -> LiveFrame:
    """Convert one of pyrealsense2's depth frames; its memory is the library's and is not kept."""
    raw = np.asanyarray(frame.get_data())
    when = frame.get_timestamp() / 1000
    return LiveFrame(camera.depth_mm(raw), camera.pinhole, when, index, max(0, dropped))


def found() -> list[str]:
    """Name the RealSense cameras that are plugged in."""
    rs = _library()
    return [_name(rs, device) for device in rs.context().query_devices()]


def _device(rs: Any, serial: str | None) -> Any:
    devices = list(rs.context().query_devices())
    for device in devices:
        if serial in (None, device.get_info(rs.camera_info.serial_number)):
            return device
    have = ", ".join(_name(rs, device) for device in devices) or "none"
    raise CadstnError(
        f"no RealSense camera{'' if serial is None else f' {serial}'}",
        hint=f"{_PLUG} (found: {have})",
    )


def _name(rs: Any, device: Any) -> str:
    known = (rs.camera_info.name, rs.camera_info.serial_number)
    return " ".join(device.get_info(k) for k in known if device.supports(k)) or "RealSense"


def _depth_profile(rs: Any, sensor: Any) -> Any:
    """The camera's default depth stream, or the first it has."""
    profiles = [
        profile.as_video_stream_profile()
        for profile in sensor.get_stream_profiles()
        if profile.stream_type() == rs.stream.depth and profile.format() == rs.format.z16
    ]
    if not profiles:
        raise CadstnError("has no 16-bit depth stream", where="RealSense", hint=_PLUG)
    return next((profile for profile in profiles if profile.is_default()), profiles[0])


def _start(sensor: Any, profile: Any, taker: Any) -> None:
    """Open a sensor and start it; one that will not start is let go of."""
    sensor.open(profile)
    try:
        sensor.start(taker)
    except BaseException:
        with suppress(RuntimeError):  # it has been unplugged
            sensor.close()
        raise


def _library() -> Any:
    with library("needs pyrealsense2", "realsense"):
        import pyrealsense2 as rs
    return rs
