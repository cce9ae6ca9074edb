"""Several hands of a recording, written side by side."""

from importlib import resources
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import cadstn
from cadstn.cli import cli
from cadstn.geometry.camera import Camera
from cadstn.io import write_recording


def test_two_hands_are_written_each_to_files_of_its_own(tmp_path: Path) -> None:
    with resources.as_file(resources.files("cadstn") / "demo") as path:
        frames = list(cadstn.open_recording(path))[:8]
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    near = [np.where(frame.depth < 1000, frame.depth, 0) for frame in frames]
    pairs = np.stack([np.hstack([depth, depth[:, ::-1]]) for depth in near])
    write_recording(tmp_path / "pair", pairs.astype(np.uint16), wide)
    out = tmp_path / "out"
    arguments = ["track", str(tmp_path / "pair"), "--hands", "2", "--out", str(out), "--no-video"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    with np.load(out / "joints.npz") as one, np.load(out / "joints-2.npz") as two:
        assert one["found"].all()
        assert two["found"].all()
        assert {one["side"][5], two["side"][5]} == {"left", "right"}
        apart = np.linalg.norm(one["joints_xyz_mm"][:, 0] - two["joints_xyz_mm"][:, 0], axis=1)
        assert (apart > 100).all()
    assert (out / "joints-2.csv").exists()
    assert "joints-2.npz" in result.output
