"""The messages of examples/ros2 have the layout of ROS 2's types, by rosbags's definitions."""

import runpy
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cadstn
from cadstn.tracking import Hand
from cadstn.tracking.cameras.frames import LiveFrame
from cadstn.tracking.openxr import openxr_hand

typesys = pytest.importorskip("rosbags.typesys", reason="needs cadstn[ros]")

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/ros2/hand_messages.py"
CAMERA = cadstn.Camera(240.0, 240.0, 159.5, 119.5, 320, 240)
MESSAGES = runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module", params=["ROS2_HUMBLE", "ROS2_JAZZY"])
def store(request: pytest.FixtureRequest) -> Any:
    return typesys.get_typestore(typesys.Stores[request.param])


@pytest.fixture(scope="module")
def hand() -> Hand:
    frame = next(iter(cadstn.open_recording("demo")))
    return cadstn.Tracker().update(frame.depth, frame.camera)


def sent(store: Any, kind: str, message: Any) -> Any:
    """A message as its receiver gets it."""
    return store.deserialize_cdr(store.serialize_cdr(message, kind), kind)


def maker(store: Any) -> Any:
    return lambda name, **fields: store.types[name](**fields)


def test_poses(store: Any, hand: Hand) -> None:
    message = MESSAGES["pose_array"](maker(store), hand, 12.25, "optical")
    got = sent(store, "geometry_msgs/msg/PoseArray", message)
    assert (got.header.stamp.sec, got.header.stamp.nanosec) == (12, 250_000_000)
    assert got.header.frame_id == "optical"
    assert len(got.poses) == 26
    wrist = got.poses[1]
    position = [wrist.position.x, wrist.position.y, wrist.position.z]
    np.testing.assert_allclose(position, hand.joints_mm[0] / 1000, atol=1e-6)
    flip = Rotation.from_euler("x", 180, degrees=True)
    for theirs, ours in zip(got.poses, openxr_hand(hand.joints_mm, hand.side)[1], strict=True):
        turn = theirs.orientation
        turned = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w])
        assert (turned.inv() * flip * Rotation.from_quat(ours)).magnitude() < 1e-6
    # The middle finger's -z leads to its next joint.
    bone = np.array([[p.position.x, p.position.y, p.position.z] for p in got.poses[12:14]])
    turn = got.poses[12].orientation
    ahead = -Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()[:, 2]
    np.testing.assert_allclose(
        ahead, np.diff(bone, axis=0)[0] / np.linalg.norm(np.diff(bone, axis=0))
    )


def test_markers(store: Any, hand: Hand) -> None:
    kind = "visualization_msgs/msg/MarkerArray"
    joints, bones = sent(
        store, kind, MESSAGES["marker_array"](maker(store), hand, 1.0, "optical", 1)
    ).markers
    assert (joints.type, bones.type) == (joints.SPHERE_LIST, bones.LINE_LIST)
    assert (joints.id, bones.id) == (2, 3)
    assert joints.action == joints.ADD
    got = np.array([[p.x, p.y, p.z] for p in joints.points])
    np.testing.assert_allclose(got, hand.joints_mm / 1000, atol=1e-6)
    assert len(bones.points) == 2 * len(cadstn.HAND21.bones)


def test_a_lost_hand_is_deleted(store: Any) -> None:
    lost = cadstn.Tracker().update(np.zeros((240, 320), np.float32), CAMERA)
    assert not lost.found
    markers = MESSAGES["marker_array"](maker(store), lost, 1.0, "optical").markers
    assert [marker.action for marker in markers] == [markers[0].DELETE] * 2
    poses = MESSAGES["pose_array"](maker(store), lost, 1.0, "optical")
    assert len(sent(store, "geometry_msgs/msg/PoseArray", poses).poses) == 0


def test_the_node_ends_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """By which rclpy has shut down already: a second time is an error there."""
    ended: list[str] = []

    def interrupted(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    def shutdown() -> None:
        raise RuntimeError("rcl_shutdown already called on the given context")

    message = SimpleNamespace(PoseArray=None, MarkerArray=None)
    node = SimpleNamespace(
        create_publisher=lambda *of: None, destroy_node=lambda: ended.append("node")
    )
    rclpy = SimpleNamespace(
        init=lambda: None, create_node=lambda name: node, shutdown=shutdown,
        try_shutdown=lambda: ended.append("rclpy"),
    )  # fmt: skip
    for name, fake in (
        ("rclpy", rclpy), ("geometry_msgs.msg", message), ("visualization_msgs.msg", message),
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr("cadstn.Tracker", lambda: None)
    monkeypatch.setattr("cadstn.tracking.cameras.open_source", interrupted)
    monkeypatch.setattr(sys, "argv", ["hand_publisher.py"])
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    runpy.run_path(str(EXAMPLE.with_name("hand_publisher.py")), run_name="__main__")
    assert ended == ["node", "rclpy"]


def test_the_node_publishes_each_frame(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[tuple[str, Any]] = []
    given: list[object] = []

    class Messages:
        def __getattr__(self, name: str) -> Any:
            return lambda **fields: SimpleNamespace(kind=name, **fields)

    def frames(source: str, *, real_time: bool) -> Any:
        given.append((source, real_time))
        depth = np.zeros((240, 320), np.float32)
        return nullcontext([LiveFrame(depth, CAMERA, 0.5 + k, k, cut=k == 1) for k in range(2)])

    def update(depth_mm: object, camera: object, time_s: float) -> Hand:
        given.append(time_s)
        return hand

    node = SimpleNamespace(
        create_publisher=lambda kind, topic, queue: SimpleNamespace(
            publish=lambda message: published.append((topic, message))
        ),
        get_clock=lambda: SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=12_250_000_000)),
        destroy_node=lambda: None,
    )
    rclpy = SimpleNamespace(
        init=lambda: None, create_node=lambda name: node, try_shutdown=lambda: None
    )
    monkeypatch.setitem(sys.modules, "rclpy", rclpy)
    for package in ("geometry", "visualization", "std", "builtin", "sensor"):
        name = f"{package}_{'interfaces' if package == 'builtin' else 'msgs'}.msg"
        monkeypatch.setitem(sys.modules, name, Messages())
    tracker = SimpleNamespace(update=update, reset=lambda: given.append("reset"))
    monkeypatch.setattr("cadstn.Tracker", lambda: tracker)
    monkeypatch.setattr("cadstn.tracking.cameras.open_source", frames)
    monkeypatch.setattr(sys, "argv", ["hand_publisher.py", "realsense", "optical"])
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    runpy.run_path(str(EXAMPLE.with_name("hand_publisher.py")), run_name="__main__")
    assert given == [("realsense", True), 0.5, "reset", 1.5]
    assert [(topic, message.kind) for topic, message in published] == 2 * [
        ("hand/poses", "PoseArray"), ("hand/markers", "MarkerArray"),
    ]  # fmt: skip
    (_, poses), (_, markers) = published[:2]
    for header in (poses.header, markers.markers[0].header):
        assert (header.frame_id, header.stamp.sec, header.stamp.nanosec) == (
            "optical", 12, 250_000_000,
        )  # fmt: skip
    assert poses.poses[1].position.x == pytest.approx(hand.joints_mm[0, 0] / 1000, abs=1e-6)
