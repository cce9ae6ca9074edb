"""Several hands of a recording, written side by side."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cadstn
from cadstn.cli import cli
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io import write_recording
from cadstn.tracking import observation
from cadstn.tracking.detector import Detection, Detector
from cadstn.tracking.results import track_recording


def test_two_hands_are_written_each_to_files_of_its_own(tmp_path: Path) -> None:
    frames = list(cadstn.open_recording("demo"))[:8]
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    near = [np.where(frame.depth < 1000, frame.depth, 0) for frame in frames]
    pairs = np.stack([np.hstack([depth, depth[:, ::-1]]) for depth in near])
    write_recording(tmp_path / "pair", pairs.astype(np.uint16), wide)
    out = tmp_path / "out"
    arguments = ["track", str(tmp_path / "pair"), "--hands", "2", "--out", str(out), "--no-video"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    with np.load(out / "joints.npz") as one, np.load(out / "joints-2.npz") as two:
        assert one["found"].all()
        assert two["found"].all()
        assert {one["side"][5], two["side"][5]} == {"left", "right"}
        apart = np.linalg.norm(one["joints_xyz_mm"][:, 0] - two["joints_xyz_mm"][:, 0], axis=1)
        assert (apart > 100).all()
    assert (out / "joints-2.csv").exists()
    assert "joints-2.npz" in result.output


def two_alike(
    frames: list[cadstn.Frame], count: int, *, blank: bool
) -> tuple[list[np.ndarray], Camera]:
    """Depths of two left hands side by side that pass one another in depth, then a blank frame."""
    depth, camera = frames[0].depth, frames[0].camera
    hand = np.where(depth < 1000, depth, 0)
    farther = [(10.0 * k, 90 - 10.0 * k) for k in range(count)]
    out = [np.hstack([np.where(hand > 0, hand + z_mm, 0) for z_mm in pair]) for pair in farther]
    if blank:
        out.insert(count - 2, np.zeros_like(out[0]))
    return [d.astype(np.float32) for d in out], Camera(
        camera.fx, camera.fy, 320, camera.cy, 640, 240
    )


@pytest.mark.parametrize("blank", [False, True])
def test_two_hands_of_one_side_keep_their_places(blank: bool) -> None:
    depths, camera = two_alike(list(cadstn.open_recording("demo"))[:1], 10, blank=blank)
    tracker = cadstn.Tracker(hands=2)
    seen = [tracker.update_all(depth, camera) for depth in depths]
    assert [hand.found for hand in seen[-3]] == [not blank] * 2
    for hands in (seen[1], seen[-1]):
        assert [hand.side for hand in hands] == ["left", "left"]
    for place in (0, 1):
        assert abs(seen[1][place].joints_mm[0, 0] - seen[-1][place].joints_mm[0, 0]) < 100


def test_a_hand_in_the_second_place_is_tracked_too(tmp_path: Path) -> None:
    """The first place's hand leaves; the other is neither lost nor unseen in pictures."""
    frames = list(cadstn.open_recording("demo"))[:12]
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    hand = [np.where(frame.depth < 1000, frame.depth, 0) for frame in frames]
    pairs = [np.hstack([depth * (k < 6), depth[:, ::-1]]) for k, depth in enumerate(hand)]
    tracker = cadstn.Tracker(hands=2)
    write_recording(tmp_path / "pair", np.stack(pairs).astype(np.uint16), wide)
    summary = track_recording(
        cadstn.open_recording(tmp_path / "pair"), tracker, tmp_path / "out", video=False
    )
    assert (summary["tracked"], summary["lost"]) == (12, 0)
    assert sorted(summary["tracked_by_place"]) == [6, 12]
    assert summary["sides"] in ({"left": 6, "right": 12}, {"left": 12, "right": 6})


def test_a_hand_is_the_same_whether_another_place_is_free_or_not() -> None:
    frames = list(cadstn.open_recording("demo"))[:75]
    frames = [frames[k] for k in (*range(40), 70, 71, 72)]  # a cut, so that it is acquired anew
    one, two = cadstn.Tracker(), cadstn.Tracker(hands=2)
    detector = one.network.detector
    assert detector is not None
    blind = replace(one.network, detector=_Blind(detector.session))
    one.network = two.network = blind
    for frame in frames:
        hand = one.update(frame.depth, frame.camera)
        first, second = two.update_all(frame.depth, frame.camera)
        assert not second.found
        assert first.how == hand.how
        np.testing.assert_array_equal(first.joints_mm, hand.joints_mm)


def test_a_new_hand_beside_another_waits_for_a_frame_with_runs_for_its_view() -> None:
    depths, camera = two_alike(list(cadstn.open_recording("demo"))[:1], 4, blank=False)
    tracker = cadstn.Tracker(hands=2)
    detector = tracker.network.detector
    assert detector is not None
    tracker.network = replace(tracker.network, detector=_Startled(detector.session))
    seen, refused = [], []
    for depth in depths:
        seen.append([hand.how for hand in tracker.update_all(depth, camera)])
        refused.append(len(tracker.state.refused))
    # The place without a hand is tried in the first two frames and takes two of four runs.
    assert seen == [
        ["found", "lost"],
        ["followed", "lost"],
        ["followed", "found"],
        ["followed"] * 2,
    ]
    assert refused == [1] * 4


def test_of_two_places_of_one_hand_the_older_stays_whatever_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observation, "_SAME_MM", 600.0)  # they are 640 mm apart, then less
    (depth, *_), camera = two_alike(list(cadstn.open_recording("demo"))[:1], 1, blank=False)
    moved = np.hstack([np.roll(depth[:, :320], 60, axis=1), depth[:, 320:]])
    tracker = cadstn.Tracker(hands=2, window=2)
    alone = np.where(np.arange(640) < 320, depth, 0)
    seen = [tracker.update_all(d, camera) for d in (alone, depth, moved)]
    assert [hand.how for hand in seen[1]] == ["followed", "found"]
    assert [hand.how for hand in seen[2]] == ["followed", "lost"]


class _Startled(Detector):
    """Takes a place where nothing is for a hand, more surely than any hand."""

    def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
        nothing = Detection(np.array([0.0, -100.0, 300.0]), 0.99, 0.0)
        return [nothing, *super().detect(depth_mm, camera, least)]


class _Blind(Detector):
    """Sees a hand in every tenth frame alone, those in which one place is checked."""

    def __init__(self, session: object) -> None:
        super().__init__(session)
        self.seen: dict[bytes, int] = {}

    def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
        number = self.seen.setdefault(depth_mm[::9, ::9].tobytes(), len(self.seen))
        return super().detect(depth_mm, camera, least) if number % 10 == 0 else []
