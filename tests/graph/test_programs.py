"""The programs of examples/whole, each with onnxruntime alone, print the tracker's hands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs cadstn[export]")

from cadstn import Tracker, open_recording
from cadstn.graph.file import write_whole

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "whole"
NODE = EXAMPLES / "js" / "node_modules" / "onnxruntime-node"
CAMERA = ["320", "240", "285", "285", "160", "120"]
FRAMES = 12
#: An unpacked onnxruntime release, with its headers.
RELEASE = os.environ.get("ONNXRUNTIME_ROOT", "")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("programs")
    write_whole(folder / "hand.onnx")
    command = [sys.executable, str(EXAMPLES / "demo_frames.py"), str(folder / "demo.raw")]
    subprocess.run(command, check=True)
    frames = np.fromfile(folder / "demo.raw", np.uint16).reshape(-1, 240, 320)[:FRAMES]
    frames.tofile(folder / "demo.raw")
    return [str(folder / "hand.onnx"), str(folder / "demo.raw"), *CAMERA]


def tracks(program: list[str], arguments: list[str]) -> None:
    """Run a program and compare its lines with the tracker's hands."""
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    recording, tracker = open_recording(str(resources.files("cadstn") / "demo")), Tracker(fit=False)
    assert len(lines) == FRAMES
    for number, (frame, line) in enumerate(zip(recording, lines, strict=False)):
        hand = tracker.update(frame.depth, frame.camera)
        assert line[:3] == [str(number), "0", hand.side]
        np.testing.assert_allclose([float(x) for x in line[4:]], hand.joints_mm[8], atol=0.02)


def test_python(arguments: list[str]) -> None:
    tracks([sys.executable, str(EXAMPLES / "python" / "track.py")], arguments)


@pytest.mark.skipif(
    not shutil.which("node") or not NODE.is_dir(),
    reason="needs Node.js, and 'npm install onnxruntime-node' in examples/whole/js",
)
def test_node(arguments: list[str]) -> None:
    tracks(["node", str(EXAMPLES / "js" / "track.mjs")], arguments)


@pytest.mark.skipif(
    not shutil.which("cmake") or not RELEASE,
    reason="needs CMake, and an onnxruntime release with headers at ONNXRUNTIME_ROOT",
)
def test_cpp(arguments: list[str], tmp_path: Path) -> None:
    build = ["cmake", "-S", str(EXAMPLES / "cpp"), "-B", str(tmp_path), f"-DONNXRUNTIME={RELEASE}"]
    subprocess.run(build, check=True)
    subprocess.run(["cmake", "--build", str(tmp_path)], check=True)
    tracks([str(tmp_path / "track")], arguments)
