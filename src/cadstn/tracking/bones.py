"""A hand does not change size: bones keep the length that the frames so far agree on."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.hand_shape import DIGITS, mean_lengths_mm
from cadstn.geometry.skeleton import Skeleton

#: Of a bone's agreed length, in mm: how far from it a frame may leave the bone for nothing. Chosen,
#: like `_KEEP`, on 16 rendered recordings of seeds 101 to 116, which are not the test's (LOG.md).
_SLACK_MM = 4.0
#: What is left of a frame's word on lengths one frame later.
_KEEP = 0.99
#: A frame whose bones are longer or shorter than agreed by more than this factor, all in all, shows
#: another person's hand. Frames of one hand: 0.94 to 1.09 (0.5 to 99.5 % of 647 frames of 24
#: rendered recordings, LOG.md).
_OTHER_HAND = 1.15
#: Bones shorter than this have no direction.
_SHORTEST_MM = 0.1
#: By how much a hand's bones differ from the mean hand's of its size, as shares of their length,
#: standard deviations: of the thumb and of a finger, from the wrist to the tip. As the simulator's
#: hands do, after radiographs (`cadstn.synth.shape`).
_DIFFERS = ((0.03, 0.05, 0.055, 0.045), *((0.026, 0.06, 0.065, 0.09),) * (len(DIGITS) - 1))
#: What the sums of frames count beside that: frames share their errors.
_FRAMES = 0.1


class Bones(NamedTuple):
    """The bone lengths that frames agree on, as sums."""

    weight: NDArray[np.float64]  # (N,) of the frames, each by how sure it was; 1 / mm^2
    length: NDArray[np.float64]  # (N,) weighted lengths; mm times weight


def keep_size(
    joints_mm: NDArray[np.floating],
    uncertainty_mm: NDArray[np.floating],
    before: Bones | None,
    skeleton: Skeleton,
) -> tuple[NDArray[np.float64], Bones]:
    """Move joints to where bones have their lengths, the unsure ones farthest.

    One Gauss-Newton step to the least sum of squares of what joints move by, each in units of its
    uncertainty, and of what bones differ from their lengths by, in units of `_SLACK_MM`.

    Args:
        joints_mm: (K, 3) of one frame.
        uncertainty_mm: (K,) above 0.
        before: of the frames before; None for the first. Those of a hand of another size count
            for nothing.
        skeleton: names the N bones.

    Returns:
        Joints (K, 3) in mm, and what is known of bones after this frame.
    """
    ends, either, slack = bone_ends(skeleton.bones, len(skeleton))
    apart_mm = ends @ joints_mm
    length_mm = np.maximum(np.sqrt((apart_mm * apart_mm).sum(1)), _SHORTEST_MM)
    variance = np.square(uncertainty_mm, dtype=np.float64)
    weight = 1 / (either @ variance)
    if before is None or not _same_hand(before, weight, length_mm):
        return np.asarray(joints_mm, np.float64), Bones(weight, weight * length_mm)
    known = Bones(
        _KEEP * before.weight + weight,
        _KEEP * before.length + weight * length_mm,
    )
    along = apart_mm / length_mm[:, None]
    # How much the bones pull on one another: those that share a joint do, if in line.
    pull = (ends * variance @ ends.T) * (along @ along.T) + slack
    force = np.linalg.solve(pull, length_mm - known.length / known.weight)
    return joints_mm - variance[:, None] * (ends.T @ (force[:, None] * along)), known


def likely_lengths_mm(bones: Bones) -> NDArray[np.float64]:
    """Lengths (20,) in mm that a hand of `HAND21` most likely has, after the frames so far.

    A network draws joints of which it is unsure together: it shows the last bones of fingers a
    tenth too short. So frames agree with the mean hand's proportions, which have the hand's size.
    """
    mean_mm, variance = _mean_hand()
    seen = _FRAMES * bones.weight
    shown_mm = bones.length / bones.weight
    weight = mean_mm / (variance + 1 / seen)
    size = (weight * shown_mm).sum() / (weight * mean_mm).sum()
    likely_mm = (seen * shown_mm + size * mean_mm / variance) / (seen + 1 / variance)
    return np.asarray(likely_mm, np.float64)


@cache
def _mean_hand() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (20,) of the mean hand's bones, mm, and their variances among hands of its size."""
    mean_mm = np.array(mean_lengths_mm())
    return mean_mm, np.square(mean_mm * np.ravel(_DIFFERS))


def _same_hand(before: Bones, weight: NDArray[np.float64], length_mm: NDArray[np.float64]) -> bool:
    """Whether bones (N,), weighted by how sure they are, are about as long as was agreed."""
    agreed_mm = before.length / before.weight
    size = (weight * length_mm * agreed_mm).sum() / (weight * agreed_mm * agreed_mm).sum()
    return bool(1 / _OTHER_HAND < size < _OTHER_HAND)


@cache
def bone_ends(
    bones: tuple[tuple[int, int], ...], joints: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(N, K) what subtracts a bone's ends, (N, K) what adds them, and (N, N) the slack."""
    begin, end = np.asarray(bones).T
    matrix = np.zeros((len(begin), joints))
    matrix[np.arange(len(begin)), begin] = -1
    matrix[np.arange(len(end)), end] = 1
    return matrix, np.abs(matrix), _SLACK_MM**2 * np.eye(len(begin))
