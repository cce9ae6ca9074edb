"""A recording's own times: they are tracked by, kept, cut with the frames and described."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cadstn
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import Frame, describe, open_recording
from cadstn.io.hashes import file_sha256
from cadstn.io.times import implausible_times
from cadstn.tracking.cameras.files import RecordingSource
from cadstn.tracking.cameras.frames import LiveFrame
from cadstn.tracking.excerpt import part_of
from cadstn.tracking.live import track_source
from cadstn.tracking.results import track_recording
from cadstn.tracking.runtime import shipped_weights

TIMES_S = [5.0, 5.1, 5.2, 5.3, 8.3, 8.4, 8.5]  # ten frames a second, and a pause


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(part_of(open_recording("demo"), 0, len(TIMES_S)))


@pytest.fixture
def timed(frames: list[Frame], tmp_path: Path) -> Path:
    path = tmp_path / "timed.npz"
    depth = [np.rint(frame.depth).astype(np.uint16) for frame in frames]
    cadstn.write_recording(path, depth, frames[0].camera, time_s=TIMES_S)
    return path


def test_a_cut_begins_a_new_stream_in_track_and_live(frames: list[Frame], tmp_path: Path) -> None:
    depth = [np.rint(frame.depth).astype(np.uint16) for frame in frames]
    cadstn.write_recording(tmp_path / "cut.npz", depth, frames[0].camera, cuts=[4])
    recording = open_recording(tmp_path / "cut.npz")
    summary = track_recording(recording, cadstn.Tracker(), tmp_path / "out", video=False)
    assert summary["searches"] == 2
    seen = list(track_source(RecordingSource(recording), cadstn.Tracker()))
    assert [k for k, one in enumerate(seen) if one.hand.how == "found"] == [0, 4]


def test_track_takes_the_recordings_times(timed: Path, tmp_path: Path) -> None:
    recording, out = open_recording(timed), tmp_path / "out"
    summary = track_recording(recording, cadstn.Tracker(), out, video=False)
    assert np.load(out / "joints.npz")["time_s"].tolist() == TIMES_S
    assert [row.split(",")[1] for row in (out / "joints.csv").read_text().splitlines()[1:3]] == [
        "5.0000", "5.1000",
    ]  # fmt: skip
    assert summary["searches"] == 2  # the pause begins a new stream
    # One road: the loop of the guide finds the same joints.
    tracker = cadstn.Tracker()
    joints_mm = [tracker.update(f.depth, f.camera, f.time_s).joints_mm for f in recording]
    np.testing.assert_array_equal(np.stack(joints_mm), np.load(out / "joints.npz")["joints_xyz_mm"])


def test_the_summary_says_what_made_it(timed: Path, tmp_path: Path) -> None:
    out, words = tmp_path / "out", ["--hands", "2", "--no-fit", "--no-video", "--unit", "0.5"]
    ended = CliRunner().invoke(cli, ["track", str(timed), "--out", str(out), *words])
    assert ended.exit_code == 0, ended.output
    held = json.loads((out / "summary.json").read_text())
    camera = replace(open_recording(timed).camera, depth_unit_mm=0.5)
    assert Camera.from_json(json.dumps(held["camera"])) == camera
    assert (held["hands"], held["fit"], held["unit_mm"]) == (2, False, 0.5)
    with shipped_weights() as path:
        assert held["weights"] == {"file": path.name, "sha256": file_sha256(path)}
    assert held["cadstn"] == cadstn.__version__


def test_times_stay_with_their_frames(timed: Path) -> None:
    part = part_of(open_recording(timed), 1, None, 2)
    assert [frame.time_s for frame in part] == TIMES_S[1::2]
    about = json.loads(CliRunner().invoke(cli, ["info", str(timed), "--json"]).output)
    assert about["duration_s"] == pytest.approx(3.5 + 1 / 30, abs=1e-5)


@pytest.mark.parametrize(
    ("unit", "name"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")]
)
def test_times_that_are_no_seconds_are_warned_of(
    frames: list[Frame], tmp_path: Path, unit: float, name: str
) -> None:
    path, camera = tmp_path / "a.npz", frames[0].camera
    depth = np.stack([np.rint(frame.depth).astype(np.uint16) for frame in frames[:3]])
    times = (1.7e9 if unit > 1e6 else 0) * unit + np.arange(3) / camera.fps * unit
    np.savez(path, depth=depth, camera=np.array(camera.to_json()), time_s=times)
    warned: list[str] = []
    recording = open_recording(path)
    options = {"on_warning": warned.append, "video": False}
    summary = track_recording(recording, cadstn.Tracker(), tmp_path / "out", **options)  # type: ignore[arg-type]
    about = describe(recording)
    assert summary["warnings"] == about["warnings"] == warned
    (line,) = warned
    assert f" s apart, so that each frame begins a new stream; {name}? store time_s * " in line
    assert line.endswith(f"{1 / unit:g}, which are seconds")


def test_slow_frames_that_are_seconds_are_not_warned_of(timed: Path) -> None:
    recording = open_recording(timed)
    for times, fps in ([0, 9, 18, 27, 36, 45, 54], 1 / 9), ([0, 9, 9.1, 9.2, 20, 20.1, 20.2], 30):
        camera = replace(recording.camera, fps=fps)
        slow = replace(recording, camera=camera, times_s=np.array(times, float))
        assert implausible_times(slow) is None
    odd = replace(recording, times_s=np.array(range(0, 7000, 1000), np.float64))
    assert implausible_times(odd) == (
        "times are 1000 s apart, so that each frame begins a new stream; store seconds"
    )


def test_times_that_cannot_be_kept_are_refused(frames: list[Frame], tmp_path: Path) -> None:
    depth, camera = [frames[0].depth.astype(np.uint16)] * 2, frames[0].camera
    with pytest.raises(CadstnError, match="folder: a folder keeps no times"):
        cadstn.write_recording(tmp_path / "folder", depth, camera, time_s=[0, 1])
    for wrong in ([0.0], [1.0, 0.5], ["a", "b"]):
        with pytest.raises(CadstnError, match="time_s"):
            cadstn.write_recording(tmp_path / "a.npz", depth, camera, time_s=wrong)
    assert not list(tmp_path.iterdir())


def test_the_guides_loop_records_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own unit, with its times, and until Ctrl-C."""
    page = (Path(__file__).resolve().parents[2] / "docs/guides/live.md").read_text("utf-8")
    section = page.partition("## Record your camera")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    camera = Camera(240.0, 240.0, 159.5, 119.5, 320, 240, depth_unit_mm=0.125, fps=10)
    units = [np.full((240, 320), 4001 + i, np.uint16) for i in range(len(TIMES_S))]
    cadstn.write_recording(tmp_path / "camera.npz", units, camera, time_s=TIMES_S)

    class Interrupted(RecordingSource):
        def __iter__(self) -> Iterator[LiveFrame]:
            for frame in super().__iter__():
                if frame.index == 5:
                    raise KeyboardInterrupt
                yield frame
                yield frame  # a clock that stands still

    monkeypatch.setattr(
        "cadstn.tracking.cameras.open_source",
        lambda name: Interrupted(open_recording(tmp_path / "camera.npz")),
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "live.md", "exec"), {})
    take = open_recording("take.npz")
    assert [frame.time_s for frame in take] == TIMES_S[:5]
    assert take.camera.depth_unit_mm == 0.125
    for frame, before in zip(take, units[:5], strict=True):
        np.testing.assert_array_equal(frame.depth, before / 8)


def test_another_run_takes_the_files_of_more_hands_away(timed: Path, tmp_path: Path) -> None:
    recording, out = open_recording(timed), tmp_path / "out"
    track_recording(recording, cadstn.Tracker(hands=11), out, video=False)
    for name in ("joints-mine.npz", "joints-1.npz"):
        (out / name).touch()
    assert {"joints-2.npz", "joints-3.csv", "joints-10.npz", "joints-11.csv"} <= {
        file.name for file in out.iterdir()
    }
    track_recording(recording, cadstn.Tracker(hands=2), out, video=False)
    assert {file.name for file in out.glob("joints-*")} == {
        "joints-2.npz", "joints-2.csv", "joints-1.npz", "joints-mine.npz",
    }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="of signals")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_what_was_written_whole(tmp_path: Path, kind: int) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cadstn.cli", "live", "demo", "--loop", "--out", str(out)]
    # A shell's background jobs ignore Ctrl-C, and what they start with them.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        part = out / "joints.jsonl.part"
        for _ in range(1200):
            if part.exists() and part.stat().st_size > 5000:
                break
            time.sleep(0.05)
        running.send_signal(kind)
        time.sleep(0.05)
        running.send_signal(kind)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 0
    assert f"wrote {out / 'joints.jsonl'}" in said
    assert "disk" not in said
    assert "Traceback" not in said
    lines = (out / "joints.jsonl").read_text().splitlines()
    first, *hands = [json.loads(line) for line in lines]  # the first names the joints
    assert first["joints"]
    assert hands[0]["found"] in (True, False)
    assert not part.exists()


def test_the_summary_says_where_the_hand_was_first(frames: list[Frame], tmp_path: Path) -> None:
    depth = [np.rint(frame.depth).astype(np.uint16) for frame in frames[:3]]
    depth[0][:] = 0
    cadstn.write_recording(tmp_path / "a.npz", depth, frames[0].camera)
    recording, out = open_recording(tmp_path / "a.npz"), tmp_path / "out"
    place = track_recording(recording, cadstn.Tracker(), out, video=False)["first_found"]
    x, y, z = np.load(out / "joints.npz")["joints_xyz_mm"][1].mean(0).tolist()
    camera = frames[0].camera
    assert place["frame"] == recording.names[1]
    assert place["center_xyz_mm"] == pytest.approx([x, y, z], abs=0.06)
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    assert place["center_uv_px"] == pytest.approx([u, v], abs=0.06)
