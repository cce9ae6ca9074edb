"""Intel RealSense cameras and their recordings, through pyrealsense2 (an extra)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

import numpy as np

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame, device_calibration, needs
from cadstn.tracking.cameras.playing import Played

_PLUG = "plug it into a USB 3 port; 'cadstn doctor' lists what is found"
_POLL_S = 0.2
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
        timeout_s: a camera that is silent for so long has been unplugged.

    Raises:
        CadstnError: if pyrealsense2 is missing, there is no such camera, or it will not start.
    """

    live = True

    def __init__(
        self, serial: str | None = None, *, device: Any = None, timeout_s: float = 5.0
    ) -> None:
        rs = _library()
        device = _device(rs, serial) if device is None else device
        self.name = _name(rs, device)
        self._timeout_ms = round(timeout_s * 1000)
        self.patience_s = max(self.patience_s, timeout_s)
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
                frame = self._queue.wait_for_frame(self._timeout_ms)
            except RuntimeError as error:
                raise CadstnError(f"stopped ({error})", where=self.name, hint=_PLUG) from None
            number = int(frame.get_frame_number())
            first = number if first is None else first
            yield live_frame(frame, self.camera, number - first, number - first - given)
            given += 1


class RealSenseFile(Played):
    """Depth of a RealSense recording, every frame of it, in its own time or as fast as it is taken.

    Args:
        path: a ``.bag`` or ``.db3`` file that this pyrealsense2 can play.
        real_time: see `Played`.
        loop: see `Played`.
        on_wait: see `Played`.

    Raises:
        CadstnError: if pyrealsense2 is missing, or the file is, or it holds no depth.
    """

    def __init__(
        self,
        path: Path,
        *,
        real_time: bool = False,
        loop: bool = False,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        super().__init__(str(path), real_time=real_time, loop=loop, on_wait=on_wait)
        if not path.is_file():
            raise CadstnError("no such recording", where=path, hint="give a .bag or .db3 file")
        self._begin()

    def _begin(self) -> None:
        """Play from the first frame on."""
        rs = _library()
        self._status = rs.playback_status
        try:
            # Not through a pipeline: that plays before it can be set to wait for whoever reads,
            # and has dropped the first frame by then.
            self._playback = rs.context().load_device(self.name).as_playback()
            self._playback.set_real_time(False)
            self._sensor = self._playback.first_depth_sensor()
            stream = _depth_profile(rs, self._sensor)
            self.camera = camera_of(stream, self._sensor.get_depth_scale() * 1000)
            # Not the library's queue: while one that is full holds the player up, it keeps
            # Python's lock, and whoever should take a frame waits for ever.
            self._queue: Queue[LiveFrame] = Queue(1)
            self._closed = self._begun = False
            self._given = 0
            _start(self._sensor, stream, self._put)
        except RuntimeError as error:
            raise CadstnError(
                f"cannot be played ({error})",
                where=self.name,
                hint="record depth with realsense-viewer, or rs-convert it for this version",
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        with suppress(RuntimeError):
            self._sensor.stop()
            self._sensor.close()

    def _once(self) -> Iterator[LiveFrame]:
        if self._begun:  # another pass
            self.close()
            self._begin()
        self._begun = True
        while True:
            try:
                yield self._queue.get(timeout=_POLL_S)
            except Empty:
                if self._playback.current_status() != self._status.playing:
                    return

    def _put(self, frame: Any) -> None:
        """Hold the player up until there is room, unless nobody will read on."""
        taken = live_frame(frame, self.camera, self._given, 0)
        self._given += 1
        while not self._closed:
            with suppress(Full):
                self._queue.put(taken, timeout=_POLL_S)
                return


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
    try:
        import pyrealsense2 as rs
    except ImportError as cause:
        raise needs("realsense", "pyrealsense2", cause) from None
    return rs
