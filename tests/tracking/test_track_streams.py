"""Streams as values: many side by side, windows, gaps, repeats, cameras that change."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import Frame, open_recording
from cadstn.tracking.hand import TrackState, View
from cadstn.tracking.hands import HandsTracker
from cadstn.tracking.network import Network, Step, StreamState
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import Tracker, track_batch, track_step


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(threads=1)


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    with resources.as_file(resources.files("cadstn") / "demo") as path:
        return list(open_recording(path))[:30]


def test_a_batch_of_streams_equals_each_alone(network: Network, frames: list[Frame]) -> None:
    starts = (0, 7, 13)
    states = [TrackState(network.initial_state()) for _ in starts]
    alone = [TrackState(network.initial_state()) for _ in starts]
    for i in range(10):
        views = [View(frames[s + i].depth, frames[s + i].camera) for s in starts]
        if i == 4:  # one stream loses its hand: the others must not notice
            views[1] = View(np.zeros_like(frames[0].depth), frames[0].camera)
        out = track_batch(network, states, views)
        hands, states = [hand for hand, _ in out], [state for _, state in out]
        for k, view in enumerate(views):
            hand, alone[k] = track_step(network, alone[k], view.depth_mm, view.camera)
            assert hand.how == hands[k].how
            np.testing.assert_allclose(hand.joints_mm, hands[k].joints_mm, atol=1e-2)
    assert [state.frames for state in states] == [10, 5, 10]


def test_int8_streams_run_alone(network: Network, frames: list[Frame]) -> None:
    """An int8 network scales its inputs by the whole batch: together, streams would mix."""
    batches: list[int] = []

    class Counting:
        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            batches.append(len(feed["crops"]))
            out: list[np.ndarray] = network.session.run(names, feed)
            return out

    about = {**network.about, "precision": "int8"}
    for kind, most in ((about, 1), (network.about, 2)):
        batches.clear()
        other = replace(network, session=Counting(), about=kind)
        views = [View(f.depth, f.camera) for f in frames[:2]]
        track_batch(other, [TrackState(other.initial_state())] * 2, views)
        assert max(batches) == most


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
    assert tracker.state.frames == 1


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
        assert windowed.state.frames == i % 4 + 1
        assert other.how == one.how
        if i < 4:
            np.testing.assert_array_equal(one.joints_mm, other.joints_mm)
    assert not np.array_equal(endless.state.stream.h, windowed.state.stream.h)
    with pytest.raises(CadstnError, match="window is 0"):
        Tracker(network, window=0)


def test_confidence_is_low_off_the_hand(network: Network, frames: list[Frame]) -> None:
    tracker = Tracker(network)
    hands = [tracker.update(f.depth, f.camera) for f in frames[:20]]
    confidence = np.stack([h.confidence for h in hands])
    assert confidence.shape == (20, 21)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    for hand in hands:
        assert hand.agreement == pytest.approx(float((hand.confidence > 0).mean()))
    lost = tracker.update(np.zeros_like(frames[0].depth), frames[0].camera)
    assert (lost.confidence == 0).all()


def test_an_arm_whose_hand_left_is_not_followed_for_ever(
    frames: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that insists on a hand, where nothing hangs like one here or anywhere else."""

    class Stubborn:
        """One of the paper's networks: it does not say whether there is a hand."""

        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            joints = np.zeros((len(feed["crops"]), 21, 3), np.float32)
            return [joints, joints + 0.5, feed["h"], feed["c"]]

    monkeypatch.setattr("cadstn.tracking.seek.find_hands", lambda *_, most: [])
    real = load_network(threads=1)
    network = Network(Stubborn(), real.skeleton, 250.0, real.size, real.hidden, real.about)
    camera = Camera(285, 285, 160, 120, 320, 240)
    bar = np.zeros((240, 320), np.float32)
    bar[100:140, :] = 500.0  # runs through the whole frame: leaves a hand's reach on two sides
    state = TrackState(network.initial_state(), np.array([0.0, 0.0, 500.0]), camera=camera)
    hows = []
    for _ in range(40):
        hand, state = track_step(network, state, bar, camera)
        hows.append(hand.how)
    assert hows.index("lost") == 19  # the checks of the 10th, 15th and 20th frame
    assert set(hows[19:]) == {"lost"}


def test_what_looks_first_looks_until_a_hand_is_followed(
    network: Network, frames: list[Frame]
) -> None:
    asked: list[tuple[bool, bool]] = []

    class Both:
        """One network that looks both first, when it keeps the memory as it is, and later."""

        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            first = bool(feed.pop("first"))
            asked.append((first, bool(feed["before"].any())))
            if network.looks_first:
                feed["first"] = np.array(False)
            out = dict(zip(names, network.session.run(names, feed), strict=True))
            if first:
                out |= {f"{name}_next": feed[name] for name in ("h", "c", "before")}
            return [out[name] for name in names]

    tracker = Tracker(replace(network, session=Both(), looks_first=True))
    for frame in frames[:5]:
        before = len(asked)
        hand = tracker.update(frame.depth, frame.camera)
        looks = asked[before:]
        assert hand.found
        if frame.index == 0:
            # Until the hand is placed and turned, and once as it is looked at from there on.
            assert len(looks) > 2
            assert looks == [(True, False)] * (len(looks) - 1) + [(False, False)]
            assert tracker.state.frames == 1
        else:
            assert looks == [(False, True)]
    asked.clear()
    tracker.update(np.zeros_like(frames[0].depth), frames[0].camera)
    assert not any(first for first, _ in asked)  # nothing is found, so nothing is looked at first
    asked.clear()
    tracker.update(frames[5].depth, frames[5].camera)
    assert asked[0] == (True, False)
    assert asked[-1] == (False, False)


def test_cubes_stand_where_the_network_learned_them(network: Network) -> None:
    joints = np.random.default_rng(0).normal(size=(4, 21, 3)).astype(np.float32)
    mean, knuckles = (replace(network, follows_knuckles=k) for k in (False, True))
    np.testing.assert_allclose(mean.center_of(joints), joints.mean(1), atol=1e-6)
    expected = joints[:, [5, 9, 13, 17]].mean(1)
    np.testing.assert_allclose(knuckles.center_of(joints), expected, atol=1e-6)
    np.testing.assert_allclose(knuckles.center_of(joints[0]), expected[0], atol=1e-6)
    np.testing.assert_allclose(knuckles.center_of(joints, first=True), joints.mean(1), atol=1e-6)


def test_two_hands_keep_their_places(network: Network, frames: list[Frame]) -> None:
    """The demo's hand and its mirror image side by side in one wide frame."""
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    hands = HandsTracker(network, 2)
    for i, frame in enumerate(frames[:14]):
        depth = np.where(frame.depth < 1000, frame.depth, 0)
        pair = np.ascontiguousarray(np.hstack([depth, depth[:, ::-1]]))
        one, other = hands.update(pair, wide, i / 30)
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
        out = hands.update(gone, wide, i / 30)
    assert [hand.found for hand in out] == ([False, True] if on_left else [True, False])
    with pytest.raises(CadstnError, match="0 hands"):
        HandsTracker(network, 0)


def test_states_are_plain_values(network: Network) -> None:
    state = network.initial_state(2)
    crops = np.ones((2, network.size, network.size), np.float32)
    out = network.step(crops, state)
    assert isinstance(out, Step)
    assert isinstance(out.state, StreamState)
    assert (state.h == 0).all()
