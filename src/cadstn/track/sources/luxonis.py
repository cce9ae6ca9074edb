"""Luxonis OAK cameras, through depthai 3 (an extra).

Written against the library's names and signatures; it has not met a camera yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from cadstn.camera import Camera
from cadstn.errors import CadstnError
from cadstn.track.sources.frames import BaseSource, LiveFrame, needs

_PLUG = "plug it in and check its udev rules; 'cadstn doctor' lists what is found"
_SIZE = (640, 400)


class Luxonis(BaseSource):
    """Stereo depth of the first OAK camera, in millimetres, with the device's own calibration.

    Args:
        fps: frames a second to ask for.

    Raises:
        CadstnError: if depthai is missing, there is no camera, or it will not start.
    """

    live = True
    name = "Luxonis OAK"

    def __init__(self, fps: float = 30.0) -> None:
        dai = _library()
        left_eye, right_eye = dai.CameraBoardSocket.CAM_B, dai.CameraBoardSocket.CAM_C
        try:
            self._pipeline = dai.Pipeline()
            stereo = self._pipeline.create(dai.node.StereoDepth)
            for socket, port in ((left_eye, stereo.left), (right_eye, stereo.right)):
                eye = self._pipeline.create(dai.node.Camera).build(socket)
                eye.requestOutput(_SIZE, fps=fps).link(port)
            # Hands are near: without this, nothing within some 70 cm is measured.
            stereo.setExtendedDisparity(True)
            # Depth as the right camera sees it, whose calibration is read below.
            stereo.setDepthAlign(right_eye)
            self._queue = stereo.depth.createOutputQueue(maxSize=1, blocking=False)
            self._pipeline.start()
            calibration = self._pipeline.getDefaultDevice().readCalibration()
            matrix = np.array(calibration.getCameraIntrinsics(right_eye, *_SIZE))
            self.camera = camera_of(matrix, fps)
        except RuntimeError as error:
            raise CadstnError(f"will not start ({error})", where=self.name, mend=_PLUG) from None

    def close(self) -> None:
        """Stop the camera."""
        with suppress(RuntimeError):  # it has been unplugged
            self._pipeline.stop()

    def __iter__(self) -> Iterator[LiveFrame]:
        first: int | None = None
        given = 0
        while self._pipeline.isRunning():
            try:
                frame = self._queue.get()
            except RuntimeError as error:
                raise CadstnError(f"stopped ({error})", where=self.name, mend=_PLUG) from None
            number = int(frame.getSequenceNum())
            first = number if first is None else first
            index = number - first
            raw = np.asarray(frame.getFrame(), np.uint16)
            yield LiveFrame(
                self.camera.depth_mm(raw),
                self.camera.sized(raw.shape[1], raw.shape[0]),
                frame.getTimestamp().total_seconds(),
                index,
                max(0, index - given),
            )
            given += 1


def camera_of(matrix: np.ndarray, fps: float) -> Camera:
    """Read a 3x3 intrinsic matrix of `_SIZE`; depthai's depth is whole millimetres."""
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    return Camera(fx, fy, cx, cy, *_SIZE, fps=fps)


def found() -> list[str]:
    """Name the OAK cameras that are plugged in."""
    return [str(info.name) for info in _library().Device.getAllAvailableDevices()]


def _library() -> Any:
    try:
        import depthai
    except ImportError as cause:
        raise needs("luxonis", "depthai 3", cause) from None
    return depthai
