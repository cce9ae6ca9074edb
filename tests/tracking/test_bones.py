"""A hand keeps its size: what that does to joints that err."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.hand_shape import mean_lengths_mm
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.bones import Bones, keep_size, likely_lengths_mm
from cadstn.tracking.cameras import open_source
from cadstn.tracking.tracker import Tracker

BONES = np.array(HAND21.bones)
ROOM = np.random.default_rng(0).normal((0, 0, 500), 30, (21, 3))


def lengths(joints: NDArray[np.floating]) -> NDArray[np.floating]:
    apart = joints[..., BONES[:, 0], :] - joints[..., BONES[:, 1], :]
    return np.asarray(np.linalg.norm(apart, axis=-1))


def run(
    frames: NDArray[np.floating], uncertainty: NDArray[np.floating]
) -> tuple[NDArray[np.floating], Bones]:
    known: Bones | None = None
    out = []
    for joints in frames:
        moved, known = keep_size(joints, uncertainty, known, HAND21)
        out.append(moved)
    assert known is not None
    return np.array(out), known


def test_joints_that_err_come_nearer_and_bones_keep_their_length() -> None:
    random = np.random.default_rng(1)
    uncertainty = random.uniform(2, 12, 21)
    noise = random.normal(0, 1, (300, 21, 3)) * uncertainty[:, None] / 1.5
    frames = ROOM + noise
    out, known = run(frames, uncertainty)
    error = [np.linalg.norm(f - ROOM, axis=-1).mean() for f in (frames[50:], out[50:])]
    assert error[1] < 0.9 * error[0]
    spread = [lengths(f[50:]).std(0).mean() for f in (frames, out)]
    assert spread[1] < 0.5 * spread[0]
    # Noise makes a bone look longer, never by more than itself.
    assert np.abs(known.length / known.weight - lengths(ROOM)).max() < 12


def test_a_first_frame_and_a_hand_of_its_size_stay_where_they_are() -> None:
    uncertainty = np.full(21, 8.0)
    first, known = keep_size(ROOM, uncertainty, None, HAND21)
    np.testing.assert_array_equal(first, ROOM)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    moved = ROOM @ turn.T + [40, -20, 100]
    again, _ = keep_size(moved, uncertainty, known, HAND21)
    np.testing.assert_allclose(again, moved, atol=1e-9)


def test_a_child_does_not_get_the_hand_of_the_man_before() -> None:
    uncertainty = np.full(21, 8.0)
    man = np.repeat(ROOM[None], 30, 0)
    child = 0.75 * man
    out, known = run(np.concatenate([man, child]), uncertainty)
    np.testing.assert_allclose(out[30:], child, atol=1e-9)
    np.testing.assert_allclose(known.length / known.weight, lengths(child[0]), rtol=1e-9)
    # A hand that one frame shows a little smaller is the same.
    out, _ = run(np.concatenate([man, 0.92 * man[:1]]), uncertainty)
    assert lengths(out[-1]).sum() > 0.93 * lengths(ROOM).sum()


def test_the_unsure_joint_moves() -> None:
    uncertainty = np.full(21, 4.0)
    tip = HAND21.index("index_tip")
    uncertainty[tip] = 20
    _, known = run(np.stack([ROOM] * 20), uncertainty)
    (bone,) = np.flatnonzero(BONES[:, 1] == tip)
    long = ROOM.copy()
    along = ROOM[tip] - ROOM[BONES[bone, 0]]
    long[tip] += 15 * along / np.linalg.norm(along)
    out, _ = keep_size(long, uncertainty, known, HAND21)
    moved = np.linalg.norm(out - long, axis=1)
    assert moved[tip] > 10
    assert moved.argmax() == tip
    assert np.delete(moved, tip).max() < 2
    assert np.isfinite(keep_size(np.zeros((21, 3)), uncertainty, known, HAND21)[0]).all()


def test_the_tracker_s_hands_keep_their_size() -> None:
    tracker, seen = Tracker(), []
    for frame in open_source("demo"):
        hand = tracker.update(frame.depth_mm, frame.camera, frame.time_s)
        assert tracker.state.tracks[0].bones is not None
        seen.append(hand.joints_mm)
    found = lengths(np.array(seen))
    assert (found.std(0) / found.mean(0)).mean() < 0.03
    np.testing.assert_allclose(tracker.bone_lengths_mm[0], np.median(found, 0), rtol=0.08)
    tracker.update(np.zeros((240, 320), np.float32), frame.camera)
    assert tracker.state.tracks[0].bones is None  # it may be another's that comes next
    assert tracker.state.tracks[0].fitted is None
    assert np.isnan(tracker.bone_lengths_mm).all()


def test_likely_lengths_are_the_mean_hands_until_frames_show_others() -> None:
    mean_mm = np.array(mean_lengths_mm())
    shown_mm = 0.9 * mean_mm
    shown_mm[7] *= 0.7  # the index finger's last bone
    unsure, sure = (Bones(w, w * shown_mm) for w in (np.full(20, 1e-4), np.full(20, 1e3)))
    np.testing.assert_allclose(likely_lengths_mm(unsure) / mean_mm, 0.9, atol=0.01)
    np.testing.assert_allclose(likely_lengths_mm(sure), shown_mm, atol=0.1)
