"""The shipped network on real frames, none of them trained on: the skeleton lies on the hand."""

import numpy as np
import pytest

from cadstn.geometry.camera import KNOWN_CAMERAS
from cadstn.geometry.skeleton import HAND21
from cadstn.io import open_recording
from cadstn.tracking.hand import Hand
from cadstn.tracking.tracker import Tracker

from ..conftest import SHARED

pytestmark = pytest.mark.skipif(
    not (SHARED / "real").is_dir(), reason="no ../shared/real beside the project"
)


def track(name: str, most: int = 1000) -> list[Hand]:
    tracker = Tracker()
    hands = []
    for frame in open_recording(SHARED / "real" / name, name):
        if frame.index == most:
            break
        if frame.cut:
            tracker.reset()
        hands.append(tracker.update(frame.depth, frame.camera))
    return hands


@pytest.mark.parametrize(("name", "frames"), [("kinect2", 60), ("sr305", 19), ("nyu", 1)])
def test_no_frame_is_lost_and_joints_lie_on_skin(name: str, frames: int) -> None:
    hands = track(name, frames)
    assert len(hands) == frames
    assert all(hand.found for hand in hands)
    assert np.mean([hand.agreement for hand in hands]) > 0.8


def test_kinect_hand_is_nearer_than_the_person() -> None:
    """The person stands beyond 900 mm: no joint may lie on the chest or the wall."""
    for hand in track("kinect2", 60):
        assert hand.joints_mm[:, 2].max() < 850


def test_nyu_fingertips() -> None:
    """Fingertips and wrist of the labelled frame; labels 0, 6, 12, 18, 24 of 36 are the tips."""
    labels = KNOWN_CAMERAS["nyu"].to_xyz_mm(np.loadtxt(SHARED / "real/nyu/joints_uvd_36.txt"))
    (hand,) = track("nyu")
    tips = [HAND21.index(f"{f}_tip") for f in ("pinky", "ring", "middle", "index", "thumb")]
    errors = np.linalg.norm(hand.joints_mm[tips] - labels[[0, 6, 12, 18, 24]], axis=1)
    assert errors.mean() < 40
