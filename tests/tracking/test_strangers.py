"""What strangers bring, through the command line and the API: joints, or the line that mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io import Frame, open_recording
from cadstn.tracking.excerpt import part_of
from cadstn.tracking.results import _empty
from cadstn.tracking.runtime import shipped_weights
from cadstn.tracking.tracker import Tracker

from ..conftest import SHARED

CASES = SHARED / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases beside the project")
NUMBERS = "285,285,160,120"  # of the demo's camera


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(part_of(open_recording("demo"), 0, 3))


def folder(tmp_path: Path, images: list[np.ndarray]) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for number, image in enumerate(images):
        cv2.imwrite(str(path / f"{number}.png"), image)
    return path


def units(frames: list[Frame], factor: float = 1.0) -> list[np.ndarray]:
    return [np.rint(frame.depth * factor).astype(np.uint16) for frame in frames]


def disparity(depth_mm: np.ndarray) -> np.ndarray:
    """Kinect v1's raw 11 bits: 1091.5 - 348000 / mm; 2047 where nothing is measured."""
    depth_mm = np.where(depth_mm > 0, depth_mm, np.inf)
    raw = np.rint(1091.5 - 348_000 / depth_mm)
    raw[:20] = 2047
    return raw.astype(np.uint16)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eighths", "0.125"),
        ("tenths", "a unit of 0.1 or "),
        ("metres", "metres as whole numbers?"),
        ("disparity", "2047 is common"),
        ("stretched", "multiples of 257"),
        ("8 bits", "8-bit picture in 16 bits"),
    ],
)
def test_depth_that_cannot_be_right_is_reported_by_info_track_and_live(
    frames: list[Frame], tmp_path: Path, name: str, message: str
) -> None:
    images = {
        "eighths": units(frames, 8),
        "tenths": units(frames, 10),
        "metres": units(frames, 0.001),
        "disparity": [disparity(frame.depth) for frame in frames],
        "stretched": [np.uint16(257) * (u // 8) for u in units(frames)],
        "8 bits": units(frames, 0.1),
    }[name]
    path = folder(tmp_path, images)
    about = run("info", path, "--camera", NUMBERS, "--json")
    assert message in json.loads(about.output)["warnings"][0]
    result = run("track", path, "--camera", NUMBERS, "--out", tmp_path / "out", "--no-video")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("warning: ") == 1
    assert message in result.stderr
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert message in summary["warnings"][0]
    assert not list((tmp_path / "out").glob("overlay.*"))
    live = run("live", path, "--camera", NUMBERS, "--fast")
    assert live.exit_code == 0, live.output
    assert live.stderr.count("warning: ") == 1
    assert message in live.stderr


def test_a_camera_of_another_resolution_and_its_scale(frames: list[Frame], tmp_path: Path) -> None:
    path = folder(tmp_path, units(frames))
    about = run("info", path, "--camera", "570,570,320,240")
    assert "warning: camera numbers are of images of about 640x480" in about.stderr
    assert "--scale 0.5" in about.stderr
    mended = run("info", path, "--camera", "570,570,320.5,240.5", "--scale", "0.5", "--json")
    about_it = json.loads(mended.output)
    assert about_it["warnings"] == []
    assert about_it["camera"]["fx"] == 285
    assert about_it["camera"]["cx"] == 160
    (path / "camera.json").write_text(Camera(570, 570, 320.5, 240.5, 640, 480).to_json())
    own = run("info", path, "--scale", "0.5", "--json")
    assert json.loads(own.output)["camera"]["cx"] == 160
    (path / "camera.json").unlink()
    assert "--scale needs a camera" in str(run("info", path, "--scale", "0.5").exception)


def test_no_hand_reports_what_was_looked_at(tmp_path: Path) -> None:
    wall = np.full((240, 320), 1902, np.uint16)
    path = folder(tmp_path, [wall, wall + 1])
    seen = "no hand found: nearest surface 1.90 m, middle 1.90 m (0.48 m if the unit is a quarter, "
    result = run("track", path, "--camera", NUMBERS, "--out", tmp_path / "out", "--no-video")
    assert seen in result.output
    assert seen in run("live", path, "--camera", NUMBERS, "--fast").stderr


def test_a_part_of_a_recording(frames: list[Frame], tmp_path: Path) -> None:
    path = folder(tmp_path, units(frames) * 3)
    out = tmp_path / "out"
    result = run(
        "track", path, "--camera", NUMBERS, "--out", out, "--no-video",
        "--start", 1, "--end", 8, "--every", 3,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with np.load(out / "joints.npz") as arrays:
        assert arrays["frames"].tolist() == ["1.png", "4.png", "7.png"]
        assert arrays["frame_index"].tolist() == [1, 4, 7]
        assert arrays["frame_index"].dtype == np.int64
        assert arrays["frame_count"].dtype == np.int64
        assert arrays["frame_count"] == 9
        np.testing.assert_allclose(arrays["time_s"], [0, 0.1, 0.2])
    beyond = run("track", path, "--camera", NUMBERS, "--out", out, "--start", 90)
    assert "no frame from 90 to 9" in str(beyond.exception)


def test_a_part_keeps_its_truth_and_cuts() -> None:
    whole = open_recording("demo")
    part = part_of(whole, 10, 40, 4)
    assert whole.truth_xyz_mm is not None
    assert part.truth_xyz_mm is not None
    for frame, index in zip(part, range(10, 40, 4), strict=True):
        np.testing.assert_array_equal(frame.truth_xyz_mm, whole.truth_xyz_mm[index])
        assert frame.name == whole.names[index]
    from dataclasses import replace

    cut = part_of(replace(whole, cuts=(12, 13, 30)), 10, 40, 4)
    assert cut.cuts == (1, 5)  # frames 14 and 30
    assert _empty(cut, HAND21)["cuts"].tolist() == [1, 5]  # for 'score': they may be in no truth
    again = part_of(cut, 1, 4, 2)
    assert again.frame_index == (14, 22)
    assert again.frame_count == len(whole)


def test_many_bad_frames_are_summed_up(frames: list[Frame], tmp_path: Path) -> None:
    path = folder(tmp_path, units(frames) * 3)
    for number in range(1, 5):
        (path / f"{number}.png").write_bytes(b"")
    (path / "5.png").write_bytes((path / "0.png").read_bytes()[:-40])
    cv2.imwrite(str(path / "7.png"), np.zeros((240, 320), np.uint16))
    cv2.imwrite(str(path / "8.png"), units(frames)[0][:120])
    result = run("track", path, "--camera", NUMBERS, "--out", tmp_path / "out", "--no-video")
    assert result.exit_code == 0, result.output
    skipped = [line for line in result.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 4  # a line for each reason
    assert skipped[0].startswith(f"skipped: 4 frames, as {path / '1.png'}: not a PNG")
    assert "2 of 9 frames tracked, 0 lost, 7 unreadable" in result.stdout


def test_a_recording_plays_again_on_request(frames: list[Frame], tmp_path: Path) -> None:
    path = folder(tmp_path, units(frames))
    arguments = ["live", path, "--camera", NUMBERS, "--fast", "--emit", "jsonl"]
    looped = run(*arguments, "--loop", "--seconds", "2")
    assert looped.exit_code == 0, looped.output
    numbers = [json.loads(line)["frame"] for line in looped.stdout.splitlines()[1:]]
    assert len(numbers) > 3
    assert numbers == list(range(len(numbers)))


def test_angles_and_gestures_are_emitted(frames: list[Frame], tmp_path: Path) -> None:
    path = folder(tmp_path, [*units(frames), np.full((240, 320), 1900, np.uint16)])
    result = run("live", path, "--camera", NUMBERS, "--fast", "--emit", "jsonl", "--pose")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()[1:]]
    pose = lines[0]["pose"]
    assert len(pose["angles_deg"]) == 20
    np.testing.assert_allclose(pose["wrist"]["position_mm"], lines[0]["joints_mm"][0], atol=0.02)
    assert np.linalg.norm(pose["wrist"]["quaternion"]) == pytest.approx(1, abs=1e-4)
    assert set(pose["pinch"]) == {"index", "middle", "ring", "pinky"}
    assert all((line["pose"] is None) == (not line["found"]) for line in lines)
    assert not lines[-1]["found"]
    assert lines[-1]["identity"] is None
    assert [line["identity"] for line in lines[:3]] == [0, 0, 0]


def test_a_view_in_the_browser_stays_until_ctrl_c(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rerun", reason="no rerun (extra view)")
    waited: list[bool] = []

    def interrupted() -> None:
        waited.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr("cadstn.cli.cameras._until_interrupted", interrupted)
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    path = folder(tmp_path, units(frames))
    result = run("live", path, "--camera", NUMBERS, "--fast", "--view", "browser")
    assert result.exit_code == 0, result.output
    assert waited == [True]
    assert "stays until Ctrl-C" in result.stderr
    assert "3 frames, hand in 3" in result.stderr


# --- the public reports themselves ------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize(
    ("name", "camera", "message"),
    [
        ("kinect1_raw_11_bit/frames", NUMBERS, "nothing exceeds 2047 and 2047 is common"),
        ("metres_as_integers/frames", NUMBERS, "only 1 different depth, the largest 1: metres"),
        ("holes_filled/hole_filling_farest", "sr305", "holes seem filled"),
        ("holes_filled/spatial_holes_fill_5", "sr305", "holes seem filled"),
    ],
)
def test_reported_depth(name: str, camera: str, message: str) -> None:
    about = json.loads(run("info", CASES / name, "--camera", camera, "--json").output)
    assert len(about["warnings"]) == 1
    assert message in about["warnings"][0]


@needs_cases
def test_reported_packing() -> None:
    path = CASES / "red_low_packing/frames"
    with pytest.raises(CadstnError, match=r"red is not 0.* R \+ 256 G, as HO3D and STB pack it"):
        next(open_recording(path).frames(lambda bad: None))


@needs_cases
def test_reported_distance(tmp_path: Path) -> None:
    for name in ("at1430", "at1530"):
        result = run(
            "track", CASES / "beyond_1500_mm" / name, "--camera", "525,525,320,240",
            "--out", tmp_path / name, "--no-video",
        )  # fmt: skip
        assert "1 of 1 frames tracked" in result.output or (
            name == "at1530" and "hands are searched from 0.15 to 2.5 m" in result.output
        )


def test_live_reports_each_kind_of_bad_frame_once_and_counts_it(tmp_path: Path) -> None:
    path = folder(tmp_path, [np.full((240, 320), 1902, np.uint16)] * 6)
    for index in (1, 2, 4):
        (path / f"{index}.png").write_bytes(b"no picture %d" % index)
    lines = run("live", path, "--camera", NUMBERS, "--fast").stderr.splitlines()
    result = [line for line in lines if line.startswith("left out")]
    assert len(result) == 2
    assert "/1.png" in result[0]
    assert result[1].startswith("left out: 3 frames, as ")
    assert "/1.png" in result[1]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
@pytest.mark.parametrize("command", ["track", "live"])
def test_results_go_into_a_folder_whose_name_is_not_utf8(
    command: str, tmp_path: Path, frames: list[Frame]
) -> None:
    # OpenCV crashed on such a path: the process ended without a word.
    source = folder(tmp_path, units(frames))
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    more: list[str | Path] = ["--camera", NUMBERS, "--out", out]
    more += ["--fast"] if command == "live" else []
    done = subprocess.run(
        [sys.executable, "-m", "cadstn.cli", command, source, *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no video: " in done.stderr
    assert (out / ("contact.png" if command == "track" else "joints.jsonl")).stat().st_size > 0


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX alone")
def test_weights_may_lie_in_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    here = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    here.mkdir()
    with shipped_weights() as shipped:
        shutil.copy(shipped, here / "hand.onnx")
    assert Tracker(here / "hand.onnx").network.wants.size == Tracker().network.wants.size


def test_a_part_shows_its_own_frames() -> None:
    whole = list(open_recording("demo"))
    part = part_of(part_of(open_recording("demo"), 10, 40, 4), 1, 4, 2)  # of 10, 14, 18, 22, ...
    for frame, index in zip(part, (14, 22), strict=True):
        np.testing.assert_array_equal(frame.depth, whole[index].depth)
