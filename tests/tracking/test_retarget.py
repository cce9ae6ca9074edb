"""Robot hands follow tracked ones: known joint values come back, by dexi-rs's own kinematics."""

import csv
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

from cadstn import open_recording
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21, MSRA21
from cadstn.io import write_recording
from cadstn.tracking import Tracker, load_network
from cadstn.tracking.outputs.hand_eye import read_hand_eye
from cadstn.tracking.outputs.retarget import ROBOT_HANDS, Retargeter, reach_mm
from cadstn.tracking.outputs.robot_csv import (
    Sequence21,
    read_tracked_hand,
    tracked_hand,
    write_robot_csv,
)

pytest.importorskip("dexi_rs", reason="robot hands need cadstn[robots]")


def flat(side: str = "right") -> np.ndarray:
    """A hand's joints in mm, back to the camera, fingers up."""
    joints = np.zeros((21, 3))
    joints[1:5] = [[-25, -20, 0], [-45, -45, 0], [-60, -70, 0], [-70, -90, 0]]
    for finger, x in enumerate((-25, 0, 20, 38)):
        joints[5 + 4 * finger : 9 + 4 * finger, 0] = x
        joints[5 + 4 * finger : 9 + 4 * finger, 1] = [-90, -130, -155, -175]
    joints[:, 2] += 500
    return joints if side == "right" else joints * [-1, 1, 1]


def person_of(retarget: Retargeter, values: np.ndarray) -> np.ndarray:
    """A person whose fingers are where the robot has them: (21, 3) mm."""
    palm = np.zeros((21, 3))
    palm[9, 1], palm[5, 0], palm[17, 0] = 90, 25, -25
    if retarget.side == "left":
        palm *= [-1, 1, 1]
    scale = dict(zip(retarget.hand.links, retarget._scale, strict=True))
    for joint, vector in zip(retarget.hand.links, retarget._vectors_m(values), strict=True):
        palm[HAND21.index(joint)] = vector @ retarget.rotation / scale[joint]
    turn = Rotation.from_euler("xyz", [20, -35, 150], degrees=True)
    person: np.ndarray = turn.apply(palm) + np.array([30, -20, 500])
    return person


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("robot", ROBOT_HANDS)
def test_a_robots_own_pose_comes_back(robot: str, side: str) -> None:
    retarget = Retargeter(robot, side, reach_mm(flat()[None]))
    rng = np.random.default_rng(1)
    low, high = retarget.limits
    for _ in range(5):
        share = rng.uniform(0.1, 0.9, len(low))
        wanted = low + share * (high - low)
        wanted[[name in retarget.hand.held for name in retarget.joint_names]] = 0
        if robot == "inspire":  # its gears: ask the library for a pose that they allow
            wanted = retarget(person_of(retarget, wanted))
        person = person_of(retarget, wanted)
        retarget(person * np.nan)
        for _ in range(3):  # of frames, for a hand that was acquired far from where the robot was
            values = retarget(person)
        assert np.median(retarget.distance_mm(person, values)) < 1
        assert (values >= low).all()
        assert (values <= high).all()
        if robot == "shadow":  # whose every finger joint is followed
            np.testing.assert_allclose(np.degrees(values), np.degrees(wanted), atol=6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_straight_hand_is_straight_and_a_bent_finger_bends(side: str) -> None:
    joints = flat(side)
    retarget = Retargeter("shadow", side, reach_mm(joints[None]))
    values = dict(zip(retarget.joint_names, np.degrees(retarget(joints)), strict=True))
    for finger in ("FF", "MF", "RF"):
        assert abs(values[f"{finger}J3"]) < 12
        assert values[f"{finger}J2"] + values[f"{finger}J1"] < 25
    joints[7], joints[8] = joints[6] + [0, 0, 25], joints[6] + [0, 15, 35]  # away: to the palm
    bent = dict(zip(retarget.joint_names, np.degrees(retarget(joints)), strict=True))
    assert bent["FFJ2"] + bent["FFJ1"] > 90
    assert abs(bent["MFJ3"] - values["MFJ3"]) < 5


def test_the_robots_wrist_lies_where_the_persons_does() -> None:
    joints = flat("right")
    position, rotation = Retargeter("allegro", "right", reach_mm(joints[None])).root_pose(joints)
    np.testing.assert_allclose(position, joints[0])
    # Allegro's z is along its fingers, which point up; x out of the palm, which faces away.
    np.testing.assert_allclose(rotation[:, 2], [0, -1, 0], atol=0.02)
    np.testing.assert_allclose(rotation[:, 0], [0, 0, 1], atol=0.02)


def test_what_cannot_be_retargeted() -> None:
    reach = reach_mm(flat()[None])
    with pytest.raises(CadstnError, match=r"no hand 'shadw'.*did you mean 'shadow'"):
        Retargeter("shadw", "left", reach)
    with pytest.raises(CadstnError, match="side is 'unknown'"):
        Retargeter("shadow", "unknown", reach)
    with pytest.raises(CadstnError, match="no hand in any frame"):
        reach_mm(np.full((3, 21, 3), np.nan))


def test_a_recording_becomes_a_shadow_hand(tmp_path: Path) -> None:
    """By one command; a lost frame keeps its row, empty."""
    recording = open_recording("demo")
    frames = [np.rint(f.depth).astype(np.uint16) for f in itertools.islice(recording, 6)]
    frames[3][:] = 0
    write_recording(tmp_path / "rec", frames, replace(recording.camera, depth_unit_mm=1.0))
    (tmp_path / "eye.json").write_text(
        json.dumps({"matrix": [[0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]],
                    "unit": "m"})
    )  # fmt: skip
    for name, more in (("a", []), ("b", ["--hand-eye", str(tmp_path / "eye.json")])):
        done = CliRunner().invoke(
            cli, ["retarget", str(tmp_path / "rec"), "--hand", "shadow",
                  "--out", str(tmp_path / f"{name}.csv"), *more], catch_exceptions=False
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    camera, base = (
        list(csv.DictReader(io.StringIO((tmp_path / f"{name}.csv").read_text("utf-8"))))
        for name in "ab"
    )
    assert [row["found"] for row in camera] == ["1", "1", "1", "0", "1", "1"]
    assert camera[3]["FFJ3"] == ""
    assert {row["wrist_frame"] for row in camera} == {"camera"}
    assert {row["wrist_frame"] for row in base} == {"base"}
    assert len([name for name in camera[0] if name[2] == "J"]) == 24
    for one, other in zip(camera[:3], base[:3], strict=True):
        assert one["FFJ3"] == other["FFJ3"]
        x, y, z = (float(one[f"wrist_{a}_m"]) for a in "xyz")
        moved = [float(other[f"wrist_{a}_m"]) for a in "xyz"]
        np.testing.assert_allclose(moved, [z + 1, -x + 2, -y + 3], atol=1e-4)
        before, after = (
            Rotation.from_quat([float(row[f"wrist_q{a}"]) for a in "xyzw"]) for row in (one, other)
        )
        turn = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
        assert (after.inv() * turn * before).magnitude() < 1e-3


def test_frames_of_the_other_hand_are_left_out(tmp_path: Path) -> None:
    hand = Sequence21(
        np.stack([flat("left"), flat("left"), flat("right")]), np.arange(3.0), ("a", "b", "c"),
        ("left", "unknown", "right"),
    )  # fmt: skip
    robot = write_robot_csv(hand, "leap", tmp_path / "out.csv")
    assert robot.other == 1
    assert np.isfinite(robot.values).all(1).tolist() == [True, True, False]
    robot = write_robot_csv(hand, "leap", tmp_path / "out.csv", side="right")
    assert np.isfinite(robot.values).all(1).tolist() == [False, True, True]


def test_a_side_that_no_frame_shows_is_no_robot_hand(tmp_path: Path) -> None:
    hand = Sequence21(np.stack([flat("left")] * 3), np.arange(3.0), ("a", "b", "c"), ("left",) * 3)
    out = tmp_path / "out.csv"
    with pytest.raises(CadstnError, match=r"no frame shows a right hand, 3 of 3 show a left one;"):
        write_robot_csv(hand, "leap", out, side="right")
    assert not out.exists()
    unknown = hand._replace(sides=("unknown",) * 3)  # whoever asks knows it
    assert np.isfinite(write_robot_csv(unknown, "leap", out, side="left").values).all()


def test_the_file_of_the_other_hand_is_named(tmp_path: Path) -> None:
    names = ("joints", "joints-2", "joints-10", "joints-1", "joints-mine")
    for name, side in zip(names, ("right", *["left"] * 4), strict=True):
        np.savez(
            tmp_path / f"{name}.npz", joints_xyz_mm=flat(side)[None].astype(np.float32),
            time_s=np.zeros(1), frames=np.array(["0"]), side=np.array([side]),
        )  # fmt: skip
    hand = read_tracked_hand(tmp_path / "joints.npz")
    with pytest.raises(CadstnError, match=r"may be in joints-10\.npz or joints-2\.npz$"):
        write_robot_csv(hand, "leap", tmp_path / "out.csv", side="left")


def test_a_hand_has_one_side_whatever_single_frames_say(tmp_path: Path) -> None:
    hand = np.stack([flat("left")] * 5 + [flat("right")] * 3).astype(np.float32)
    np.savez(
        tmp_path / "joints.npz", joints_xyz_mm=hand, time_s=np.arange(8.0),
        frames=np.arange(8).astype(str), identity=np.array([0] * 5 + [1] * 3),
        side=np.array(["left", "right", "left", "left", "unknown", "right", "left", "right"]),
    )  # fmt: skip
    assert read_tracked_hand(tmp_path / "joints.npz").sides == ("left",) * 5 + ("right",) * 3


def test_a_gap_begins_the_hand_anew_as_in_track(tmp_path: Path) -> None:
    frames = list(open_recording("demo"))[:8]
    times = np.arange(8) / 30 + np.where(np.arange(8) > 4, 5.0, 0.0)
    depths = [frame.depth.astype(np.uint16) for frame in frames]
    write_recording(tmp_path / "gap.npz", depths, frames[0].camera, time_s=times)
    network = load_network(threads=1)
    followed = tracked_hand(open_recording(tmp_path / "gap.npz"), Tracker(network))
    tracker = Tracker(network)
    for frame in open_recording(tmp_path / "gap.npz"):
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        np.testing.assert_array_equal(followed.joints_mm[frame.index], hand.joints_mm)


def test_joints_that_track_wrote_are_taken_and_a_side_is_needed(tmp_path: Path) -> None:
    hand = np.stack([flat(), np.full((21, 3), np.nan)]).astype(np.float32)
    for name, side in (("right", "right"), ("none", "unknown")):
        np.savez(
            tmp_path / f"{name}.npz", joints_xyz_mm=hand, time_s=np.array([0.0, 0.1]),
            frames=np.array(["0", "1"]), side=np.array([side, "unknown"]),
        )  # fmt: skip
    arguments = ["--hand", "leap", "--out", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(cli, ["retarget", str(tmp_path / "right.npz"), *arguments])
    assert done.exit_code == 0, done.output
    assert "1 of 2 frames, 16 joints" in done.output
    done = CliRunner().invoke(cli, ["retarget", str(tmp_path / "none.npz"), *arguments])
    assert isinstance(done.exception, CadstnError)
    assert "give --side" in str(done.exception)
    path = str(tmp_path / "right.npz")
    done = CliRunner().invoke(cli, ["retarget", path, *arguments, "--camera", "kinect2"])
    assert "--camera is of recordings" in str(done.exception)
    for times in (np.array([0.0]), np.array(["soon", "later"])):
        with np.load(path) as held:
            np.savez(tmp_path / "other.npz", **{**held, "time_s": times})
        done = CliRunner().invoke(cli, ["retarget", str(tmp_path / "other.npz"), *arguments])
        assert "other.npz: times, sides or names are not those of its 2" in str(done.exception)
    done = CliRunner().invoke(cli, ["retarget", path, "--hand", "leap", "--out", path])
    assert "is the input itself" in str(done.exception)
    (tmp_path / "none.npz").write_bytes(b"no archive")
    done = CliRunner().invoke(cli, ["retarget", str(tmp_path / "none.npz"), *arguments])
    assert "none.npz: not a readable .npz file" in str(done.exception)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("skeleton", np.array("msra21"), "msra21 where hand21 is expected; give a file of hand21"),
        ("joint_names", np.array(MSRA21.joints), "its joint 1 'index_mcp' where hand21 has"),
    ],
)
def test_joints_in_another_order_drive_no_robot(
    tmp_path: Path, key: str, value: np.ndarray, error: str
) -> None:
    order: dict[str, Any] = {key: value}
    np.savez(
        tmp_path / "joints.npz", joints_xyz_mm=flat()[None].astype(np.float32),
        time_s=np.zeros(1), frames=np.array(["0"]), side=np.array(["right"]), **order,
    )  # fmt: skip
    with pytest.raises(CadstnError, match=rf"joints\.npz: .*{error}"):
        read_tracked_hand(tmp_path / "joints.npz")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "lacks 'matrix'"),
        ("[1", "no transform"),
        ('{"matrix": [[1, 0], [0, 1]], "unit": "m"}', r"shape \(2, 2\)"),
        ('{"matrix": [[1, 0], [0, 1]], "unit": "inch"}', "unit is 'inch'"),
        ('{"matrix": [[1, 0], [0, 1]], "unit": ["m"]}', r"unit is \['m'\]"),
        (f'{{"matrix": [[{"9" * 400}]], "unit": "m"}}', "no transform"),
        (json.dumps({"matrix": np.diag([1, 1, 1, np.inf]).tolist(), "unit": "m"}), "not finite"),
        (json.dumps({"matrix": np.diag([2, 1, 1, 1]).tolist(), "unit": "m"}), "no rigid transform"),
        (json.dumps({"matrix": np.diag([-1, 1, 1, 1]).tolist(), "unit": "m"}), "no rigid"),
    ],
)
def test_what_is_no_hand_eye_transform(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "eye.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CadstnError, match=error):
        read_hand_eye(path)


def test_a_hand_eye_transform_in_mm_and_in_m_is_the_same(tmp_path: Path) -> None:
    matrix = np.eye(4)
    found = []
    for unit, offset in (("mm", 1500.0), ("m", 1.5)):
        matrix[0, 3] = offset
        path = tmp_path / f"{unit}.json"
        path.write_text(json.dumps({"matrix": matrix.tolist(), "unit": unit}), encoding="utf-8")
        found.append(read_hand_eye(path)(np.zeros(3), np.eye(3))[0])
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[0], [1500, 0, 0])


@pytest.mark.parametrize(
    ("offset", "unit", "error"),
    [
        ((400, 100, 600), "m", 'is 728 m from the base frame: is that mm.*"unit": "mm"'),
        ((0.4, 0.1, 0.6), "mm", 'is 0.728 mm from the base frame: is that m.*"unit": "m"'),
        ((0, 0, 0), "mm", None),
        ((0, 0, 0.002), "m", None),  # a frame of the camera's own
        ((50_000, 0, 0), "mm", None),  # a map's frame
    ],
)
def test_a_hand_eye_transform_in_the_other_unit_is_refused(
    tmp_path: Path, offset: tuple[float, ...], unit: str, error: str | None
) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    path = tmp_path / "eye.json"
    path.write_text(json.dumps({"matrix": matrix.tolist(), "unit": unit}), encoding="utf-8")
    if error is None:
        read_hand_eye(path)
        return
    with pytest.raises(CadstnError, match=error):
        read_hand_eye(path)


def test_a_file_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match=r"eye.json: no such file or folder; check its name"):
        read_hand_eye(tmp_path / "eye.json")
    path = tmp_path / "none.npz"
    arguments = ["retarget", str(path), "--hand", "leap", "--out", str(tmp_path / "out.csv")]
    done = CliRunner().invoke(cli, arguments)
    assert str(done.exception) == f"{path}: no such file or folder; check its name"


def test_the_command_takes_the_side(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz", joints_xyz_mm=flat()[None].astype(np.float32), time_s=np.zeros(1),
        frames=np.array(["0"]), side=np.array(["unknown"]),
    )  # fmt: skip
    words = ["retarget", str(tmp_path / "a.npz"), "--hand", "leap"]
    words += ["--out", str(tmp_path / "out.csv"), "--side", "right"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output  # else: give --side
    assert "1 of 1 frames, 16 joints" in done.output


@pytest.mark.parametrize("robot", ROBOT_HANDS)
def test_a_pinch_stays_one(robot: str) -> None:
    joints = flat()
    joints[4] = joints[8]  # the thumb's tip at the index finger's
    retarget = Retargeter(robot, "right", reach_mm(flat()[None]))
    links = list(retarget.hand.links)
    thumb, index = links.index("thumb_tip"), links.index("index_tip")
    target_m = retarget.target_m(joints)
    np.testing.assert_allclose(target_m[thumb], target_m[index], atol=1e-9)
    straight_m = retarget._vectors_m(np.zeros(len(retarget.joint_names)))
    share = np.linalg.norm(target_m[index]) / np.linalg.norm(straight_m[index])
    # The tip is hypot(25, 175) from the wrist; the finger's length hypot(25, 90) + 40 + 25 + 20.
    assert share == pytest.approx(176.777 / 178.408, abs=1e-4)


def test_a_cut_begins_the_hand_anew_as_in_track(tmp_path: Path) -> None:
    frames = list(itertools.islice(open_recording("demo"), 6))
    depths = [frame.depth.astype(np.uint16) for frame in frames]
    write_recording(tmp_path / "cut.npz", depths, frames[0].camera, cuts=[4])
    network, recording = load_network(threads=1), open_recording(tmp_path / "cut.npz")
    followed = tracked_hand(recording, Tracker(network))
    first = list(recording)[4]
    alone = Tracker(network).update(first.depth, first.camera)
    np.testing.assert_array_equal(followed.joints_mm[4], alone.joints_mm)
