"""Kinds of images, arrays and layouts of strangers: read exactly, or refused in one line."""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera
from cadstn.io import BadFrame, open_recording, summed_up, write_recording
from cadstn.io._decode import _depth_channel
from cadstn.io.decoder import _DECODER, decode

from ..conftest import SHARED

CAMERA = Camera(50.0, 50.0, 4.0, 3.0)
UNITS = np.random.default_rng(3).integers(300, 900, (3, 6, 8)).astype(np.uint16)


def pgm(image: NDArray[Any]) -> bytes:
    height, width = image.shape
    return b"P5\n# a note\n%d %d\n65535\n" % (width, height) + image.astype(">u2").tobytes()


def text_pgm(image: NDArray[Any]) -> bytes:
    height, width = image.shape
    return b"P2 %d %d 65535\n" % (width, height) + b" ".join(b"%d" % v for v in image.ravel())


def tiff(image: NDArray[Any]) -> bytes:
    return cv2.imencode(".tiff", image)[1].tobytes()


def save(folder: Path, ending: str, images: NDArray[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        file = folder / f"{index}{ending}"
        if ending == ".npy":
            np.save(file, image)
        elif ending == ".exr":
            exr = pytest.importorskip("OpenEXR")
            exr.File({"type": exr.scanlineimage}, {"Z": image}).write(str(file))
        else:
            write = {".png": lambda a: cv2.imencode(".png", a)[1].tobytes(), ".pgm": pgm,
                     ".PGM": text_pgm, ".tiff": tiff, ".TIF": tiff}[ending]  # fmt: skip
            file.write_bytes(write(image))
    return folder


def depths(path: Path, camera: Camera | None = CAMERA, **options: Any) -> NDArray[np.float32]:
    return np.stack([frame.depth for frame in open_recording(path, camera, **options)])


def refused(path: Path, camera: Camera | None = CAMERA, **options: Any) -> str:
    with pytest.raises(CadstnError) as caught:
        list(open_recording(path, camera, **options).frames(lambda bad: None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", [".png", ".tiff", ".TIF", ".pgm", ".PGM", ".npy"])
def test_a_folder_of_16_bit_images(tmp_path: Path, ending: str) -> None:
    np.testing.assert_array_equal(depths(save(tmp_path, ending, UNITS)), UNITS)


@pytest.mark.parametrize("ending", [".tiff", ".npy", ".exr"])
def test_a_folder_of_floats_in_mm_or_metres(tmp_path: Path, ending: str) -> None:
    images = UNITS.astype(np.float32) / 2
    images[0, 0, 0], images[0, 0, 1] = np.nan, np.inf
    expected = np.where(np.isfinite(images), images, 0)
    np.testing.assert_array_equal(depths(save(tmp_path / "mm", ending, images)), expected)
    metres = save(tmp_path / "m", ending, images / 1000)
    assert (
        "the largest depth is 0.442: metres, or a picture scaled to 0..1?; mark metres"
        in refused(metres)
    )
    images[:, 0, 2] = 1e10  # a renderer's background
    far = save(tmp_path / "far", ending, images / 1000)
    assert "most depths are below 20: metres?; mark metres with an m" in refused(far)
    images[:, 0, 2] = expected[:, 0, 2]
    camera = parse_camera(f"{CAMERA.fx},{CAMERA.fy},{CAMERA.cx},{CAMERA.cy},m")
    np.testing.assert_allclose(depths(metres, camera), expected, 1e-6)
    assert Camera.from_json(camera.to_json()) == camera
    whole = save(tmp_path / "whole", ".npy", UNITS)
    assert "uint16 image where floats in metres were expected" in refused(whole, camera)
    np.savez(tmp_path / "a.npz", frames=images / 1000)
    np.testing.assert_allclose(depths(tmp_path / "a.npz", camera), expected, 1e-6)
    for name in ("out", "out.npz"):
        with pytest.raises(CadstnError, match=f"{name}: raw frames are whole numbers, and the cam"):
            write_recording(tmp_path / name, iter(()), camera)  # before a frame is taken


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", ">u2", ">i4", "i2"])
def test_integers_of_any_width_that_16_bits_hold(tmp_path: Path, dtype: str) -> None:
    np.testing.assert_array_equal(depths(save(tmp_path, ".npy", UNITS.astype(dtype))), UNITS)
    np.savez(tmp_path / "a.npz", frames=UNITS.astype(dtype)[..., None])
    np.testing.assert_array_equal(depths(tmp_path / "a.npz"), UNITS)
    wrong = UNITS.astype(dtype)
    wrong[:, 0, 0] = -1 if np.dtype(dtype).kind == "i" else wrong[:, 0, 0]
    if np.dtype(dtype).kind == "i":
        assert "expected" in refused(save(tmp_path / "wrong", ".npy", wrong))


def test_one_file_is_a_recording(tmp_path: Path) -> None:
    for ending in (".png", ".tiff", ".pgm", ".npy"):
        folder = save(tmp_path / ending[1:], ending, UNITS[:1])
        np.testing.assert_array_equal(depths(folder / f"0{ending}"), UNITS[:1])
        assert "lacks camera.json" in refused(folder / f"0{ending}", None)
    np.save(tmp_path / "clip.npy", UNITS)
    np.testing.assert_array_equal(depths(tmp_path / "clip.npy"), UNITS)
    (tmp_path / "camera.json").write_text(CAMERA.to_json())
    assert len(depths(tmp_path / "clip.npy", None)) == 3


def test_color_beside_depth_is_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "take" / "rgb", ".png", np.zeros((3, 6, 8, 3), np.uint8))
    save(tmp_path / "take" / "depth", ".png", UNITS)
    recording = open_recording(tmp_path / "take", CAMERA)
    assert recording.names == ("depth/0.png", "depth/1.png", "depth/2.png")
    for name in ("color_0", "depth_0", "mask_0"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / f"{name}.png").write_bytes((tmp_path / "take/depth/0.png").read_bytes())
    assert open_recording(tmp_path / "one", CAMERA).names == ("depth_0.png",)
    (tmp_path / "one" / "other.png").write_bytes(b"")  # not known for colour: nothing is guessed
    assert len(open_recording(tmp_path / "one", CAMERA)) == 4


def test_frames_that_are_no_pngs_beside_pngs_are_no_longer_left_out(tmp_path: Path) -> None:
    for ending, place in ((".png", 0), (".tiff", 1), (".npy", 2)):
        save(tmp_path / ending, ending, UNITS)
        (tmp_path / "mixed").mkdir(exist_ok=True)
        (tmp_path / ending / f"{place}{ending}").rename(tmp_path / "mixed" / f"{place}{ending}")
    line = refused(tmp_path / "mixed")
    assert ".npy and .png and .tiff files as one: 2 are no PNGs, such as '1.tiff'; name the" in line
    np.testing.assert_array_equal(depths(tmp_path / "mixed", pattern="*"), UNITS)
    assert len(depths(tmp_path / "mixed", pattern="*.png")) == 1
    # What a frame has beside its PNG, and what is numbered otherwise, is no frame.
    with_labels = save(tmp_path / "labels", ".png", UNITS)
    for name in ("0.npy", "1.npy", "pose_7.npy", "background.tiff"):
        (with_labels / name).write_bytes(b"mine")
    np.testing.assert_array_equal(depths(with_labels), UNITS)


def test_an_array_of_several_frames_is_no_image_of_a_folder(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", UNITS)
    line = refused(tmp_path)
    assert "clip.npy: holds 3 frames, where each file of a folder holds one; give the file" in line


def test_why_there_is_no_such_recording(tmp_path: Path) -> None:
    assert "'~' is the shell's" in refused(tmp_path / "~" / "depth")
    assert "'~' is the shell's" in refused(Path("~someone/depth"))
    assert os.name == "nt" or "parted by '/'" in refused(Path("..\\depth"))
    assert "give a folder of 16-bit" in refused(tmp_path / "none")


def test_a_pattern_chooses_what_is_depth(tmp_path: Path) -> None:
    for take in ("a", "b"):
        save(tmp_path / take / "left", ".png", UNITS)
        save(tmp_path / take / "right", ".png", UNITS + 1)
    recording = open_recording(tmp_path, CAMERA, pattern="*/right/*.png")
    assert recording.cuts == (3,)
    assert recording.names[3] == "b/right/0.png"
    np.testing.assert_array_equal(next(iter(recording)).depth, UNITS[0] + 1)
    (tmp_path / "a/right/._0.png").write_bytes(b"macOS's own")
    save(tmp_path / "a/.trash", ".png", UNITS)
    for pattern, frames in (("*/right/*.png", 6), ("a/**/*.png", 6), ("a/.trash/*.png", 3)):
        assert len(open_recording(tmp_path, CAMERA, pattern=pattern)) == frames
    for pattern in ("*.tiff", "../*", "[", "a/*"):
        line = refused(tmp_path, pattern=pattern)
        assert f": nothing in it matches '{pattern}'; give a pattern" in line
    for pattern in ("/etc/*", ""):
        assert f": --pattern '{pattern}' is none (" in refused(tmp_path, pattern=pattern)
    outside = "../b/left/*.png"  # is there, and not below the folder
    line = refused(tmp_path / "a", pattern=outside)
    assert f"nothing in it matches '{outside}'" in line
    save(tmp_path / "mixed", ".pgm", UNITS)
    save(tmp_path / "mixed", ".npy", UNITS)
    assert "name the depth files: --pattern '*.npy'" in refused(tmp_path / "mixed")


def test_tum(tmp_path: Path) -> None:
    (tmp_path / "depth").mkdir()
    for when in (1305031102.160407, 1305031102.194330, 1305031102.262886):
        file = tmp_path / "depth" / f"{when:.6f}.png"
        file.write_bytes(cv2.imencode(".png", np.full((480, 640), 5000, np.uint16))[1].tobytes())
    (tmp_path / "depth.txt").write_text("# depth maps\n")
    for path in (tmp_path, tmp_path / "depth"):
        recording = open_recording(path)
        frames = list(recording)
        assert frames[0].depth[0, 0] == 1000.0
        tum = Camera(525.0, 525.0, 319.5, 239.5, 640, 480, depth_unit_mm=0.2)
        assert recording.camera == tum
        np.testing.assert_allclose([f.time_s for f in frames], [0, 0.033923, 0.102479], atol=1e-6)


def test_scannet(tmp_path: Path) -> None:
    save(tmp_path / "depth", ".png", UNITS)
    save(tmp_path / "color", ".png", UNITS)
    (tmp_path / "intrinsic").mkdir()
    file = tmp_path / "intrinsic" / "intrinsic_depth.txt"
    file.write_text("577.5 0 3.5 0\n0 578.5 2.5 0\n0 0 1 0\n0 0 0 1\n")
    recording = open_recording(tmp_path)
    assert recording.camera == Camera(577.5, 578.5, 3.5, 2.5, 8, 6)
    assert len(recording) == 3
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert open_recording(tmp_path).camera == recording.camera
    file.write_text("577.5 0")
    assert "not a camera matrix" in refused(tmp_path, None)


def test_dexycb(tmp_path: Path) -> None:
    folder = tmp_path / "subject-01" / "20200709_141754" / "836212060125"
    save(folder, ".png", UNITS)
    for index in range(3):
        (folder / f"{index}.png").rename(folder / f"aligned_depth_to_color_{index:06d}.png")
        (folder / f"color_{index:06d}.jpg").touch()
    (tmp_path / "calibration" / "intrinsics").mkdir(parents=True)
    file = tmp_path / "calibration" / "intrinsics" / "836212060125_640x480.yml"
    file.write_text("color:\n  fx: 613.5\n  fy: 612.0\n  ppx: 3.0\n  ppy: 2.0\ndepth:\n  fx: 390\n")
    assert open_recording(folder).camera == Camera(613.5, 612.0, 3.0, 2.0, 8, 6)
    file.write_text("color:\n")
    assert "names no colour camera" in refused(folder, None)


def test_packed_color_whose_red_is_not_0() -> None:
    frames = SHARED / "cases" / "red_low_packing" / "frames"
    if not frames.is_dir():
        pytest.skip(f"{frames} is absent")
    assert "red is not 0, so this is not NYU's packing" in refused(frames, None)


def test_red_in_one_pixel_is_refused(tmp_path: Path) -> None:
    nyu = replace(KNOWN_CAMERAS["nyu"], width=0, height=0)
    write_recording(tmp_path / "a", UNITS, nyu)
    file = tmp_path / "a" / "000001.png"
    image = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), -1)
    assert image is not None
    image[3, 3, 2] = 1
    file.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    bad: list[BadFrame] = []
    assert len(list(open_recording(tmp_path / "a").frames(bad.append))) == 2
    assert "red is not 0" in str(bad[0].error)


def test_frames_left_out_are_summed_up() -> None:
    def bad(index: int, what: str) -> BadFrame:
        return BadFrame(index, f"{index}.png", CadstnError(what, where=f"{index}.png"))

    frames = [bad(i, f"PNG cut off after {i} bytes") for i in range(40)]
    assert summed_up(frames[:1]) == ["0.png: PNG cut off after 0 bytes"]
    assert summed_up(frames) == ["40 frames, as 0.png: PNG cut off after 0 bytes"]
    kinds = [bad(i, "reason " + "abcdefgh"[i]) for i in range(8)]
    lines = summed_up(frames + kinds)
    assert len(lines) == 5
    assert lines[-1] == "5 more frames, for 5 reasons"
    assert summed_up([]) == []


# --- hostile files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "begins with b''"),
        (b"P5 8 6 65535", "cut off"),
        (b"P5 8 6 0\n", "8x6 pixels up to 0"),
        (b"P5 99999 99999 65535\n", "99999x99999 pixels"),
        (b"P5 -8 6 9\n", "begins with"),
        (b"P2 8 6 65535\n1 2 3", "PGM of 3 numbers for 8x6"),
        (b"P2 8 6 9\n" + b"99 " * 48, "PGM with 99 where 9 is the most"),
        (b"P6 8 6 255\n" + bytes(144), "begins with b'P6"),
        (b"P5 #" + b"x" * 100, "begins with"),
    ],
)
def test_hostile_pgm(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "0.pgm").write_bytes(data)
    assert what in refused(tmp_path)


def test_hostile_tiff_kills_no_more_than_its_decoder(tmp_path: Path) -> None:
    good = tiff(UNITS[0])
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0xFF
        (tmp_path / "0.tiff").write_bytes(bad)
        with contextlib.suppress(CadstnError):  # and nothing else
            depths(tmp_path)
    (tmp_path / "0.tiff").write_bytes(b"no image")
    assert "no tiff image, it begins with" in refused(tmp_path)
    decode("tiff", good)
    assert _DECODER._process is not None
    _DECODER._process.kill()
    _DECODER._process.wait()
    np.testing.assert_array_equal(decode("tiff", good), UNITS[0])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, MemoryError, CadstnError])
def test_what_interrupts_a_decoding_leaves_no_answer_behind(
    monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def interrupt(text: bytes) -> None:
        raise stop("between an image and its answer")

    with monkeypatch.context() as patched:
        patched.setattr("cadstn.io.decoder.json.loads", interrupt)
        with pytest.raises(stop):
            decode("tiff", tiff(UNITS[0]))
    np.testing.assert_array_equal(decode("tiff", tiff(UNITS[1])), UNITS[1])


@pytest.mark.parametrize(
    ("names", "depth"),
    [
        ("N.X N.Y N.Z Z", "Z"),
        ("Normal.X Normal.Y Normal.Z P.X P.Y P.Z depth", "depth"),
        ("X Y Z", "Z"),
        ("A B G R ViewLayer.Depth.Z ViewLayer.Mist.Z ViewLayer.Normal.X ViewLayer.Normal.Z",
         "ViewLayer.Depth.Z"),
        ("Depth.V Image.B Image.G Image.R", "Depth.V"),
        ("B G R layer.z", "layer.z"),
        ("BY RY Y", "Y"),
        ("N.X N.Y N.Z", None),
        ("P.Y Q.Y", None),
        ("Z depth", None),
        ("left.Z right.Z", None),
        ("R", None),
    ],
)  # fmt: skip
def test_the_channel_of_depth_in_an_exr_image(names: str, depth: str | None) -> None:
    assert _depth_channel(names.split()) == depth


def test_a_normal_beside_depth_in_an_exr_image(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    depth = UNITS[0].astype(np.float32)
    channels = {"N.X": depth + 1, "N.Y": depth + 2, "N.Z": depth + 3}
    for name, held in (("a", {**channels, "Z": depth}), ("b", channels)):
        exr.File({"type": exr.scanlineimage}, held).write(str(tmp_path / f"{name}.exr"))
    np.testing.assert_array_equal(depths(tmp_path / "a.exr")[0], depth)
    assert "channels N.X, N.Y, N.Z, not one of them Z or depth" in refused(tmp_path / "b.exr")
    depth[0, 0] = np.nan
    same = dict.fromkeys("RGB", depth)
    exr.File({"type": exr.scanlineimage}, same).write(str(tmp_path / "c.exr"))
    assert depths(tmp_path / "c.exr")[0, 0, 0] == 0


def test_hostile_npy(tmp_path: Path) -> None:
    def header(shape: str, dtype: str = "<u2") -> bytes:
        text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text

    for shape in ("(99999, 99999, 99999)", "(6, 9)", "(-6, -8)", "(6.0, 8)", "()", "(" * 999):
        (tmp_path / "0.npy").write_bytes(header(shape) + bytes(96))
        assert "not a readable .npy file" in refused(tmp_path)
    (tmp_path / "0.npy").write_bytes(header("(6, 8)", "|O") + bytes(96))
    assert "not a readable .npy file" in refused(tmp_path)


def test_an_archive_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.zeros((100, 60, 600), np.uint16)
    np.savez_compressed(tmp_path / "a.npz", depth=frames)
    np.save(tmp_path / "b.npy", frames)
    monkeypatch.setenv("CADSTN_MAX_BYTES", "1000000")
    hint = "holds 7 MB, more than 1; set the environment variable CADSTN_MAX_BYTES=1000000000"
    for name in ("a.npz", "b.npy"):
        assert f"{name}: {hint}" in refused(tmp_path / name)
    for wrong in ("8G", "1e9", "-1"):
        monkeypatch.setenv("CADSTN_MAX_BYTES", wrong)
        line = f"CADSTN_MAX_BYTES is '{wrong}'; give bytes: CADSTN_MAX_BYTES=8000000000"
        assert line in refused(tmp_path / "a.npz")
    monkeypatch.setenv("CADSTN_MAX_BYTES", "")
    assert "nothing measured" in refused(tmp_path / "a.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    write_recording(tmp_path / "a", UNITS, CAMERA, truth_xyz_mm=np.zeros((3, 2, 3)))
    for name in ("000001.png", "truth.npz", "camera.json"):
        held = (tmp_path / "a" / name).read_bytes()
        (tmp_path / "a" / name).unlink()
        os.mkfifo(tmp_path / "a" / name)
        if name == "000001.png":
            assert len(list(open_recording(tmp_path / "a").frames(lambda bad: None))) == 2
        elif name == "camera.json":
            assert "lacks camera.json" in refused(tmp_path / "a", None)
        else:
            assert open_recording(tmp_path / "a").truth_xyz_mm is None
        (tmp_path / "a" / name).unlink()
        (tmp_path / "a" / name).write_bytes(held)
    os.mkfifo(tmp_path / "b.npz")
    assert "pipe or device" in refused(tmp_path / "b.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    assert "a folder, pipe or device, not a file" in refused(tmp_path / "zero.npz")


def test_links_out_of_the_folder_are_bad_frames(tmp_path: Path) -> None:
    write_recording(tmp_path / "a", UNITS, CAMERA)
    write_recording(tmp_path / "other", UNITS + 1, CAMERA)
    file = tmp_path / "a" / "000001.png"
    file.unlink()
    file.symlink_to(tmp_path / "other" / "000001.png")
    bad: list[BadFrame] = []
    assert len(list(open_recording(tmp_path / "a").frames(bad.append))) == 2
    assert "leads out of the recording's folder" in str(bad[0].error)
    file.unlink()
    file.symlink_to("000000.png")  # within it
    assert len(list(open_recording(tmp_path / "a"))) == 3
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "0").symlink_to(tmp_path / "other")
    for pattern in (None, "*/*.png"):
        line = refused(tmp_path / "shots", pattern=pattern)
        assert line.startswith(f"{tmp_path / 'shots' / '0'}: a link that leads out of the rec")


def test_names_that_are_not_utf_8_or_control_the_terminal(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "a")
    write_recording(tmp_path / "a", UNITS, CAMERA)
    os.rename(folder + b"/000001.png", folder + b"/000001\xff.png")
    os.rename(folder + b"/000002.png", folder + b"/000002\x1b[31m.png")
    recording = open_recording(tmp_path / "a")
    assert len(list(recording)) == 3
    assert recording.names == ("000000.png", "000001\ufffd.png", "000002\\x1b[31m.png")


@pytest.mark.parametrize("ending", [".npy", ".tiff", ".exr", ".npz"])
def test_floats_are_mm_whatever_the_step_of_the_camera(tmp_path: Path, ending: str) -> None:
    camera = replace(CAMERA, depth_unit_mm=0.125)
    floats = UNITS.astype(np.float32)
    if ending == ".npz":
        np.savez(tmp_path / "a.npz", depth=floats)
        path = tmp_path / "a.npz"
    else:
        path = save(tmp_path / "a", ending, floats)
    np.testing.assert_array_equal(depths(path, camera), floats)


@pytest.mark.parametrize(
    ("unit", "dtype", "numbers"),
    [
        ("mm", np.float32, 1.0),
        ("cm", np.float64, 0.1),
        ("m", np.float32, 0.001),
        ("um", np.float32, 1000.0),
        ("um", np.int32, 1000),
        ("mm", np.uint16, 1),
        (0.5, np.uint16, 2),
        (0.5, np.float32, 2.0),
        ("0.5", np.uint16, 2),
    ],
)
def test_a_unit_that_is_given(
    tmp_path: Path, unit: str | float, dtype: type, numbers: float
) -> None:
    values: NDArray[Any] = (UNITS * np.float64(numbers)).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", depth=values)
    save(tmp_path / "folder", ".npy", values)
    camera = replace(CAMERA, width=0, height=0, depth_unit_mm=0.25)
    for name in ("a.npy", "a.npz", "folder"):
        np.testing.assert_allclose(depths(tmp_path / name, camera, unit=unit), UNITS, 1e-6)


def test_units_that_cannot_be(tmp_path: Path) -> None:
    save(tmp_path, ".npy", UNITS)
    assert "uint16 image in steps of 1000 mm; that is a unit of floats" in refused(
        tmp_path, unit="m"
    )
    assert "no unit 'metre'; known: cm, m" in refused(tmp_path, unit="metre")
    save(tmp_path / "picture", ".npy", UNITS.astype(np.uint8))
    assert "8-bit" in refused(tmp_path / "picture", unit="mm")


def test_metres_of_16_bits_lose_nothing_more(tmp_path: Path) -> None:
    metres = np.full((1, 6, 8), 2.001, np.float16)
    folder = save(tmp_path, ".npy", metres)
    np.testing.assert_allclose(depths(folder, unit="m"), metres.astype(float) * 1000, rtol=1e-6)


def test_floats_are_straightened(tmp_path: Path) -> None:
    camera = replace(CAMERA, distortion=(20.0, 0.0, 0.0, 0.0, 0.0))
    steps = depths(save(tmp_path / "steps", ".npy", UNITS), camera)
    assert (steps != UNITS).any()
    floats = save(tmp_path / "floats", ".npy", UNITS.astype(np.float32))
    np.testing.assert_array_equal(depths(floats, camera), steps)


def test_a_sequence_of_dexycb_has_several_cameras(tmp_path: Path) -> None:
    sequence = tmp_path / "subject-01" / "20200709_141754"
    known = tmp_path / "calibration" / "intrinsics"
    known.mkdir(parents=True)
    for serial, fx in (("836212060125", 613.5), ("932122061900", 500.0)):
        save(sequence / serial, ".png", UNITS[:1])
        (sequence / serial / "0.png").rename(
            sequence / serial / "aligned_depth_to_color_000000.png"
        )
        (known / f"{serial}_640x480.yml").write_text(
            f"color:\n  fx: {fx}\n  fy: 612.0\n  ppx: 3.0\n  ppy: 2.0\n"
        )
    line = refused(sequence, None)
    assert line.startswith(f"{sequence / '932122061900'}: is of another camera than {sequence}")
    assert "open each camera's folder by itself" in line
    assert open_recording(sequence / "932122061900").camera.fx == 500.0
    second = known / "932122061900_640x480.yml"
    second.write_text((known / "836212060125_640x480.yml").read_text())
    assert len(open_recording(sequence)) == 2
    second.unlink()
    assert "lacks camera.json" in refused(sequence, None)


@pytest.mark.parametrize(
    "other", ["ir_0", "left-ir", "infrared_0", "confidence_0", "normals_0", "segments_0", "label_0"]
)
def test_16_bits_of_another_kind_beside_depth_are_no_frames(tmp_path: Path, other: str) -> None:
    for name in ("depth_0", other):
        (tmp_path / f"{name}.png").write_bytes(cv2.imencode(".png", UNITS[0])[1].tobytes())
    assert open_recording(tmp_path, CAMERA).names == ("depth_0.png",)
    (tmp_path / f"{other}.png").rename(tmp_path / "first_0.png")  # no infrared
    assert len(open_recording(tmp_path, CAMERA)) == 2


@pytest.mark.parametrize("late", [False, True])
def test_a_decoder_is_ended_when_it_takes_too_long_and_only_then(
    monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    seen: list[object] = []

    class Timer:
        def __init__(self, seconds: float, end: Any) -> None:
            seen.append(seconds)
            self.end = end

        def start(self) -> None:
            seen.append("start")
            if late:
                self.end()

        def cancel(self) -> None:
            seen.append("cancel")

    with monkeypatch.context() as patched:
        patched.setattr("cadstn.io.decoder.threading.Timer", Timer)
        if late:
            with pytest.raises(CadstnError, match="no tiff image: its decoder failed"):
                decode("tiff", tiff(UNITS[0]))
        else:
            decode("tiff", tiff(UNITS[0]))
    assert seen == [20.0, "start", "cancel"]
    np.testing.assert_array_equal(decode("tiff", tiff(UNITS[1])), UNITS[1])
