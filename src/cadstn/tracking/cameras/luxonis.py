"""Luxonis OAK cameras, through depthai 3 (an extra).

The frames and the calibration are tested with the library's own; the stereo part of the pipeline
runs on a camera alone, and has not met one yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from cadstn.errors import CadstnError, library
from cadstn.geometry.camera import Camera
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame, device_calibration

_PLUG = "plug it in and check its udev rules; 'cadstn doctor' lists what is found"
_SIZE = (640, 400)


class Rig(NamedTuple):
    """What a source of OAK frames is made of, all of it depthai's own."""

    pipeline: Any  # started
    queue: Any  # of depth ``ImgFrame``, whole millimetres
    matrix: Any  # (3, 3) intrinsics of the eye whose depth it is, at `_SIZE`


class Luxonis(BaseSource):
    """Stereo depth of the first OAK camera, in millimetres, with the device's own calibration.

    Args:
        fps: frames a second to request.
        rig: already at hand, such as one without a camera; None for that of the first camera.

    Raises:
        CadstnError: if depthai is missing, there is no camera, or it will not start.
    """

    live = True
    name = "Luxonis OAK"

    def __init__(self, fps: float = 30.0, *, rig: Rig | None = None) -> None:
        dai = _library()
        # What a queue raises once its camera has gone; no RuntimeError, as the others are.
        self._closed = dai.MessageQueue.QueueException
        try:
            self._rig = _stereo(dai, fps) if rig is None else rig
        except RuntimeError as error:
            raise CadstnError(f"will not start ({error})", where=self.name, hint=_PLUG) from None
        try:
            self.camera = camera_of(np.array(self._rig.matrix), fps)
        except CadstnError:
            self.close()
            raise

    def close(self) -> None:
        """Stop the camera."""
        with suppress(RuntimeError):  # it has been unplugged
            self._rig.pipeline.stop()

    def __iter__(self) -> Iterator[LiveFrame]:
        first: int | None = None
        given = 0
        while True:
            try:
                frame = self._rig.queue.get()
            except (RuntimeError, self._closed) as error:
                raise CadstnError(f"stopped ({error})", where=self.name, hint=_PLUG) from None
            number = int(frame.getSequenceNum())
            first = number if first is None else first
            index = number - first
            raw = np.asarray(frame.getFrame(), np.uint16)
            yield LiveFrame(
                self.camera.depth_mm(raw),
                self.camera,
                frame.getTimestamp().total_seconds(),
                index,
                max(0, index - given),
            )
            given += 1


def _stereo(dai: Any, fps: float) -> Rig:
    """Start the first camera's stereo depth; RuntimeError as depthai raises it."""
    left_eye, right_eye = dai.CameraBoardSocket.CAM_B, dai.CameraBoardSocket.CAM_C
    pipeline = dai.Pipeline()
    stereo = pipeline.create(dai.node.StereoDepth)
    for socket, port in ((left_eye, stereo.left), (right_eye, stereo.right)):
        eye = pipeline.create(dai.node.Camera).build(socket)
        eye.requestOutput(_SIZE, fps=fps).link(port)
    # Hands are near: without this, nothing within some 70 cm is measured.
    stereo.setExtendedDisparity(True)
    # Depth as the right camera sees it, whose calibration is read below.
    stereo.setDepthAlign(right_eye)
    queue = stereo.depth.createOutputQueue(maxSize=1, blocking=False)
    pipeline.start()
    try:
        calibration = pipeline.getDefaultDevice().readCalibration()
        matrix = calibration.getCameraIntrinsics(right_eye, *_SIZE)
    except BaseException:
        with suppress(RuntimeError):  # it has been unplugged
            pipeline.stop()
        raise
    return Rig(pipeline, queue, matrix)


def camera_of(matrix: np.ndarray, fps: float) -> Camera:
    """Read a 3x3 intrinsic matrix of `_SIZE`; depthai's depth is whole millimetres.

    Raises:
        CadstnError: if the device reports nonsense, such as a focal length of zero.
    """
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    with device_calibration("Luxonis OAK"):
        return Camera(fx, fy, cx, cy, *_SIZE, fps=fps)


def found() -> list[str]:
    """Name the OAK cameras that are plugged in."""
    return [str(info.name) for info in _library().Device.getAllAvailableDevices()]


def _library() -> Any:
    with library("needs depthai 3", "luxonis"):
        import depthai
    return depthai
