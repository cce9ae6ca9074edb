"""A frame without a hand is answered with what was seen in it."""

import json

import numpy as np
import pytest

import cadstn
from cadstn.errors import CadstnWarning
from cadstn.geometry.camera import Camera
from cadstn.tracking.hand import Refused, refusals

CAMERA = Camera(240, 240, 160, 120, 320, 240)


def test_what_was_refused_is_reported() -> None:
    tracker = cadstn.Tracker()
    state = tracker.state
    assert "no candidate" in refusals(state)
    one = Refused(np.array([0.0, 0.0, 700.0]), 1, 1, "presence 0.41")
    line = refusals(state._replace(refused=(one,)))
    assert line == "1 place refused: 0.70 m away (presence 0.41)"


def test_a_tracker_warns_once_of_depths_that_cannot_be_right() -> None:
    tracker = cadstn.Tracker()
    far = np.full((240, 320), 5000.0, np.float32)
    with pytest.warns(CadstnWarning):
        tracker.update(far, CAMERA)
    tracker.update(far, CAMERA)  # a second warning would be an error here
    line = tracker.why_lost()
    assert line.startswith("no hand found: nearest surface 5.00 m")
    assert "from 0.15 to 2.5 m" in line
    assert "\n" not in line


def test_a_frame_too_small_for_a_hand_is_reported() -> None:
    camera = Camera(60, 60, 40, 24, 80, 48)
    with pytest.warns(CadstnWarning, match="80x48 pixels"):
        cadstn.Tracker().update(np.full((48, 80), 700.0, np.float32), camera)


def test_a_tracked_recording_warns_of_nothing() -> None:
    tracker = cadstn.Tracker()
    for one in cadstn.open_recording("demo"):
        assert tracker.update(one.depth, one.camera).found
        if one.index == 20:
            break
    assert tracker.why_lost() == ""


def test_a_hand_as_plain_values_and_as_a_picture() -> None:
    frame = next(iter(cadstn.open_recording("demo")))
    hand = cadstn.Tracker().update(frame.depth, frame.camera)
    record = json.loads(json.dumps(hand.to_dict()))
    assert record["found"] is True
    assert record["side"] == hand.side
    picture = hand.draw(frame.depth, frame.camera)
    assert picture.shape == (*frame.depth.shape, 3)
    assert (picture != cadstn.Tracker().update(frame.depth * 0, frame.camera).draw(
        frame.depth, frame.camera)).any()  # fmt: skip
    assert repr(hand).startswith(f"Hand({hand.side}, found, at (")


def test_a_frame_of_the_same_time_that_differs_is_tracked() -> None:
    frames = list(cadstn.open_recording("demo"))[:6]
    tracker = cadstn.Tracker()
    first = tracker.update(frames[0].depth, frames[0].camera, 1.0)
    assert tracker.update(frames[0].depth.copy(), frames[0].camera, 1.0) is first
    other = tracker.update(frames[5].depth, frames[5].camera, 1.0)
    assert other is not first
    assert other.how == "followed"
    assert (other.joints_mm != first.joints_mm).any()
