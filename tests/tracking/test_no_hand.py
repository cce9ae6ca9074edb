"""Things that are no hands: what is cut out, and what takes a followed hand's place."""

import numpy as np
import pytest

from cadstn.bench.track import demo_frames, without_hands
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.network import Network
from cadstn.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def frames() -> list[tuple[DepthMm, Camera]]:
    return demo_frames(320)[:60]


def test_a_person_without_a_hand_is_no_hand(
    network: Network, frames: list[tuple[DepthMm, Camera]]
) -> None:
    empty = without_hands(network, frames)
    assert len(empty) > 50
    found = [i for i, frame in enumerate(empty) if Tracker(network).update(*frame).found]
    assert found == []


@pytest.mark.parametrize("after", [9, 20, 35])
@pytest.mark.parametrize("thing", ["arm", "board"])
def test_what_takes_a_followed_hands_place_is_not_followed(
    network: Network, frames: list[tuple[DepthMm, Camera]], after: int, thing: str
) -> None:
    tracker = Tracker(network)
    for frame in frames[:after]:
        hand = tracker.update(*frame)
    assert hand.found
    _, camera = frames[0]
    pixels = camera.to_uvd(hand.joints_mm)[:, :2]
    (left, top), (right, bottom) = pixels.min(0).astype(int), pixels.max(0).astype(int)
    depth_mm = np.zeros((camera.height, camera.width), np.float32)
    distance_mm = hand.joints_mm[:, 2].mean()
    if thing == "arm":
        middle = (left + right) // 2
        depth_mm[max(0, top - 200) :, middle - 15 : middle + 15] = distance_mm
    else:
        depth_mm[top:bottom, left:right] = distance_mm
    hand = tracker.update(depth_mm, camera)
    assert not hand.found
    assert np.isnan(hand.joints_mm).all()
