"""More situations of strangers: an input, and joints or the sentence that mends it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import cadstn
from cadstn.bench.track import demo_frames
from cadstn.cli import cli
from cadstn.errors import CadstnError, CadstnWarning
from cadstn.geometry.camera import Camera, parse_camera
from cadstn.io import open_recording
from cadstn.tracking import State, load_network, track_batch
from cadstn.tracking.excerpt import part_of
from cadstn.tracking.gestures import grasp_strength
from cadstn.tracking.hand import Frame
from cadstn.tracking.holes import Holes, unfilled, without_filled

from .conftest import SHARED

FILLED = SHARED / "cases" / "holes_filled"


def wrong(value: Any) -> Any:
    return value


#: By name: what is called, and part of the error.
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "text for fx": (lambda: Camera(wrong("285"), 285, 160, 120), r"fx is '285', a str; give"),
    "none for cy": (lambda: Camera(285, 285, 160, wrong(None)), r"cy is None"),
    "a list for fps": (lambda: Camera(9, 9, 1, 1, fps=wrong([30])), r"fps is \[30\]"),
    "no camera": (
        lambda: cadstn.Tracker().update(np.full((240, 320), 600.0)),
        r"camera is None, not a Camera; Camera\.from_K",
    ),
    "8 bits": (
        lambda: cadstn.Tracker().update(np.full((240, 320), 60, np.uint8), Camera(9, 9, 1, 1)),
        r"a picture, no distances; give a NumPy array .*uint16",
    ),
    "resized": (
        lambda: parse_camera("d435-640").sized(320, 240),
        r"camera is 640x480; .*--scale 0.5, camera\.scaled\(0.5\)",
    ),
    "radians": (lambda: Camera.from_fov(640, 480, 1.2), r"radians\? 1.2 rad are 68.75 degrees"),
    "radians down": (lambda: Camera.from_fov(640, 480, 70, 0.9), r"radians\? 0.9"),
    "identity": (lambda: Camera.from_K(np.eye(3)), r"give it in pixels"),
    "normalised": (
        lambda: Camera.from_K(np.array([[0.9, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]])),
        r"times width and height",
    ),
    "realsense": (lambda: parse_camera("RealSense"), r"which one: d415, d435, d455, l515, sr305"),
    "kinect": (lambda: parse_camera("kinect"), r"which one: kinect1, kinect2, azure-kinect-nfov"),
    "orbbec": (lambda: parse_camera("orbbec"), r"which one: femto-nfov, femto-wfov"),
}  # fmt: skip

ALIASES = {
    "D435": "d435", "SR305": "sr305", "L515": "l515", "Kinect2": "kinect2",
    "azure": "azure-kinect-nfov",
    "Azure Kinect": "azure-kinect-nfov", "k4a": "azure-kinect-nfov", "iphone": "truedepth",
    "iPad": "truedepth", "TrueDepth": "truedepth",
    "femto": "femto-nfov", "Femto Bolt": "femto-nfov",
    "oak": "oak-d", "OAK_D": "oak-d", "D435_640": "d435-640", "kinect v2": "kinect2",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_hint(name: str) -> None:
    call, line = REFUSED[name]
    with pytest.raises(CadstnError, match=line) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ALIASES)
def test_a_camera_by_another_name(name: str) -> None:
    assert parse_camera(name) == parse_camera(ALIASES[name])


def test_the_demo_takes_hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "cadstn.io.open_recording", lambda path: part_of(open_recording(path), 0, 6)
    )
    done = CliRunner().invoke(cli, ["demo", "--hands", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "joints-2.npz").is_file()


def test_a_full_view_file_is_reported_once(
    short_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rerun", reason="no rerun (extra view)")
    monkeypatch.chdir(short_demo)
    monkeypatch.setattr("cadstn.tracking.rerun_view.LARGEST_BYTES", 0)
    done = CliRunner().invoke(
        cli, ["live", "demo", "--fast", "--view", "file", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert done.stderr.count("view.rrd has reached its size") == 1


def test_numpy_numbers_make_a_camera() -> None:
    assert Camera(*np.array([285, 285, 160, 120], np.float32)).fx == 285


def test_grasp_is_the_same_of_either_hand() -> None:
    joints = np.random.default_rng(0).normal(0, 50, (21, 3))
    mirrored = joints * np.array([-1, 1, 1])
    assert grasp_strength(mirrored) == pytest.approx(grasp_strength(joints))


def test_equal_depths_of_a_run_are_no_measurement() -> None:
    depth_mm = np.arange(1, 41, dtype=np.float32)[None].repeat(2, 0)
    depth_mm[0, 5:15] = 500  # ten
    depth_mm[1, 5:14] = 500  # nine
    out = unfilled(depth_mm)
    assert np.flatnonzero(out[0] == 0).tolist() == list(range(5, 15))
    np.testing.assert_array_equal(out[1], depth_mm[1])


def test_frames_without_filled_holes_stay_as_they_are() -> None:
    holes = Holes()
    for depth_mm, camera in demo_frames(320)[:8]:
        after, holes = without_filled(depth_mm, camera, holes)
        assert after is depth_mm
    assert holes == Holes(False, 8)


def test_a_tracked_hand_draws_itself() -> None:
    depth_mm, camera = demo_frames(320)[0]
    hand = cadstn.Tracker().update(depth_mm, camera)
    image = np.zeros((240, 320, 3), np.uint8)
    drawn = hand.draw(image)
    assert drawn.any()
    np.testing.assert_array_equal(drawn, hand.draw(image, camera))
    with pytest.raises(CadstnError, match="knows no camera; give one"):
        replace(hand, camera=None).draw(image)


@pytest.mark.skipif(not FILLED.is_dir(), reason="no ../shared/cases beside the project")
@pytest.mark.parametrize(
    ("name", "least"), [("spatial_holes_fill_5", 18), ("hole_filling_farest", 17)]
)
def test_filled_holes_lose_little(name: str, least: int) -> None:
    tracker, camera = cadstn.Tracker(), parse_camera("sr305")
    files = sorted((FILLED / name).glob("*.png"))
    images = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
    hands = [tracker.update(image, camera, check=False) for image in images]
    assert sum(hand.found for hand in hands) >= least
    # A batch of streams and a stream of its own see the same.
    network = load_network()
    state = State.fresh(network)
    for image, hand in zip(images[:4], hands, strict=False):
        frame = Frame(camera.depth_mm(np.asarray(image)), camera)
        (((one,), state),) = track_batch(network, [state], [frame])
        np.testing.assert_array_equal(one.joints_mm, hand.joints_mm)
    assert state.holes.filled


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="no ../shared/real beside the project")
def test_real_raw_frames_keep_their_pixels() -> None:
    for name, text in (
        ("sr305/*", "sr305"),
        ("kinect2", "kinect2"),
        ("no_hand", "436,436,321,239,0.1"),
    ):
        camera, holes = parse_camera(text), Holes()
        for file in sorted((SHARED / "real").glob(f"{name}/*.png"))[:8]:
            depth_mm = camera.depth_mm(np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)))
            after, holes = without_filled(depth_mm, camera, holes)
            assert after is depth_mm


def test_a_picture_scaled_to_0_to_255_is_named_once() -> None:
    frames, tracker = demo_frames(320)[:2], cadstn.Tracker()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for depth_mm, camera in frames:
            tracker.update(depth_mm / depth_mm.max() * 255, camera)
    (one,) = seen
    assert one.category is CadstnWarning
    assert "a picture scaled to 0 to 255" in str(one.message)
