"""How often a hand is announced where there is none, and found where there is one.

Rendered scenes (`cadstn.synth.whole`) are still for a few frames, each with noise of its own, and
seen by a camera of 320x240 pixels; real frames without a hand, and real hands cut out of their
frames, only measure: nothing was trained on them or chosen by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cadstn.bench.track import without_hands
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.io import open_recording
from cadstn.synth.raster import camera_view
from cadstn.synth.whole import FOUND, HEIGHT, WIDTH, measured, place_labels, sample_whole
from cadstn.tracking import Hand, Network, Tracker

#: No frame of it is trained on or chosen by. Figures before were measured on (5, 31), (8, 31),
#: (9, 31), (10, 31) and (11, 31).
_SEED = (12, 31)
_CHOOSING = (6, 31)
_STILL = 4  # frames a scene is still for
_AT_ONCE = 16
_TIMES = 2  # a reduced frame's pixels along one of the camera's
NEAR_MM = 60.0  # a hand's middle is this near to the truth's, or it is not that hand


class Still(NamedTuple):
    """One still scene."""

    frames: list[DepthMm]  # depth (H, W) mm
    camera: Camera  # that took them
    hands_mm: NDArray[np.float32]  # (N, 3) middle of each hand that can be found


@dataclass
class Counts:
    """What came of tracking still scenes."""

    frames: int = 0  # tracked
    announced: int = 0  # of them with a hand where none is
    scenes: int = 0  # with exactly one hand to find
    found: int = 0  # of them with that hand found within three frames
    kept: int = 0  # of the frames after that, those that still have it
    after: int = 0  # frames after that

    def line(self) -> str:
        """All of it in one line."""
        share = self.announced / max(self.frames, 1)
        text = f"{self.frames} frames, {self.announced} with a hand where none is ({share:.2%})"
        if self.scenes:
            found, lost = self.found / self.scenes, 1 - self.kept / max(self.after, 1)
            text += f"; of {self.scenes} scenes {found:.1%} found within 3 frames, then lost in "
            text += f"{lost:.2%} of {self.after} frames"
        return text


def still_scenes(
    count: int, *, hands: float, choosing: bool = False, first: int = 0
) -> Iterator[Still]:
    """Render scenes that are still for four frames.

    Args:
        count: the number of the scene to end before.
        hands: share of them with a hand.
        choosing: of the seed that thresholds are chosen on, instead of the test's.
        first: which scene to begin with.
    """
    seed = _CHOOSING if choosing else _SEED
    for begin in range(first, count, _AT_ONCE):
        index = torch.arange(begin, min(count, begin + _AT_ONCE))
        scene = sample_whole(seed, index, hands=hands)
        focal = (scene.focal * _TIMES).tolist()
        width, height = WIDTH * _TIMES, HEIGHT * _TIMES
        middle = ((WIDTH - 1) / 2 * _TIMES, (HEIGHT - 1) / 2 * _TIMES)
        cameras = [Camera(f, f, *middle, width, height) for f in focal]
        views = [camera_view(camera) for camera in cameras]
        view = views[0]._replace(
            x0=torch.cat([v.x0 for v in views]),
            y0=torch.cat([v.y0 for v in views]),
            step_x=torch.cat([v.step_x for v in views]),
            step_y=torch.cat([v.step_y for v in views]),
        )
        shots = []
        for k in range(_STILL):
            depth = measured(scene, view, noise=f"noise {k}")
            shots.append(torch.where(depth.isfinite(), depth, 0.0).numpy())
        labels = place_labels(scene, shots[0][:, ::_TIMES, ::_TIMES])
        for i, camera in enumerate(cameras):
            there = labels.found[i] == FOUND
            uvd = labels.center_uvd[i, there] * np.array([_TIMES, _TIMES, 1], np.float32)
            hands_mm = np.asarray(camera.to_xyz_mm(uvd), np.float32)
            unsure = (labels.found[i] != FOUND) & scene.present[i]
            if hands > 0 and (unsure.any() or not there.any()):
                continue
            yield Still([shot[i] for shot in shots], camera, hands_mm)


def alarms(
    network: Network, scenes: Iterator[Still], on_frame: Callable[[], None] = lambda: None
) -> Counts:
    """Track still scenes, each from a fresh start; see `Counts`."""
    counts = Counts()
    for scene in scenes:
        tracker = Tracker(network)
        when: int | None = None
        for number, depth in enumerate(scene.frames):
            hand = tracker.update(depth, scene.camera)
            counts.frames += 1
            right = hand.found and _is_one_of(hand, scene.hands_mm)
            counts.announced += hand.found and not right
            if right and when is None:
                when = number
            elif when is not None:
                counts.after += 1
                counts.kept += right
            on_frame()
        if len(scene.hands_mm):
            counts.scenes += 1
            counts.found += when is not None and when < 3
    return counts


def _is_one_of(hand: Hand, hands_mm: NDArray[np.float32]) -> bool:
    center = hand.joints_mm[[5, 9, 13, 17]].mean(0)
    return bool((np.linalg.norm(hands_mm - center, axis=1) < NEAR_MM).any())


def real_alarms(network: Network, real: Path) -> dict[str, tuple[int, int]]:
    """Announced hands and frames of real recordings without one; see the issue's table.

    Args:
        network: see `cadstn.tracking.load_network`.
        real: folder with ``no_hand``, ``kinect2`` and ``sr305``.

    Returns:
        By name: frames with a hand announced, and frames.
    """
    out = {}
    truedepth = Camera(436.5, 436.5, 321.6, 239.5, depth_unit_mm=0.1)
    tracker = Tracker(network)
    frames = [frame.depth for frame in open_recording(real / "no_hand", truedepth)]
    camera = truedepth.sized(640, 480)
    out["no_hand, as a stream"] = _announced(tracker, frames, camera, fresh=False)
    out["no_hand, frame by frame"] = _announced(tracker, frames, camera, fresh=True)
    for name in ("kinect2", "sr305"):
        whole = [(f.depth, f.camera) for f in open_recording(real / name, name)]
        without = [depth for depth, _ in without_hands(network, whole)]
        camera = whole[-1][1]
        for fresh in (False, True):
            way = "frame by frame" if fresh else "as a stream"
            out[f"{name}, hand cut out, {way}"] = _announced(tracker, without, camera, fresh=fresh)
    two = Tracker(network, hands=2)
    seen = [
        two.update_all(frame.depth, frame.camera)
        for frame in open_recording(real / "sr305", "sr305")
    ]
    out["sr305, second hands"] = (sum(sum(h.found for h in hands) > 1 for hands in seen), len(seen))
    return out


def _announced(
    tracker: Tracker, frames: Sequence[DepthMm], camera: Camera, *, fresh: bool
) -> tuple[int, int]:
    tracker.reset()
    count = 0
    for depth in frames:
        if fresh:
            tracker.reset()
        count += tracker.update(depth, camera).found
    return count, len(frames)
