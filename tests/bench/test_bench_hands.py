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
