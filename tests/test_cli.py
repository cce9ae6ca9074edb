"""The command line as a person meets it: outputs, exit codes, one-line errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cadstn.cli import cli, main
from cadstn.cli.shared import need_train
from cadstn.errors import CadstnError, Stopped
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.io import open_recording, write_recording
from cadstn.tracking import load_network
from cadstn.tracking.decision import Decision, write_decision
from cadstn.tracking.results import OUTPUTS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def clip(demo_clip: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first eight frames of the demo, with their truth."""
    return demo_clip(tmp_path_factory.mktemp("cli") / "clip", 8)


def test_track_writes_all_that_it_promises(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("track", clip, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == sorted(OUTPUTS)
    assert "8 of 8 frames tracked" in result.output
    assert "mean joint error" in result.output
    assert "ms a frame (p50)" in result.output
    for name in OUTPUTS:
        assert str(out / name) in result.output

    with np.load(out / "joints.npz", allow_pickle=False) as arrays:
        joints = arrays["joints_xyz_mm"]
        assert joints.shape == (8, 21, 3)
        assert joints.dtype == np.float32
        assert arrays["found"].all()
        np.testing.assert_allclose(arrays["time_s"], np.arange(8) / 30)
        assert tuple(arrays["joint_names"]) == HAND21.joints
    lines = (out / "joints.csv").read_text().splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("frame,time_s,found,wrist_x_mm,wrist_y_mm,wrist_z_mm,thumb_cmc_x_mm")
    np.testing.assert_allclose(
        [float(v) for v in lines[1].split(",")[3:66]], joints[0].ravel(), atol=1e-3
    )
    with np.load(out / "joints.npz", allow_pickle=False) as arrays:
        assert set(arrays["side"]) <= {"left", "right"}
        assert arrays["present"].shape == (8,)
        assert (arrays["present"] > 0.5).all()
        assert arrays["uncertainty_mm"].shape == (8, 21)
        assert (arrays["uncertainty_mm"] > 0).all()
        assert arrays["identity"].tolist() == [0] * 8
        side, present, identity, *scales = lines[1].split(",")[66:]
        assert (side, identity) == (str(arrays["side"][0]), "0")
        assert float(present) == pytest.approx(float(arrays["present"][0]), abs=1e-3)
        np.testing.assert_allclose(
            [float(v) for v in scales], arrays["uncertainty_mm"][0], atol=0.1
        )
    uvd = np.loadtxt(out / "joints_uvd.txt").reshape(8, 21, 3)
    back = open_recording(clip).camera.to_xyz_mm(uvd)
    np.testing.assert_allclose(back, joints, atol=0.02)

    video = cv2.VideoCapture(str(out / "overlay.webm"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 8
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(30, abs=0.1)
    good, picture = video.read()
    assert good
    assert picture.shape == (360, 480 + 360, 3)
    assert picture.max() > 100
    sheet = cv2.imread(str(out / "contact.png"))
    assert sheet is not None
    assert sheet.shape[1] == 3 * 640
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == summary["tracked"] == 8
    assert summary["lost"] == summary["bad"] == 0
    assert summary["error"]["mean_error_mm"] < 40
    assert summary["first_found"]["frame"] == "000000.png"
    assert sum(summary["sides"].values()) == 8
    assert summary["warnings"] == []
    assert summary["without_hand"] is None


@pytest.mark.parametrize(("width", "height", "fps"), [(20_000, 8, 30.0), (8, 20_000, 1e5)])
def test_no_size_or_rate_of_frames_ends_tracking(
    tmp_path: Path, width: int, height: int, fps: float
) -> None:
    units = np.full((2, height, width), 600, np.uint16)
    camera = Camera(300.0, 300.0, width / 2, height / 2, fps=fps)
    write_recording(tmp_path / "clip", units, camera)
    for words, video in (
        (["track", str(tmp_path / "clip"), "--out", str(tmp_path / "a")], "overlay.webm"),
        (["live", str(tmp_path / "clip"), "--fast", "--out", str(tmp_path / "b")], "live.webm"),
    ):
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        out = Path(words[-1])
        assert ("no video: " in done.stderr) == (fps > 1000) == (not (out / video).exists())
        if (out / video).exists():
            opened = cv2.VideoCapture(str(out / video))
            assert opened.get(cv2.CAP_PROP_FRAME_WIDTH) <= 0.75 * 5 * 480
            opened.release()


def test_a_bad_frame_is_reported_skipped_and_counted(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(clip, broken)
    data = (broken / "000003.png").read_bytes()
    (broken / "000003.png").write_bytes(data[: len(data) // 2])
    result = run("track", broken, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "000003.png" in result.output
    assert "7 of 8 frames tracked, 0 lost, 1 unreadable" in result.output
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["bad"] == 1
    assert summary["bad_frames"][0]["frame"] == "000003.png"
    with np.load(tmp_path / "out/joints.npz") as arrays:
        assert arrays["found"].tolist() == [True] * 3 + [False] + [True] * 4
        assert np.isnan(arrays["joints_xyz_mm"][3]).all()


def test_track_replaces_an_earlier_result(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for mine in ("joints.csv", "overlay.webm"):  # of such names, but no result
        (out / mine).write_text("mine")
        line = f"holds {mine}, which no summary.json of a result lists"
        assert line in str(run("track", clip, "--out", out, "--no-video").exception)
        assert {file.name: file.read_text() for file in out.iterdir()} == {mine: "mine"}
        (out / mine).unlink()
    (out / "summary.json").write_text('{"files": {}}')
    (out / "mine.txt").write_text("mine")
    assert run("track", clip, "--out", out).exit_code == 0
    assert json.loads((out / "summary.json").read_text())["frames"] == 8
    assert (out / "mine.txt").read_text() == "mine"


def bad_folder(tmp_path: Path, image: np.ndarray | bytes, camera: Camera | None) -> Path:
    folder = tmp_path / "bad"
    folder.mkdir()
    if isinstance(image, bytes):
        (folder / "0.png").write_bytes(image)
    else:
        cv2.imwrite(str(folder / "0.png"), image)
    if camera is not None:
        (folder / "camera.json").write_text(camera.to_json())
    return folder


GOOD = Camera(240, 240, 160, 120, 320, 240)
TRUNCATED = cv2.imencode(".png", np.full((240, 320), 700, np.uint16))[1].tobytes()[:60]


@pytest.mark.parametrize(
    ("image", "camera", "message"),
    [
        (TRUNCATED, GOOD, "0.png"),
        (b"", GOOD, "0.png"),
        (np.full((240, 320), 9, np.uint8), GOOD, "8-bit"),
        (np.full((100, 320), 900, np.uint16), GOOD, "320x100"),
        (np.zeros((240, 320), np.uint16), GOOD, "0.png"),
        (np.full((240, 320), 65535, np.uint16), GOOD, "0.png"),
        (np.full((240, 320), 900, np.uint16), None, "--camera"),
    ],
)
def test_bad_recordings_are_one_line_and_leave_nothing(
    tmp_path: Path, image: np.ndarray | bytes, camera: Camera | None, message: str
) -> None:
    folder = bad_folder(tmp_path, image, camera)
    result = run("track", folder, "--out", tmp_path / "out")
    assert isinstance(result.exception, CadstnError)
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["bad"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--camera", "0,240,160,120", "camera '0,240,160,120': camera fx is 0.0"),
        ("--camera", "kinect3", "did you mean 'kinect2'?"),
        ("--weights", "nowhere.onnx", "no such weights file"),
        ("--out", "clip_file", "a file stands where"),
    ],
)
def test_bad_options_are_one_line(
    clip: Path, tmp_path: Path, option: str, value: str, message: str
) -> None:
    (tmp_path / "clip_file").write_text("")
    options = {"--out": tmp_path / "out", option: value}
    if option == "--out":
        options["--out"] = tmp_path / value
    result = run("track", clip, *(part for pair in options.items() for part in pair))
    assert isinstance(result.exception, CadstnError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_errors_print_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["cadstn", "info", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "nowhere" in printed
    assert printed.count("\n") == 1


def test_info(clip: Path) -> None:
    result = run("info", clip, "--json")
    about = json.loads(result.output)
    assert about["frames"] == 8
    assert about["bad"] == 0
    assert "frames  8" in run("info", clip).output


def test_frames_without_a_labelled_hand_have_no_error(clip: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    shutil.copytree(clip, part)
    with np.load(part / "truth.npz") as held:
        truth = dict(held)
    truth["joints_xyz_mm"][4:] = np.nan
    np.savez(part / "truth.npz", **truth)
    result = run("track", part, "--start", 5, "--no-video", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["tracked"] == 3
    assert summary["error"] is None


def test_score_of_npz_files(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("track", clip, "--out", out)
    result = run("score", out / "joints.npz", clip / "truth.npz", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    mean = json.loads(result.output)["mean_error_mm"]
    assert mean == pytest.approx(summary["error"]["mean_error_mm"], abs=1e-3)
    printed = run("score", out / "joints.npz", clip / "truth.npz").output
    assert "index_pip" in printed
    assert "found" in printed
    # A part is scored on its own frames, as 'track' does.
    run("track", clip, "--out", out, "--no-video", "--start", 3, "--every", 2)
    summary = json.loads((out / "summary.json").read_text())
    result = run("score", out / "joints.npz", clip / "truth.npz", "--json")
    part = json.loads(result.output)
    assert (part["frames"], part["of"]) == (3, 8)
    for name in ("mean_error_mm", "acceleration_error_mm_frame2", "truth_jitter_mm_frame2"):
        assert part[name] == pytest.approx(summary["error"][name])


def test_synth_is_a_function_of_its_seed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        result = run("synth", tmp_path / name, "--frames", 1, "--seed", seed)
        assert result.exit_code == 0, result.output
    a, b, c = (
        np.stack([f.depth for f in open_recording(tmp_path / name)]) for name in ("a", "b", "c")
    )
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    recording = open_recording(tmp_path / "a")
    assert recording.skeleton == HAND21
    assert recording.truth_xyz_mm is not None


def test_train_export_track(clip: Path, tmp_path: Path) -> None:
    """The whole road: rendered hands, three stages, one file, joints."""
    pytest.importorskip("torch")
    sizes = (
        "net.size=16", "net.slices=2", "net.channels=[2,4,4]", "net.width=8", "net.hidden=8",
        "validation_frames=4", "spatial.steps=3", "temporal.steps=2", "fusion.steps=2",
    )  # fmt: skip
    arguments = ["train", "tiny", "--out", tmp_path / "run"]
    result = run(*arguments, *(a for s in sizes for a in ("--set", s)))
    assert result.exit_code == 0, result.output
    result = run("export", tmp_path / "run", "--out", tmp_path / "hand.onnx", "--half")
    assert result.exit_code == 0, result.output
    result = run("track", clip, "--weights", tmp_path / "hand.onnx", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    decision = tmp_path / "decision.json"
    write_decision(Decision(1.5, 0.25, -2.0, 3.0), decision)
    given = "--out", tmp_path / "own.onnx", "--decision", decision
    result = run("export", tmp_path / "run", *given)
    assert "--decision is for compact networks" in str(result.exception)
    small = (
        "net.size=32", "net.channels=[4,4,4,4]", "net.blocks=[1,1,1,1]", "net.width=8",
        "net.hidden=8", "validation_frames=4", "spatial.steps=1", "temporal.steps=1",
        "fusion.steps=1", "spatial.batch=2", "temporal.batch=16", "fusion.batch=16", "warmup=0",
        "prepared=0", "compiled=false", "step_mode=eager",
    )  # fmt: skip
    arguments = ["train", "compact", "--out", tmp_path / "own"]
    result = run(*arguments, *(a for s in small for a in ("--set", s)))
    assert result.exit_code == 0, result.output
    result = run("export", tmp_path / "own", *given)
    assert result.exit_code == 0, result.output
    assert load_network(tmp_path / "own.onnx").wants.decision == (1.5, 0.25, -2.0, 3.0)
    wrong = run("train", "tiny", "--out", tmp_path / "x", "--set", "net.widht=3")
    assert "did you mean 'width'?" in str(wrong.exception)
    for blend, line in (
        ("shipped", "'shipped' is not weights and a share"),
        ("shipped=1.5", "is not weights and a share"),
        ("shipped=some", "is not weights and a share"),
        (f"{tmp_path / 'run'}=0.2", "--blend takes an export, not a run"),
        ("shipped=0.2", "only compact networks are blended"),
    ):
        wrong = run("export", tmp_path / "run", "--out", tmp_path / "no.onnx", "--blend", blend)
        assert line in str(wrong.exception), blend
    wrong = run("export", tmp_path / "run", "--out", tmp_path / "no.onnx", "--spread", 1.1)
    assert "only compact networks are blended or have an error scale" in str(wrong.exception)
    assert "It is now --error-scale." in wrong.output
    assert "--spread" not in run("export", "--help").output


def test_a_network_of_a_data_set_takes_no_decision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has learned no presence, which a decision weighs."""
    pytest.importorskip("torch")
    from cadstn.train.recipes import recipe

    monkeypatch.setattr("cadstn.train.load_model", lambda run: (None, recipe("compact.nyu")))
    decision = tmp_path / "decision.json"
    write_decision(Decision(1.5, 0.25, -2.0, 3.0), decision)
    result = run("export", "run", "--out", tmp_path / "own.onnx", "--decision", decision)
    assert "--decision is for compact networks of rendered hands" in str(result.exception)


def test_without_torch_the_hint_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(CadstnError, match=r"pip install 'cadstn\[train\]'"):
        need_train("cadstn train")


@pytest.mark.parametrize("command", ["track", "demo", "info", "score", "synth", "train", "export"])
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_a_stop_that_was_asked_for_is_one_line_and_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(standalone_mode: bool) -> None:
        raise Stopped("spatial", 76)

    monkeypatch.setattr("cadstn.cli.cli", stopped)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    printed = capsys.readouterr().err
    assert printed.strip() == "stopped after step 76 of the spatial stage; the same command goes on"


def test_the_log_of_a_training_beside_another_has_how_it_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from cadstn.cli import shipped

    def fails(*arguments: object) -> None:
        raise CadstnError("holds another run", where="detector", hint="move it")

    monkeypatch.setattr(shipped, "train_detector", fails)
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    with pytest.raises(CadstnError):
        shipped._into(tmp_path / "detector.log", tmp_path, 1)
    line = "CadstnError: detector: holds another run; move it\n"
    assert (tmp_path / "detector.log").read_text() == line


@pytest.mark.skipif(os.name == "nt", reason="the C library of POSIX")
def test_what_libraries_print_never_reaches_standard_output() -> None:
    """Also what is still in a buffer when our lines end."""
    program = (
        "import ctypes\n"
        "from cadstn.cli.cameras import _own_stdout\n"
        "with _own_stdout() as lines:\n"
        "    print('of Python')\n"
        "    ctypes.CDLL(None).puts(b'of C')\n"
        "    print('ours', file=lines)\n"
    )
    # With unbuffered output nothing could be left.
    buffered = {name: v for name, v in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=buffered
    )
    assert done.stdout == "ours\n"
    assert sorted(done.stderr.split("\n")) == ["", "of C", "of Python"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["track", "demo", "--out", "x", "--camera", "kinect2", "--scale", "1e308"],
            "scale is 1e+308; give a positive number up to 1000",
        ),
        (["track", "demo", "--out", "x", "--threads", str(10**15)], "not in the range 1<=x<=1024"),
        (["synth", "x", "--frames", str(10**15)], "not in the range 1<=x<=10000000"),
        (["bank", "x", "--clips", str(10**12)], "not in the range 1<=x<=10000000"),
    ],
    ids=["scale", "threads", "frames", "clips"],
)
def test_numbers_that_memory_cannot_hold(words: list[str], line: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, (CadstnError, SystemExit)), done.exception
    assert done.exit_code != 0
    assert list(tmp_path.iterdir()) == []
    assert line in f"{done.output} {done.exception}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(
    "words",
    [
        ["retarget", "clip", "--hand", "leap", "--out", "a.csv", "--hand-eye", "pipe.json"],
        ["track-many", "pipe.json", "--out", "many"],
        ["track", "clip", "--out", "a", "--camera", "pipe.json"],
        ["track", str(resources.files("cadstn") / "demo"), "--out", "a", "--weights", "pipe.json"],
        ["export", "--whole", "a.onnx", "pipe.json"],
    ],
    ids=lambda words: words[0],
)
def test_a_pipe_is_named_and_not_waited_for(words: list[str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, CadstnError), done.exception
    assert "pipe.json: " in str(done.exception)
    assert "pipe" in str(done.exception).partition("pipe.json: ")[2]


@pytest.mark.skipif(os.name != "posix", reason="of signals")
def test_a_request_to_end_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cadstn.cli", "track", "demo", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        for _ in range(1200):
            if any(tmp_path.iterdir()):  # it has begun to write
                break
            time.sleep(0.05)
        else:
            running.kill()
            pytest.fail("nothing was begun in a minute")
        running.terminate()
        assert running.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--whole", "a.onnx", "--half"], "--half means nothing to --whole"),
        (["--whole", "a.onnx", "--error-scale", "1"], "--error-scale means nothing to --whole"),
        (["--whole", "a.onnx", "--decision", "d.json"], "--decision means nothing to --whole"),
        (["run", "--out", "a.onnx", "--hands", "1"], "--hands is for --whole"),
        (["run", "--out", "a.onnx", "--uint16"], "--uint16 is for --whole"),
        (["run", "--out", "a.onnx", "--detector", "a.onnx"], "a.onnx: is the input itself"),
        (["run", "--out", "a.onnx", "--blend", "a.onnx=0.2"], "a.onnx: is the input itself"),
    ],
)
def test_options_that_an_export_has_no_use_for(words: list[str], line: str) -> None:
    refused = run("export", *words)
    assert isinstance(refused.exception, CadstnError)
    assert line in str(refused.exception)


def test_a_unit_that_is_given_counts_instead_of_the_cameras(clip: Path, tmp_path: Path) -> None:
    frames = np.stack([frame.depth for frame in open_recording(clip)]) / 1000
    np.save(tmp_path / "metres.npy", frames.astype(np.float32))
    path, camera = tmp_path / "metres.npy", clip / "camera.json"
    given = ["--camera", camera, "--unit", "m"]
    about = json.loads(run("info", path, *given, "--json").output)
    assert not about["warnings"]
    for command in ("track", "live"):
        out = tmp_path / command
        done = run(command, path, *given, "--out", out)
        assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "track" / "summary.json").read_text())["tracked"] == 8
    assert '"how": "found"' in (tmp_path / "live" / "joints.jsonl").read_text()
    refused = run("track", path, *given[:2], "--unit", "metre", "--out", tmp_path / "x")
    assert "no unit 'metre'; known: cm, m" in str(refused.exception)
    assert "'unit' is of recordings" in str(run("live", "synthetic", "--unit", "m").exception)


@pytest.mark.parametrize(
    ("words", "needs"),
    [
        (["--host", "0.0.0.0"], "--serve"),
        (["--task", "pick"], "--lerobot"),
        (["--pose"], "--emit, --out, --udp or --osc"),
        (["--joints", "openxr"], "--emit, --out, --udp or --osc"),
    ],
)
def test_options_of_live_that_would_do_nothing(words: list[str], needs: str) -> None:
    refused = run("live", "demo", *words)
    assert isinstance(refused.exception, CadstnError)
    assert f"{words[0]} does nothing without {needs}" in str(refused.exception)


@pytest.mark.parametrize("source", ["realsense:123", "synthetic"])
def test_a_camera_is_not_played_fast(source: str) -> None:
    refused = run("live", source, "--fast")
    assert "--fast does nothing without a recording or a data set" in str(refused.exception)


def test_an_export_is_what_its_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from cadstn.train.recipes import STAGES, recipe

    asked: dict[str, Any] = {}

    def exported(model: object, out: Path, about: dict[str, str], **options: Any) -> None:
        asked.update(options, model=model, about=about)
        out.touch()

    other = SimpleNamespace(folded=True, name="other", tensors={stage: stage for stage in STAGES})
    monkeypatch.setattr("cadstn.export.export_onnx", exported)
    monkeypatch.setattr("cadstn.train.load_model", lambda run: (f"of {run}", recipe("compact")))
    monkeypatch.setattr("cadstn.train.detector.read_detector", lambda path: f"run {path}")
    monkeypatch.setattr("cadstn.tracking.runtime.carried_detector", lambda path: f"file {path}")
    monkeypatch.setattr("cadstn.cli.exporting.begun", lambda start: other)
    for more, options in (
        ([], {}),
        (["--half", "--detector", "runs"], {"half": True, "detector": "run runs"}),
        (["--int8", "--detector", "d.onnx"], {"int8": True, "detector": "file d.onnx"}),
        (["--blend", "x=0.2"], {"blend": ({stage: stage for stage in STAGES}, 0.2)}),
        (["--error-scale", "1.25"], {"error_scale": 1.25}),
    ):
        done = run("export", "run", "--out", tmp_path / "a.onnx", *more)
        assert done.exit_code == 0, done.output
        about = asked.pop("about")
        assert (about.get("blend"), about.get("spread")) == (
            "other 0.2" if "--blend" in more else None, "1.25" if "1.25" in more else None,
        )  # fmt: skip
        plain = {"half": False, "int8": False, "blend": None, "error_scale": 1, "detector": None}
        assert asked == {"model": "of run", **plain, **options}


@pytest.mark.parametrize(
    "words",
    [
        ["live", "demo", "--fast", "--seconds", "0.1"],
        ["retarget", "demo", "--hand", "leap", "--out", "a.csv"],
        ["bench", "model", "--recordings", "0", "--empty", "0", "--real", "."],
    ],
    ids=lambda words: words[0],
)
def test_weights_of_ones_own_are_taken(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run(*words, "--weights", "nowhere.onnx")
    assert "no such weights file" in str(refused.exception), refused.output


def test_synth_renders_as_its_options_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    asked: dict[str, Any] = {}

    def written(path: Path, **given: Any) -> bool:
        asked.update(given)
        return True

    def rendered(client: None, out: Path, **given: Any) -> list[Any]:
        asked.update(given)
        return []

    @contextmanager
    def jobs(*order: object) -> Iterator[tuple[None, None]]:
        yield None, None

    monkeypatch.setattr("cadstn.synth.write.write_synthetic", written)
    monkeypatch.setattr("cadstn.cli.data.many_jobs", jobs)
    monkeypatch.setattr("cadstn.many.render_shards", rendered)
    for more in ([], ["--shards", 2]):
        asked.clear()
        words = ["--frames", 7, "--seed", 3, "--held", 0.25, "--alone", *more]
        done = run("synth", tmp_path / "a", *words)
        assert done.exit_code == 0, done.output
        expected = {"frames": 7, "seed": 3, "held": 0.25, "alone": True}
        assert {name: asked[name] for name in expected} == expected
