"""Real recordings without labels: whether joints lie at the measured surface of the hand.

Definitions, for a joint at (x, y, z) mm in a frame (``joint_on_surface``):

- A pixel is *beside* it by its distance in the plane at the joint's depth: of (u, v) px,
  ``hypot((u - cx) z / fx - x, (v - cy) z / fy - y)``.
- It is *outside the observed hand* if no measured pixel whose depth is within `NEAR_MM` of z is
  beside it by `ASIDE_MM` or less.
- It is outside but *hidden* if a pixel beside it by `ASIDE_MM` or less is nearer to the camera than
  z by more than `NEAR_MM` and at most `BEHIND_MM`: the hand itself may stand before it.
- Its *distance from the surface* is to the nearest of the measured pixels, each put at its depth
  in the camera's frame; at most `REACH_MM`. A correct joint lies under the skin by some 6 to 12 mm.

The spread of bone lengths is std / mean of each bone over the found frames of a shot, averaged
over bones, then over shots by their frames. Jitter is the mean length of the second difference, of
recordings whose frames are numbered one by one; *at rest* it is that of the quarter of the frames
in which the middle of the hand moves least, by its mean over nine frames.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.follow import Follower
from cadstn.errors import CadstnError
from cadstn.evaluate.metrics import acceleration_errors
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, DepthMm
from cadstn.geometry.convention import convert, label_weights
from cadstn.geometry.skeleton import HAND21, NYU14_OF_36, NYU36
from cadstn.io import Recording, open_recording
from cadstn.io.files import error_context
from cadstn.io.joints import lengths

FloatArray = NDArray[np.float64]

NEAR_MM, ASIDE_MM, BEHIND_MM, REACH_MM = 60.0, 10.0, 150.0, 60.0
TIPS = HAND21.tips
KNUCKLES = tuple(HAND21.index(f"{finger}_mcp") for finger in HAND21.fingers)
#: NYU's labels of a recording's frames, a line of u v d each.
LABELS = "joints_uvd_36.txt"
_HALF_WINDOW, _CALM = 4, 0.25


class OnSurface(NamedTuple):
    """How one joint lies to the surface; see the top of this file."""

    outside: bool
    hidden: bool
    away_mm: float


class RealTrack(NamedTuple):
    """One real recording as it was tracked: N frames, lost and unreadable ones are NaN."""

    joints_mm: FloatArray  # (N, K, 3)
    # outside, hidden: (N, K) whether joints are; false where lost
    outside: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    away_mm: FloatArray  # (N, K) from the surface
    bad: int  # how many frames could not be read


def real_recordings(folder: Path) -> dict[str, Recording]:
    """Open a folder's recordings: those with a ``camera.json``, or with a known camera's name.

    Raises:
        CadstnError: if there is none, or one cannot be opened.
    """
    found = {}
    with error_context(folder):
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in inside:
        if any(path.glob("camera.json")) or any(path.glob("*/camera.json")):
            found[path.name] = open_recording(path)
        elif path.name in KNOWN_CAMERAS:
            found[path.name] = open_recording(path, path.name)
    if not found:
        raise CadstnError(
            "holds no recording",
            where=folder,
            hint="give a folder of recordings, each with a camera.json or named as its camera: "
            + ", ".join(KNOWN_CAMERAS),
        )
    return found


def measure_real(
    recordings: Mapping[str, Recording], tracker: Follower, on_frame: Callable[[], None]
) -> dict[str, Any]:
    """Track recordings, each of their shots from a fresh start, and measure them.

    Returns:
        ``recordings`` by name, see `measure_one`; and over all of them ``frames``, ``lost``,
        ``outside`` and ``hidden`` (shares of the joints of all found frames), ``spread`` (mean of
        the recordings') and ``largest_spread``.
    """
    each, joints, outside, hidden = {}, 0, 0, 0
    for name, recording in recordings.items():
        tracked = follow_real(recording, tracker, on_frame)
        each[name] = measure_one(recording, tracked)
        joints += int(np.isfinite(tracked.joints_mm[..., 0]).sum())
        outside += int(tracked.outside.sum())
        hidden += int(tracked.hidden.sum())
    spreads = [one["spread"] for one in each.values() if math.isfinite(one["spread"])]
    return {
        "frames": sum(one["frames"] for one in each.values()),
        "lost": sum(one["lost"] for one in each.values()),
        "outside": outside / joints if joints else math.nan,
        "hidden": hidden / joints if joints else math.nan,
        "spread": float(np.mean(spreads)) if spreads else math.nan,
        "largest_spread": max(spreads, default=math.nan),
        "recordings": each,
    }


def follow_real(
    recording: Recording, tracker: Follower, on_frame: Callable[[], None] = lambda: None
) -> RealTrack:
    """Track a recording, each shot from a fresh start; compare joints with the surface."""
    shape = (len(recording), len(HAND21))
    joints, away = np.full((*shape, 3), np.nan), np.full(shape, np.nan)
    outside, hidden = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    bad = 0

    def left_out(frame: object) -> None:
        nonlocal bad
        bad += 1
        on_frame()

    tracker.reset()
    consecutive = is_consecutive(recording)
    for frame in recording.frames(left_out):
        if frame.cut:
            tracker.reset()
        # What is known of time is its order alone where frames are left out between.
        time_s = frame.time_s if consecutive else None
        hand = tracker.update(frame.depth, frame.camera, time_s)
        if hand.found:
            at = frame.index
            joints[at] = hand.joints_mm
            for k, joint in enumerate(joints[at]):
                on = joint_on_surface(joint, frame.depth, frame.camera)
                outside[at, k], hidden[at, k], away[at, k] = on
        on_frame()
    return RealTrack(joints, outside, hidden, away, bad)


def joint_on_surface(joint_mm: FloatArray, depth_mm: DepthMm, camera: Camera) -> OnSurface:
    """How a joint (3,) lies to the measured surface (H, W); see the top of this file."""
    x, y, z = (float(value) for value in joint_mm)
    if not z > 0:
        return OnSurface(True, False, REACH_MM)
    # All that can count lies in this window: what is nearer to the camera is seen larger.
    reach = REACH_MM / max(z - REACH_MM, 1.0)
    u, v = x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy
    wide, high = reach * (1 + abs(x / z)) * camera.fx, reach * (1 + abs(y / z)) * camera.fy
    height, width = depth_mm.shape
    left, right = (int(np.clip(edge, 0, width)) for edge in (u - wide, u + wide + 1))
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (v - high, v + high + 1))
    d = depth_mm[top:bottom, left:right].astype(np.float64)
    ray_x = (np.arange(left, right) - camera.cx) / camera.fx
    ray_y = ((np.arange(top, bottom) - camera.cy) / camera.fy)[:, None]
    seen = d > 0  # NaN is not measured either
    close = np.hypot(ray_x * z - x, ray_y * z - y) <= ASIDE_MM
    behind = z - d  # how far the joint is behind what is seen
    inside = seen & close & (np.abs(behind) <= NEAR_MM)
    before = seen & close & (behind > NEAR_MM) & (behind <= BEHIND_MM)
    square = (ray_x * d - x) ** 2 + (ray_y * d - y) ** 2 + behind**2
    nearest = math.sqrt(square[seen].min()) if seen.any() else REACH_MM
    outside = not inside.any()
    return OnSurface(outside, outside and bool(before.any()), min(nearest, REACH_MM))


def measure_one(recording: Recording, tracked: RealTrack) -> dict[str, Any]:
    """Measure one recording as it was tracked.

    Returns:
        ``frames``, ``bad``, ``lost``; of the joints of found frames the shares ``outside`` and
        ``hidden`` (part of it); ``tips_mm`` and ``knuckles_mm``: median and 95th percentile of the
        distance from the surface; ``spread`` of bone lengths; ``jitter_mm_frame2`` and the same
        ``at_rest``, NaN where frames are not consecutive; ``labels``, None without.
    """
    found = np.isfinite(tracked.joints_mm[:, 0, 0])
    cuts = recording.cuts
    shake, rest = math.nan, math.nan
    if is_consecutive(recording):
        shake, rest = jitter_and_rest(tracked.joints_mm, cuts)

    def distance(which: tuple[int, ...]) -> list[float]:
        away = tracked.away_mm[found][:, which]
        return np.percentile(away, (50, 95)).tolist() if away.size else [math.nan] * 2

    return {
        "frames": len(recording),
        "bad": tracked.bad,
        "lost": len(recording) - tracked.bad - int(found.sum()),
        "outside": float(tracked.outside[found].mean()) if found.any() else math.nan,
        "hidden": float(tracked.hidden[found].mean()) if found.any() else math.nan,
        "tips_mm": distance(TIPS),
        "knuckles_mm": distance(KNUCKLES),
        "spread": bone_spread(tracked.joints_mm, cuts),
        "jitter_mm_frame2": shake,
        "jitter_at_rest_mm_frame2": rest,
        "labels": label_errors(recording, tracked.joints_mm),
    }


def bone_spread(joints_mm: FloatArray, cuts: tuple[int, ...] = ()) -> float:
    """Spread of bone lengths of (N, 21, 3), NaN where lost: see the top of this file."""
    near, far = np.array(HAND21.bones).T
    spreads, frames = [], []
    for first, last in itertools.pairwise((0, *cuts, len(joints_mm))):
        shot = joints_mm[first:last]
        shot = shot[np.isfinite(shot[:, 0, 0])]
        if len(shot) > 1:
            bones = lengths(shot[:, far] - shot[:, near])
            spreads.append(float((bones.std(0) / bones.mean(0)).mean()))
            frames.append(len(shot))
    return float(np.average(spreads, weights=frames)) if spreads else math.nan


def jitter_and_rest(joints_mm: FloatArray, cuts: tuple[int, ...] = ()) -> tuple[float, float]:
    """Jitter of (N, K, 3) in mm/frame^2, of all frames and of those at rest; NaN if of none."""
    size = acceleration_errors(joints_mm, np.zeros_like(joints_mm), cuts)
    whole = np.isfinite(size)
    if not whole.any():
        return math.nan, math.nan
    middle = joints_mm.mean(1)
    speed = np.full(len(size), np.nan)
    reach = 2 * _HALF_WINDOW
    if len(middle) > reach:
        # The mean step over a window is what lies between its ends.
        speed[_HALF_WINDOW:-_HALF_WINDOW] = lengths(middle[reach:] - middle[:-reach]) / reach
    for cut in cuts:
        speed[max(cut - _HALF_WINDOW, 0) : cut + _HALF_WINDOW] = np.nan
    calm = whole & np.isfinite(speed)
    if not calm.any():
        return float(size[whole].mean()), math.nan
    calm &= speed <= np.quantile(speed[calm], _CALM)
    return float(size[whole].mean()), float(size[calm].mean())


def label_errors(recording: Recording, joints_mm: FloatArray) -> dict[str, Any] | None:
    """Errors against NYU's labels, where the recording's folder has them; None elsewhere.

    Returns:
        ``nyu36_mm``, ``nyu14_mm`` (the labels that NYU's test scores) and ``shared_mm`` (those that
        are joints of ours as they are, no mean of two): mean errors over found frames; and
        ``per_label_mm`` by name.

    Raises:
        CadstnError: if the file does not hold 36 labels a frame.
    """
    file = recording.path / LABELS
    if not file.is_file():
        return None
    try:
        uvd = np.loadtxt(file).reshape(len(recording), len(NYU36), 3)
    except ValueError as error:
        raise CadstnError(
            f"not 36 labels for {len(recording)} frames ({error})",
            where=file,
            hint="give a line u v d for each label",
        ) from None
    truth = recording.camera.to_xyz_mm(uvd)
    errors = lengths(np.asarray(convert(joints_mm, NYU36.name), np.float64) - truth)
    errors = errors[np.isfinite(errors[:, 0])]
    each = errors.mean(0) if len(errors) else np.full(len(NYU36), np.nan)
    shared = label_weights(NYU36.name).max(1) == 1
    return {
        "nyu36_mm": float(each.mean()),
        "nyu14_mm": float(each[list(NYU14_OF_36)].mean()),
        "shared_mm": float(each[shared].mean()),
        "per_label_mm": dict(zip(NYU36.joints, each.tolist(), strict=True)),
    }


def is_consecutive(recording: Recording) -> bool:
    """Whether frames are numbered one by one within every shot, by the names of their files."""
    numbers = [re.findall(r"\d+", Path(name).stem) for name in recording.names]
    if len(numbers) < 3 or not all(numbers):
        return False
    steps = np.diff([int(found[-1]) for found in numbers])
    within = np.ones(len(steps), np.bool_)
    within[[cut - 1 for cut in recording.cuts]] = False
    return bool((steps[within] == 1).all())
