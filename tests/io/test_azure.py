"""Azure Kinect's .mkv: its depth track, what is no such file, and a missing library."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.bench.track import demo_frames
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import BadFrame, open_recording
from cadstn.tracking.excerpt import part_of

CAMERA = Camera(60.0, 60.0, 32.0, 24.0, 64, 48)


def write(path: Path, frames: np.ndarray, title: str = "DEPTH") -> Path:
    """A file of 16-bit frames as k4arecorder writes it, which FFmpeg alone does not."""
    av = pytest.importorskip("av", reason="the extra video")
    height, width = frames.shape[1:]
    with av.open(str(path), "w", options={"allow_raw_vfw": "1"}) as file:
        stream = file.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "gray16be"
        stream.metadata["title"] = title
        for units in frames:
            frame = av.VideoFrame(width, height, "gray16be")
            frame.planes[0].update(units.astype(">u2").tobytes())
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    data = path.read_bytes()
    upside_down = struct.pack("<IiiHH4s", 40, width, -height, 1, 16, bytes(4))
    assert data.count(upside_down) == 1
    header = struct.pack("<IiiHH4s", 40, width, height, 1, 16, b"b16g")
    path.write_bytes(data.replace(upside_down, header))
    return path


def units(count: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(300, 900, (count, 48, 64)).astype(np.uint16)


def test_depth_times_and_order(tmp_path: Path) -> None:
    raw = units()
    recording = open_recording(write(tmp_path / "a.mkv", raw).rename(tmp_path / "A.MKV"), CAMERA)
    assert len(recording) == 4
    frames = list(recording)
    for frame, image in zip(frames, raw, strict=True):
        np.testing.assert_array_equal(frame.depth, image)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.033, 0.067, 0.1], abs=1e-3)
    np.testing.assert_array_equal(next(iter(recording)).depth, raw[0])  # from the start again


def test_a_damaged_frame_keeps_its_place(tmp_path: Path) -> None:
    raw = units()
    path = write(tmp_path / "a.mkv", raw)
    data = path.read_bytes()
    start = data.index(raw[1].astype(">u2").tobytes())
    size = raw[1].nbytes
    # Matroska's block: its size in two bytes, four more, the frame. It is made shorter, and what is
    # left becomes an element to skip.
    assert data[start - 6 : start - 4] == (0x4000 | (size + 4)).to_bytes(2, "big")
    left, end = 100, start + size
    block = (0x4000 | (size + 4 - left)).to_bytes(2, "big")
    void = b"\xec" + (0x4000 | (left - 3)).to_bytes(2, "big") + bytes(left - 3)
    shorter = data[start - 4 : end - left] + void
    path.write_bytes(data[: start - 6] + block + shorter + data[end:])
    bad: list[BadFrame] = []
    frames = list(open_recording(path, CAMERA).frames(bad.append))
    assert [one.index for one in bad] == [1]
    assert "a damaged frame" in str(bad[0].error)
    assert [frame.index for frame in frames] == [0, 2, 3]
    for frame in frames:
        np.testing.assert_array_equal(frame.depth, raw[frame.index])


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mkv", units())
    with pytest.raises(CadstnError, match="azure-kinect-nfov"):
        open_recording(path)
    color = write(tmp_path / "b.mkv", units(), title="COLOR")
    with pytest.raises(CadstnError, match=r"b\.mkv: no depth track among: COLOR"):
        open_recording(color, CAMERA)
    (tmp_path / "c.mkv").write_bytes(path.read_bytes()[:40] + bytes(100))
    with pytest.raises(CadstnError, match=r"c\.mkv: (not a readable|no depth track)"):
        open_recording(tmp_path / "c.mkv", CAMERA)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CadstnError, match=r"needs PyAV .*pip install 'cadstn\[video\]'; or ffmpeg"):
        open_recording(path, CAMERA)


def test_it_is_tracked_and_played(tmp_path: Path) -> None:
    shown = demo_frames(320)[:3]
    path = write(tmp_path / "a.mkv", np.stack([depth for depth, _ in shown]).round())
    camera = shown[0][1]
    numbers = f"{camera.fx},{camera.fy},{camera.cx},{camera.cy}"
    out = ["--out", str(tmp_path / "out"), "--no-video"]
    tracked = CliRunner().invoke(cli, ["track", str(path), "--camera", numbers, *out])
    assert "3 of 3 frames tracked" in tracked.output, tracked.output
    played = CliRunner().invoke(cli, ["live", str(path), "--camera", numbers, "--fast"])
    assert "3 frames, hand in 3" in played.output, played.output


def test_a_part_holds_its_own_frames(tmp_path: Path) -> None:
    raw = units()
    recording = open_recording(write(tmp_path / "a.mkv", raw), CAMERA)
    for first, every in ((2, 1), (1, 2)):
        part = part_of(recording, first, None, every)
        np.testing.assert_array_equal(np.stack([f.depth for f in part]), raw[first::every])


def test_infrared_beside_depth_is_no_frame(tmp_path: Path) -> None:
    """As k4arecorder's files have it: of the same size, and 16 bits as well."""
    av = pytest.importorskip("av", reason="the extra video")
    raw, path = units(), tmp_path / "a.mkv"
    with av.open(str(path), "w", options={"allow_raw_vfw": "1"}) as file:
        tracks = [file.add_stream("rawvideo", rate=30) for _ in range(2)]
        for track, title in zip(tracks, ("IR", "DEPTH"), strict=True):
            track.width, track.height, track.pix_fmt = 64, 48, "gray16be"
            track.metadata["title"] = title
        for image in raw:
            for track, values in zip(tracks, (image + 1000, image), strict=True):
                frame = av.VideoFrame(64, 48, "gray16be")
                frame.planes[0].update(values.astype(">u2").tobytes())
                file.mux(track.encode(frame))
        for track in tracks:
            file.mux(track.encode(None))
    upside_down = struct.pack("<IiiHH4s", 40, 64, -48, 1, 16, bytes(4))
    header = struct.pack("<IiiHH4s", 40, 64, 48, 1, 16, b"b16g")
    path.write_bytes(path.read_bytes().replace(upside_down, header))
    recording = open_recording(path, CAMERA)
    assert len(recording) == 4
    np.testing.assert_array_equal(np.stack([frame.depth for frame in recording]), raw)
