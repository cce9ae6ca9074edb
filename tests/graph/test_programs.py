"""The programs of examples/whole, each with onnxruntime alone, print the tracker's hands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx", reason="needs cadstn[export]")

from cadstn import Tracker, open_recording
from cadstn.graph.file import write_whole

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "whole"
NODE = EXAMPLES / "js" / "node_modules" / "onnxruntime-node"
#: Node.js looks for packages in the folders above a program too.
WEB = ROOT / "node_modules" / "onnxruntime-web"
CAMERA = ["320", "240", "285", "285", "160", "120"]
FRAMES = 12
#: An unpacked onnxruntime release. Without one, headers alone that .ci/onnxruntime-headers fetched,
#: with the library of the Python package.
RELEASE = os.environ.get("ONNXRUNTIME_ROOT", "")
HEADERS = ROOT / ".cache" / "onnxruntime" / "include"
LIBRARIES = sorted(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("programs")
    write_whole(folder / "hand.onnx")
    command = [sys.executable, str(EXAMPLES / "demo_frames.py"), str(folder / "demo.raw")]
    subprocess.run(command, check=True)
    frames = np.fromfile(folder / "demo.raw", np.uint16).reshape(-1, 240, 320)[:FRAMES]
    frames.tofile(folder / "demo.raw")
    return [str(folder / "hand.onnx"), str(folder / "demo.raw"), *CAMERA]


def tips(program: list[str], arguments: list[str], **env: str) -> list[list[float]]:
    """Run a program: how far its index fingertip is from the tracker's (x, y, z) in each frame."""
    done = subprocess.run(
        [*program, *arguments], capture_output=True, text=True, timeout=300, env=os.environ | env
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    recording, tracker = open_recording("demo"), Tracker(fit=False)
    assert len(lines) == FRAMES
    errors = []
    for number, (frame, line) in enumerate(zip(recording, lines, strict=False)):
        hand = tracker.update(frame.depth, frame.camera)
        assert line[:3] == [str(number), "0", hand.side]
        errors.append(np.abs(np.array(line[4:], float) - hand.joints_mm[8]).tolist())
    return errors


def tracks(program: list[str], arguments: list[str]) -> None:
    """Run a program and compare what it prints with the tracker's hands."""
    np.testing.assert_array_less(tips(program, arguments), 0.02)


def test_python(arguments: list[str]) -> None:
    tracks([sys.executable, str(EXAMPLES / "python" / "track.py")], arguments)


@pytest.mark.skipif(
    not shutil.which("node") or not NODE.is_dir(),
    reason="needs Node.js, and in examples/whole/js "
    "'npm install --no-save --prefix . onnxruntime-node'",
)
def test_node(arguments: list[str]) -> None:
    tracks(["node", str(EXAMPLES / "js" / "track.mjs")], arguments)


@pytest.mark.skipif(
    not shutil.which("node") or not WEB.is_dir(), reason="needs Node.js, and 'npm ci'"
)
def test_node_with_webassembly(arguments: list[str]) -> None:
    errors_mm = tips(["node", str(EXAMPLES / "js" / "track.mjs")], arguments, WEB="1")
    # WebAssembly rounds otherwise, and after some frames that decides a near tie.
    np.testing.assert_array_less(errors_mm[:5], 0.02)
    np.testing.assert_array_less(errors_mm, 5)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Give a folder with include/ and lib/ of onnxruntime."""
    if RELEASE:
        return Path(RELEASE)
    if not HEADERS.is_dir() or not LIBRARIES:
        pytest.skip("needs onnxruntime's headers: .ci/onnxruntime-headers, or ONNXRUNTIME_ROOT")
    folder = tmp_path / "onnxruntime"
    (folder / "lib").mkdir(parents=True)
    (folder / "include").symlink_to(HEADERS)
    (folder / "lib" / "libonnxruntime.so.1").symlink_to(LIBRARIES[0])
    return folder


@pytest.mark.skipif(
    not shutil.which("cmake") or not (shutil.which("c++") or shutil.which("cl")),
    reason="needs CMake and a C++ compiler",
)
def test_cpp(arguments: list[str], release: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    source = ["-S", str(EXAMPLES / "cpp"), "-B", str(build), f"-DONNXRUNTIME={release}"]
    subprocess.run(["cmake", *source], check=True)
    subprocess.run(["cmake", "--build", str(build)], check=True)
    tracks([str(build / "track")], arguments)
