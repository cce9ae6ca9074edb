"""Sources without hardware: recordings, data sets, RealSense's own software device and files."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.data import msra
from cadstn.data.opening import find_dataset, open_dataset
from cadstn.errors import CadstnError, CadstnWarning, library
from cadstn.geometry.camera import Camera
from cadstn.io import open_recording, write_recording
from cadstn.tracking.cameras import Newest, open_source
from cadstn.tracking.cameras.files import DatasetSource, RecordingSource
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame

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
            raise CadstnError("stopped", where=self.name, hint="plug it in")


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
    reported: list[int] = []
    source = RecordingSource(
        open_recording(clip), loop=True, on_bad=lambda b: reported.append(b.index)
    )
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 10:
            break
    assert [f.index for f in frames] == [0, 1, 3, 4, 5, 6, 7, 9, 10, 11]
    assert [f.dropped for f in frames] == [0, 0, 1, 1, 1, 1, 1, 2, 2, 2]
    assert [f.index for f in frames if f.cut] == [0, 4, 6, 10]
    assert frames[-1].time_s == pytest.approx(11 / 60)
    assert reported == [2, 2]


def test_real_time_takes_its_time(clip: Path) -> None:
    began = time.monotonic()
    source = open_source(str(clip), real_time=True)
    assert source.live
    assert len(list(source)) == 5
    assert time.monotonic() - began > 4 / 60


@pytest.mark.parametrize("start_s", [0.0, 100.0, 1.76e9])
def test_a_recording_is_played_from_its_first_time_on(tmp_path: Path, start_s: float) -> None:
    units = [np.full((24, 32), 500 + i, np.uint16) for i in range(3)]
    path = tmp_path / "clip.npz"
    camera = Camera(24, 24, 16, 12, 32, 24, fps=60)
    write_recording(path, units, camera, time_s=start_s + np.array([0.0, 0.02, 0.3]))
    began = time.monotonic()
    source = open_source(path, real_time=True)
    assert source.patience_s == math.inf  # it may pause
    with Newest(source) as frames:
        times = [frame.time_s - start_s for frame in frames]
    assert time.monotonic() - began > 0.3
    np.testing.assert_allclose(times, [0.0, 0.02, 0.3], atol=1e-6)
    looped = zip(range(5), open_source(path, loop=True), strict=False)
    times = [frame.time_s - start_s for _, frame in looped]
    np.testing.assert_allclose(times, [0.0, 0.02, 0.3, 0.3 + 1 / 60, 0.32 + 1 / 60], atol=1e-6)


def recorded(path: Path, times: list[float]) -> Path:
    units = [np.full((24, 32), 500 + i, np.uint16) for i in range(len(times))]
    write_recording(path, units, Camera(24, 24, 16, 12, 32, 24, fps=30), time_s=times)
    return path


@pytest.mark.parametrize(("unit", "step"), [("milliseconds", 33.3), ("nanoseconds", 33.3e6)])
def test_times_in_a_finer_unit_are_played_at_their_own_speed(
    tmp_path: Path, unit: str, step: float
) -> None:
    with pytest.warns(CadstnWarning, match=rf"a.npz: time_s is .* apart: {unit}\?; give seconds"):
        path = recorded(tmp_path / "a.npz", [step * i for i in range(4)])
    waits: list[float] = []
    began = time.monotonic()
    looped = open_source(path, real_time=True, loop=True, on_wait=waits.append)
    times = [frame.time_s for _, frame in zip(range(9), looped, strict=False)]
    assert 8 * 0.0333 <= time.monotonic() - began < 5
    np.testing.assert_allclose(np.diff(times), step, rtol=0.01)  # the clock corrects them
    assert waits == []


def test_a_long_pause_is_announced_and_does_not_outlast_the_time_given(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.npz", [0.0, 0.03, 0.06, 0.09, 40.0, 1e15])
    waits: list[float] = []
    source = open_source(path, real_time=True, on_wait=waits.append)
    began = time.monotonic()
    with Newest(source, began + 0.5) as frames:
        assert [frame.index for frame in frames][-1] == 3
    assert time.monotonic() - began < 10
    assert waits == [pytest.approx(40, abs=1)]


def test_what_a_source_does_not_take_is_refused() -> None:
    for name in ("realsense", "synthetic", "luxonis"):
        with pytest.raises(CadstnError, match=f"{name}: 'camera' is of recordings; leave it out"):
            open_source(name, "kinect2")
        with pytest.raises(CadstnError, match="'loop' is of recordings"):
            open_source(name, loop=True)
    with pytest.raises(CadstnError, match="no camera 'nonsense'"):
        open_source("demo", "nonsense")
    for seed in ("²", "-1", "9" * 5000):
        with pytest.raises(CadstnError, match=r"synthetic: seed .* is no number"):
            open_source(f"synthetic:{seed}")


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="no such source; give one of realsense"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(CadstnError, match="seed 'x' is no number"):
        open_source("synthetic:x")
    for text in ("orbbec:1", "luxonis:1", "demo:1"):
        with pytest.raises(CadstnError, match="takes nothing after a colon"):
            open_source(text)
    assert next(iter(open_source("demo"))).depth_mm.shape == (240, 320)


def test_a_library_that_does_not_load_differs_from_one_that_is_missing() -> None:
    def told(cause: ImportError) -> str:
        with pytest.raises(CadstnError) as caught, library("needs pyrealsense2", "realsense"):
            raise cause
        return str(caught.value)

    missing = told(ModuleNotFoundError("No module named 'x'"))
    assert "pip install 'cadstn[realsense]'" in missing
    broken = told(ImportError("libusb-1.0.so.0: cannot open"))
    assert "(libusb-1.0.so.0: cannot open); it is installed and does not load" in broken
    assert "pip install" not in broken


# -- the field's data sets ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=["nyu", "icvl", "icvl-old", "msra"])
def rendered_set(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="sets are rendered with PyTorch (extra train)")
    path = Path(tmp_path_factory.mktemp("set") / request.param)
    counts = ["--frames", "9"] if path.name == "msra" else ["--train", "10", "--test", "4"]
    result = CliRunner().invoke(cli, ["synth", str(path), "--layout", path.name, *counts])
    assert result.exit_code == 0, result.output
    return path


def test_a_data_set_is_tracked_live(rendered_set: Path) -> None:
    found = find_dataset(rendered_set)
    data = open_dataset(rendered_set, "all" if found.name == "msra" else "test")
    frames = list(open_source(str(rendered_set)))
    assert len(frames) == len(data) >= 3
    assert [f.cut for f in frames] == data.starts.tolist()
    np.testing.assert_array_equal(frames[1].depth_mm, data[1].depth_mm)
    assert frames[1].camera.fx == data.camera.fx
    assert frames[1].time_s == pytest.approx(1 / 30)
    result = CliRunner().invoke(cli, ["live", str(rendered_set), "--fast", "--emit", "jsonl"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["frame"] for line in lines[1:]] == list(range(len(data)))
    if found.name == "nyu":  # whose splits have folders of their own, that can be named
        assert len(list(open_source(str(rendered_set / "train")))) == 10


def test_bad_frames_of_a_set_are_reported_and_a_cut_is_not_lost(tmp_path: Path) -> None:
    joints = np.tile([0.0, 0.0, 500.0], (3, 21, 1))
    depth = np.zeros((240, 320), np.float32)
    depth[90:150, 130:190] = 500
    for gesture in ("1", "2"):
        folder = tmp_path / "P0" / gesture
        folder.mkdir(parents=True)
        for index in range(3):
            msra.write_bin(folder / msra.frame_name(index), depth)
        msra.write_labels(folder / "joint.txt", joints)
    (tmp_path / "P0" / "2" / msra.frame_name(0)).write_bytes(b"broken")
    reported: list[int] = []
    source = DatasetSource(tmp_path, real_time=True, on_bad=lambda bad: reported.append(bad.index))
    assert source.live
    began = time.monotonic()
    frames = list(source)
    assert time.monotonic() - began > 4 / 30
    assert reported == [3]
    assert [f.index for f in frames] == [0, 1, 2, 4, 5]
    assert [f.cut for f in frames] == [True, False, False, True, False]
    assert frames[-1].dropped == 1
    for path in tmp_path.rglob("*.bin"):
        path.write_bytes(b"broken")
    with pytest.raises(CadstnError, match=r"\.bin"):  # nothing to track is an error
        list(DatasetSource(tmp_path))


def test_what_a_camera_lost_itself_is_counted_too() -> None:
    class Lossy(Clocked):
        """Every second of its frames is lost on the wire."""

        def __iter__(self) -> Iterator[LiveFrame]:
            for frame in super().__iter__():
                yield replace(frame, index=2 * frame.index, dropped=frame.index)

    seen: list[LiveFrame] = []
    with Newest(Lossy(20, 0.01)) as frames:
        for frame in frames:
            time.sleep(0.05)
            seen.append(frame)
    assert seen[-1].index == 38
    assert [frame.index - frame.dropped for frame in seen] == list(range(len(seen)))
