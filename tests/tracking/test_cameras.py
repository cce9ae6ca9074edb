"""Cameras without hardware: RealSense's own software device and files, frames of others."""

import io
import json
import threading
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import open_recording
from cadstn.tracking.cameras import luxonis, open_source, orbbec, realsense
from cadstn.tracking.cameras.frames import LiveFrame
from cadstn.tracking.listeners import Listeners
from cadstn.tracking.live import Tally, track_source
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import Tracker

# -- RealSense: the real library, without a camera ---------------------------------------------


@pytest.fixture
def rs() -> Any:
    return pytest.importorskip(
        "pyrealsense2", reason="no pyrealsense2 (extra realsense), or no libusb for it",
        exc_type=ImportError,
    )  # fmt: skip


def software_camera(rs: Any, fx: float = 240.0, unit_m: float = 0.000125) -> tuple[Any, Any, Any]:
    device = rs.software_device()
    sensor = device.add_sensor("Depth")
    lens = rs.intrinsics()
    lens.width, lens.height, lens.ppx, lens.ppy, lens.fx, lens.fy = 320, 240, 161, 119, fx, fx
    lens.model, lens.coeffs = rs.distortion.none, [0.0] * 5
    stream = rs.video_stream()
    stream.type, stream.index, stream.uid = rs.stream.depth, 0, 0
    stream.width, stream.height, stream.fps, stream.bpp = 320, 240, 30, 2
    stream.fmt, stream.intrinsics = rs.format.z16, lens
    profile = sensor.add_video_stream(stream).as_video_stream_profile()
    sensor.add_read_only_option(rs.option.depth_units, unit_m)
    return device, sensor, profile


@pytest.mark.parametrize(
    ("name", "model", "count"),
    [
        ("brown_conrady", "brown-conrady", 5),
        ("modified_brown_conrady", "brown-conrady", 5),
        ("inverse_brown_conrady", "inverse-brown-conrady", 5),
        ("kannala_brandt4", "kannala-brandt", 4),
        ("ftheta", "brown-conrady", 0),
    ],
)
def test_realsenses_lens_is_kept(name: str, model: str, count: int) -> None:
    coefficients = [0.13, -0.09, 0.003, 0.004, 0.05]
    lens = SimpleNamespace(
        model=f"distortion.{name}", coeffs=coefficients, fx=475.0, fy=476.0, ppx=313.0,
        ppy=242.0, width=640, height=480,
    )  # fmt: skip
    profile: Any = SimpleNamespace(get_intrinsics=lambda: lens, fps=lambda: 30)
    camera = realsense.camera_of(profile, 0.125)
    assert (camera.distortion_model, camera.distortion) == (model, tuple(coefficients[:count]))


def push(rs: Any, sensor: Any, profile: Any, units: np.ndarray, number: int) -> None:
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp, frame.stride = units, 2, units.shape[1] * 2
    frame.timestamp, frame.frame_number, frame.profile = 1000 + 33.0 * number, number, profile
    frame.domain, frame.depth_units = rs.timestamp_domain.hardware_clock, 0.000125
    sensor.on_video_frame(frame)


def test_realsense_frames_intrinsics_unit_drops_and_unplugging(rs: Any) -> None:
    from cadstn.tracking.cameras.realsense import RealSense

    device, sensor, profile = software_camera(rs)
    source = RealSense(device=device)
    source.patience_s = 0.3
    with source:
        assert (source.camera.fx, source.camera.cx, source.camera.cy) == (240, 161, 119)
        assert source.camera.depth_unit_mm == pytest.approx(0.125)
        frames = iter(source)
        got: list[LiveFrame] = []
        for number in (5, 6, 9):  # 7 and 8 were lost on the wire
            push(rs, sensor, profile, np.full((240, 320), 4000 + number, np.uint16), number)
            got.append(next(frames))
        assert [f.index for f in got] == [0, 1, 4]
        assert [f.dropped for f in got] == [0, 0, 2]
        np.testing.assert_allclose([f.depth_mm[0, 0] for f in got], [500.625, 500.75, 501.125])
        assert got[1].time_s - got[0].time_s == pytest.approx(0.033, abs=1e-4)
        with pytest.raises(CadstnError, match="stopped"):  # nothing comes any more
            next(frames)


def test_realsense_with_an_empty_calibration(rs: Any) -> None:
    from cadstn.tracking.cameras.realsense import RealSense

    device, _, _ = software_camera(rs, fx=0.0)
    with pytest.raises(CadstnError, match=r"camera fx is 0\.0; the device's calibration is empty"):
        RealSense(device=device)


def test_realsense_tracks_the_demo_as_the_recording_does(rs: Any) -> None:
    from cadstn.tracking.cameras.realsense import RealSense

    frame = next(iter(open_recording("demo")))
    device, sensor, profile = software_camera(rs)
    with RealSense(device=device) as source:
        push(rs, sensor, profile, (frame.depth * 8).astype(np.uint16), 0)
        live = next(iter(source))
    np.testing.assert_array_equal(live.depth_mm, frame.depth)
    assert Tracker().update(live.depth_mm, live.camera, live.time_s).found


def test_realsense_runs_live_until_it_is_unplugged(rs: Any, tmp_path: Path) -> None:
    """The camera is faster than its consumer: frames are dropped, counted, and files are whole."""
    from cadstn.tracking.cameras.realsense import RealSense

    frames = list(open_source("demo"))[:40]
    device, sensor, profile = software_camera(rs)
    source = RealSense(device=device)
    source.patience_s = 1.0

    def shoot(some: list[LiveFrame]) -> None:
        for frame in some:
            push(rs, sensor, profile, (frame.depth_mm * 8).astype(np.uint16), frame.index)
            time.sleep(0.005)

    # Indices count from the first frame that is taken: none follows before it has been.
    camera = threading.Thread(target=shoot, args=(frames[1:],))
    tally, text = Tally(), io.StringIO()

    def run() -> None:
        network = load_network(threads=1)
        with Listeners(network.skeleton, tmp_path, text) as listeners:
            shoot(frames[:1])
            for seen in track_source(source, Tracker(network), tally=tally):
                listeners(seen)
                if seen.frame.index == 0:
                    camera.start()
                time.sleep(0.02)

    with pytest.raises(CadstnError, match=r"stopped .*plug it into a USB 3 port"):
        run()
    camera.join()
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert lines[-1]["frame"] == 39  # the last frame is always seen
    assert lines[-1]["dropped"] > 0
    assert tally.frames + tally.dropped == 40
    assert tally.found > 0.8 * tally.frames
    # The video repeats pictures for what was dropped, but not before the first.
    video, length = cv2.VideoCapture(str(tmp_path / "live.webm")), 0
    while video.read()[0]:
        length += 1
    assert length == 40 - lines[1]["dropped"]


def record(rs: Any, folder: Path, count: int) -> Path:
    """Record flat frames through the library, to the kind of file that this version writes."""
    device, sensor, profile = software_camera(rs)
    for path in (folder / "x.db3", folder / "x.bag"):  # since version 2.57, and before
        try:
            recorder = rs.recorder(str(path), device)
            (recording,) = recorder.query_sensors()
            break
        except RuntimeError:
            continue
    recording.open(recording.get_stream_profiles()[0])
    recording.start(rs.frame_queue(10))
    for number in range(count):
        push(rs, sensor, profile, np.full((240, 320), 4000 + number, np.uint16), number)
        time.sleep(0.03)
    recording.stop()
    recording.close()
    return path


def test_realsense_recording_is_read_whole(rs: Any, tmp_path: Path) -> None:
    path = record(rs, tmp_path, 4)
    with open_source(path) as source:
        frames = list(source)
    assert [f.depth_mm[9, 9] for f in frames] == [500, 500.125, 500.25, 500.375]
    assert frames[0].camera.fx == 240
    result = CliRunner().invoke(cli, ["live", str(path), "--emit", "jsonl", "--fast"])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 5
    twice = list(zip(range(7), open_source(path, loop=True), strict=False))
    assert [f.index for _, f in twice] == list(range(7))
    assert [f.index for _, f in twice if f.cut] == [0, 4]
    assert all(b.time_s > a.time_s for (_, a), (_, b) in pairwise(twice))
    with pytest.raises(CadstnError, match="no camera 'nonsense'"):
        open_source(path, "nonsense")
    broken = tmp_path / f"broken{path.suffix}"
    broken.write_bytes(b"no database")
    with pytest.raises(CadstnError, match=r"broken\.(db3|bag): not a readable ROS bag"):
        open_source(broken)


def mocked_realsense(monkeypatch: pytest.MonkeyPatch) -> tuple[MagicMock, MagicMock]:
    """A device and its sensor, in place of the library's."""
    library, device = MagicMock(), MagicMock()
    device.supports.return_value = False  # it has no name
    monkeypatch.setattr(realsense, "_library", lambda: library)
    monkeypatch.setattr(realsense, "_depth_profile", lambda rs, sensor: MagicMock())
    monkeypatch.setattr(realsense, "camera_of", lambda profile, unit_mm: None)
    return device, device.first_depth_sensor.return_value


def test_realsense_that_will_not_start_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    device, sensor = mocked_realsense(monkeypatch)
    sensor.start.side_effect = RuntimeError("busy")
    with pytest.raises(CadstnError, match=r"RealSense: will not start \(busy\)"):
        realsense.RealSense(device=device)
    assert [call[0] for call in sensor.method_calls][-2:] == ["start", "close"]


# -- Luxonis and Orbbec: their frames and intrinsics, without a camera -------------------------


class Queue:
    """What depthai's queue does: gives frames, then says that it was closed."""

    class QueueException(Exception):  # noqa: N818  # depthai's name
        pass

    def __init__(self, frames: list[Any]) -> None:
        self.frames = frames

    def get(self) -> Any:
        if not self.frames:
            raise self.QueueException("MessageQueue was closed")
        return self.frames.pop(0)


class OakFrame:
    def __init__(self, number: int) -> None:
        self.number = number

    def getSequenceNum(self) -> int:  # noqa: N802
        return self.number

    def getFrame(self) -> np.ndarray:  # noqa: N802
        return np.full((400, 640), 500 + self.number, np.uint16)

    def getTimestamp(self) -> timedelta:  # noqa: N802
        return timedelta(seconds=self.number / 30)


def check_oak(source: luxonis.Luxonis) -> None:
    """Frames 5, 6 and 9 come, then the camera goes."""
    got: list[LiveFrame] = []
    with pytest.raises(CadstnError, match=r"Luxonis OAK: stopped \(MessageQueue was closed\)"):
        got.extend(source)
    assert [f.index for f in got] == [0, 1, 4]
    assert [f.dropped for f in got] == [0, 0, 2]
    assert [f.depth_mm[7, 7] for f in got] == [505, 506, 509]
    assert got[0].camera == Camera(400, 400, 320, 200, 640, 400)
    assert got[1].time_s - got[0].time_s == pytest.approx(1 / 30, abs=1e-5)


MATRIX = [[400.0, 0, 320], [0, 400, 200], [0, 0, 1]]


def test_luxonis_frames_drops_and_unplugging(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    library = SimpleNamespace(MessageQueue=Queue)
    monkeypatch.setattr(luxonis, "_library", lambda: library)
    pipeline = SimpleNamespace(stop=lambda: stopped.append(True))
    rig = luxonis.Rig(pipeline, Queue([OakFrame(n) for n in (5, 6, 9)]), MATRIX)
    with luxonis.Luxonis(rig=rig) as source:
        check_oak(source)
    assert stopped == [True]
    empty = luxonis.Rig(pipeline, Queue([]), np.zeros((3, 3)))
    with pytest.raises(CadstnError, match=r"camera fx is 0\.0; the device's calibration is empty"):
        luxonis.Luxonis(rig=empty)
    assert stopped == [True, True]  # it is let go of


def test_luxonis_whose_calibration_cannot_be_read_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library, pipeline = MagicMock(), MagicMock()
    library.MessageQueue = Queue
    library.Pipeline.return_value = pipeline
    device = pipeline.getDefaultDevice.return_value
    device.readCalibration.side_effect = RuntimeError("EEPROM is empty")
    monkeypatch.setattr(luxonis, "_library", lambda: library)
    with pytest.raises(CadstnError, match=r"Luxonis OAK: will not start \(EEPROM is empty\)"):
        luxonis.Luxonis()
    assert [call[0] for call in pipeline.method_calls][-1] == "stop"


def test_luxonis_with_the_real_library() -> None:
    """A pipeline on the host alone: its frames, queue, clock and calibration are depthai's."""
    dai = pytest.importorskip("depthai", reason="no depthai (extra luxonis)")
    pipeline = dai.Pipeline(createImplicitDevice=False)

    class Eye(dai.node.ThreadedHostNode):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.out = self.createOutput()

        def run(self) -> None:
            for number in (5, 6, 9):
                frame = dai.ImgFrame()
                frame.setType(dai.ImgFrame.Type.RAW16)
                frame.setWidth(640)
                frame.setHeight(400)
                frame.setData(OakFrame(number).getFrame().view(np.uint8).ravel())
                frame.setSequenceNum(number)
                frame.setTimestamp(timedelta(seconds=number / 30))
                self.out.send(frame)
            time.sleep(0.3)
            pipeline.stop()

    queue = pipeline.create(Eye).out.createOutputQueue(maxSize=4, blocking=False)
    calibration = dai.CalibrationHandler()
    eye = dai.CameraBoardSocket.CAM_C
    twice = [[800.0, 0, 640], [0, 800, 400], [0, 0, 1]]
    calibration.setCameraIntrinsics(eye, twice, 1280, 800)
    pipeline.start()
    rig = luxonis.Rig(pipeline, queue, calibration.getCameraIntrinsics(eye, 640, 400))
    with luxonis.Luxonis(rig=rig) as source:
        check_oak(source)


class OrbbecFrame:
    """One of pyorbbecsdk's depth frames, which none but its own cameras make."""

    def __init__(self, number: int, lines: int = 24) -> None:
        self.number, self.lines = number, lines

    def get_depth_frame(self) -> "OrbbecFrame | None":
        return None if self.number < 0 else self

    def get_data(self) -> np.ndarray:
        return np.full((self.lines, 32), 4000 + self.number, np.uint16).view(np.uint8).ravel()

    def get_depth_scale(self) -> float:
        return 0.125

    def get_index(self) -> int:
        return self.number

    def get_height(self) -> int:
        return 24

    def get_width(self) -> int:
        return 32

    def get_timestamp(self) -> float:
        return 1000 + self.number * 33.0


class OrbbecPipeline:
    def __init__(self, frames: list[OrbbecFrame | None], fx: float = 24.0) -> None:
        self.frames, self.stopped, self.fx = frames, False, fx

    def get_stream_profile_list(self, sensor: object) -> Any:
        return SimpleNamespace(get_default_video_stream_profile=lambda: self)

    def get_intrinsic(self) -> Any:
        return SimpleNamespace(fx=self.fx, fy=24.0, cx=16.0, cy=12.0, width=32, height=24)

    def get_fps(self) -> int:
        return 30

    def start(self, config: object) -> None:
        pass

    def wait_for_frames(self, timeout_ms: int) -> OrbbecFrame | None:
        if not self.frames:
            raise RuntimeError("device is disconnected")
        return self.frames.pop(0)

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def orbbec_library(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(enable_stream=lambda profile: None)
    library = SimpleNamespace(
        OBSensorType=SimpleNamespace(DEPTH_SENSOR=3), Config=lambda: config
    )  # fmt: skip
    monkeypatch.setattr(orbbec, "_library", lambda: library)


@pytest.mark.usefixtures("orbbec_library")
def test_orbbec_frames_drops_and_unplugging() -> None:
    pipeline = OrbbecPipeline([OrbbecFrame(n) for n in (5, -1, 6, 9)])  # -1: colour alone
    got: list[LiveFrame] = []
    source = orbbec.Orbbec(pipeline=pipeline)
    with pytest.raises(CadstnError, match=r"Orbbec: stopped \(device is disconnected\); plug it"):
        got.extend(source)
    source.close()
    assert pipeline.stopped
    assert [f.index for f in got] == [0, 1, 4]
    assert [f.dropped for f in got] == [0, 0, 2]
    np.testing.assert_allclose([f.depth_mm[3, 3] for f in got], [500.625, 500.75, 501.125])
    assert got[0].camera == Camera(24, 24, 16, 12, 32, 24, depth_unit_mm=0.125)
    assert got[1].time_s - got[0].time_s == pytest.approx(0.033)
    with pytest.raises(CadstnError, match="Orbbec: stopped; plug it in"):  # silent
        list(orbbec.Orbbec(pipeline=OrbbecPipeline([None])))
    with pytest.raises(CadstnError, match="frame of 32x24 has 640 bytes"):
        list(orbbec.Orbbec(pipeline=OrbbecPipeline([OrbbecFrame(0, lines=10)])))
    with pytest.raises(CadstnError, match=r"camera fx is 0\.0; the device's calibration is empty"):
        list(orbbec.Orbbec(pipeline=OrbbecPipeline([OrbbecFrame(0)], fx=0.0)))


def test_orbbec_intrinsics_are_the_librarys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ob = pytest.importorskip("pyorbbecsdk", reason="no pyorbbecsdk2 (extra orbbec)")
    lens = ob.OBCameraIntrinsic()
    lens.fx, lens.fy, lens.cx, lens.cy, lens.width, lens.height = 500, 501, 320, 240, 640, 480
    assert orbbec.camera_of(lens, 1.0, 30.0) == Camera(500, 501, 320, 240, 640, 480)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CadstnError, match="Orbbec: will not start"):
        orbbec.Orbbec()
    assert not (tmp_path / "Log").exists()  # the library's habit


def test_cameras_that_are_not_there_are_one_line() -> None:
    for name in ("realsense", "orbbec", "luxonis"):
        with pytest.raises(CadstnError) as caught:
            open_source(name)
        assert "\n" not in str(caught.value)
        mends = ("pip install", "plug it in", "install the system library")
        assert any(hint in str(caught.value) for hint in mends)


def test_luxonis_measures_near_hands_by_the_eye_whose_calibration_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library, stereo, left, right = MagicMock(), MagicMock(), MagicMock(), MagicMock()
    library.MessageQueue = Queue
    pipeline = library.Pipeline.return_value
    pipeline.create.side_effect = [stereo, left, right]
    calibration = pipeline.getDefaultDevice.return_value.readCalibration.return_value
    calibration.getCameraIntrinsics.return_value = MATRIX
    monkeypatch.setattr(luxonis, "_library", lambda: library)
    source = luxonis.Luxonis(60.0)
    sockets = library.CameraBoardSocket
    for eye, socket, port in (
        (left, sockets.CAM_B, stereo.left), (right, sockets.CAM_C, stereo.right)
    ):  # fmt: skip
        eye.build.assert_called_once_with(socket)
        picture = eye.build.return_value.requestOutput
        picture.assert_called_once_with((640, 400), fps=60.0)
        picture.return_value.link.assert_called_once_with(port)
    stereo.setExtendedDisparity.assert_called_once_with(True)
    stereo.setDepthAlign.assert_called_once_with(sockets.CAM_C)
    stereo.depth.createOutputQueue.assert_called_once_with(maxSize=1, blocking=False)
    calibration.getCameraIntrinsics.assert_called_once_with(sockets.CAM_C, 640, 400)
    pipeline.start.assert_called_once_with()
    assert source.camera == Camera(400, 400, 320, 200, 640, 400, fps=60.0)


def test_realsense_of_a_number_is_opened_and_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    mocked_realsense(monkeypatch)
    library, first, second = MagicMock(), MagicMock(), MagicMock()
    first.get_info.return_value, second.get_info.return_value = "111", "222"
    library.context.return_value.query_devices.return_value = [first, second]
    monkeypatch.setattr(realsense, "_library", lambda: library)
    with open_source("realsense:222"):
        first.first_depth_sensor.assert_not_called()
        sensor = second.first_depth_sensor.return_value
        assert [call[0] for call in sensor.method_calls][-2:] == ["open", "start"]
    assert [call[0] for call in sensor.method_calls][-2:] == ["stop", "close"]
    with pytest.raises(CadstnError, match=r"no RealSense camera 333; .*found: 111 111, 222 222"):
        open_source("realsense:333")
    with open_source("realsense"):
        first.first_depth_sensor.assert_called_once()


def test_realsense_streams_its_default_depth() -> None:
    rs = SimpleNamespace(stream=SimpleNamespace(depth="depth"), format=SimpleNamespace(z16="z16"))

    def profile(stream: str, kind: str, default: bool) -> MagicMock:
        one = MagicMock()
        one.stream_type.return_value, one.format.return_value = stream, kind
        one.is_default.return_value, one.as_video_stream_profile.return_value = default, one
        return one

    infrared, other = profile("infrared", "z16", True), profile("depth", "disparity32", True)
    small, usual = profile("depth", "z16", False), profile("depth", "z16", True)
    sensor = MagicMock()
    for has, expected in (([infrared, other, small, usual], usual), ([infrared, small], small)):
        sensor.get_stream_profiles.return_value = has
        assert realsense._depth_profile(rs, sensor) is expected
    sensor.get_stream_profiles.return_value = [infrared, other]
    with pytest.raises(CadstnError, match="has no 16-bit depth stream"):
        realsense._depth_profile(rs, sensor)


def test_realsenses_numbers_are_each_in_its_place() -> None:
    lens = SimpleNamespace(
        model="distortion.none", coeffs=[0.0] * 5, fx=475.0, fy=476.0, ppx=313.0, ppy=242.0,
        width=640, height=480,
    )  # fmt: skip
    profile: Any = SimpleNamespace(get_intrinsics=lambda: lens, fps=lambda: 90)
    expected = Camera(475, 476, 313, 242, 640, 480, depth_unit_mm=0.125, fps=90)
    assert realsense.camera_of(profile, 0.125) == expected


@pytest.mark.usefixtures("orbbec_library")
def test_orbbec_waits_in_milliseconds_and_keeps_its_rate() -> None:
    class Slow(OrbbecPipeline):
        def get_fps(self) -> int:
            return 5

        def wait_for_frames(self, timeout_ms: int) -> OrbbecFrame | None:
            waited.append(timeout_ms)
            return super().wait_for_frames(timeout_ms)

    waited: list[int] = []
    got: list[LiveFrame] = []
    with pytest.raises(CadstnError, match="stopped"):
        got.extend(orbbec.Orbbec(pipeline=Slow([OrbbecFrame(0)])))
    assert waited == [5000, 5000]
    assert [frame.camera.fps for frame in got] == [5]
