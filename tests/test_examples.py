"""The scripts and the notebook of examples/ run on the beginning of the packaged recording."""

import inspect
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cadstn

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FRAMES = 30


@pytest.fixture(autouse=True)
def in_short_demo(short_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(short_demo)


def run(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
) -> list[str]:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_own_array_prints_21_joints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    side, *joints = run("own_array.py", monkeypatch, capsys)
    assert side == "left hand"  # the demo shows a left one
    assert len(joints) == 21
    assert joints[0].split()[0] == "wrist"
    assert 400 < float(joints[0].split()[-2]) < 700


def test_own_array_takes_a_file_and_its_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = []

    class Noting(cadstn.Tracker):
        def update(self, depth: Any, camera: Any = None, *more: Any, **options: Any) -> cadstn.Hand:
            given.append((depth, camera))
            return super().update(depth, camera, *more, **options)

    depth = next(iter(cadstn.open_recording("demo"))).depth.astype(np.uint16)
    np.save(tmp_path / "frame.npy", depth)
    monkeypatch.setattr(cadstn, "Tracker", Noting)
    numbers = ("285", "286", "160", "120")
    lines = run("own_array.py", monkeypatch, capsys, str(tmp_path / "frame.npy"), *numbers)
    assert len(lines) == 22
    ((frame, camera),) = given
    np.testing.assert_array_equal(frame, depth)
    assert camera == cadstn.Camera(285.0, 286.0, 160.0, 120.0)


def test_camera_loop_prints_a_line_a_frame(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run("camera_loop.py", monkeypatch, capsys)
    assert len(lines) == FRAMES
    assert "no hand" not in lines[-1]
    first = next(iter(cadstn.open_recording("demo")))
    x, y, z = cadstn.Tracker().update(first.depth, first.camera, 0.0).joints_mm[8]
    assert lines[0] == f"  0.000 s  x {x:7.1f}  y {y:7.1f}  z {z:7.1f} mm"


@pytest.mark.skipif(
    "hands" not in inspect.signature(cadstn.Tracker).parameters, reason="needs Tracker(hands=)"
)
def test_two_hands_finds_a_left_and_a_right_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run("two_hands.py", monkeypatch, capsys)
    assert len(lines) == FRAMES
    both = [line for line in lines if "left at" in line and "right at" in line]
    assert len(both) > 0.9 * FRAMES


def test_joint_angles_are_degrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *rows = (line.split(",") for line in run("joint_angles.py", monkeypatch, capsys))
    assert header[:3] == ["time_s", "gesture", "index_mcp_flexion"]
    assert len(rows) == FRAMES
    assert {len(row) for row in rows} == {len(header)}
    assert "open" in {row[1] for row in rows}
    degrees = np.array([row[2:] for row in rows], float)
    assert np.isfinite(degrees).mean() > 0.9
    assert -180 <= np.nanmin(degrees) < np.nanmax(degrees) <= 180
    assert np.nanmax(degrees) > 20  # a bent little finger; radians end at 3.1


def test_score_file_prints_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run("score_file.py", monkeypatch, capsys)
    assert lines[0].endswith(f"of {FRAMES}")
    assert float(lines[1].split()[-2]) < 10


@pytest.fixture
def uneven(short_demo: Path, tmp_path: Path) -> Path:
    """Two shots of five frames: the first one is broken, and the third one shows no hand."""
    recording = cadstn.open_recording(short_demo / "demo")
    for number, name in enumerate(recording.names[:10]):
        shot = tmp_path / f"recording/shot{number // 5}"
        shot.mkdir(parents=True, exist_ok=True)
        (shot / name).write_bytes((recording.path / name).read_bytes() if number else b"broken")
    camera = (recording.path / "camera.json").read_bytes()
    (tmp_path / "recording/camera.json").write_bytes(camera)
    assert recording.truth_xyz_mm is not None
    truth = recording.truth_xyz_mm[:10].copy()
    truth[2] = np.nan
    np.savez(tmp_path / "recording/truth.npz", joints_xyz_mm=truth)
    return tmp_path / "recording"


@pytest.mark.filterwarnings("ignore::cadstn.io.recording.BadFrameWarning")
def test_broken_frames_and_frames_without_a_hand_are_left_out(
    uneven: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = run("score_file.py", monkeypatch, capsys, str(uneven))
    assert lines[0].split()[-1] == "8"
    assert float(lines[1].split()[-2]) < 10
    header, *rows = run("joint_angles.py", monkeypatch, capsys, str(uneven))
    assert header.startswith("time_s,gesture,")
    assert len(rows) == 9
    (uneven / "truth.npz").unlink()
    with pytest.raises(SystemExit, match=r"no truth\.npz"):
        run("score_file.py", monkeypatch, capsys, str(uneven))


@pytest.mark.filterwarnings("ignore::cadstn.io.recording.BadFrameWarning")
@pytest.mark.parametrize(
    "name", ["score_file.py", "joint_angles.py", "camera_loop.py", "two_hands.py"]
)
def test_each_shot_begins_anew(
    uneven: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resets = []

    class Counting(cadstn.Tracker):
        def reset(self) -> None:
            resets.append(self)
            super().reset()

    monkeypatch.setattr(cadstn, "Tracker", Counting)
    run(name, monkeypatch, capsys, str(uneven))
    assert len(resets) >= 2  # at the beginnings of both


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    plots = pytest.importorskip("matplotlib.pyplot", reason="needs cadstn[plots]")
    plots.switch_backend("agg")
    notebook = json.loads((EXAMPLES / "first_hand.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "stored outputs go stale: clear them"
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    plots.close("all")
    assert names["joints_mm"].shape == (150, 21, 3)  # type: ignore[attr-defined]
    assert names["errors_mm"].mean() < 10  # type: ignore[attr-defined]
