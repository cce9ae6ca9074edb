"""ROS bags: depth in ROS 1 and ROS 2, its unit, its times, its camera; damaged ones in one line."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import cadstn
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import BadFrame, open_recording
from cadstn.tracking.cameras import open_source
from cadstn.tracking.excerpt import part_of

pytest.importorskip("rosbags")
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

UNITS = np.random.default_rng(3).integers(300, 900, (3, 6, 8)).astype(np.uint16)
IMAGE = "sensor_msgs/msg/Image"
TOPIC = "/device_0/sensor_0/Depth_0/image/data"


def write(
    path: Path,
    kind: str = "16UC1",
    *,
    unit: float | None = None,
    info: bool | str = True,
    units: NDArray[np.uint16] = UNITS,
    topic: str = TOPIC,
    also: dict[str, str] | None = None,
    lens: tuple[float, ...] = (0.0,) * 5,
    model: str = "plumb_bob",
    focal: float = 50.0,
    color: float | None = None,
    damage: Callable[[int, bytes], bytes] = lambda index, data: data,
) -> Path:
    """A bag of frames 0.1 s apart, as a camera's node or RealSense writes it.

    ``info`` may be the topic of its CameraInfo. ``also`` are more topics and their kinds;
    ``damage`` changes their messages; ``color`` is the focal length in the CameraInfo of a colour
    camera, which comes first.
    """
    _, height, width = units.shape
    old = path.suffix == ".bag"
    store = get_typestore(Stores.ROS1_NOETIC if old else Stores.ROS2_HUMBLE)
    types = store.types
    with Writer1(path) if old else Writer2(path, version=9) as writer:

        def send(topic: str, name: str, time_s: float, **values: Any) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            message = types[name](**values)
            data = bytes(
                store.serialize_ros1(message, name) if old else store.serialize_cdr(message, name)
            )
            if "epth" in topic and "header" in values and "k" not in map(str.lower, values):
                data = damage(round(10 * (time_s - 100)), data)
            writer.write(connections[topic], int(1e9 * time_s), data)

        def header(time_s: float) -> Any:
            stamp = types["builtin_interfaces/msg/Time"](
                sec=int(time_s), nanosec=round(time_s % 1 * 1e9)
            )
            sequence = {"seq": 0} if old else {}
            return types["std_msgs/msg/Header"](stamp=stamp, frame_id="", **sequence)

        connections: dict[str, Any] = {}

        def depth(topic: str, kind: str, time_s: float, frame: NDArray[np.uint16]) -> None:
            if "compressedDepth" in kind:
                head = b"\0" * 12
                if kind.startswith("32FC1"):  # as codec.cpp of compressed_depth_image_transport
                    a = 100.0 * (100.0 + 1)
                    b = 1 - a / 10.0
                    head = struct.pack("<iff", 1, a, b)
                    metres = frame / 1000
                    inverse = a / np.where(metres > 0, metres, 1) + b
                    frame = np.where(metres > 0, inverse, 0).astype(np.uint16)
                png = head + cv2.imencode(".png", frame)[1].tobytes()
                form = kind if " " in kind else "16UC1; compressedDepth png"
                packed = {"header": header(time_s), "format": form}
                data = np.frombuffer(png, np.uint8)
                send(topic, "sensor_msgs/msg/CompressedImage", time_s, **packed, data=data)
                return
            values = (frame / 1000).astype("<f4") if kind == "32FC1" else frame.astype("<u2")
            raw = values.view(np.uint8).reshape(height, -1)
            rows = np.pad(raw, ((0, 0), (0, 8)))  # rows are padded
            image = {"header": header(time_s), "height": height, "width": width}
            image |= {"is_bigendian": 0, "encoding": kind, "step": rows.shape[1]}
            send(topic, IMAGE, time_s, **image, data=rows.ravel())

        for index, frame in enumerate(units):
            time_s = 100 + 0.1 * index
            image = {"header": header(time_s), "height": 6, "width": 8, "is_bigendian": 0}
            black = np.zeros(144, np.uint8)
            send("/color/image", IMAGE, time_s, **image, encoding="rgb8", step=24, data=black)
            for name, encoding in ({topic: kind} | (also or {})).items():
                depth(name, encoding, time_s, frame)
            if info:
                roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
                p = np.array([60.0, 0, 5, 0, 0, 61, 4, 0, 0, 0, 1, 0])
                about = {"header": header(time_s), "height": height, "width": width, "roi": roi}
                about |= {"distortion_model": model, "binning_x": 0, "binning_y": 0}
                beside = "/device_0/sensor_0/Depth_0/image/camera_info"
                if topic != TOPIC:
                    beside = topic.rsplit("/", 1)[0] + "/camera_info"
                beside = info if isinstance(info, str) else beside
                colors = {} if color is None else {"/camera/color/camera_info": color}
                for place, fx in {**colors, beside: focal}.items():
                    k = np.array([fx, 0, 4, 0, 51, 3, 0, 0, 1])
                    values = (np.array(lens), k, np.eye(3).ravel(), p)
                    letters = dict(zip("DKRP" if old else "dkrp", values, strict=True))
                    send(place, "sensor_msgs/msg/CameraInfo", time_s, **about, **letters)
        if unit is not None:
            send("/device_0/sensor_0/option/Depth_Units/value", "std_msgs/msg/Float32", 100.0,
                 data=unit)  # fmt: skip
    return path


@pytest.mark.parametrize("name", ["a.bag", "a"])
@pytest.mark.parametrize("kind", ["16UC1", "32FC1", "compressedDepth"])
def test_frames_times_and_camera(tmp_path: Path, name: str, kind: str) -> None:
    recording = open_recording(write(tmp_path / name, kind))
    assert recording.camera == Camera(50.0, 51.0, 4.0, 3.0, 8, 6, fps=10.0)
    for _ in range(2):  # it can be read again
        frames = list(recording)
        np.testing.assert_allclose(np.stack([f.depth for f in frames]), UNITS, rtol=1e-6)
    np.testing.assert_allclose([f.time_s for f in frames], [0, 0.1, 0.2], atol=1e-6)
    assert recording.skeleton is None


def test_realsenses_unit(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "a.bag", unit=0.000125))
    assert recording.camera.depth_unit_mm == 0.125
    np.testing.assert_array_equal(next(iter(recording)).depth, UNITS[0] * np.float32(0.125))


def test_the_bags_unit_counts_with_a_given_camera(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag", unit=0.000125)
    for camera, unit_mm in (("50,50,4,3", 0.125), ("50,50,4,3,0.5", 0.5)):
        recording = open_recording(path, camera)
        assert recording.camera.depth_unit_mm == unit_mm
        np.testing.assert_array_equal(next(iter(recording)).depth, UNITS[0] * np.float32(unit_mm))
    assert open_recording(path, "50,50,4,3", unit="mm").camera.depth_unit_mm == 1


@pytest.mark.parametrize("kind", ["32FC1; compressedDepth", "32FC1; compressedDepth png"])
def test_compressed_floats_are_inverse_depth(tmp_path: Path, kind: str) -> None:
    units = UNITS.copy()
    units[0, 0, 0] = 0
    recording = open_recording(write(tmp_path / "a.bag", kind, units=units))
    depth = np.stack([frame.depth for frame in recording])
    np.testing.assert_allclose(depth, units, rtol=1e-4)  # the steps of the inverse
    assert depth[0, 0, 0] == 0


@pytest.mark.parametrize("kind", ["16UC1", "compressedDepth"])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("kept", [3, 150])
def test_a_damaged_message_is_one_bad_frame(tmp_path: Path, kind: str, at: int, kept: int) -> None:
    path = write(tmp_path / "a", kind, damage=lambda k, data: data[:kept] if k == at else data)
    bad: list[BadFrame] = []
    recording = open_recording(path, "50,50,4,3")
    for _ in range(2):
        frames = list(recording.frames(bad.append))
        assert [frame.index for frame in frames] == [k for k in range(3) if k != at]
        for frame in frames:
            np.testing.assert_array_equal(frame.depth, UNITS[frame.index])
    assert [recording.time_s(k) for k in range(3)] == pytest.approx([0, 0.1, 0.2], abs=1e-6)
    assert [one.index for one in bad] == [at, at]
    assert f"{path}, frame {at}: a damaged message (" in str(bad[0].error)


def test_without_a_camera_one_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag", info=False)
    with pytest.raises(CadstnError, match=r"a\.bag: lacks a CameraInfo for .*--camera"):
        open_recording(path)
    assert len(list(open_recording(path, "50,50,4,3"))) == 3


def test_realsenses_own_files(tmp_path: Path) -> None:
    rs = pytest.importorskip(
        "pyrealsense2", reason="no pyrealsense2, or not its libusb", exc_type=ImportError
    )
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "cameras", Path(__file__).parents[1] / "tracking" / "test_cameras.py"
    )
    assert spec is not None
    assert spec.loader is not None
    cameras = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cameras)
    recording = open_recording(cameras.record(rs, tmp_path, 4))
    assert [f.depth[9, 9] for f in recording] == [500, 500.125, 500.25, 500.375]
    assert recording.camera.fx == 240


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_damaged(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    file = path if path.is_file() else path / "a.db3"
    good = file.read_bytes()
    for length in (0, 10, len(good) // 2, len(good) - 20):
        file.write_bytes(good[:length])
        try:
            list(open_recording(path).frames(lambda bad: None))
        except CadstnError as error:
            text = str(error)
            assert str(path) in text  # some cuts leave it readable
            assert "\n" not in text
    file.write_bytes(b"no bag at all" * 99)
    with pytest.raises(CadstnError, match="not a readable ROS bag"):
        open_recording(path)


def test_the_same_images_compressed_as_well(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag", also={f"{TOPIC}/compressedDepth": "compressedDepth"})
    np.testing.assert_array_equal(next(iter(open_recording(path))).depth, UNITS[0])


def test_one_of_several_topics_is_chosen(tmp_path: Path) -> None:
    aligned = "/camera/aligned_depth_to_color/image_raw"
    path = write(tmp_path / "a", "32FC1", also={aligned: "16UC1"})
    with pytest.raises(CadstnError, match=f"2 topics .*--pattern {aligned}"):
        open_recording(path)
    assert len(open_recording(path, pattern=TOPIC)) == 3
    found = open_recording(path, "50,50,4,3", pattern="*aligned*")
    np.testing.assert_array_equal(next(iter(found)).depth, UNITS[0])
    with pytest.raises(CadstnError, match=r"0 topics .* match '/no'"):
        open_recording(path, pattern="/no")
    with open_source(str(path), pattern=TOPIC) as frames:
        assert len(list(frames)) == 3


@pytest.mark.parametrize(
    ("name", "given", "model", "count"),
    [
        ("plumb_bob", 5, "brown-conrady", 5),
        ("rational_polynomial", 8, "brown-conrady", 8),
        ("equidistant", 4, "kannala-brandt", 4),
        ("Inverse Brown Conrady", 5, "inverse-brown-conrady", 5),
        ("Kannala Brandt4", 5, "kannala-brandt", 4),
    ],
)
def test_the_lens_is_undone(tmp_path: Path, name: str, given: int, model: str, count: int) -> None:
    lens = tuple(0.01 * (index + 1) for index in range(given))
    for path in (tmp_path / "a.bag", tmp_path / "a"):
        camera = open_recording(write(path, lens=lens, model=name)).camera
        assert (camera.distortion, camera.distortion_model) == (lens[:count], model)


def test_a_rectified_image_is_a_pinholes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag", topic="/camera/depth/image_rect", lens=(0.1,) * 5)
    assert open_recording(path).camera == Camera(60.0, 61.0, 5.0, 4.0, 8, 6, fps=10.0)


def test_a_lens_or_matrix_that_is_not_known(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag", lens=(0.1,) * 5, model="ftheta")
    with pytest.raises(CadstnError, match="distortion model is 'ftheta'"):
        open_recording(path)
    assert open_recording(path, "50,50,4,3").camera.fx == 50
    path = write(tmp_path / "b.bag", focal=0.0)
    with pytest.raises(CadstnError, match="lacks a CameraInfo"):
        open_recording(path)
    assert open_recording(path, "50,50,4,3").camera.fx == 50


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_a_hand_in_a_bag_is_followed(tmp_path: Path, name: str) -> None:
    demo = open_recording("demo")
    units = np.stack([frame.depth for frame, _ in zip(demo, range(5), strict=False)])
    path = write(tmp_path / name, units=units.astype(np.uint16))
    tracker = cadstn.Tracker()
    for frame in open_recording(path, "285,285,160,120"):
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        assert demo.truth_xyz_mm is not None
        error_mm = np.linalg.norm(hand.joints_mm - demo.truth_xyz_mm[frame.index], axis=1)
        assert error_mm.mean() < 12


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_a_part_of_a_bag_holds_its_own_frames(tmp_path: Path, name: str) -> None:
    recording = open_recording(write(tmp_path / name))
    for first, every in ((1, 1), (2, 1), (0, 2)):
        part = part_of(recording, first, None, every)
        np.testing.assert_array_equal(np.stack([f.depth for f in part]), UNITS[first::every])


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_the_camera_is_that_of_depth_not_of_colour(tmp_path: Path, name: str) -> None:
    aligned = "/camera/aligned_depth_to_color/image_raw"
    path = write(
        tmp_path / name, topic="/camera/depth/image_raw", color=900.0, also={aligned: "16UC1"}
    )
    own = open_recording(path, pattern="/camera/depth/*")
    assert own.camera == Camera(50.0, 51.0, 4.0, 3.0, 8, 6, fps=10.0)
    with pytest.raises(CadstnError, match=f"lacks a CameraInfo for {aligned}"):  # of two, neither
        open_recording(path, pattern=aligned)


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_times_of_frames_without_a_stamp(tmp_path: Path, name: str) -> None:
    # A message begins with four bytes, and the seconds and nanoseconds of its stamp.
    def unstamped(index: int, data: bytes) -> bytes:
        return data[:4] + bytes(8) + data[12:]

    def a_minute_behind(index: int, data: bytes) -> bytes:
        if index == 1:
            return unstamped(index, data)
        return data[:4] + struct.pack("<I", 40) + data[8:]

    for number, damage in enumerate((unstamped, a_minute_behind)):
        (tmp_path / str(number)).mkdir()
        recording = open_recording(write(tmp_path / str(number) / name, damage=damage))
        times = [recording.time_s(index) for index in range(3)]
        assert times == pytest.approx([0, 0.1, 0.2], abs=1e-6)
        assert recording.camera.fps == 10


@pytest.mark.parametrize("name", ["a.bag", "a"])
def test_the_only_camera_info_is_of_depth_unless_it_is_anothers(tmp_path: Path, name: str) -> None:
    beside: tuple[tuple[str, dict[str, str]], ...] = (
        ("/camera_info", {}), ("/camera/color/camera_info", {}),
        ("/front/camera_info", {"/front/image_raw": "rgb8"}),
    )  # fmt: skip
    for number, (info, also) in enumerate(beside):
        (tmp_path / str(number)).mkdir()
        path = write(tmp_path / str(number) / name, topic="/depth/image", info=info, also=also)
        if not number:
            assert open_recording(path).camera.fx == 50
            continue
        with pytest.raises(CadstnError, match="lacks a CameraInfo for /depth/image"):
            open_recording(path)
