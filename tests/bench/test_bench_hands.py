"""Two hands at once: paths, what counts as seen, and what is counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from cadstn.bench.accuracy.follow import LabelledPlace
from cadstn.cli import cli
from cadstn.tracking import Hand, Network, Tracker
from cadstn.tracking.hand import Track, lost_hand
from cadstn.tracking.observation import _place

torch = pytest.importorskip("torch")

from cadstn.bench import alarms as alarms_module  # noqa: E402
from cadstn.bench.hands import (  # noqa: E402
    WAYS,
    HandCounts,
    TwoHands,
    _count,
    _path,
    follow_two,
    two_hand_clips,
)
from cadstn.geometry.camera import Camera  # noqa: E402

CAMERA = Camera(285.0, 285.0, 160.0, 120.0, 320, 240)


def _one(way: str, seen: NDArray[np.bool_]) -> TwoHands:
    middle_mm = np.zeros((len(seen), 2, 3))
    return TwoHands(way, [], CAMERA, middle_mm, (False, True), seen)


def test_a_crossing_ends_on_the_other_side_behind_or_in_front() -> None:
    own_mm = np.tile([10.0, 20.0, 800.0], (75, 1))
    other_mm = own_mm + np.array([150.0, 0.0, 40.0])
    behind = _path("crossing", own_mm, other_mm, behind=True) - own_mm
    before = _path("crossing", own_mm, other_mm, behind=False) - own_mm
    assert behind[0, 0] == -behind[-1, 0] > 0
    assert np.abs(behind[:, 0]).min() < 10  # it does pass
    assert (behind[:, 2] == -before[:, 2]).all()
    assert behind[0, 2] > 0


def test_a_hand_that_returns_was_out_of_the_picture() -> None:
    own_mm = np.tile([10.0, 20.0, 800.0], (75, 1))
    there = CAMERA.to_uvd(_path("return", own_mm, own_mm - [150.0, 0.0, 0.0], behind=True))[:, 0]
    assert there[0] > 0
    assert there[-1] > 0
    assert (there[35:48] < -50).all()


def test_hands_that_change_places_are_counted_once_a_clip() -> None:
    seen = np.ones((6, 2), bool)
    counts = HandCounts()
    _count(
        counts, _one("crossing", seen), np.array([[0, -1], [0, 1], [0, 1], [1, 0], [1, 0], [0, 1]])
    )
    _count(counts, _one("crossing", seen), np.array([[1, 0]] * 6))
    assert counts.clips["crossing"] == 2
    assert counts.swapped == {"crossing": 1, "return": 0}
    assert counts.both == 11
    assert counts.frames == 12


def test_one_hand_in_two_places_is_counted_and_a_place_without_one_is_not() -> None:
    counts = HandCounts()
    _count(counts, _one("crossing", np.ones((3, 2), bool)), np.array([[0, 0], [-1, -1], [0, 1]]))
    assert counts.twice == 1


def test_a_return_is_waited_for_from_the_frame_in_which_it_is_seen() -> None:
    seen = np.ones((8, 2), bool)
    seen[2:5, 1] = False
    back = HandCounts()
    _count(back, _one("return", seen), np.array([[0, 1]] * 2 + [[0, -1]] * 5 + [[0, 1]]))
    assert back.waited == [2]
    assert (back.returns, back.own) == (1, 1)
    elsewhere = HandCounts()
    _count(elsewhere, _one("return", seen), np.array([[0, 1]] * 2 + [[-1, -1]] * 3 + [[1, 0]] * 3))
    assert elsewhere.waited == [0]
    assert elsewhere.own == 0
    assert "returns seen within 3 frames: 1 of 1" in "\n".join(elsewhere.lines())


def test_rendered_hands_are_found_where_they_are(network: Network) -> None:
    clips = list(two_hand_clips(2, choosing=True))
    assert [one.way for one in clips] == list(WAYS)
    short = [one._replace(frames=one.frames[:20], seen=one.seen[:20]) for one in clips]
    counts = follow_two(network, iter(short))
    # Of two hands that cross one can be lost, by a rounding that processors do differently.
    assert counts.both > 0.5 * counts.frames > 10
    assert counts.twice == counts.elsewhere == 0
    # And against truth that is elsewhere they are not.
    moved = [one._replace(middle_mm=one.middle_mm + np.array([0.0, 400.0, 0.0])) for one in short]
    assert follow_two(network, iter(moved)).both == 0


def _track(center_mm: list[float] | None, side: str) -> Track:
    place = None if center_mm is None else np.array(center_mm)
    return cast("Track", SimpleNamespace(center_mm=place, place_mm=place, side=side))


@pytest.mark.parametrize(
    ("tracks", "place"),
    [
        ([(None, "right"), ([0, 0, 600], "left")], 1),  # lost here a frame ago: not by its side
        ([([0, 0, 700], "left"), ([0, 0, 620], "right")], 1),  # the nearer of two
        ([(None, "right"), (None, "left")], 0),  # both long gone: by its side
        ([(None, "left"), ([900, 0, 600], "right")], 1),  # too far to be that one
        ([(None, "unknown"), (None, "unknown")], 0),
    ],
)
def test_a_new_hand_gets_the_place_of_a_hand_near_it_else_of_its_side(
    tracks: list[tuple[list[float] | None, str]], place: int
) -> None:
    detection = SimpleNamespace(center_mm=np.array([0.0, 0.0, 600.0]))
    made = [_track(center, side) for center, side in tracks]
    assert _place([0, 1], made, cast("Any", detection), "right") == place
    assert _place([1], made, cast("Any", detection), "right") == 1


def test_among_places_of_one_side_a_hand_returns_to_where_it_was() -> None:
    here, there = np.array([0.0, 0.0, 600.0]), np.array([300.0, 0.0, 600.0])
    detection = cast("Any", SimpleNamespace(center_mm=here))

    def lost(last_mm: NDArray[np.float64], side: str) -> Track:
        return cast("Track", SimpleNamespace(center_mm=None, place_mm=last_mm, side=side))

    assert _place([0, 1], [lost(there, "left"), lost(here, "left")], detection, "left") == 1
    assert _place([0, 1], [lost(there, "left"), lost(here, "right")], detection, "left") == 0


def test_a_labelled_hand_keeps_its_place_even_where_the_other_is_followed(network: Network) -> None:
    here, there = np.array([0.0, 0.0, 600.0]), np.array([300.0, 0.0, 600.0])

    def hand(middle_mm: NDArray[np.float64] | None) -> Hand:
        lost = lost_hand(network)
        if middle_mm is None:
            return lost
        joints_mm = np.tile(middle_mm, (21, 1)).astype(np.float32)
        return replace(lost, joints_mm=joints_mm, found=True)

    frames = [(hand(there), hand(None)), (hand(there), hand(here)), (hand(here), hand(there))]
    fake = SimpleNamespace(network=network, reset=lambda: None, update_all=lambda *_: frames.pop(0))
    truth = np.tile(here, (3, 21, 1))
    one = SimpleNamespace(
        recording=SimpleNamespace(truth_xyz_mm=truth), other_mm=np.tile(there, (3, 1))
    )
    place = LabelledPlace(cast("Tracker", fake), cast("Any", one))
    place.reset()
    assert not place.update(np.zeros((1, 1), np.float32), CAMERA).found
    assert place.update(np.zeros((1, 1), np.float32), CAMERA).joints_mm[0, 0] == 0
    assert place.update(np.zeros((1, 1), np.float32), CAMERA).joints_mm[0, 0] == 300


def test_the_command_prints_every_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadstn.bench.hands.two_hand_clips", lambda count, choosing: iter(()))
    ran = CliRunner().invoke(cli, ["bench", "hands", "--clips", "2"])
    assert ran.exit_code == 0, ran.output
    assert "returns seen within 3 frames: 0 of 0" in ran.output


def test_sides_and_stray_hands_are_counted_and_every_measure_is_a_line(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = np.array([0.0, 0.0, 600.0]), np.array([300.0, 0.0, 600.0])
    lost = lost_hand(network)

    def hand(middle_mm: NDArray[np.float64], side: str) -> Hand:
        joints_mm = np.tile(middle_mm, (21, 1)).astype(np.float32)
        return replace(lost, joints_mm=joints_mm, found=True, side=side)

    frames = [
        (hand(here, "left"), hand(there, "right")),
        (hand(here, "right"), lost),
        (hand(here + np.array([0.0, 400.0, 0.0]), "left"), lost),
    ]
    fake = SimpleNamespace(update_all=lambda *_: frames.pop(0))
    monkeypatch.setattr("cadstn.bench.hands.Tracker", lambda network, hands: fake)
    middle_mm = np.tile(np.stack([here, there]), (3, 1, 1))
    depth = [np.zeros((1, 1), np.float32)] * 3
    one = TwoHands("crossing", depth, CAMERA, middle_mm, (True, False), np.ones((3, 2), bool))
    assert follow_two(network, iter([one])).lines() == [
        "both seen: both found in 33.3% of 3 frames",
        "clips in which the hands changed places: 0 of 1 (crossing), 0 of 0 (return)",
        "returns seen within 3 frames: 0 of 0, the median at frame 0; in the old place: 0",
        "frames with one hand in two places: 0; with a hand where none is: 1",
        "side right: 66.7% of 3 found hands",
    ]


def test_alarms_and_finds_are_counted(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    here = np.array([0.0, 0.0, 600.0])
    far = here + np.array([200.0, 0.0, 0.0])
    lost = lost_hand(network)

    def hand(middle_mm: NDArray[np.float64] | None) -> Hand:
        if middle_mm is None:
            return lost
        return replace(lost, joints_mm=np.tile(middle_mm, (21, 1)).astype(np.float32), found=True)

    # Found in time, lost once; found too late; two alarms where there is nobody.
    order = [None, here, None, here, None, None, None, here, far, far, None, None]
    hands = iter([hand(middle_mm) for middle_mm in order])
    fake = SimpleNamespace(update=lambda depth_mm, camera: next(hands))
    monkeypatch.setattr(alarms_module, "Tracker", lambda network: fake)
    frames = [np.zeros((2, 2), np.float32)] * 4
    one, nobody = here[None].astype(np.float32), np.empty((0, 3), np.float32)
    scenes = [alarms_module.Still(frames, CAMERA, middle) for middle in (one, one, nobody)]
    counts = alarms_module.alarms(network, iter(scenes))
    assert counts == alarms_module.Counts(
        frames=12, announced=2, scenes=2, found=1, kept=1, after=2
    )
    assert counts.line() == (
        "12 frames, 2 with a hand where none is (16.67%); of 2 scenes 50.0% found within 3 "
        "frames, then lost in 50.00% of 2 frames"
    )


def test_a_place_at_the_second_hand_is_not_the_labelled_one(network: Network) -> None:
    """The hands are 100 mm apart; the first place is at the second one."""
    here, there = np.array([0.0, 0.0, 600.0]), np.array([100.0, 0.0, 600.0])
    at = [np.tile(middle, (21, 1)).astype(np.float32) for middle in (there, here)]
    hands = [replace(lost_hand(network), joints_mm=joints, found=True) for joints in at]
    fake = SimpleNamespace(network=network, reset=lambda: None, update_all=lambda *_: hands)
    one = SimpleNamespace(
        recording=SimpleNamespace(truth_xyz_mm=np.tile(here, (1, 21, 1))), other_mm=there[None]
    )
    place = LabelledPlace(cast("Tracker", fake), cast("Any", one))
    assert place.update(np.zeros((1, 1), np.float32), CAMERA).joints_mm[0, 0] == 0
