from __future__ import annotations

import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.synth.contact import penetration_mm, relevant_pairs
from cadstn.synth.gestures import (
    FINGER_STATES,
    GESTURES,
    THUMB_STATES,
    gesture,
    vocabulary,
)
from cadstn.synth.hand import ANGLES, LIMITS_DEG, Cones, forward
from cadstn.synth.shape import average_shape

TIPS = {"t": 4, "i": 8, "m": 12, "r": 16, "p": 20}


def cones_of_all() -> Cones:
    angles, _ = vocabulary()
    return forward(angles, average_shape(len(angles)))[1]


def test_vocabulary_is_as_large_as_asked_and_every_word_is_known() -> None:
    assert len(GESTURES) >= 40
    assert sum(name.startswith("letter_") for name in GESTURES) >= 15
    for pose in GESTURES.values():
        assert len(pose.fingers) == 4
        assert set(pose.fingers) <= set(FINGER_STATES)
        assert pose.thumb in THUMB_STATES
        assert set(pose.pinch) <= set("imrp")


def test_gestures_keep_the_limits() -> None:
    angles, pinch = vocabulary()
    assert angles.shape == (len(GESTURES), len(ANGLES))
    assert pinch.shape == (len(GESTURES), 4)
    low, high = torch.deg2rad(torch.tensor(LIMITS_DEG)).T
    assert (angles >= low - 1e-6).all()
    assert (angles <= high + 1e-6).all()


def test_gestures_are_distinct() -> None:
    """Some joint of any two is in another place by more than a fingertip's breadth."""
    angles, _ = vocabulary()
    joints, _ = forward(angles, average_shape(len(angles)))
    apart = (joints[:, None] - joints[None]).norm(dim=-1).amax(-1)
    apart.fill_diagonal_(torch.inf)
    i, j = divmod(int(apart.argmin()), len(angles))
    assert apart[i, j] > 10, (list(GESTURES)[i], list(GESTURES)[j])


def test_nothing_is_inside_of_anything() -> None:
    deepest = penetration_mm(cones_of_all()).amax(1)
    worst = int(deepest.argmax())
    assert deepest[worst] < 1.0, list(GESTURES)[worst]


def test_tips_that_are_to_meet_do() -> None:
    depth = penetration_mm(cones_of_all())
    pairs = relevant_pairs(depth.device)
    for row, (name, pose) in enumerate(GESTURES.items()):
        for letter in pose.pinch:
            finger = {"i": "index", "m": "middle", "r": "ring", "p": "pinky"}[letter]
            gap = -max(
                depth[row, q].item() for q, n in enumerate(pairs.names) if n == f"{finger}-thumb"
            )
            assert gap < 3.0, (name, finger, gap)


@pytest.mark.parametrize(
    ("name", "straight", "bent"),
    [("point", "i", "mrp"), ("victory", "im", "rp"), ("shaka", "tp", "imr"), ("five", "timrp", "")],
)
def test_a_gesture_looks_as_it_is_called(name: str, straight: str, bent: str) -> None:
    joints, _ = forward(gesture(name)[None], average_shape())
    reach = joints[0].norm(dim=-1)
    for letter in straight:
        root = TIPS[letter] - 3
        chain = joints[0, root : root + 4].diff(dim=0).norm(dim=-1).sum()
        assert (joints[0, root + 3] - joints[0, root]).norm() > 0.95 * chain, letter
    for letter in bent:
        assert reach[TIPS[letter]] < reach[TIPS[letter] - 2], letter


def test_unknown_gesture_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match="victory"):
        gesture("victori")
