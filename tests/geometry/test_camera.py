"""Pixels to millimetres and back, raw depth to millimetres, and every way to get it wrong."""

from __future__ import annotations

import errno
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera

PLAIN = Camera(500.0, 400.0, 320.0, 240.0)


def refused(call: Any, *args: Any) -> CadstnError:
    """What calling it raises, which must be one line with a hint."""
    with pytest.raises(CadstnError) as caught:
        call(*args)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value


def changed(name: str, value: Any) -> Camera:
    return replace(PLAIN, **{name: value})


# --- geometry ---------------------------------------------------------------------------------


def test_to_mm_by_hand() -> None:
    # 50 px right at 1 m with f = 500 px is 100 mm; 40 px down with f = 400 px is 100 mm down.
    assert PLAIN.to_xyz_mm([370, 280, 1000]).tolist() == [100, 100, 1000]
    assert PLAIN.to_xyz_mm([320, 240, 777]).tolist() == [0, 0, 777]


def test_to_pixels_by_hand() -> None:
    assert PLAIN.to_uvd([100, 100, 1000]).tolist() == [370, 280, 1000]
    assert PLAIN.to_uvd([-100, 50, 500]).tolist() == [220, 280, 500]


def test_shapes_and_float_types_are_kept() -> None:
    points = np.ones((2, 5, 3), np.float32)
    for convert in (PLAIN.to_uvd, PLAIN.to_xyz_mm):
        assert convert(points).shape == (2, 5, 3)
        assert convert(points).dtype == np.float32
        for other in (np.int32, np.float16, np.longdouble):
            assert convert(points.astype(other)).dtype == np.float64
    # More than 16 bits hold on the way.
    assert PLAIN.to_uvd(np.array([400, 0, 800], np.float16)).tolist() == [570, 240, 800]


def test_nan_stays_and_zero_depth_is_quiet() -> None:
    assert np.isnan(PLAIN.to_uvd([np.nan] * 3)).all()
    assert np.isnan(PLAIN.to_xyz_mm([np.nan] * 3)).all()
    assert not np.isfinite(PLAIN.to_uvd([1.0, 1.0, 0.0])[:2]).any()


@given(
    name=st.sampled_from(sorted(KNOWN_CAMERAS)),
    point=st.tuples(st.floats(-800, 800), st.floats(-800, 800), st.floats(50, 4000)),
)
def test_round_trip(name: str, point: tuple[float, float, float]) -> None:
    camera = KNOWN_CAMERAS[name]
    assert camera.to_xyz_mm(camera.to_uvd(point)) == pytest.approx(point, rel=1e-9, abs=1e-6)
    uvd = camera.to_uvd(point)
    assert camera.to_uvd(camera.to_xyz_mm(uvd)) == pytest.approx(uvd, rel=1e-9, abs=1e-6)


def test_known_cameras() -> None:
    nyu, icvl = KNOWN_CAMERAS["nyu"], KNOWN_CAMERAS["icvl"]
    assert (nyu.fx, nyu.fy, nyu.cx, nyu.cy) == (588.03, 587.07, 320, 240)
    assert (nyu.width, nyu.height, nyu.encoding) == (640, 480, "nyu")
    assert (icvl.fx, icvl.fy, icvl.cx, icvl.cy) == (241.42, 241.42, 160, 120)
    assert KNOWN_CAMERAS["msra"] == icvl
    assert KNOWN_CAMERAS["sr305"].depth_unit_mm == 0.125


# --- raw depth --------------------------------------------------------------------------------


def test_sixteen_bits() -> None:
    raw = np.array([[0, 1, 500], [32001, 65534, 65535]], np.uint16)
    depth = PLAIN.depth_mm(raw)
    assert depth.dtype == np.float32
    assert depth.tolist() == [[0, 1, 500], [32001, 65534, 0]]
    assert raw[1, 2] == 65535


def test_unit_scale() -> None:
    # SR300's raw unit is an eighth of a millimetre.
    depth = KNOWN_CAMERAS["sr305"].depth_mm(np.array([[8, 4001, 0, 65535]], np.uint16))
    assert depth.tolist() == [[1, 500.125, 0, 0]]


def test_invalid_values_are_raw_values() -> None:
    camera = replace(PLAIN, depth_unit_mm=0.5, invalid=(100, 32001))
    depth = camera.depth_mm(np.array([[100, 200, 32001, 16000]], np.uint16))
    assert depth.tolist() == [[0, 100, 0, 8000]]


def test_nyu_packing() -> None:
    # Depth is G * 256 + B; OpenCV hands over B, G, R. 3 * 256 + 32 = 800; 125 * 256 + 1 = 32001.
    raw = np.array([[[32, 3, 0], [1, 125, 0], [0, 0, 0], [255, 255, 0]]], np.uint8)
    assert KNOWN_CAMERAS["nyu"].depth_mm(raw).tolist() == [[800, 0, 0, 0]]


@given(st.integers(1, 65534).filter(lambda mm: mm != 32001))
def test_nyu_packing_loses_nothing(mm: int) -> None:
    raw = np.array([[[mm & 255, mm >> 8, 0]]], np.uint8)
    assert KNOWN_CAMERAS["nyu"].depth_mm(raw).tolist() == [[mm]]


@pytest.mark.parametrize(
    ("shape", "dtype", "seen"),
    [
        ((4, 6), np.uint8, "8-bit 1-channel"),
        ((4, 6), np.float32, "32-bit 1-channel"),
        ((4, 6, 3), np.uint8, "8-bit 3-channel"),
        ((4, 6, 3), np.uint16, "16-bit 3-channel"),
    ],
)
def test_not_sixteen_bits(shape: tuple[int, ...], dtype: type, seen: str) -> None:
    error = refused(PLAIN.depth_mm, np.zeros(shape, dtype))
    assert error.what == f"{seen} image where 16-bit depth was expected"
    assert "--camera nyu" in error.hint


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_only_unsigned_sixteen_bits(dtype: type) -> None:
    error = refused(PLAIN.depth_mm, np.full((4, 6), 500, dtype))
    assert error.what == f"{np.dtype(dtype)} image where uint16 depth was expected"
    assert ".astype(np.uint16)" in error.hint


def test_sixteen_bits_of_either_byte_order() -> None:
    assert PLAIN.depth_mm(np.array([[0, 500, 65535]], ">u2")).tolist() == [[0, 500, 0]]


@pytest.mark.parametrize(
    ("shape", "dtype", "seen"),
    [
        ((4, 6), np.uint16, "16-bit 1-channel"),
        ((4, 6, 3), np.uint16, "16-bit 3-channel"),
        ((4, 6, 4), np.uint8, "8-bit 4-channel"),
    ],
)
def test_not_nyus_packing(shape: tuple[int, ...], dtype: type, seen: str) -> None:
    error = refused(KNOWN_CAMERAS["nyu"].depth_mm, np.zeros(shape, dtype))
    assert error.what == f"{seen} image where NYU's packing is 8-bit RGB"


# --- the camera itself ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fx", "fy", "depth_unit_mm", "fps"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_numbers_that_must_be_positive(name: str, value: float) -> None:
    error = refused(changed, name, value)
    assert error.what == f"camera {name} is {value}"


@pytest.mark.parametrize("name", ["cx", "cy"])
def test_center_must_be_finite(name: str) -> None:
    assert "camera centre is" in refused(changed, name, math.nan).what


def test_size_and_encoding() -> None:
    assert refused(lambda: replace(PLAIN, width=-1)).what == "camera size is -1x0"
    error = refused(lambda: replace(PLAIN, encoding="depth-16"))
    assert error.what == "camera encoding is 'depth-16'"
    assert "did you mean 'depth16'?" in error.hint


def test_numbers_of_other_libraries_become_pythons() -> None:
    camera = Camera(
        np.float32(475.5), np.float64(476), Fraction(640, 2), 240, np.int64(640), 480.0,  # type: ignore[arg-type]
        np.float32(0.125), np.int32(30), invalid=[np.uint16(32001)],  # type: ignore[arg-type]
    )  # fmt: skip
    assert Camera.from_json(camera.to_json()) == camera
    assert camera == Camera(475.5, 476, 320, 240, 640, 480, 0.125, 30, invalid=(32001,))
    assert {type(value) for value in (camera.fx, camera.fy, camera.cx)} == {float}
    assert (type(camera.cy), type(camera.width), type(camera.height)) == (int, int, int)
    assert len({camera, camera.cropped(np.int64(0), 0, np.int64(640), 480)}) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("width", 640.5, "camera width is 640.5"),
        ("invalid", 7, "camera invalid is 7"),
        ("invalid", (0.5,), "camera invalid is 0.5"),
        ("invalid", ("x",), "camera invalid is 'x'"),
        ("invalid", (math.nan,), "camera invalid is nan"),
        ("invalid", (True,), "camera invalid is True"),
        ("invalid", range(65), "camera has 65 invalid values"),
    ],
)
def test_numbers_that_must_be_whole(name: str, value: Any, what: str) -> None:
    assert refused(changed, name, value).what == what


def test_sized() -> None:
    assert PLAIN.sized(640, 480) == replace(PLAIN, width=640, height=480)
    known = KNOWN_CAMERAS["icvl"]
    assert known.sized(320, 240) == known
    error = refused(known.sized, 640, 480)
    assert error.what == "frame is 640x480 where the camera is 320x240"
    assert "--scale 2," in error.hint
    assert refused(known.sized, 320, 200).hint == "give the camera that took these frames"
    assert "where the camera is 640x0" in refused(replace(PLAIN, width=640).sized, 320, 240).what


@pytest.mark.parametrize(
    ("name", "width", "height", "offer"),
    [
        ("d435", 320, 240, "--camera d435-640 --scale 0.5"),
        ("d435-640", 848, 480, "--camera d435-848"),
        ("d415-640", 640, 360, "--camera d415 --scale 0.5"),
        ("azure-kinect-nfov", 512, 512, "--camera azure-kinect-wfov-binned"),
        ("femto-wfov", 640, 576, "--camera femto-nfov or --camera femto-nfov-binned --scale 2"),
    ],
)
def test_frames_of_another_mode_name_it(name: str, width: int, height: int, offer: str) -> None:
    hint = refused(KNOWN_CAMERAS[name].sized, width, height).hint
    assert offer in hint
    for preset in ("d455", "kinect2", "azure-kinect" if name.startswith("femto") else "femto"):
        assert preset not in hint


# --- camera.json ------------------------------------------------------------------------------


def json_with(**changes: Any) -> str:
    return json.dumps({"fx": 500, "fy": 500.5, "cx": 320, "cy": 240} | changes)


@pytest.mark.parametrize("name", sorted(KNOWN_CAMERAS))
def test_json_round_trip(name: str) -> None:
    assert Camera.from_json(KNOWN_CAMERAS[name].to_json()) == KNOWN_CAMERAS[name]


def test_json_with_the_mark_of_windows_editors(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text(json_with(), encoding="utf-8-sig")
    assert parse_camera(str(path)) == Camera(500, 500.5, 320, 240)
    assert Camera.from_json(path.read_text(encoding="utf-8")) == Camera(500, 500.5, 320, 240)


def test_json_fills_defaults() -> None:
    assert Camera.from_json(json_with()) == Camera(500, 500.5, 320, 240)
    assert Camera.from_json(json_with(invalid=[7])).invalid == (7,)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("3", "not a JSON object"),
        ("{}", "lacks fx, fy, cx, cy"),
        ('{"fx": 1, "cy": 2}', "lacks fy, cx"),
        (json_with(widht=640), "unknown field 'widht'"),
        (json_with(fx="500"), "field 'fx' is '500'"),
        (json_with(fx=True), "field 'fx' is True"),
        (json_with(fx=None), "field 'fx' is None"),
        (json_with(width=640.0), "field 'width' is 640.0"),
        (json_with(encoding=3), "field 'encoding' is 3"),
        (json_with(encoding="png"), "camera encoding is 'png'"),
        (json_with(invalid=3), "field 'invalid' is 3"),
        (json_with(invalid=["a"]), "field 'invalid' is ['a']"),
        (json_with(fx=0), "camera fx is 0"),
        (json_with(fx=math.nan), "camera fx is nan"),
        (json_with(cx=math.inf), "camera centre is (inf, 240)"),
        (json_with(height=-4), "camera size is 0x-4"),
    ],
)
def test_json_mistakes_name_the_file(text: str, what: str) -> None:
    error = refused(Camera.from_json, text, "my/camera.json")
    assert error.what.startswith(what)
    assert str(error).startswith("my/camera.json: ")


@pytest.mark.parametrize("name", ["fx", "cx", "fps", "width"])
@pytest.mark.parametrize("sign", [1, -1])
def test_json_numbers_too_large_for_any_camera(name: str, sign: int) -> None:
    error = refused(Camera.from_json, json_with(**{name: sign * 10**400}), "my/camera.json")
    start = "1000000000" if sign > 0 else "-100000000"
    assert str(error).startswith(f"my/camera.json: field '{name}' is {start}")
    assert len(error.what) < 80


def test_json_huge_invalid_value() -> None:
    error = refused(Camera.from_json, json_with(invalid=[0, 10**400]), "my/camera.json")
    assert str(error).startswith("my/camera.json: field 'invalid' is [0, 1000000000")


def test_json_number_with_more_digits_than_python_reads() -> None:
    text = json_with(fx=1).replace('"fx": 1', f'"fx": 1{"0" * 5000}')
    error = refused(Camera.from_json, text, "my/camera.json")
    assert str(error).startswith("my/camera.json: holds a number of thousands of digits")


@pytest.mark.parametrize("depth", [90, 900, 200_000])
def test_json_nested_too_deeply(depth: int) -> None:
    text = json_with(fx=1).replace('"fx": 1', f'"fx": {"[" * depth}{"]" * depth}')
    error = refused(Camera.from_json, text, "my/camera.json")
    what = "field 'fx' is [[" if depth == 90 else ("field 'fx' is [[", "nested too deeply")
    assert error.what.startswith(what)
    assert str(error).startswith("my/camera.json: ")
    assert len(error.what) < 80


def test_json_unknown_field_names_the_nearest() -> None:
    error = refused(Camera.from_json, json_with(widht=640))
    assert error.hint.startswith("did you mean 'width'? known: ")
    assert error.where == "camera.json"


# --- a camera given as text -------------------------------------------------------------------


def test_parse_numbers() -> None:
    assert parse_camera("475,476,320,240") == Camera(475, 476, 320, 240)
    assert parse_camera(" 475, 476,320 ,240, 0.125") == Camera(
        475, 476, 320, 240, depth_unit_mm=0.125
    )


def test_parse_file(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    assert refused(parse_camera, str(path)).what == "no such camera file"
    path.write_text(KNOWN_CAMERAS["sr305"].to_json(), encoding="utf-8")
    assert parse_camera(str(path)) == KNOWN_CAMERAS["sr305"]
    path.write_bytes(b"\xff\xfe\x00")
    error = refused(parse_camera, str(path))
    assert error.what.startswith("not JSON")
    assert str(error).startswith(f"{path}: ")


def test_parse_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder.json"
    folder.mkdir()
    assert str(refused(parse_camera, str(folder))).startswith(f"{folder}: cannot read (")
    long = tmp_path / f"{'x' * 300}.json"
    assert str(refused(parse_camera, str(long))).startswith(f"{long}: ")

    def locked(*args: Any, **options: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "camera.json"
    path.touch()
    monkeypatch.setattr(Path, "open", locked)
    error = refused(parse_camera, str(path))
    assert str(error).startswith(f"{path}: cannot read (Permission denied); check its permissions")


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5,6", "a,b,c,d", "nyu2", "camera.yaml"])
def test_parse_refuses(text: str) -> None:
    error = refused(parse_camera, text)
    assert error.what == f"no camera '{text}'"
    assert "FILE.json, or fx,fy,cx,cy[,depth_unit_mm]" in error.hint


def test_parse_names_the_nearest_and_checks_numbers() -> None:
    assert "did you mean 'nyu'?" in refused(parse_camera, "nyuu").hint
    assert refused(parse_camera, "0,1,2,3").what == "camera fx is 0.0"
    assert refused(parse_camera, "1,1,2,3,nan").what == "camera depth_unit_mm is nan"
