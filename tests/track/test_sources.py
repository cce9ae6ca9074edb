"""Sources without hardware: recordings, data sets, RealSense's own software device and files."""

import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadstn.camera import Camera
from cadstn.errors import CadstnError
from cadstn.recording import open_recording, write_recording
from cadstn.track.sources import Newest, open_source
from cadstn.track.sources.files import RecordingSource
from cadstn.track.sources.frames import BaseSource, LiveFrame

CAMERA = Camera(240, 240, 160, 120, 320, 240)


class Clocked(BaseSource):
    """Makes frames at a steady rate, and ends with an error if told to."""

    live = True
    name = "clocked"
    patience_s = 1.0

    def __init__(self, frames: int, every_s: float, fails: bool = False) -> None:
        self.frames, self.every_s, self.fails, self.closed = frames, every_s, fails, False

    def close(self) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[LiveFrame]:
        began = time.monotonic()
        for i in range(self.frames):
            time.sleep(max(0.0, began + i * self.every_s - time.monotonic()))
            depth = np.full((240, 320), 500 + i, np.float32)
            yield LiveFrame(depth, CAMERA, i * self.every_s, i, cut=i == 3)
        if self.fails:
            raise CadstnError("stopped", where=self.name, mend="plug it in")


def test_a_slow_consumer_drops_and_never_lags() -> None:
    source = Clocked(40, 0.01)
    seen = []
    with Newest(source) as frames:
        for frame in frames:
            time.sleep(0.05)
            seen.append(frame)
    assert source.closed
    assert seen[-1].index == 39  # the last frame is always seen
    assert len(seen) < 20
    # Every frame was either seen or counted.
    assert seen[-1].dropped == 40 - len(seen)
    assert [frame.index - frame.dropped for frame in seen] == list(range(len(seen)))
    assert sum(frame.cut for frame in seen) == 1  # also where the cut's own frame was missed


def test_a_camera_that_is_unplugged_is_one_line_after_its_last_frame() -> None:
    seen: list[int] = []

    def run() -> None:
        with Newest(Clocked(3, 0.01, fails=True)) as frames:
            seen.extend(frame.index for frame in frames)

    with pytest.raises(CadstnError, match="clocked: stopped; plug it in"):
        run()
    assert seen[-1] == 2


def test_a_camera_that_falls_silent_is_one_line() -> None:
    class Silent(Clocked):
        patience_s = 0.2

        def __iter__(self) -> Iterator[LiveFrame]:
            yield from super().__iter__()
            time.sleep(0.5)

    with (
        pytest.raises(CadstnError, match=r"clocked: no frame for 0.2 s"),
        Newest(Silent(1, 0.0)) as frames,
    ):
        list(frames)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "clip"
    units = [np.full((24, 32), 500 + i, np.uint16) for i in range(6)]
    write_recording(path, units, Camera(24, 24, 16, 12, 32, 24, fps=60), cuts=[4])
    return path


def test_a_recording_loops_and_counts_bad_frames(clip: Path) -> None:
    (clip / "000002.png").write_bytes(b"broken")
    told: list[int] = []
    source = RecordingSource(open_recording(clip), loop=True, on_bad=lambda b: told.append(b.index))
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 10:
            break
    assert [f.index for f in frames] == [0, 1, 3, 4, 5, 6, 7, 9, 10, 11]
    assert [f.dropped for f in frames] == [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    assert [f.index for f in frames if f.cut] == [0, 4, 6, 10]
    assert frames[-1].time_s == pytest.approx(11 / 60)
    assert told == [2, 2]


def test_real_time_takes_its_time(clip: Path) -> None:
    began = time.monotonic()
    source = open_source(str(clip), real_time=True)
    assert source.live
    assert len(list(source)) == 5
    assert time.monotonic() - began > 4 / 60


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="no such source; give one of realsense"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(CadstnError, match="seed 'x' is no number"):
        open_source("synthetic:x")
    assert next(iter(open_source("demo"))).depth_mm.shape == (240, 320)


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


def push(rs: Any, sensor: Any, profile: Any, units: np.ndarray, number: int) -> None:
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp, frame.stride = units, 2, units.shape[1] * 2
    frame.timestamp, frame.frame_number, frame.profile = 1000 + 33.0 * number, number, profile
    frame.domain, frame.depth_units = rs.timestamp_domain.hardware_clock, 0.000125
    sensor.on_video_frame(frame)


def test_realsense_frames_intrinsics_unit_drops_and_unplugging(rs: Any) -> None:
    from cadstn.track.sources.realsense import RealSense

    device, sensor, profile = software_camera(rs)
    source = RealSense(device=device, timeout_s=0.3)
    with source:
        assert (source.camera.fx, source.camera.cx, source.camera.cy) == (240, 161, 119)
        assert source.camera.depth_unit_mm == pytest.approx(0.125)
        frames = iter(source)
        got = []
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
    from cadstn.track.sources.realsense import RealSense

    device, _, _ = software_camera(rs, fx=0.0)
    with pytest.raises(CadstnError, match=r"camera fx is 0\.0; the device's calibration is empty"):
        RealSense(device=device)


def test_realsense_tracks_the_demo_as_the_recording_does(rs: Any) -> None:
    from cadstn.track.sources.realsense import RealSense
    from cadstn.track.tracker import Tracker

    with resources.as_file(resources.files("cadstn") / "demo") as path:
        frame = next(iter(open_recording(path)))
    device, sensor, profile = software_camera(rs)
    with RealSense(device=device) as source:
        push(rs, sensor, profile, (frame.depth * 8).astype(np.uint16), 0)
        live = next(iter(source))
    np.testing.assert_array_equal(live.depth_mm, frame.depth)
    assert Tracker().update(live.depth_mm, live.camera, live.time_s).found


def test_realsense_recording_is_read_whole(rs: Any, tmp_path: Path) -> None:
    from cadstn.track.sources.realsense import RealSenseFile

    path = tmp_path / "x.db3"
    device, sensor, profile = software_camera(rs)
    try:
        recorder = rs.recorder(str(path), device)
    except RuntimeError as error:
        pytest.skip(f"this pyrealsense2 records to another kind of file ({error})")
    (recording,) = recorder.query_sensors()
    recording.open(recording.get_stream_profiles()[0])
    recording.start(rs.frame_queue(10))
    for number in range(4):
        push(rs, sensor, profile, np.full((240, 320), 4000 + number, np.uint16), number)
        time.sleep(0.03)
    recording.stop()
    recording.close()
    del recorder, recording
    with RealSenseFile(path) as source:
        frames = list(source)
    assert [f.depth_mm[9, 9] for f in frames] == [500, 500.125, 500.25, 500.375]
    assert frames[0].camera.fx == 240
    broken = tmp_path / "broken.db3"
    broken.write_bytes(b"no database")
    with pytest.raises(CadstnError, match=r"broken\.db3: cannot be played"):
        RealSenseFile(broken)
    with pytest.raises(CadstnError, match="no such recording"):
        RealSenseFile(tmp_path / "none.db3")


def test_cameras_that_are_not_there_are_one_line() -> None:
    for name in ("realsense", "orbbec", "luxonis"):
        with pytest.raises(CadstnError) as caught:
            open_source(name)
        assert "\n" not in str(caught.value)
        assert "pip install" in str(caught.value) or "plug it in" in str(caught.value)
