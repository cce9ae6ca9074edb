"""Streams as values: many side by side, windows, gaps, repeats, cameras that change."""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io import Frame, open_recording
from cadstn.tracking.detector import Detection, Detector
from cadstn.tracking.hand import Frame as View
from cadstn.tracking.hand import State, Track
from cadstn.tracking.network import Network, Step, StreamState, Wants
from cadstn.tracking.runtime import load_network
from cadstn.tracking.support import surface_support
from cadstn.tracking.tracker import Tracker, track_batch, track_step


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(open_recording("demo"))[:30]


class Stubborn:
    """One of the paper's networks that insists on a hand: it predicts no presence."""

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        joints = np.zeros((len(feed["crops"]), 21, 3), np.float32)
        return [joints, joints + 0.5, feed["h"], feed["c"]]


class Refusing:
    """Predicts that nothing is a hand, and notes each run."""

    def __init__(self, network: Network, note: Callable[[], None]) -> None:
        self.network, self.note = network, note

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.note()
        out = dict(zip(names, self.network.session.run(names, feed), strict=True))
        out["present"] = np.zeros_like(out["present"])
        return [out[name] for name in names]


def test_a_batch_of_streams_equals_each_alone(network: Network, frames: list[Frame]) -> None:
    starts = (0, 7, 13)
    states = [State.fresh(network) for _ in starts]
    alone = [State.fresh(network) for _ in starts]
    for i in range(10):
        views = [View(frames[s + i].depth, frames[s + i].camera) for s in starts]
        if i == 4:  # one stream loses its hand: the others must not notice
            views[1] = View(np.zeros_like(frames[0].depth), frames[0].camera)
        out = track_batch(network, states, views)
        states = [state for _, state in out]
        for k, view in enumerate(views):
            (hand,), alone[k] = track_step(network, alone[k], view.depth_mm, view.camera)
            ((other,), _) = out[k]
            assert hand.how == other.how
            # Bit for bit: a batch is its streams one by one.
            np.testing.assert_array_equal(hand.joints_mm, other.joints_mm)
    assert [state.tracks[0].frames for state in states] == [10, 5, 10]


def test_trackers_in_threads_share_one_network(network: Network, frames: list[Frame]) -> None:
    def tracked(start: int) -> np.ndarray:
        tracker = Tracker(network)
        assert tracker.network is network
        some = frames[start : start + 6]
        return np.stack([tracker.update(f.depth, f.camera).joints_mm for f in some])

    starts = (0, 8, 16)
    alone = [tracked(start) for start in starts]
    with ThreadPoolExecutor(3) as threads:
        np.testing.assert_array_equal(list(threads.map(tracked, starts)), alone)


def test_a_repeated_frame_changes_nothing(network: Network, frames: list[Frame]) -> None:
    tracker = Tracker(network)
    for i in range(3):
        hand = tracker.update(frames[i].depth, frames[i].camera, i / 30)
    before = tracker.state
    again = tracker.update(frames[2].depth, frames[2].camera, 2 / 30)
    assert again is hand
    assert tracker.state is before


def test_dropped_frames_are_followed_and_a_long_gap_is_not(
    network: Network, frames: list[Frame]
) -> None:
    tracker = Tracker(network)
    tracker.update(frames[0].depth, frames[0].camera, 0.0)
    assert tracker.update(frames[4].depth, frames[4].camera, 4 / 30).how == "followed"
    assert tracker.update(frames[5].depth, frames[5].camera, 9.0).how == "found"
    # Time that runs back: nothing of the stream is to be trusted.
    assert tracker.update(frames[6].depth, frames[6].camera, 1.0).how == "found"
    assert tracker.state.tracks[0].frames == 1


def test_another_camera_begins_anew(network: Network, frames: list[Frame]) -> None:
    tracker = Tracker(network)
    tracker.update(frames[0].depth, frames[0].camera)
    tracker.update(frames[1].depth, frames[1].camera)
    camera = frames[0].camera
    twice = Camera(camera.fx * 2, camera.fy * 2, camera.cx * 2, camera.cy * 2, 640, 480)
    big = np.repeat(np.repeat(frames[2].depth, 2, 0), 2, 1)
    hand = tracker.update(big, twice)
    assert hand.how == "found"
    small = Tracker(network).update(frames[2].depth, camera)
    assert np.linalg.norm(hand.joints_mm - small.joints_mm, axis=1).mean() < 15


@pytest.mark.parametrize("hands", [1, 2])
def test_intrinsics_that_drift_are_of_one_camera(
    network: Network, frames: list[Frame], hands: int
) -> None:
    tracker = Tracker(network, hands=hands)
    for k, frame in enumerate(frames[:5]):
        camera = replace(frame.camera, fx=frame.camera.fx + 0.01 * k, cy=frame.camera.cy + k)
        hand = tracker.update(frame.depth, camera, k / 30)
        assert hand.how == ("followed" if k else "found")
        assert hand.camera == camera.sized(320, 240)  # measured with its own
    far = replace(frames[5].camera, fx=frames[5].camera.fx * 1.02)
    assert tracker.update(frames[5].depth, far, 5 / 30).how == "found"


def test_a_camera_that_is_another_in_each_frame_is_reported_once(
    network: Network, frames: list[Frame]
) -> None:
    tracker = Tracker(network)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(8):
            camera = frames[k].camera
            camera = replace(camera, fx=camera.fx + 5 * (k % 2), fy=camera.fy + 5 * (k % 2))
            tracker.update(frames[k].depth, camera, k / 30)
    assert [str(one.message) for one in caught] == [
        "the camera is another one in each frame, by more than 1 % of its focal length, and each "
        "begins a new stream: give each camera a Tracker of its own"
    ]


def test_a_cut_to_another_place_is_found(network: Network, frames: list[Frame]) -> None:
    """No one says that there was a cut: the hand is simply elsewhere."""
    tracker = Tracker(network)
    for frame in frames[:3]:
        tracker.update(frame.depth, frame.camera)
    flipped = np.ascontiguousarray(frames[3].depth[:, ::-1])
    hand = tracker.update(flipped, frames[3].camera)
    assert hand.found
    truth = frames[3].truth_xyz_mm
    assert truth is not None
    mirrored = truth * [-1, 1, 1]
    assert np.linalg.norm(hand.joints_mm.mean(0) - mirrored.mean(0)) < 60


def test_window_resets_the_memory_and_only_it(network: Network, frames: list[Frame]) -> None:
    endless, windowed = Tracker(network), Tracker(network, window=4)
    for i, frame in enumerate(frames[:9]):
        one = endless.update(frame.depth, frame.camera)
        other = windowed.update(frame.depth, frame.camera)
        assert windowed.state.tracks[0].frames == i % 4 + 1
        assert other.how == one.how
        if i < 4:
            np.testing.assert_array_equal(one.joints_mm, other.joints_mm)
    assert not np.array_equal(endless.state.tracks[0].memory.h, windowed.state.tracks[0].memory.h)
    with pytest.raises(CadstnError, match="window is 0"):
        Tracker(network, window=0)


def test_surface_support_by_hand() -> None:
    camera = Camera(500, 500, 320, 240, 640, 480)
    depth = np.full((480, 640), 900, np.float32)  # the wall
    depth[:, :325] = 490  # skin, 10 mm before the joints
    joints = np.array(
        [[0, 0, 500], [-100, 0, 500], [100, 0, 500], [-100, 0, 546], [-1000, 0, 500]], float
    )
    # At the skin's edge; on it; beside it; 56 mm behind it; outside the frame.
    assert surface_support(joints, depth, camera).tolist() == [0.8, 1.0, 0.0, 0.0, 0.0]


def test_confidence_is_a_share_and_0_of_a_lost_hand(network: Network, frames: list[Frame]) -> None:
    tracker = Tracker(network)
    hands = [tracker.update(f.depth, f.camera) for f in frames[:20]]
    confidence = np.stack([h.confidence for h in hands])
    assert confidence.shape == (20, 21)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    for hand in hands:
        assert hand.agreement == pytest.approx(float((hand.confidence > 0).mean()))
    lost = tracker.update(np.zeros_like(frames[0].depth), frames[0].camera)
    assert (lost.confidence == 0).all()


def test_an_arm_whose_hand_left_is_not_followed_for_ever() -> None:
    """A network that insists on a hand, where the detector sees none."""
    real = load_network(threads=1)
    wants = Wants(real.wants.size, 250.0, real.wants.hidden)
    network = replace(real, session=Stubborn(), wants=wants)
    camera = Camera(285, 285, 160, 120, 320, 240)
    bar = np.zeros((240, 320), np.float32)
    bar[100:140, :] = 500.0  # runs through the whole frame: nothing of a hand
    track = Track(network.initial_state(), np.array([0.0, 0.0, 500.0]))
    state = State((track,), camera=camera)
    hows = []
    for _ in range(40):
        (hand,), state = track_step(network, state, bar, camera)
        hows.append(hand.how)
    assert hows.index("lost") == 29  # the detector read frames 10, 20 and 30
    assert set(hows[29:]) == {"lost"}


def test_a_hand_is_followed_by_a_network_that_did_not_learn_presence(
    network: Network, frames: list[Frame]
) -> None:
    """One trained on a data set: presence and side in its file are noise."""

    class Untaught:
        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            *out, presence, handedness = network.session.run(names, feed)
            return [*out, np.full_like(presence, 0.52), np.full_like(handedness, 0.52)]

    wants = replace(network.wants, upright=False, answers=False)
    of_a_set = replace(network, session=Untaught(), wants=wants)
    assert of_a_set.lacks[0] == "presence and side"
    tracker = Tracker(of_a_set)
    hands = [tracker.update(f.depth, f.camera) for f in frames]
    hows = [hand.how for hand in hands]
    at = hows.index("found")
    assert hows[at:] == ["found"] + ["followed"] * (len(hands) - at - 1)
    assert {hand.side for hand in hands[at:]} == {"unknown"}
    assert np.isnan([hand.present for hand in hands]).all()
    assert all(np.isfinite(hand.uncertainty_mm).all() for hand in hands[at:])  # it is learned


def test_the_network_runs_twice_a_hand_and_frame_at_most(
    network: Network, frames: list[Frame]
) -> None:
    runs = 0

    class Counting:
        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            nonlocal runs
            runs += 1
            out: list[np.ndarray] = network.session.run(names, feed)
            return out

    tracker = Tracker(replace(network, session=Counting()))
    worst = []
    for i in range(24):
        depth = frames[i].depth
        if i % 4 == 3:
            depth = np.ascontiguousarray(np.roll(depth, 70, 1))  # a cut every fourth frame
        runs = 0
        tracker.update(depth, frames[i].camera)
        worst.append(runs)
    assert max(worst) == 2
    assert min(worst) == 1


def test_a_refused_place_is_tried_less_and_less(network: Network, frames: list[Frame]) -> None:
    runs: list[int] = []
    number = 0

    tracker = Tracker(replace(network, session=Refusing(network, lambda: runs.append(number))))
    while number < 30:
        hand = tracker.update(frames[0].depth, frames[0].camera)
        assert not hand.found
        number += 1
    tries = sorted(set(runs))
    assert tries[0] == 0
    assert len(tries) < 12
    assert "presence 0.00" in tracker.state.refused[0].reason


def test_cubes_stand_where_the_network_learned_them(network: Network) -> None:
    joints = np.random.default_rng(0).normal(size=(4, 21, 3)).astype(np.float32)
    mean, knuckles = (
        replace(network, wants=replace(network.wants, center=center))
        for center in ("all", "knuckles")
    )
    np.testing.assert_allclose(mean.center_of(joints), joints.mean(1), atol=1e-6)
    expected = joints[:, [5, 9, 13, 17]].mean(1)
    np.testing.assert_allclose(knuckles.center_of(joints), expected, atol=1e-6)
    np.testing.assert_allclose(knuckles.center_of(joints[0]), expected[0], atol=1e-6)


def test_two_hands_keep_their_places(network: Network, frames: list[Frame]) -> None:
    """The demo's hand and its mirror image side by side in one wide frame."""
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    hands = Tracker(network, hands=2)
    for i, frame in enumerate(frames[:14]):
        depth = np.where(frame.depth < 1000, frame.depth, 0)
        pair = np.ascontiguousarray(np.hstack([depth, depth[:, ::-1]]))
        one, other = hands.update_all(pair, wide, i / 30)
        truth = frame.truth_xyz_mm
        assert truth is not None
        uvd = camera.to_uvd(truth)
        left = wide.to_xyz_mm(uvd).mean(0)
        right = wide.to_xyz_mm(np.column_stack([639 - uvd[:, 0], uvd[:, 1:]])).mean(0)
        assert one.found
        assert other.found
        places = [hand.joints_mm.mean(0) for hand in (one, other)]
        if i == 0:
            first = left if np.linalg.norm(places[0] - left) < 100 else right
            on_left = first is left
        expected = (left, right) if on_left else (right, left)
        for place, truth_place in zip(places, expected, strict=True):
            assert np.linalg.norm(place - truth_place) < 60
    # One goes: its place is lost, the other's hand is not taken for it.
    gone = pair.copy()
    gone[:, :320] = 0
    for i in range(14, 18):
        out = hands.update_all(gone, wide, i / 30)
    assert [hand.found for hand in out] == ([False, True] if on_left else [True, False])


@pytest.mark.parametrize("hands", [0, "2", 2.5, True])
def test_so_many_hands_are_refused(network: Network, hands: Any) -> None:
    with pytest.raises(CadstnError, match=r"hands is .*; give a whole number, 1 or more"):
        Tracker(network, hands=hands)


def test_states_are_plain_values(network: Network) -> None:
    state = network.initial_state(2)
    crops = np.ones((2, network.wants.size, network.wants.size), np.float32)
    out = network.step(crops, state)
    assert isinstance(out, Step)
    assert isinstance(out.state, StreamState)
    assert (state.h == 0).all()


def test_a_repeated_first_frame_of_another_camera_changes_nothing(
    network: Network, frames: list[Frame]
) -> None:
    tracker, camera = Tracker(network), frames[0].camera
    other = replace(camera, fx=camera.fx * 1.05, fy=camera.fy * 1.05)
    tracker.update(frames[0].depth, camera, 0.0)
    hand = tracker.update(frames[1].depth, other, 1 / 30)
    assert tracker.update(frames[1].depth, other, 1 / 30) is hand


def test_misses_that_are_not_in_a_row_lose_no_hand(network: Network) -> None:
    class EveryThird(Detector):
        def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
            read.append(number)
            return [Detection(np.array([0.0, 0.0, 500.0]), 0.9, 0.0)] if len(read) % 3 == 0 else []

    read: list[int] = []
    wants = Wants(network.wants.size, 250.0, network.wants.hidden)
    stubborn = replace(network, session=Stubborn(), wants=wants, detector=EveryThird(None))
    camera, bar = Camera(285, 285, 160, 120, 320, 240), np.zeros((240, 320), np.float32)
    bar[100:140, :] = 500.0
    state = State((Track(stubborn.initial_state(), np.array([0.0, 0.0, 500.0])),), camera=camera)
    for number in range(1, 101):  # noqa: B007 (the detector notes it)
        (hand,), state = track_step(stubborn, state, bar, camera)
        assert hand.how == "followed"
    assert read == list(range(10, 101, 10))


def test_a_refused_place_is_tried_again_after_16_frames_at_most(
    network: Network, frames: list[Frame]
) -> None:
    class OnePlace(Detector):
        def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
            return [Detection(np.array([0.0, 0.0, 500.0]), 0.9, 0.0)]

    tries: list[int] = []
    tracker = Tracker(
        replace(
            network,
            session=Refusing(network, lambda: tries.append(number)),
            detector=OnePlace(None),
        )
    )
    for number in range(64):  # noqa: B007 (the network notes it)
        assert not tracker.update(frames[0].depth, frames[0].camera).found
    assert sorted(set(tries)) == [0, 1, 3, 7, 15, 31, 47, 63]


def test_the_detector_reads_one_frame_in_so_many(network: Network, frames: list[Frame]) -> None:
    class Noted(Detector):
        def detect(self, depth_mm: DepthMm, camera: Camera, least: float = 0.1) -> list[Detection]:
            read.append(number)
            return super().detect(depth_mm, camera, least)

    read: list[int] = []
    assert network.detector is not None
    noted = replace(network, detector=Noted(network.detector.session))
    tracker = Tracker(noted, detect_every=3)
    for _ in range(2):  # also after a reset
        read.clear()
        for number, frame in enumerate(frames[:8]):  # noqa: B007 (the detector notes it)
            assert tracker.update(frame.depth, frame.camera).found
        assert read == [0, 3, 6]
        tracker.reset()


def test_a_batch_has_the_window_of_its_streams(network: Network, frames: list[Frame]) -> None:
    states, counts = [State.fresh(network)] * 2, []
    for frame in frames[:5]:
        out = track_batch(network, states, [View(frame.depth, frame.camera)] * 2, window=2)
        states = [state for _, state in out]
        counts.append([state.tracks[0].frames for state in states])
    assert counts == [[1, 1], [2, 2], [1, 1], [2, 2], [1, 1]]
