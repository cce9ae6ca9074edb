"""Recordings on disk: what is read, in which order, and every way a file can be wrong."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.predictions import read_npz_notes
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera
from cadstn.geometry.skeleton import HAND21, NYU14
from cadstn.io import (
    BadFrame,
    BadFrameWarning,
    Frame,
    Recording,
    describe,
    open_recording,
    write_recording,
)

from ..conftest import SHARED

CAMERA = Camera(50.0, 50.0, 4.0, 3.0, depth_unit_mm=0.5, fps=10.0)
SIZED = replace(CAMERA, width=8, height=6)
Units = NDArray[np.uint16]


def units(count: int = 4) -> Units:
    """(N, 6, 8) raw frames, each of another depth, with a hole of unmeasured pixels."""
    rng = np.random.default_rng(7)
    frames = rng.integers(1000, 1100, (count, 6, 8)) + 100 * np.arange(count)[:, None, None]
    frames[:, 0, 0] = 0
    return frames.astype(np.uint16)


def truth(count: int = 4, joints: int = 21) -> NDArray[np.float32]:
    """(N, K, 3) mm; no hand in frame 1."""
    points = np.arange(count * joints * 3, dtype=np.float32).reshape(count, joints, 3)
    points[1] = np.nan
    return points


def save(file: Path, image: NDArray[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def written(path: Path, count: int = 4, **options: Any) -> Path:
    write_recording(path, units(count), CAMERA, **options)
    return path


def refused(call: Any, *args: Any, **options: Any) -> str:
    """The one line with a hint that calling it raises."""
    with pytest.raises(CadstnError) as caught:
        call(*args, **options)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read(recording: Recording) -> tuple[list[Frame], list[BadFrame]]:
    bad: list[BadFrame] = []
    return list(recording.frames(bad.append)), bad


def shared(name: str) -> Path:
    """A folder of real frames; the test is skipped where it is absent."""
    folder = SHARED / "real" / name
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder} (set CADSTN_SHARED)")
    return folder


# --- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hand", "hand.npz", "HAND.NPZ", "händе 手"])
@pytest.mark.parametrize("encoding", ["depth16", "nyu"])
def test_round_trip(tmp_path: Path, name: str, encoding: str) -> None:
    camera = replace(CAMERA, encoding=encoding, invalid=(1005,))
    path = tmp_path / name
    write_recording(path, iter(units()), camera, truth_xyz_mm=truth(), skeleton=HAND21, cuts=[0, 2])
    assert path.is_file() == name.lower().endswith(".npz")
    recording = open_recording(path)
    assert recording.path == path
    assert recording.camera == replace(camera, width=8, height=6)
    assert recording.skeleton is HAND21
    assert recording.truth_xyz_mm is not None
    assert recording.truth_xyz_mm.dtype == np.float32
    np.testing.assert_array_equal(recording.truth_xyz_mm, truth())
    assert len(recording) == len(recording.names) == 4
    frames = list(recording)
    assert [f.index for f in frames] == [0, 1, 2, 3]
    assert [f.cut for f in frames] == [True, False, True, False]
    assert [f.time_s for f in frames] == [0.0, 0.1, 0.2, 0.3]
    for frame, raw in zip(frames, units(), strict=True):
        assert frame.depth.dtype == np.float32
        np.testing.assert_array_equal(frame.depth, np.where(raw == 1005, 0, raw * 0.5))
        assert frame.camera == recording.camera
        np.testing.assert_array_equal(frame.truth_xyz_mm, truth()[frame.index])
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize("name", ["hand", "hand.npz"])
def test_without_truth(tmp_path: Path, name: str) -> None:
    recording = open_recording(str(written(tmp_path / name)))
    assert recording.truth_xyz_mm is None
    assert recording.skeleton is None
    assert next(recording.frames()).truth_xyz_mm is None
    assert [f.cut for f in recording] == [True, False, False, False]


def test_what_a_folder_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "made" / "on the way", truth_xyz_mm=truth(), skeleton=HAND21)
    assert sorted(p.name for p in path.iterdir()) == [
        *(f"{i:06d}.png" for i in range(4)), "camera.json", "truth.npz",
    ]  # fmt: skip
    with np.load(path / "truth.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["joints_xyz_mm", "skeleton"]
    assert json.loads((path / "camera.json").read_text(encoding="utf-8"))["width"] == 8
    np.testing.assert_array_equal(cv2.imread(str(path / "000002.png"), -1), units()[2])
    assert not (written(tmp_path / "plain") / "truth.npz").exists()


def test_nyu_encoding_is_written_as_8_bit_png(tmp_path: Path) -> None:
    write_recording(tmp_path / "nyu", units(1), replace(CAMERA, encoding="nyu"))
    image = cv2.imread(str(tmp_path / "nyu" / "000000.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert image.shape == (6, 8, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[..., 1].astype(int) * 256 + image[..., 0], units(1)[0])


def test_frames_filled_into_one_array_are_kept_apart(tmp_path: Path) -> None:
    def reused() -> Iterator[Units]:
        buffer = np.empty((6, 8), np.uint16)
        for frame in units():
            buffer[:] = frame
            yield buffer

    write_recording(tmp_path / "a.npz", reused(), CAMERA)
    depths = np.stack([frame.depth for frame in open_recording(tmp_path / "a.npz")])
    np.testing.assert_array_equal(depths, units() * 0.5)


# --- order, shots, cameras --------------------------------------------------------------------


def test_natural_order_and_only_visible_pngs(tmp_path: Path) -> None:
    for i, name in enumerate(["100.png", "20.png", "0.png", "3.PNG", "._0.png"]):
        save(tmp_path / name, units(5)[i])
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "7.png").mkdir()
    assert open_recording(tmp_path, CAMERA).names == ("0.png", "3.PNG", "20.png", "100.png")


def test_shots(tmp_path: Path) -> None:
    for name in ("b10/1.png", "b9/10.png", "b9/2.png", ".cache/1.png"):
        save(tmp_path / name, units(1)[0])
    (tmp_path / "notes").mkdir()
    (tmp_path / "camera.json").write_text(CAMERA.to_json(), encoding="utf-8")
    recording = open_recording(tmp_path)
    assert recording.names == ("b9/2.png", "b9/10.png", "b10/1.png")
    assert recording.cuts == (2,)
    assert [f.cut for f in recording] == [True, False, True]


def test_shots_with_their_own_cameras_and_truth(tmp_path: Path) -> None:
    written(tmp_path / "1", truth_xyz_mm=truth(), skeleton=HAND21, cuts=[3])
    written(tmp_path / "2", 3, truth_xyz_mm=truth(3), skeleton=HAND21, cuts=[1])
    recording = open_recording(tmp_path)
    assert recording.camera == SIZED
    assert recording.cuts == (3, 4, 5)
    assert recording.skeleton is HAND21
    np.testing.assert_array_equal(recording.truth_xyz_mm, np.concatenate([truth(), truth(3)]))


def test_shots_that_disagree(tmp_path: Path) -> None:
    written(tmp_path / "1", truth_xyz_mm=truth())
    second = written(tmp_path / "2", truth_xyz_mm=truth(joints=14))
    line = refused(open_recording, tmp_path)
    assert line.startswith(f"{second / 'truth.npz'}: has other joints than {tmp_path / '1'}")
    (second / "truth.npz").unlink()
    assert refused(open_recording, tmp_path).startswith(f"{second / 'truth.npz'}: no such file")
    (second / "camera.json").write_text(replace(SIZED, fx=51.0).to_json(), encoding="utf-8")
    assert refused(open_recording, tmp_path).startswith(f"{second / 'camera.json'}: differs from")


def test_truth_of_a_folder_of_shots(tmp_path: Path) -> None:
    for name in ("1/0.png", "2/0.png", "2/1.png"):
        save(tmp_path / name, units(1)[0])
    np.savez(tmp_path / "truth.npz", joints_xyz_mm=truth(3), cuts=np.array([2]))
    recording = open_recording(tmp_path, CAMERA)
    assert recording.cuts == (1, 2)
    assert recording.truth_xyz_mm is not None


def test_nyu_takes_only_the_depth_of_camera_1(tmp_path: Path) -> None:
    nyu = replace(KNOWN_CAMERAS["nyu"], width=0, height=0)
    image = np.full((6, 8, 3), 3, np.uint8)
    image[..., 2] = 0  # red, in OpenCV's order
    for name in ("rgb_1_0000001", "synthdepth_1_0000001", "depth_2_0000001"):
        save(tmp_path / f"{name}.png", image)
    assert open_recording(tmp_path, nyu).names == ("depth_2_0000001.png",)
    save(tmp_path / "depth_1_0000001.png", image)
    assert open_recording(tmp_path, nyu).names == ("depth_1_0000001.png",)
    assert len(open_recording(tmp_path, SIZED).names) == 3


def test_camera_given_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    (path / "camera.json").write_text("broken", encoding="utf-8")
    assert open_recording(path, "60,60,4,3,0.25").camera == Camera(60, 60, 4, 3, 8, 6, 0.25)
    assert open_recording(path, SIZED).camera == SIZED
    (tmp_path / "MY.JSON").write_text(SIZED.to_json(), encoding="utf-8")
    assert open_recording(path, str(tmp_path / "MY.JSON")).camera == SIZED
    npz = written(tmp_path / "a.npz")
    assert open_recording(npz, "60,60,4,3").camera == Camera(60, 60, 4, 3, 8, 6)
    assert refused(open_recording, path).startswith(f"{path / 'camera.json'}: not JSON")
    assert "no camera 'kinect3'; did you mean 'kinect2'?" in refused(
        open_recording, path, "kinect3"
    )


def test_size_comes_from_the_first_readable_frame(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    (path / "000000.png").write_bytes(b"")
    assert open_recording(path, CAMERA).camera == SIZED
    with pytest.warns(BadFrameWarning, match=r"000000\.png: not a PNG"):
        assert len(list(open_recording(path, replace(CAMERA, width=8)))) == 3


# --- what is no recording ---------------------------------------------------------------------


def test_missing_empty_and_foreign(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refused(open_recording, gone).startswith(f"{gone}: no such recording; give a folder")
    assert refused(open_recording, tmp_path, CAMERA).startswith(
        f"{tmp_path}: holds no depth images; give"
    )
    video = tmp_path / "hand.mp4"
    video.write_bytes(b"x")
    assert refused(open_recording, video).startswith(f"{video}: a file, but not an .npz file; give")
    assert f"{tmp_path}: holds no depth images, but 'hand.mp4'" in refused(
        open_recording, tmp_path, CAMERA
    )


def test_results_of_a_tracking_are_no_recording(tmp_path: Path) -> None:
    save(tmp_path / "contact.png", units(1)[0])
    np.savez(tmp_path / "joints.npz", joints_xyz_mm=np.zeros((1, 21, 3)))
    line = refused(open_recording, tmp_path)
    assert line.startswith(f"{tmp_path}: holds the results of a tracking, not a recording; give")


def test_missing_camera_shows_the_command(tmp_path: Path) -> None:
    path = tmp_path / "my hand"
    save(path / "0.png", units(1)[0])
    line = refused(open_recording, path)
    assert line.startswith(f"{path}: lacks camera.json; name the camera: ")
    assert f"cadstn track '{path}' --camera kinect2" in line
    assert "icvl, kinect1, kinect2, " in line
    assert "fx,fy,cx,cy" in line
    np.savez(tmp_path / "a.npz", depth=units())
    line = refused(open_recording, tmp_path / "a.npz")
    assert f"lacks the array 'camera'; name the camera: cadstn track {tmp_path / 'a.npz'}" in line


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"joints_xyz_mm": truth()}, "lacks the array 'depth'"),
        ({"depth": units().astype(complex)}, "depth is complex128 of shape (4, 6, 8)"),
        ({"depth": units()[None]}, "depth is uint16 of shape (1, 4, 6, 8)"),
        ({"depth": units()[0, 0]}, "depth is uint16 of shape (8,)"),
        ({"depth": units()[:0]}, "depth is uint16 of shape (0, 6, 8)"),
        ({"depth": np.array([None])}, "not a readable .npz file (Object arrays cannot"),
        ({"depth": units(), "joints_xyz_mm": truth(3)}, "truth has 3 rows"),
        ({"depth": units(), "cuts": np.array([4])}, "no frame 4 to cut at"),
    ],
)
def test_npz_that_is_no_recording(tmp_path: Path, arrays: dict[str, Any], what: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    assert refused(open_recording, path, CAMERA).startswith(f"{path}: {what}")


def test_damaged_npz(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npz")
    whole = path.read_bytes()
    for damaged in (b"", b"PK\3\4", whole[: len(whole) // 2], b"\x93NUMPY\1\0", b"\x80\4N."):
        path.write_bytes(damaged)
        assert refused(open_recording, path).startswith(
            (f"{path}: not a readable .npz file (", f"{path}: not an .npz file but one array")
        )
    middle = len(whole) // 3
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    assert refused(open_recording, path).startswith(f"{path}: not a readable .npz file (")
    np.savez(path, depth=units(), camera=np.array('{"fx": 1}'))
    assert f"{path}, array 'camera': lacks fy, cx, cy" in refused(open_recording, path)


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"joints_xyz_mm": truth(3)}, "truth has 3 rows where the recording has 4 frames"),
        ({"joints_xyz_mm": truth()[0]}, "joints_xyz_mm is float32 of shape (21, 3)"),
        ({"joints_xyz_mm": truth()[:, :0]}, "joints_xyz_mm is float32 of shape (4, 0, 3)"),
        ({"joints_xyz_mm": np.zeros((4, 21, 3), str)}, "joints_xyz_mm is <U1 of shape (4, 21, 3)"),
        ({"joints_xyz_mm": np.array([{}])}, "not a readable .npz file (Object arrays cannot"),
        (
            {"joints_xyz_mm": truth(), "skeleton": np.array("nyu14")},
            "truth has 21 joints where nyu14 has 14",
        ),
        ({"skeleton": np.array("hand22")}, "no skeleton 'hand22'; did you mean 'hand21'?"),
        (
            {"joints_xyz_mm": np.where(np.arange(21)[:, None] == 5, np.inf, np.ones((4, 21, 3)))},
            "truth of frame 0 is finite only in part",
        ),
        ({"cuts": np.array([1, 4])}, "no frame 4 to cut at"),
        ({"cuts": np.array([-1])}, "no frame -1 to cut at"),
        ({"cuts": np.array([1.5])}, "cuts are float64 of shape (1,)"),
    ],
)
def test_bad_truth_names_file_and_value(tmp_path: Path, arrays: Any, what: str) -> None:
    path = written(tmp_path / "a")
    np.savez(path / "truth.npz", **arrays)
    assert refused(open_recording, path).startswith(f"{path / 'truth.npz'}: {what}")


def test_truth_lost_in_part(tmp_path: Path) -> None:
    torn = truth()
    torn[2, 7] = np.nan
    line = refused(written, tmp_path / "a", truth_xyz_mm=torn)
    assert line.startswith(f"{tmp_path / 'a'}: truth of frame 2 is finite only in part")


# --- bad frames -------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(image: NDArray[Any]) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def huge_png() -> bytes:
    """A header that claims 100,000 x 100,000 pixels, and no pixels."""
    header = struct.pack(">2I5B", 100_000, 100_000, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


GOOD = png(units(1)[0])
NO_PIXELS = GOOD[:33] + chunk(b"IEND", b"")
BAD = {
    "empty": (b"", "not a PNG, it begins with b''"),
    "pointer": (b"version https://git-lfs", "not a PNG, it begins with b'version '"),
    "jpeg": (cv2.imencode(".jpg", np.zeros((6, 8), np.uint8))[1].tobytes(), "not a PNG"),
    "signature only": (GOOD[:8], "not a PNG"),
    "half": (GOOD[: len(GOOD) // 2], f"PNG cut off after {len(GOOD) // 2} bytes"),
    "no last byte": (GOOD[:-1], f"PNG cut off after {len(GOOD) - 1} bytes"),
    "no end": (GOOD[:-12], f"PNG cut off after {len(GOOD) - 12} bytes"),
    "flipped": (GOOD[:50] + bytes([GOOD[50] ^ 1]) + GOOD[51:], "PNG damaged near byte 33"),
    "no pixels": (NO_PIXELS, "PNG without readable pixels"),
    "huge": (huge_png(), "frame is 100000x100000 where the camera is 8x6"),
    "8 bits": (
        png(np.full((6, 8), 9, np.uint8)),
        "8-bit 1-channel image where 16-bit depth was expected",
    ),
    "colour": (
        png(np.full((6, 8, 3), 9, np.uint8)),
        "8-bit 3-channel image where 16-bit depth was expected",
    ),
    "size": (png(np.full((8, 6), 9, np.uint16)), "frame is 6x8 where the camera is 8x6"),
    "zeros": (png(np.zeros((6, 8), np.uint16)), "nothing measured: every pixel is 0"),
    "saturated": (png(np.full((6, 8), 65535, np.uint16)), "nothing measured: every pixel is 65535"),
    "mixed": (
        png(np.arange(48, dtype=np.uint16).reshape(6, 8) % 2 * 65535),
        "nothing measured: pixels 0 to 65535",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_frame_is_left_out_and_reported(tmp_path: Path, kind: str) -> None:
    data, what = BAD[kind]
    path = written(tmp_path / "a", truth_xyz_mm=truth())
    file = path / "000001.png"
    file.write_bytes(data)
    recording = open_recording(path)
    frames, bad = read(recording)
    assert len(recording) == 4
    assert [f.index for f in frames] == [0, 2, 3]
    assert [f.time_s for f in frames] == [0.0, 0.2, 0.3]
    np.testing.assert_array_equal(frames[1].truth_xyz_mm, truth()[2])
    assert [(b.index, b.name) for b in bad] == [(1, "000001.png")]
    assert str(bad[0].error).startswith(f"{file}: {what}")
    assert bad[0].error.hint
    assert "\n" not in str(bad[0].error)
    with pytest.warns(BadFrameWarning, match="frame left out: ") as caught:
        assert len(list(recording)) == 3
    assert [w.filename for w in caught] == [__file__]


def test_every_cut_of_a_png_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "a", 2)
    recording = open_recording(path)
    whole = (path / "000001.png").read_bytes()
    for length in range(len(whole)):
        (path / "000001.png").write_bytes(whole[:length])
        assert len(read(recording)[1]) == 1, length


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    with (path / "000001.png").open("ab") as file:
        file.write(b"\0" * 100)
    assert len(list(open_recording(path))) == 4


def test_invalid_values_and_nyu_count_as_nothing_measured(tmp_path: Path) -> None:
    save(tmp_path / "0.png", units(1)[0])
    save(tmp_path / "1.png", np.full((6, 8), 32001, np.uint16))
    _, bad = read(open_recording(tmp_path, replace(CAMERA, invalid=(32001,))))
    assert "1.png: nothing measured: every pixel is 32001; " in str(bad[0].error)
    packed = np.zeros((6, 8, 3), np.uint8)
    packed[:] = (1, 125, 0)
    save(tmp_path / "1.png", packed)
    camera = replace(KNOWN_CAMERAS["nyu"], width=8, height=6)
    with pytest.raises(CadstnError, match=r"0\.png: 16-bit 1-channel image where NYU's"):
        list(open_recording(tmp_path, camera).frames(bad.append))
    assert "1.png: nothing measured: every pixel is 32001; " in str(bad[-1].error)


def test_link_that_leads_nowhere_keeps_its_place(tmp_path: Path) -> None:
    path = written(tmp_path / "a")
    (path / "000001.png").unlink()
    (path / "000001.png").symlink_to(tmp_path / "gone.png")
    frames, bad = read(open_recording(path))
    assert [f.index for f in frames] == [0, 2, 3]
    assert "000001.png: no such file or folder; " in str(bad[0].error)


def test_file_removed_after_opening(tmp_path: Path) -> None:
    recording = open_recording(written(tmp_path / "a"))
    (tmp_path / "a" / "000003.png").unlink()
    assert [b.index for b in read(recording)[1]] == [3]


def test_a_shot_whose_first_frame_is_bad_begins_at_its_first_good_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a", cuts=[2])
    for name in ("000000.png", "000002.png"):
        (path / name).write_bytes(b"")
    frames, _ = read(open_recording(path))
    assert [(f.index, f.cut) for f in frames] == [(1, True), (3, True)]


def test_bad_frames_in_an_npz(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.npz", units()
    frames[2] = 65535
    write_recording(path, frames, CAMERA)
    good, bad = read(open_recording(path))
    assert [f.index for f in good] == [0, 1, 3]
    assert str(bad[0].error).startswith(f"{path}, frame 2: nothing measured: every pixel is 65535")
    with pytest.raises(CadstnError, match="frame is 8x6 where the camera is 9x6"):
        read(open_recording(path, replace(CAMERA, width=9, height=6)))


def test_all_bad_is_the_first_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a", 3)
    for file in path.glob("*.png"):
        file.write_bytes(b"")
    reported: list[BadFrame] = []
    iteration = open_recording(path).frames(reported.append)
    assert refused(next, iteration).startswith(f"{path / '000000.png'}: not a PNG")
    assert [b.index for b in reported] == [0, 1, 2]
    # Without a size in the camera nothing is known of the frames: refused on opening.
    assert refused(open_recording, path, CAMERA).startswith(f"{path / '000000.png'}: not a PNG")
    assert refused(describe, open_recording(path)).startswith(f"{path / '000000.png'}: not a PNG")


# --- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "a.npz"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_nothing_is_left_of_a_broken_write(
    tmp_path: Path, name: str, error: type[BaseException]
) -> None:
    def killed() -> Iterator[Units]:
        yield from units(2)
        raise error

    with pytest.raises(error):  # the caller's own, not one about the path
        write_recording(tmp_path / name, killed(), CAMERA)
    assert list(tmp_path.iterdir()) == []
    write_recording(tmp_path / name, units(), CAMERA)
    assert len(open_recording(tmp_path / name)) == 4


@pytest.mark.parametrize("name", ["a", "a.npz"])
def test_never_overwrites(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    line = refused(write_recording, path, units(1), CAMERA)
    assert line == f"{path}: is already there; give a new name, or delete it"
    assert len(open_recording(path)) == 4


@pytest.mark.parametrize("name", ["a", "a.npz"])
def test_empty_places_are_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    assert len(open_recording(written(path))) == 4
    other = tmp_path / f"b{name}"
    other.touch()
    assert len(open_recording(written(other))) == 4
    leftover = tmp_path / f".c{name}.{os.getpid()}.tmp"
    leftover.mkdir()
    (leftover / "000009.png").touch()
    assert len(open_recording(written(tmp_path / f"c{name}"))) == 4
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    path = tmp_path / "file" / "a"
    assert refused(written, path).startswith(f"{path}: cannot write (")


@pytest.mark.parametrize("name", ["a", "a.npz"])
@pytest.mark.parametrize(
    ("frames", "options", "what"),
    [
        ([], {}, ": no frames to write"),
        ([units()[0], units()[1].astype(int)], {}, ", frame 1: int64 of shape (6, 8)"),
        ([units()], {}, ", frame 0: uint16 of shape (4, 6, 8)"),
        ([units()[0], units()[1].T], {}, ", frame 1: frame is 6x8 where the camera is 8x6"),
        (units(), {"truth_xyz_mm": truth(3)}, ": truth has 3 rows where the recording has 4"),
        (units(), {"truth_xyz_mm": truth()[0]}, ": joints_xyz_mm is float32 of shape (21, 3)"),
        (
            units(),
            {"truth_xyz_mm": truth(), "skeleton": NYU14},
            ": truth has 21 joints where nyu14 has 14",
        ),
        (units(), {"skeleton": replace(NYU14, name="mine")}, ": skeleton 'mine' is not a known"),
        (units(), {"cuts": [9]}, ": no frame 9 to cut at"),
        (units(), {"cuts": [0.5]}, ": cuts are float64 of shape (1,)"),
    ],
)
def test_refuses_to_write(
    tmp_path: Path, name: str, frames: Any, options: dict[str, Any], what: str
) -> None:
    path = tmp_path / name
    line = refused(write_recording, path, frames, CAMERA, **options)
    assert line.startswith(f"{path}{what}")
    assert list(tmp_path.iterdir()) == []


# --- describe ---------------------------------------------------------------------------------


def test_describe(tmp_path: Path) -> None:
    path = written(tmp_path / "a", 30, truth_xyz_mm=truth(30), skeleton=HAND21, cuts=[7])
    (path / "000003.png").write_bytes(b"")
    about = describe(open_recording(path))
    assert json.loads(json.dumps(about)) == about
    first = f"{path / '000003.png'}: not a PNG, it begins with b''; "
    assert about.pop("first_bad").startswith(first)
    depth = about.pop("depth_mm")
    assert depth["nearest"] == units(30)[0][units(30)[0] > 0].min() * 0.5
    assert depth["nearest"] <= depth["p1"] < depth["p50"] < depth["p99"] < 2050
    assert about.pop("camera")["depth_unit_mm"] == 0.5
    assert about.pop("invalid_share") == pytest.approx(1 / 48, abs=1e-6)
    assert "field of view of 9 degrees" in about.pop("warnings")[0]  # of this tiny camera
    assert about == {
        "path": str(path),
        "frames": 30,
        "bad": 1,
        "shots": 2,
        "size": [8, 6],
        "fps": 10.0,
        "duration_s": 3.0,
        "skeleton": "hand21",
        "truth_joints": 21,
        "truth_frames": 29,
    }


def test_describe_without_truth(tmp_path: Path) -> None:
    about = describe(open_recording(written(tmp_path / "a.npz", 1)))
    assert (about["truth_joints"], about["truth_frames"], about["skeleton"]) == (None, 0, None)
    assert (about["bad"], about["first_bad"], about["shots"]) == (0, None, 1)


# --- real frames ------------------------------------------------------------------------------


def test_real_kinect2() -> None:
    recording = open_recording(shared("kinect2"), "kinect2")
    assert len(recording) == 160
    assert recording.cuts == ()
    about = describe(recording)
    assert (about["frames"], about["bad"], about["size"]) == (160, 0, [512, 424])
    # The raised hand is 0.58 to 0.70 m away.
    assert 400 < about["depth_mm"]["p1"] < 800


def test_real_sr305() -> None:
    recording = open_recording(shared("sr305"), "sr305")
    assert len(recording) == 19
    assert recording.cuts == (8,)
    assert recording.names[:2] == ("20210326-230536/30.png", "20210326-230536/50.png")
    assert recording.names[8:11] == tuple(f"20210326-231615/{n}.png" for n in (0, 20, 40))
    frames = list(recording)
    assert [f.index for f in frames if f.cut] == [0, 8]
    raw = cv2.imread(str(recording.path / recording.names[3]), cv2.IMREAD_UNCHANGED)
    assert raw is not None
    np.testing.assert_array_equal(frames[3].depth[raw < 65535], raw[raw < 65535] * 0.125)


def test_real_nyu() -> None:
    recording = open_recording(shared("nyu"), "nyu")
    (frame,) = recording
    assert recording.names == ("depth_1_0000001.png",)
    assert frame.depth.shape == (480, 640)
    uvd = np.loadtxt(recording.path / "joints_uvd_36.txt").reshape(-1, 3)
    u, v, d = np.median(uvd, axis=0)
    # The label's joints lie inside the hand, its surface a little nearer.
    assert abs(frame.depth[round(v), round(u)] - d) < 60


def test_real_frame_with_the_wrong_camera() -> None:
    path = shared("nyu")
    line = refused(next, open_recording(path, "sr305").frames(lambda bad: None))
    assert line.startswith(f"{path / 'depth_1_0000001.png'}: 8-bit 3-channel image where 16-bit")


def test_an_npz_file_holds_its_times_or_its_arrays_are_listed(tmp_path: Path) -> None:
    depth = np.full((3, 240, 320), 500, np.uint16)
    path, camera = tmp_path / "a.npz", CAMERA.to_json()
    np.savez(path, depth=depth, camera=camera, time_s=[0.0, 0.1, 0.5])
    assert [frame.time_s for frame in open_recording(path)] == [0.0, 0.1, 0.5]
    for times, line in (
        ([0.0, 0.1], "time_s is float64 of shape (2,)"),
        ([0.0, 0.2, 0.1], "time_s does not go forward"),
        ([0.0, 0.1, 0.1], "time_s does not go forward"),
        (np.array([0, 2, 1], np.uint64), "time_s does not go forward"),
        ([0.0, np.nan, 0.1], "time_s does not go forward"),
    ):
        np.savez(path, depth=depth, camera=camera, time_s=times)
        assert line in refused(open_recording, path)
    np.savez(path, left=depth, right=depth, camera=camera)
    assert "lacks the array 'depth', holds left, right" in refused(open_recording, path)


def test_demo_is_the_packaged_recording_unless_there_is_a_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = open_recording("demo")
    assert len(demo) == 150
    assert demo.truth_xyz_mm is not None
    write_recording(Path("demo"), [np.full((48, 64), 500, np.uint16)], Camera(60, 60, 32, 24))
    assert len(open_recording("demo")) == 1


@pytest.mark.parametrize("name", ["hand", "hand.npz"])
def test_cuts_are_kept_in_order_and_once(tmp_path: Path, name: str) -> None:
    for cuts, kept in (((0, 3, 1, 3), [1, 3]), ((0,), None)):
        path = tmp_path / str(len(cuts)) / name
        written(path, cuts=cuts, truth_xyz_mm=truth())
        with np.load(path / "truth.npz" if path.is_dir() else path) as held:
            found = held["cuts"].tolist() if "cuts" in held else None
        assert found == kept
        assert list(open_recording(path).cuts) == (kept or [])


def test_cuts_beside_joints_are_read_in_order_and_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", joints_xyz_mm=truth(), cuts=[3, 0, 1, 3])
    assert read_npz_notes(tmp_path / "truth.npz")["cuts"] == (1, 3)


def test_a_camera_of_numpys_numbers_is_written(tmp_path: Path) -> None:
    k = np.array([475.5, 475.5, 4, 3], np.float32)
    camera = replace(Camera(*k), width=np.int64(0), invalid=(np.uint16(7),))  # type: ignore[arg-type]
    for name in ("a", "a.npz"):
        write_recording(tmp_path / name, units(), camera)
        assert open_recording(tmp_path / name).camera.fx == 475.5
