"""The measurement of weights against cases whose result is known by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from cadstn.bench.accuracy.compare import compare_followed
from cadstn.bench.accuracy.follow import (
    Followed,
    GivenPrediction,
    GivenPredictor,
    false_alarms,
    follow,
)
from cadstn.bench.accuracy.goals import Goal, goals
from cadstn.bench.accuracy.measure import calibration, entrances, measure, steadiness
from cadstn.bench.accuracy.model import bench_model
from cadstn.bench.accuracy.picture import joints_in_picture
from cadstn.bench.accuracy.real import (
    bone_spread,
    follow_real,
    is_consecutive,
    jitter_and_rest,
    joint_on_surface,
    measure_real,
    real_recordings,
)
from cadstn.bench.accuracy.report import report_lines
from cadstn.bench.accuracy.scenes import SCENES
from cadstn.bench.accuracy.sealed import SceneSet, bench_sealed, sealed_goals
from cadstn.bench.accuracy.set import SETUPS, Order, Rendered, rendered
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.evaluate import acceleration_error
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, DepthMm
from cadstn.geometry.convention import convert
from cadstn.geometry.skeleton import HAND21
from cadstn.io import open_recording, write_recording
from cadstn.io.files import write_png
from cadstn.io.joints import FloatArray
from cadstn.tracking import Hand, Tracker, load_network
from cadstn.tracking.hand import lost_hand

CAMERA = Camera(200, 200, 160, 120, 320, 240)


def a_hand(frames: int = 6) -> FloatArray:
    """A hand (T, 21, 3) whose joints are all over 10 mm apart and that moves by 2 mm a frame."""
    k = np.arange(21)
    joints = np.stack([12.0 * (k % 5) - 24, 25.0 * (k // 5) - 50, 600.0 + 2 * k], -1)
    step: FloatArray = np.arange(frames)[:, None, None] * np.array([2.0, 0, 0])
    return joints + step


def a_recording(path: Path, truth: FloatArray, *, left: bool = True, arm: bool = False) -> Rendered:
    depth = np.full((240, 320), 900, np.uint16)
    write_recording(
        path / "r.npz", [depth] * len(truth), CAMERA, truth_xyz_mm=truth, skeleton=HAND21
    )
    return Rendered(
        open_recording(path / "r.npz"), "synth", left, arm, np.full((len(truth), 3), np.nan)
    )


class Given:
    """A tracker that returns given joints, frame by frame; and a network that predicts them."""

    def __init__(self, joints: FloatArray, side: str = "left", scale_mm: float = np.nan) -> None:
        self.joints, self.side, self.scale_mm, self.at = joints, side, scale_mm, 0
        self.lost = lost_hand(load_network(threads=1))

    def reset(self) -> None:
        self.at = 0

    def update(self, depth: DepthMm, camera: Camera, time_s: float | None = None) -> Hand:
        joints, self.at = self.joints[self.at], self.at + 1
        if np.isnan(joints).any():
            return self.lost
        return replace(
            self.lost,
            joints_mm=joints.astype(np.float32),
            found=True,
            center_mm=joints.mean(0),
            side=self.side,
            uncertainty_mm=np.full(21, self.scale_mm, np.float32),
        )

    def centers(self, joints_mm: NDArray[np.floating]) -> FloatArray:
        center: FloatArray = joints_mm.astype(np.float64).mean(1)
        return center

    def predict(self, depth_mm: DepthMm, camera: Camera, center_mm: FloatArray) -> GivenPrediction:
        joints, self.at = self.joints[self.at], self.at + 1
        return GivenPrediction(joints, joints)


def followed_as(
    path: Path, truth: FloatArray, joints: FloatArray, side: str = "left", scale_mm: float = np.nan
) -> Followed:
    given, beside = (cast("GivenPredictor", Given(places)) for places in (truth, joints))
    return follow(a_recording(path, truth), Given(joints, side, scale_mm), given, beside)


def test_truth_is_without_error(tmp_path: Path) -> None:
    truth = a_hand()
    found = measure([followed_as(tmp_path, truth, truth)])
    assert found["frames"] == found["counted"] == 6
    assert found["lost"] == found["partly_out_of_picture"] == found["on_the_other_hand"] == 0
    assert found["mean_error_mm"] == pytest.approx(0, abs=1e-4)
    assert found["worst_joint_within"]["30"] == found["center_within_15mm"] == 1
    assert found["handedness_right"] == 1
    assert found["acceleration_error_mm_frame2"] == pytest.approx(0, abs=1e-3)
    assert found["calibration"] is None
    assert found["by_camera"] == {
        "synth": {"counted": 6, "lost": 0, "mean_error_mm": pytest.approx(0, abs=1e-4)}
    }


def test_an_offset_is_the_error(tmp_path: Path) -> None:
    """20 mm to the side: the middle is off as well, motion is not, and a given centre is right."""
    truth = a_hand()
    found = measure(
        [followed_as(tmp_path, truth, truth + np.array([0, 20.0, 0]), side="right", scale_mm=10)]
    )
    assert found["mean_error_mm"] == pytest.approx(20, abs=1e-4)
    assert found["median_error_mm"] == found["center_p95_mm"] == pytest.approx(20, abs=1e-4)
    assert found["per_joint_error_mm"]["wrist"] == pytest.approx(20, abs=1e-4)
    assert found["worst_joint_within"]["30"] == found["worst_joint_within"]["50"] == 1
    assert found["center_within_15mm"] == found["cube_within_15mm"] == 0
    assert found["wrong_place"] == 0
    assert found["center_given_error_mm"] == pytest.approx(0, abs=1e-4)
    assert found["loss_to_center_mm"] == pytest.approx(20, abs=1e-4)
    assert found["acceleration_error_mm_frame2"] == pytest.approx(0, abs=1e-3)
    assert found["handedness_right"] == 0
    assert found["calibration"]["band"]["within_10mm"] == 0
    assert found["calibration"]["band"]["joints"] == 6 * 21


def test_entrances_count_hands_found_soon_and_lost_later() -> None:
    def flags(text: str) -> np.ndarray:
        return np.array([mark == "1" for mark in text])

    # Two recordings of eight: it enters at 0, at 8, and, after leaving, at 12.
    counted = flags("11111111" + "11101111")
    found = flags("01111011" + "00001111")
    assert entrances(found, counted, [8]) == {
        "entered": 3, "found_soon": pytest.approx(2 / 3), "lost_later": pytest.approx(1 / 6),
    }  # fmt: skip
    # One that is gone before the third frame had no time.
    nobody = entrances(flags("001"), flags("110"), [])
    assert nobody["entered"] == 0
    assert math.isnan(nobody["found_soon"])
    assert math.isnan(nobody["lost_later"])


def test_lost_frames_are_within_nothing(tmp_path: Path) -> None:
    truth = a_hand(10)
    joints = truth.copy()
    joints[[3, 7]] = np.nan
    found = measure([followed_as(tmp_path, truth, joints)])
    assert (found["counted"], found["lost"], found["lost_share"]) == (10, 2, 0.2)
    assert found["mean_error_mm"] == pytest.approx(0, abs=1e-4)
    assert found["worst_joint_within"]["50"] == found["center_within_15mm"] == 0.8
    assert found["center_p95_mm"] is None  # a twentieth of the frames is infinitely far
    assert found["handedness_right"] == 1
    joints[:] = np.nan
    nothing = measure([followed_as(tmp_path / "all", truth, joints)])
    assert nothing["lost"] == 10
    assert nothing["mean_error_mm"] is None
    assert nothing["worst_joint_within"]["50"] == 0
    json.dumps(nothing, allow_nan=False)


def test_frames_that_are_not_counted_are_left_out(tmp_path: Path) -> None:
    """A joint out of the picture; and the second hand followed, told apart by where it is."""
    truth = a_hand(8)
    truth[0] += [500.0, 0, 0]
    joints = truth.copy()
    joints[0] += 90.0
    joints[1:4] += [300.0, 0, 0]
    one = followed_as(tmp_path, truth, joints)
    assert one.whole.tolist() == [False] + [True] * 7
    other = np.full((8, 3), np.nan)
    other[1:3] = truth[1:3].mean(1) + np.array([310.0, 0, 0])
    found = measure([replace(one, other_mm=other)])
    assert found["partly_out_of_picture"] == 1
    assert found["on_the_other_hand"] == 2
    assert found["counted"] == 5
    assert found["mean_error_mm"] == pytest.approx(300 / 5, abs=1e-3)
    assert found["mean_error_with_other_hand_mm"] == pytest.approx(300 * 3 / 7, abs=1e-3)
    assert found["wrong_place"] == 0.2


def test_in_picture() -> None:
    joints = np.zeros((3, 2, 3)) + np.array([0, 0, 500.0])
    joints[1, 1] = [500 * 160.5 / 200, 0, 500]  # half a pixel beyond the last
    joints[2, 0] = [0, 0, -500.0]
    assert joints_in_picture(joints, CAMERA).all(1).tolist() == [True, False, False]


def test_two_networks_frame_by_frame(tmp_path: Path) -> None:
    """One is off by 4 mm, the other by 10, and by 40 in one frame; one frame each is lost."""
    truth = a_hand(8)
    deeper: FloatArray = np.array([0, 0, 1.0])
    one, two = truth + 4 * deeper, truth + 10 * deeper
    two[5] += 30 * deeper
    one[6], two[7] = np.nan, np.nan
    first, second = followed_as(tmp_path / "1", truth, one), followed_as(tmp_path / "2", truth, two)
    # In its first frame the second network is on the scene's second hand: it does not count.
    far = truth[0] + 300 * deeper
    second.joints_mm[0], second.other_mm[0] = far, far.mean(0)
    found = compare_followed([first, first], [second, second])
    assert (found["counted"], found["found"]) == (14, 10)
    error = found["mean_error_mm"]
    assert (error["this"], error["other"]) == (pytest.approx(4), pytest.approx(16))
    assert error["difference"] == pytest.approx(-12)
    low, high = error["difference_95"]  # eight frames 6 mm apart, two 36
    assert -36 < low < -12 < high < -5.9
    assert found["within_30mm"]["this"] == pytest.approx(6 / 7)
    assert found["within_30mm"]["other"] == pytest.approx(5 / 7)
    assert found["whole_within_30mm"]["this"] == pytest.approx(7 / 8)
    assert found["whole_within_30mm"]["other"] == pytest.approx(5 / 8)
    # Frames 2 to 4 have both neighbours; the jump from 10 to 40 mm is frame 4's.
    assert found["acceleration_error_mm_frame2"]["this"] == pytest.approx(0, abs=1e-3)
    assert found["acceleration_error_mm_frame2"]["other"] == pytest.approx(10, abs=1e-3)
    with pytest.raises(CadstnError, match="not the same recordings"):
        compare_followed([first], [second, second])


def test_the_interval_of_frames_within_30mm(tmp_path: Path) -> None:
    """Of twenty recordings ten are good throughout; nobody can know the share to a few points."""
    truth = a_hand()
    good = followed_as(tmp_path / "1", truth, truth)
    bad = followed_as(tmp_path / "2", truth, truth + np.array([0, 0, 50.0]))
    found = measure([good, bad] * 10)
    low, high = found["worst_joint_within_30mm_95"]
    assert found["worst_joint_within"]["30"] == 0.5
    # 1.96 * sqrt(0.5 * 0.5 / 20) = 0.22
    assert (low, high) == (pytest.approx(0.28, abs=0.04), pytest.approx(0.72, abs=0.04))


def test_steadiness_of_a_shaken_hand(tmp_path: Path) -> None:
    """The spatial network shakes by 4 mm to and fro; what ships is still."""
    truth = 0 * a_hand(40) + a_hand(1)
    shake: FloatArray = np.where(np.arange(40) % 2, 2.0, -2.0)[:, None, None] * [1.0, 0, 0]
    still, shaken = truth + np.array([0, 1.5, 0]), truth + shake
    one = replace(followed_as(tmp_path, truth, still), spatial_mm=shaken)
    found = steadiness([one, one], np.concatenate([still] * 2), np.concatenate([truth] * 2), [40])
    assert found is not None
    assert found["fused"]["error_mm"] == pytest.approx(1.5)
    assert found["spatial"]["error_mm"] == pytest.approx(2)
    # The second difference of -2, 2, -2 is 8; across the cut there is none.
    assert found["spatial"]["acceleration_mm_frame2"] == pytest.approx(8)
    assert found["below_spatial"] == pytest.approx(1)
    for name in ("one-euro", "exponential"):  # an average of the shake comes nearer than 1.5 mm
        assert found[name]["at_equal_error"]
        assert found[name]["error_mm"] <= 1.5
        assert found[name]["acceleration_mm_frame2"] < 8
    exact = steadiness([one], truth, truth, [])
    assert exact is not None
    assert not exact["exponential"]["at_equal_error"]  # nothing filtered is without any error
    assert steadiness([replace(one, spatial_mm=None)], still, truth, []) is None
    assert steadiness([one], np.full_like(truth, np.nan), truth, []) is None


def test_calibration_of_a_sample_made_up() -> None:
    sure = np.array([[9.0, 9.0, 11.9, 12.0, 5.0, np.nan, 30.0]])
    off = np.array([[9.5, 10.0, 10.1, 3.0, 5.5, 1.0, 29.0]])
    found = calibration(sure, off)
    assert found is not None
    assert found["band"] == {
        "from_mm": 8.0, "to_mm": 12.0, "joints": 3, "within_10mm": pytest.approx(2 / 3),
        "within_scale": pytest.approx(1 / 3), "median_error_mm": 10.0,
    }  # fmt: skip
    assert [one["joints"] for one in found["bins"]] == [0, 1, 0, 2, 1, 1, 0, 1]
    assert math.isnan(found["bins"][0]["within_scale"])
    assert found["within_scale"] == pytest.approx(3 / 6)
    again = calibration(found["factor"] * sure, off)
    assert again is not None
    assert again["within_scale"] == pytest.approx(4 / 6)
    assert calibration(np.full((2, 3), np.nan), np.zeros((2, 3))) is None


def test_false_alarms_are_counted_by_scene(tmp_path: Path) -> None:
    empty, hand = np.full((8, 21, 3), np.nan), a_hand(8)
    hand[5:] = np.nan
    with_arm = a_recording(tmp_path / "arm", empty, arm=True)
    gone = a_recording(tmp_path / "gone", empty)
    found = false_alarms([with_arm, gone], Given(hand))
    assert (found["frames"], found["found"], found["share"]) == (16, 10, 0.625)
    assert found["by_scene"]["arm"] == {"frames": 8, "found": 5, "share": 0.625}
    quiet = false_alarms([gone], Given(empty))
    assert quiet["share"] == 0
    assert quiet["by_scene"]["arm"]["share"] is None


def test_frames_with_nothing_in_reach_give_no_alarm(tmp_path: Path) -> None:
    far = np.full((240, 320), 2500, np.uint16)
    far[:2, :300] = 900  # less than a hundredth
    write_recording(tmp_path / "far.npz", [far] * 3, CAMERA)
    one = Rendered(
        open_recording(tmp_path / "far.npz"), "synth", True, False, np.full((3, 3), np.nan)
    )
    found = false_alarms([one], Given(a_hand()))
    assert (found["frames"], found["share"], found["left_out"]) == (0, None, 3)


def test_a_joint_over_a_plate() -> None:
    """A plate 600 mm away whose right edge is at x = 30 mm."""
    depth = np.zeros((240, 320), np.float32)
    depth[:, :171] = 600  # the last column, 170, is at x = 10 px * 600 / 200
    for joint, outside, away in (
        ((0.0, 0.0, 610.0), False, 10.0),  # under it
        ((38.0, 0.0, 600.0), False, 8.0),  # beside it, by less than 10 mm
        ((42.0, 0.0, 600.0), True, 12.0),
        ((0.0, 0.0, 661.0), True, 60.0),  # over 60 mm under it: hidden, and as far as is searched
    ):
        on = joint_on_surface(np.array(joint), depth, CAMERA)
        assert on.outside == outside
        assert on.hidden == (joint[2] > 660)
        assert on.away_mm == pytest.approx(away, abs=1.0)
    floating = joint_on_surface(np.array([0, 0, 530.0]), depth, CAMERA)
    assert (floating.outside, floating.hidden) == (True, False)
    assert joint_on_surface(np.array([0, 0, -1.0]), depth, CAMERA).outside
    assert joint_on_surface(np.array([5000, 0, 600.0]), depth, CAMERA).outside


def test_every_surface_in_reach_counts() -> None:
    """The window leaves out nothing that counts: beside a search through the whole frame."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        depth = rng.uniform(300, 700, (240, 320)).astype(np.float32)
        depth[rng.random(depth.shape) < 0.999] = 0
        joint = np.array([*rng.uniform(-150, 150, 2), rng.uniform(350, 650)])
        v, u = np.nonzero(depth)
        d = depth[v, u].astype(np.float64)
        points = CAMERA.to_xyz_mm(np.stack([u, v, d], -1))
        plane = CAMERA.to_xyz_mm(np.stack([u, v, np.full(len(u), joint[2])], -1))
        close = np.linalg.norm((plane - joint)[:, :2], axis=1) <= 10
        on = joint_on_surface(joint, depth, CAMERA)
        assert on.outside == (not (close & (np.abs(d - joint[2]) <= 60)).any())
        nearest = np.linalg.norm(points - joint, axis=1).min()
        assert on.away_mm == pytest.approx(min(nearest, 60), abs=1e-3)


def test_spread_of_bones() -> None:
    """Two shots whose hands differ in size: within a shot nothing changes, or by a tenth."""
    hand = a_hand(8)
    assert bone_spread(hand) == pytest.approx(0, abs=1e-12)
    sizes = np.array([1.0, 1, 1, 1, 1.8, 2.2, 1.8, 2.2])[:, None, None]
    assert bone_spread(hand * sizes, (4,)) == pytest.approx(0.05)
    hand[2] = np.nan
    assert bone_spread(hand) == pytest.approx(0, abs=1e-12)
    assert math.isnan(bone_spread(hand[:1]))


def test_jitter_and_rest() -> None:
    """A hand that shakes by 1 mm, still in the first half, and by 3 mm where it travels."""
    t = np.arange(80)
    at = np.where(t < 40, 0.0, 5.0 * (t - 40)) + np.where(t % 2, 0.5, -0.5) * np.where(t < 40, 1, 3)
    joints = np.zeros((80, 21, 3)) + at[:, None, None] * [1.0, 0, 0]
    every, rest = jitter_and_rest(joints)
    assert rest == pytest.approx(2)
    assert every == pytest.approx(4, abs=0.2)
    assert all(math.isnan(value) for value in jitter_and_rest(joints[:2]))


def real_folder(path: Path) -> FloatArray:
    """A recording in NYU's camera and format with its labels; returns the hand (1, 21, 3) in it."""
    camera, hand = KNOWN_CAMERAS["nyu"], a_hand(1)
    folder = path / "nyu"
    folder.mkdir(parents=True)
    depth = np.zeros((480, 640), np.uint16)
    for u, v, d in camera.to_uvd(hand[0]):
        depth[int(v) - 8 : int(v) + 9, int(u) - 8 : int(u) + 9] = int(d) - 8
    write_png(folder / "depth_1_0000001.png", depth, camera)
    np.savetxt(folder / "joints_uvd_36.txt", camera.to_uvd(convert(hand[0], "nyu36")))
    return hand


def test_real_recordings_and_their_labels(tmp_path: Path) -> None:
    hand = real_folder(tmp_path)
    one = real_recordings(tmp_path)
    assert list(one) == ["nyu"]
    result = measure_real(one, Given(hand + np.array([0, 0, 5.0])), lambda: None)
    assert (result["frames"], result["lost"], result["outside"]) == (1, 0, 0)
    labels = result["recordings"]["nyu"]["labels"]
    for name in ("nyu36_mm", "nyu14_mm", "shared_mm"):
        assert labels[name] == pytest.approx(5, abs=1e-3)
    assert labels["per_label_mm"]["PALM_6"] == pytest.approx(5, abs=1e-3)
    # Under the middle of its patch by 13 mm; a neighbour's may be nearer.
    assert result["recordings"]["nyu"]["tips_mm"][0] == pytest.approx(12, abs=1.1)
    beside = measure_real(one, Given(hand + np.array([400.0, 0, 0])), lambda: None)
    assert beside["outside"] == 1
    lost = measure_real(one, Given(np.full((1, 21, 3), np.nan)), lambda: None)
    assert lost["lost"] == 1
    assert math.isnan(lost["outside"])


def test_consecutive_frames_are_known_by_their_names(tmp_path: Path) -> None:
    write_recording(tmp_path / "a", [np.full((240, 320), 900, np.uint16)] * 4, CAMERA)
    assert is_consecutive(open_recording(tmp_path / "a"))
    (tmp_path / "a/000003.png").rename(tmp_path / "a/000005.png")
    assert not is_consecutive(open_recording(tmp_path / "a"))


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(CadstnError, match="holds no recording"):
        real_recordings(tmp_path)


def test_results_of_goals() -> None:
    assert Goal("", 9.0, 10, 6).result == "baseline"
    assert Goal("", 6.0, 10, 6).result == "target"
    assert Goal("", 11.0, 10, 6).result == "missed"
    assert Goal("", 90.0, 80, 95, more=True).result == "baseline"
    assert Goal("", None, 80).result == Goal("", 3.0, None).result == ""


# --- The rendered set itself: needs PyTorch.


def test_rendered_recordings_are_kept_and_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    order = Order(4, 3)
    first = list(rendered(tmp_path / "a", "hands", range(2), order))
    again = list(rendered(tmp_path / "a", "hands", range(2), order))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert len(files) == 1 + 2 * 2
    other = list(rendered(tmp_path / "b", "hands", range(2), order, forget=True))
    for one, two, three in zip(first, again, other, strict=True):
        assert one.left == two.left == three.left
        assert one.setup == two.setup
        for x, y in zip(one.recording, two.recording, strict=True):
            np.testing.assert_array_equal(x.depth, y.depth)
        assert one.recording.truth_xyz_mm is not None
        assert one.recording.skeleton == HAND21
    assert [one.setup for one in first] == [setup.camera for setup in SETUPS[:2]]
    assert not list((tmp_path / "b").glob("*.npz"))
    with pytest.raises(CadstnError, match="does not hold this test set"):
        list(rendered(tmp_path / "a", "hands", range(2), Order(5, 3)))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == files


def test_without_a_hand_none_is_in_the_picture() -> None:
    """Pushed out or gone; body and room stay, and an arm that is pushed out is still there."""
    pytest.importorskip("torch")
    from cadstn.bench.accuracy.picture import without_hand
    from cadstn.bench.accuracy.set import SPLITS
    from cadstn.synth.frames import Sequence
    from cadstn.synth.scene import ARM, HAND_CONES, OTHER, OWN, PERSON
    from cadstn.synth.write import SYNTH_CAMERA as CAMERA

    for index in range(6):
        moving = Sequence((0, SPLITS["empty"]), index, CAMERA, 12, distance_mm=(350, 1200))
        before = moving._scene.cones
        for arm in (False, True):
            after = without_hand(moving, arm=arm)._scene.cones
            assert (after.b[:, OTHER, 2] < 0).all()
            assert (after.a[:, PERSON] == before.a[:, PERSON]).all()
            if not arm:
                assert (after.a[:, OWN, 2] < 0).all()
                continue
            for end in (after.a, after.b):
                places = end[:, :HAND_CONES].numpy().astype(np.float64)
                assert not joints_in_picture(places, CAMERA).any()
            # The shoulder stays, and a part of the arm is in the picture in some frame.
            assert (after.b[:, ARM.stop - 1] == before.b[:, ARM.stop - 1]).all()
            share = np.linspace(0, 1, 20)[:, None, None, None]
            arms = (1 - share) * after.a[:, ARM].numpy() + share * after.b[:, ARM].numpy()
            assert joints_in_picture(arms.reshape(-1, 1, 3), CAMERA).any()
        assert (moving._scene.cones.a == before.a).all()


def test_the_network_is_right_where_the_tracker_is(tmp_path: Path) -> None:
    """A network given the tracker's own cubes predicts what the tracker does."""
    pytest.importorskip("torch")

    network = load_network(threads=1)
    (one,) = rendered(tmp_path, "hands", range(1), Order(1, 6))
    tracker, given = Tracker(network, fit=False), GivenPredictor(network)
    compared = 0
    for frame in one.recording:
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        if not hand.found:
            break
        if hand.how == "found":
            # Other cubes were read before this one: the network goes on from here.
            given.track = tracker.state.tracks[0]
            given.bones = given.track.bones
            continue
        predicted = given.predict(frame.depth, frame.camera, hand.center_mm)
        np.testing.assert_allclose(predicted.joints_mm, hand.joints_mm, atol=0.05)
        compared += 1
    assert compared > 2


def test_bench_from_the_command_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    real = tmp_path / "real"
    real_folder(real)
    arguments = [
        "bench", "model", "--recordings", "2", "--frames", "3", "--empty", "1", "--threads", "1",
        "--keep", str(tmp_path / "set"), "--json", str(tmp_path / "out.json"), "--real", str(real),
        "--beside", "shipped",
    ]  # fmt: skip
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "mean joint error, mm" in result.stdout
    assert "Without a hand" in result.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["rendered"]["frames"] == 6
    assert report["false_alarms"]["frames"] + report["false_alarms"]["left_out"] == 3
    assert report["real"]["recordings"]["nyu"]["labels"] is not None
    assert report["beside"]["weights"] == "hand21.onnx"
    for name in ("mean_error_mm", "within_30mm", "whole_within_30mm"):
        assert report["beside"][name]["difference"] == 0  # from themselves
    assert len(report["goals"]) == len(goals(report))
    assert report_lines(report) == result.stdout.splitlines()


def test_goals_take_the_figures_that_they_name() -> None:
    def filtered(mm: float) -> dict[str, Any]:
        return {
            "acceleration_mm_frame2": mm, "error_mm": 5.0, "setting": "s", "at_equal_error": True,
        }  # fmt: skip

    steady = {
        "below_spatial": 0.2, "fused": {"acceleration_mm_frame2": 2.0, "error_mm": 5.0},
        "one-euro": filtered(4.0), "exponential": filtered(8.0),
    }  # fmt: skip
    report = {
        "rendered": {
            "mean_error_mm": 7.0, "worst_joint_within": {"20": 0.1, "30": 0.85, "50": 0.99},
            "steadiness": steady, "calibration": {"band": {"within_10mm": 0.66, "joints": 9}},
            "handedness_right": 0.99, "handedness_unknown": 0.0,
            "center_within_15mm": 0.96, "loss_to_center_mm": 0.5,
        },
        "false_alarms": {"share": 0.005},
        "real": {"outside": 0.01, "spread": 0.02, "largest_spread": 0.04},
    }  # fmt: skip
    found = goals(report)
    assert [goal.measured for goal in found] == pytest.approx(
        [7, 85, 20, 50, 75, 99, 0.5, 96, 0.5, 66, 1, 2]
    )
    assert [number for number, goal in enumerate(found) if goal.result != "baseline"] == [4, 9]
    sealed = sealed_goals(
        {
            "all": {
                "mean_error_mm": 7.0, "within_30mm": 0.85, "median_joint_mm": 4.0,
                "steadiness": steady, "within_scale": 0.66,
            },
            "held": {"mean_error_mm": 7.5, "within_30mm": 0.65},
            "scenes": {"held-large": {"within_30mm": 0.55}},
        }
    )  # fmt: skip
    assert [goal.measured for goal in sealed] == pytest.approx([7, 85, 4, 7.5, 65, 55, 50, 66])


def test_parts_may_be_left_out() -> None:
    report: dict[str, Any] = bench_model(recordings=0, empty=0, threads=1)
    assert report["rendered"] is report["false_alarms"] is report["real"] is None
    assert report["beside"] is None
    assert all(goal.measured is None for goal in goals(report))
    assert len(report_lines(report)) == 4 + len(goals(report))
    assert acceleration_error(a_hand(), a_hand()) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model", "--beside", "shipped"], "--beside compares on recordings with a hand"),
        (["model", "--empty", "0", "--real", ".", "--seed", "1"], "--seed means nothing where"),
        (["model", "--empty", "0", "--real", ".", "--keep", "x"], "--keep means nothing where"),
        (["model", "--empty", "0"], "nothing is to be measured; give --real FOLDER"),
        (["alarms"], "nothing is to be counted; give --scenes above 0"),
        (["alarms", "--choosing", "--real", "."], "--choosing chooses among no scenes"),
    ],
)
def test_what_would_measure_nothing_is_refused(words: list[str], line: str) -> None:
    if words[0] == "alarms":
        pytest.importorskip("torch")
    none = "--recordings" if words[0] == "model" else "--scenes"
    refused = CliRunner().invoke(cli, ["bench", *words, none, "0"])
    assert isinstance(refused.exception, CadstnError)
    assert line in str(refused.exception)


def test_every_recording_and_shot_begins_afresh(tmp_path: Path) -> None:
    truth = a_hand()
    one = a_recording(tmp_path, truth)
    tracker = Given(truth)
    given, beside = (cast("GivenPredictor", Given(truth)) for _ in range(2))
    for _ in range(2):
        found = follow(one, tracker, given, beside)
        np.testing.assert_allclose(found.joints_mm, truth, atol=1e-3)
    depth = [np.full((240, 320), 900, np.uint16)] * 6
    write_recording(tmp_path / "shots.npz", depth, CAMERA, cuts=[3])
    tracked = follow_real(open_recording(tmp_path / "shots.npz"), Given(truth[:3]))
    np.testing.assert_allclose(tracked.joints_mm, truth[[0, 1, 2, 0, 1, 2]], atol=1e-3)


def test_a_hand_beside_the_second_one_is_not_on_it(tmp_path: Path) -> None:
    """The hands' middles are 100 mm apart; the tracker is 20 mm off the labelled one."""
    truth = a_hand()
    one = followed_as(tmp_path, truth, truth + np.array([20.0, 0, 0]))
    found = measure([replace(one, other_mm=truth.mean(1) + np.array([100.0, 0, 0]))])
    assert (found["on_the_other_hand"], found["counted"]) == (0, 6)
    found = measure([replace(one, other_mm=truth.mean(1) + np.array([30.0, 0, 0]))])
    assert found["on_the_other_hand"] == 6


def test_frames_that_do_not_count_are_not_lost(tmp_path: Path) -> None:
    """Lost are a frame out of the picture and a whole one; another camera's recording has none."""
    truth = a_hand(8)
    truth[0] += [500.0, 0, 0]
    joints = truth.copy()
    joints[[0, 7]] = np.nan
    one = followed_as(tmp_path / "1", truth, joints)
    two = followed_as(tmp_path / "2", a_hand(8), a_hand(8) + np.array([0, 0, 4.0]))
    found = measure([one, replace(two, setup="icvl")])
    assert (found["counted"], found["lost"]) == (15, 1)
    assert found["lost_share"] == pytest.approx(1 / 15)
    assert found["by_camera"] == {
        "synth": {"counted": 7, "lost": 1, "mean_error_mm": pytest.approx(0, abs=1e-4)},
        "icvl": {"counted": 8, "lost": 0, "mean_error_mm": pytest.approx(4, abs=1e-4)},
    }


@pytest.mark.parametrize("scenes", [False, True])
def test_weights_stand_on_their_own_side_of_a_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenes: bool
) -> None:
    """New weights are 4 mm off, old ones 10, and in the first frame these are on a second hand."""
    truth, deeper = a_hand(), np.array([0, 0, 1.0])
    off = {"new.onnx": 4.0, "old.onnx": 10.0, "as two": 7.0}
    tracked = {
        name: followed_as(tmp_path / name, truth, truth + mm * deeper) for name, mm in off.items()
    }
    far = truth[0] + 300 * deeper
    tracked["old.onnx"].joints_mm[0], tracked["old.onnx"].other_mm[0] = far, far.mean(0)
    place = f"cadstn.bench.accuracy.{'sealed' if scenes else 'model'}"
    seen = a_recording(tmp_path, truth)
    for name, instead in {
        "open_network": lambda weights, threads: SimpleNamespace(name=weights.name, about={}),
        "follower": lambda network, step: lambda one: tracked[network.name],
        "follow_labelled": lambda network, one, step: tracked["as two"],
        "Tracker": lambda network: None,
        "rendered": lambda *given, **options: iter([seen]),
        "scene_recordings": lambda *given, **options: iter([seen]),
    }.items():
        monkeypatch.setattr(f"{place}.{name}", instead, raising=False)
    weights, beside = Path("new.onnx"), Path("old.onnx")
    if scenes:
        report = bench_sealed(SceneSet("choosing-1", 1, 6), weights, beside=beside)
        whole, counted, other = report["all"], 6 * len(SCENES), (5 * 10 + 300) / 6
        assert report["two_places"]["mean_error_mm"] == pytest.approx(7, abs=1e-3)
        assert report["scenes"]["two-hands"]["mean_error_mm"] == pytest.approx(4, abs=1e-3)
    else:
        report = bench_model(weights, recordings=1, frames=6, empty=0, beside=beside)
        whole, counted, other = report["rendered"], 5, 10.0
    assert whole["mean_error_mm"] == pytest.approx(4, abs=1e-3)
    assert (report["weights"], report["beside"]["weights"]) == ("new.onnx", "old.onnx")
    assert report["beside"]["counted"] == counted
    error = report["beside"]["mean_error_mm"]
    assert (error["this"], error["other"]) == pytest.approx((4, other), abs=1e-3)
    assert error["difference"] == pytest.approx(4 - other, abs=1e-3)
