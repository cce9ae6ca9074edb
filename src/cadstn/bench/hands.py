"""Two hands at once: are both found, does each keep its place through crossings and returns?

Rendered clips of the simulator's two-hand scenes. The labelled hand moves as it does there; the
second one is led along a path: past the first, in front of it or behind, or out of the picture and
back.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.picture import other_hands_mm
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking import Hand, Network, Tracker

if TYPE_CHECKING:
    from cadstn.synth.frames import Sequence
    from cadstn.synth.surface import Cones

FRAMES = 75
"""Frames of a clip, at 30 a second."""

WAYS = ("crossing", "return")
"""What the second hand does, clip by clip in turn."""

_SEED, _CHOOSING = (20_261_307, 10_004), (20_261_204, 10_004)
_MM = (700.0, 1000.0)  # the first hand's distance
_MIDDLE = 0.2  # share of the way from the picture's middle to its edge that it goes
_PATH = (20, 50)  # frames between which the second hand crosses, leaves or is away
_STEPS = 12  # frames that leaving and coming back take
_ASIDE_MM = 190.0  # between the hands' middles, at least, where they are apart
_BEHIND_MM = 140.0  # between their depths where they cross
_NEAR_MM = 100.0  # a hand's middle is this near to the truth's, or it is not that hand
_SURFACE_MM = 40.0  # a part of a hand is seen if there is surface so near to it
_SEEN = 0.5  # share of its parts that is seen of a hand that counts
_IN_TIME = 3  # frames within which a hand that comes back is to be seen

FloatArray = NDArray[np.float64]


class TwoHands(NamedTuple):
    """One clip."""

    way: str  # one of `WAYS`
    frames: list[DepthMm]  # depth (H, W) mm
    camera: Camera  # that took them
    middle_mm: FloatArray  # (T, 2, 3) middle of the first and of the second hand
    left: tuple[bool, bool]  # whether the first, and the second, is a left one
    # (T, 2) whether each is in the picture, and half of it not behind something
    seen: NDArray[np.bool_]


@dataclass
class HandCounts:
    """What came of tracking two hands."""

    frames: int = 0  # with both hands seen
    both: int = 0  # of them with both found
    twice: int = 0  # frames in which two places follow one hand
    elsewhere: int = 0  # frames with a place at neither hand
    # in which both were found at all
    clips: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    # of them, by way, in which the hands changed places
    swapped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    returns: int = 0  # hands that came back into the picture
    # frames that passed until each was found; more than there were if it never was
    waited: list[int] = field(default_factory=list)
    own: int = 0  # of the returns, those that got their old place back
    sides: int = 0  # found hands whose side is right
    found: int = 0  # found hands

    def lines(self) -> list[str]:
        """All of it, a line a measure."""
        in_time = sum(frames < _IN_TIME for frames in self.waited)
        median = int(np.median(self.waited)) + 1 if self.waited else 0
        swaps = ", ".join(f"{self.swapped[way]} of {self.clips[way]} ({way})" for way in WAYS)
        return [
            f"both seen: both found in {self.both / max(self.frames, 1):.1%} of "
            f"{self.frames} frames",
            f"clips in which the hands changed places: {swaps}",
            f"returns seen within {_IN_TIME} frames: {in_time} of {self.returns}, the median at "
            f"frame {median}; in the old place: {self.own}",
            f"frames with one hand in two places: {self.twice}; with a hand where none is: "
            f"{self.elsewhere}",
            f"side right: {self.sides / max(self.found, 1):.1%} of {self.found} found hands",
        ]


def two_hand_clips(count: int, *, choosing: bool = False) -> Iterator[TwoHands]:
    """Render clips of two hands, crossings and returns in turn.

    Args:
        count: how many.
        choosing: of the seed that thresholds are chosen on, instead of the test's.
    """
    from cadstn.synth.write import SYNTH_CAMERA

    seed, camera = _CHOOSING if choosing else _SEED, SYNTH_CAMERA
    for number, moving in zip(range(count), _with_second(seed), strict=False):
        way, behind = WAYS[number % len(WAYS)], number // len(WAYS) % 2 == 0
        scene = moving._scene
        own_mm = moving.joints_xyz_mm.mean(1).astype(np.float64)
        before_mm = other_hands_mm(scene)
        other_mm = _path(way, own_mm, before_mm, behind=behind)
        led = copy.copy(moving)
        led._scene = scene._replace(
            cones=_shifted(scene.cones, other_mm - before_mm), second_xyz_mm=None
        )
        frames = [camera.depth_mm(raw) for raw in led.render()]
        yield TwoHands(
            way,
            frames,
            camera,
            np.stack([own_mm, other_mm], 1),
            (moving.left, not moving.left),
            np.stack([_seen(led, hand, frames) for hand in (0, 1)], 1),
        )


def follow_two(
    network: Network, clips: Iterator[TwoHands], on_frame: Callable[[], None] = lambda: None
) -> HandCounts:
    """Track clips of two hands, each from a fresh start; see `HandCounts`."""
    counts = HandCounts()
    for one in clips:
        tracker = Tracker(network, hands=2)
        seen = np.full((len(one.frames), 2), -1)  # which hand each place follows
        for number, depth in enumerate(one.frames):
            hands = tracker.update_all(depth, one.camera, number / 30)
            which = [_which(hand, one.middle_mm[number]) for hand in hands]
            followed = [(hand, k) for hand, k in zip(hands, which, strict=True) if k >= 0]
            counts.found += len(followed)
            counts.sides += sum((hand.side == "left") == one.left[k] for hand, k in followed)
            counts.elsewhere += sum(h.found for h in hands) > len(followed)
            seen[number] = which
            on_frame()
        _count(counts, one, seen)
    return counts


def _count(counts: HandCounts, one: TwoHands, seen: NDArray[np.int_]) -> None:
    both = (seen == 0).any(1) & (seen == 1).any(1)
    both_seen = one.seen.all(1)
    counts.frames += int(both_seen.sum())
    counts.both += int((both & both_seen).sum())
    counts.twice += int(((seen[:, 0] == seen[:, 1]) & (seen[:, 0] >= 0)).sum())
    if both.any():
        order = seen[int(both.argmax())]
        other_way = (seen == 1 - order) & (seen >= 0)
        counts.clips[one.way] += 1
        counts.swapped[one.way] += bool(other_way.any())
    if one.way != "return":
        return
    back = _comes_back(one.seen[:, 1])
    if back in (0, len(seen)):
        return
    places = [int(k) for k in np.flatnonzero((seen[:back] == 1).any(0))]
    again = (seen[back:] == 1).any(1)
    counts.returns += 1
    counts.waited.append(int(again.argmax()) if again.any() else len(seen))
    if again.any() and places:
        counts.own += bool(seen[back + int(again.argmax()), places[0]] == 1)


def _comes_back(seen: NDArray[np.bool_]) -> int:
    """The frame after the longest time (T,) without a hand; 0 if it never was away."""
    longest = end = 0
    for hidden, frames in itertools.groupby(enumerate(seen), key=lambda one: not one[1]):
        run = [frame for frame, _ in frames]
        if hidden and len(run) > longest:
            longest, end = len(run), run[-1] + 1
    return end


def _which(hand: Hand, middle_mm: FloatArray) -> int:
    """The hand that a place follows: 0 or 1; -1 for neither, or nothing."""
    if not hand.found:
        return -1
    away = np.linalg.norm(middle_mm - hand.joints_mm.mean(0), axis=1)
    return int(away.argmin()) if away.min() < _NEAR_MM else -1


def _with_second(seed: tuple[int, int]) -> Iterator[Sequence]:
    """Clips of a first hand near the picture's middle, in whose scene there is a second one."""
    import torch

    from cadstn.synth.draws import Draws
    from cadstn.synth.frames import Sequence
    from cadstn.synth.motion import Frustum
    from cadstn.synth.surroundings import EVERYDAY
    from cadstn.synth.write import SYNTH_CAMERA

    camera = SYNTH_CAMERA
    edges = (_MIDDLE * camera.cx / camera.fx, _MIDDLE * camera.cy / camera.fy)
    for first in itertools.count(0, 64):
        index = torch.arange(first, first + 64)
        there = Draws(seed, index).fork("scene").fork("second").chance(EVERYDAY.second)
        for one in index[there].tolist():
            moving = Sequence(seed, one, camera, FRAMES, frustum=Frustum(_MM, *edges))
            if (other_hands_mm(moving._scene)[:, 2] > 0).all():
                yield moving


def _path(way: str, own_mm: FloatArray, other_mm: FloatArray, *, behind: bool) -> FloatArray:
    """Where the second hand's middle goes: (T, 3) mm."""
    side = 1.0 if (other_mm - own_mm)[:, 0].mean() > 0 else -1.0
    across = np.array([side * _ASIDE_MM, 0.0, 0.0])
    frame = np.arange(len(own_mm))
    first, last = _PATH
    if way == "crossing":
        # From one side to the other; half a wave, so that it begins and ends softly.
        share = np.cos(np.pi * np.clip((frame - first) / (last - first), 0, 1))
        depth = np.array([0.0, 0.0, _BEHIND_MM if behind else -_BEHIND_MM])
        crossing: FloatArray = own_mm + share[:, None] * across + depth
        return crossing
    out = np.clip((frame - first) / _STEPS, 0, 1) - np.clip((frame - last) / _STEPS, 0, 1)
    # So far that it leaves the picture wherever the first hand is.
    away = 1.0 + out * 1.5 * own_mm[:, 2] / _ASIDE_MM
    leaving: FloatArray = own_mm + away[:, None] * across
    return leaving


def _seen(moving: Sequence, hand: int, frames: list[DepthMm]) -> NDArray[np.bool_]:
    """Whether the first or the second hand is seen in each frame: (T,)."""
    from cadstn.synth.scene import HAND_CONES, OTHER

    cones, camera = moving._scene.cones, moving.camera
    first = OTHER.start if hand else 0
    parts = slice(first, first + HAND_CONES)
    middle_mm = ((cones.a + cones.b) / 2)[:, parts].double().numpy()
    uvd = camera.to_uvd(middle_mm)
    column, row = np.round(uvd[..., 0]).astype(int), np.round(uvd[..., 1]).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    out = []
    for depth, u, v, z, there in zip(frames, column, row, middle_mm[..., 2], inside, strict=True):
        surface = depth[np.where(there, v, 0), np.where(there, u, 0)]
        out.append(np.mean(there & (np.abs(surface - z) < _SURFACE_MM)) >= _SEEN)
    return np.array(out)


def _shifted(cones: Cones, shift_mm: FloatArray) -> Cones:
    """The scene's cones with the second hand and its arm moved; the shoulder stays."""
    import torch

    from cadstn.synth.scene import OTHER

    shift = torch.from_numpy(shift_mm).to(cones.a)[:, None]
    a, b = cones.a.clone(), cones.b.clone()
    a[:, OTHER] += shift
    b[:, OTHER.start : OTHER.stop - 1] += shift
    return cones._replace(a=a, b=b)
