"""Recordings with truth are a training set: train, predict and score on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.data import icvl
from cadstn.evaluate import read_joints_npz, score_files
from cadstn.geometry.skeleton import HAND21
from cadstn.io import write_recording

from .conftest import draw, sticks

STAGES = ("baseline", "sliced", "spatial", "temporal", "fusion")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of 10 frames to train with, one to test on; one frame has no hand."""
    root = tmp_path_factory.mktemp("recordings")
    for seed, name in enumerate(("train/a", "train/b", "train/c", "test/d")):
        icvl16 = sticks(10, seed)
        depth = [draw(np.asarray(icvl.CAMERA.to_uvd(frame), np.float64)) for frame in icvl16]
        # The fan's palm and three joints of a finger, each finger with one joint more.
        truth = icvl16[:, [0, *(i for f in range(5) for i in (0, *range(1 + 3 * f, 4 + 3 * f)))]]
        if name == "train/a":
            truth[4] = np.nan
        camera = icvl.CAMERA
        write_recording(root / name, depth, camera, truth_xyz_mm=truth, skeleton=HAND21)
    return root


def test_train_predict_and_score(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("CADSTN_CACHE", str(tmp_path / "cache"))
    run = str(tmp_path / "run")
    args = ["train", "cadstn.tiny", "--data", str(recordings), "--out", run]
    for field in (*(f"{stage}.steps=2" for stage in STAGES), "validation_frames=8", "holdout=0.3"):
        args += ["--set", field]
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    files = {name: tmp_path / f"{name}.npz" for name in ("pred", "truth")}
    args = ["predict", run, "--data", str(recordings), "--centre", "truth",
            "--out", str(files["pred"]), "--truth", str(files["truth"])]  # fmt: skip
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert "cadstn on recordings test: 10 frames, 0 without a hand" in result.output
    assert read_joints_npz(files["pred"]).shape == (10, 21, 3)
    scores, text = score_files(files["pred"], files["truth"])
    assert f"mean error {scores.mean_error_mm:.2f} mm" in result.output
    assert "pinky_tip" in text
    named, text = score_files(files["pred"], files["truth"], "recordings")
    assert named.mean_error_mm == scores.mean_error_mm
    assert "camera              each frame's own" in text


def test_they_do_not_teach_presence_and_side(recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ["train", "compact.rendered", "--data", str(recordings), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, words)
    line = "presence and side, which recordings does not hold; take cadstn.recordings.compact"
    assert line in str(result.exception)
    assert not (tmp_path / "run").exists()
