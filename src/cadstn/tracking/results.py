"""Track a whole recording and write what came of it: joints, pictures, a summary."""

from __future__ import annotations

import csv
import json
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn._version import __version__
from cadstn.geometry.arrays import quantiles
from cadstn.geometry.plausible import StreamCheck, describe_scene
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import BadFrame, Recording
from cadstn.io.folder import whole_folder
from cadstn.io.joints import write_joints_uvd
from cadstn.io.text import csv_cell
from cadstn.tracking import Hand, Tracker
from cadstn.tracking.excerpt import frame_count, frame_index
from cadstn.tracking.hand import refusals
from cadstn.tracking.records import Identities
from cadstn.tracking.video import VideoFile
from cadstn.tracking.views import Image, contact_sheet, in_front, overlay

#: Files that `track_recording` writes; their names are an interface.
OUTPUTS = (
    "joints.npz", "joints.csv", "joints_uvd.txt", "overlay.webm", "contact.png", "summary.json",
)  # fmt: skip
#: The video, and what it is called where OpenCV writes no WebM.
VIDEOS = ("overlay.webm", "overlay.mp4")
_SHEET_FRAMES = 12
#: Files of hands after the first.
_HANDS = re.compile(r"joints-[2-9]\d*\.(npz|csv)")


@dataclass(frozen=True)
class Tracked:
    """Joints of a whole recording; a frame that is lost or bad is NaN."""

    joints_xyz_mm: NDArray[np.float32]  # (N, K, 3) float32, camera frame
    found: NDArray[np.bool_]  # (N,) whether there is a hand
    time_s: NDArray[np.float64]  # (N,) time of each frame
    names: tuple[str, ...]  # of the frames
    skeleton: Skeleton  # of the joints
    confidence: NDArray[np.float32]  # (N, K) 0 to 1, see `cadstn.tracking.Hand`; 0 where lost
    # (N, K) error scale, see `cadstn.tracking.Hand`; NaN where lost or unknown
    uncertainty_mm: NDArray[np.float32]
    present: NDArray[np.float32]  # (N,) 0 to 1; NaN where lost or unknown
    side: NDArray[np.str_]  # (N,) ``left``, ``right`` or ``unknown``
    # (N,) the number of the hand that is followed, one more each time that a hand is acquired; -1
    # where lost
    identity: NDArray[np.int64]
    frame_index: NDArray[np.int64]  # (N,) of each frame in the whole recording, counted from 0
    frame_count: int  # how many frames the whole recording has


def track_recording(
    recording: Recording,
    tracker: Tracker,
    out: Path,
    *,
    on_bad: Callable[[BadFrame], None] = lambda bad: None,
    on_frame: Callable[[], None] = lambda: None,
    on_warning: Callable[[str], None] = lambda line: None,
    video: bool = True,
    about: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Track every frame and write `OUTPUTS` into a folder, all of them or none.

    Of a tracker of several hands the others are written to ``joints-2.npz``, ``joints-2.csv`` and
    so on. ``summary.json`` counts frames with any hand; its error is the first one's.

    Args:
        recording: what to track; each of its shots begins with a fresh tracker.
        tracker: holds the network.
        out: folder to write to; made if it is not there.
        on_bad: called with each frame that cannot be read.
        on_frame: called after each frame, for a progress bar.
        on_warning: called with one line, once, for depth, a camera or hands that cannot be right.
        video: whether to write the overlay video.
        about: more entries of the summary, fit for JSON.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        CadstnError: if no frame can be read, or ``out`` cannot be written to.
    """
    others = range(1, len(tracker.state.tracks))
    names = [*OUTPUTS, *(name for name in VIDEOS if name not in OUTPUTS)]
    names += [f"{hand_name(place)}.{kind}" for place in others for kind in ("npz", "csv")]
    # Of a run before, with more hands.
    old = [path.name for path in out.glob("joints-*") if _HANDS.fullmatch(path.name)]
    optional = [*VIDEOS, *(name for name in old if name not in names)]
    with whole_folder(
        out,
        dict.fromkeys([*names, *old]),
        optional=optional,
        inputs=[recording.path],
        summary="summary.json",
    ) as work:
        summary = _track_into(
            recording, tracker, work, on_bad, on_frame, on_warning, video, dict(about or {})
        )
    return summary


def _track_into(
    recording: Recording,
    tracker: Tracker,
    out: Path,
    on_bad: Callable[[BadFrame], None],
    on_frame: Callable[[], None],
    on_warning: Callable[[str], None],
    with_video: bool,
    about: dict[str, Any],
) -> dict[str, Any]:
    skeleton, total, started = tracker.network.skeleton, len(recording), time.perf_counter()
    places = [_empty(recording, skeleton) for _ in tracker.state.tracks]
    tracked = places[0]
    how = ["bad"] * total
    took_ms: list[float] = []
    bad: list[BadFrame] = []
    warnings: list[str] = []
    chosen = set(np.linspace(0, total - 1, min(_SHEET_FRAMES, total)).round().astype(int).tolist())
    sheet: list[Image] = []
    check, number, without = StreamCheck(), Identities(), ""

    def note(frame: BadFrame) -> None:
        bad.append(frame)
        on_bad(frame)
        on_frame()

    video = VideoFile(out / "overlay", recording.camera.fps)
    tracker.reset()
    try:
        for frame in recording.frames(note):
            if frame.cut:
                tracker.reset()
            began = time.perf_counter()
            hands = tracker.update_all(
                frame.depth, frame.camera, frame.time_s, unit="mm", check=False
            )
            shown, others = in_front(hands)
            took_ms.append((time.perf_counter() - began) * 1000)
            lines = check.depth(frame.depth, recording.camera)
            lines += check.hand(shown.joints_mm) if shown.found else []
            warnings += lines
            for line in lines:
                on_warning(line)
            if not (any(one.found for one in hands) or without):
                without = describe_scene(frame.depth, refusals(tracker.state))
            for place, one in enumerate(hands):
                _keep(places[place], frame.index, one, number(place, one))
            how[frame.index] = shown.how
            if with_video or frame.index in chosen or not sheet:
                caption = f"{frame.name}  {frame.time_s:.2f} s  {shown.how}"
                picture = overlay(frame.depth, frame.camera, shown, skeleton, caption, others)
                if frame.index in chosen or not sheet:
                    sheet.append(picture)
                if with_video:
                    video.write(picture)
            on_frame()
    finally:
        video.close()
    video.check()
    # Not cv2.imwrite: it crashes on a path that is not UTF-8, and hides a full disk.
    (out / "contact.png").write_bytes(cv2.imencode(".png", contact_sheet(sheet))[1].tobytes())
    for place, one_place in enumerate(places):
        _write_joints(one_place, out, hand_name(place))
    write_joints_uvd(out / "joints_uvd.txt", recording.camera.to_uvd(tracked.joints_xyz_mm))
    summary = _summary(recording, places, how, bad, took_ms) | about
    summary["seconds"] = round(time.perf_counter() - started, 3)
    summary["warnings"] = warnings
    summary["without_hand"] = without or None
    summary["video"] = None if video.path is None else video.path.name
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _empty(recording: Recording, skeleton: Skeleton) -> Tracked:
    """A recording of which nothing is tracked yet."""
    frames, joints = len(recording), len(skeleton)
    return Tracked(
        np.full((frames, joints, 3), np.nan, np.float32),
        np.zeros(frames, np.bool_),
        np.array([recording.time_s(index) for index in range(frames)]),
        recording.names,
        skeleton,
        np.zeros((frames, joints), np.float32),
        np.full((frames, joints), np.nan, np.float32),
        np.full(frames, np.nan, np.float32),
        np.full(frames, "unknown", "U7"),
        np.full(frames, -1, np.int64),
        np.array(frame_index(recording), np.int64),
        frame_count(recording),
    )


def _keep(tracked: Tracked, index: int, hand: Hand, identity: int | None) -> None:
    """Keep one frame's hand, in place."""
    tracked.joints_xyz_mm[index] = hand.joints_mm
    tracked.found[index] = hand.found
    tracked.confidence[index] = hand.confidence
    tracked.uncertainty_mm[index] = hand.uncertainty_mm
    tracked.present[index] = hand.present
    tracked.side[index] = hand.side
    tracked.identity[index] = -1 if identity is None else identity


def hand_name(place: int) -> str:
    """Name of the files of the hand in a place: ``joints``, and ``joints-2`` of the second."""
    return "joints" if place == 0 else f"joints-{place + 1}"


def _write_joints(tracked: Tracked, out: Path, stem: str) -> None:
    names = tracked.skeleton.joints
    np.savez_compressed(
        out / f"{stem}.npz",
        joints_xyz_mm=tracked.joints_xyz_mm,
        found=tracked.found,
        confidence=tracked.confidence,
        uncertainty_mm=tracked.uncertainty_mm,
        present=tracked.present,
        side=tracked.side,
        identity=tracked.identity,
        time_s=tracked.time_s,
        joint_names=np.array(names),
        skeleton=np.array(tracked.skeleton.name),
        centre=np.array("found"),  # the name in the file
        frames=np.array(tracked.names),
        # By these two 'cadstn score' finds the rows of the truth.
        frame_index=tracked.frame_index,
        frame_count=np.array(tracked.frame_count, np.int64),
    )
    with (out / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        coordinates = [f"{n}_{a}_mm" for n in names for a in "xyz"]
        scales = [f"{n}_uncertainty_mm" for n in names]
        rows.writerow(
            ["frame", "time_s", "found", *coordinates, "side", "present", "identity", *scales]
        )
        for k, name in enumerate(tracked.names):
            found = bool(tracked.found[k])
            numbers = [*tracked.joints_xyz_mm[k].ravel(), tracked.present[k]]
            *pose, present = [f"{v:.3f}" if np.isfinite(v) else "" for v in numbers]
            error = [f"{v:.1f}" if np.isfinite(v) else "" for v in tracked.uncertainty_mm[k]]
            identity = tracked.identity[k] if found else ""
            rows.writerow(
                [
                    csv_cell(name), f"{tracked.time_s[k]:.4f}", int(found), *pose,
                    tracked.side[k], present, identity, *error,
                ]
            )  # fmt: skip


def _summary(
    recording: Recording,
    places: Sequence[Tracked],
    how: list[str],
    bad: list[BadFrame],
    took_ms: list[float],
) -> dict[str, Any]:
    """Gather what a person wants to know first."""
    p50, p99 = quantiles(took_ms, (0.5, 0.99))
    tracked = places[0]
    found = np.array([one.found for one in places])
    first = next((i for i, state in enumerate(how) if state == "found"), None)
    place = None
    if first is not None:
        center = places[int(found[:, first].argmax())].joints_xyz_mm[first].mean(0, np.float64)
        place = {
            "frame": tracked.names[first],
            "center_xyz_mm": [round(float(v), 1) for v in center],
            "center_uv_px": [round(float(v), 1) for v in recording.camera.to_uvd(center)[:2]],
        }
    summary: dict[str, Any] = {
        "recording": str(recording.path),
        "frames": len(recording),
        "tracked": int(found.any(0).sum()),
        "tracked_by_place": found.sum(1).tolist(),
        "lost": how.count("lost"),
        "bad": len(bad),
        "bad_frames": [{"frame": b.name, "error": str(b.error)} for b in bad],
        "first_found": place,
        "searches": how.count("found"),
        "sides": {
            side: sum(int((one.side == side).sum()) for one in places) for side in ("left", "right")
        },
        "ms_per_frame": {"p50": round(p50, 2), "p99": round(p99, 2)},
        "skeleton": tracked.skeleton.name,
        "error": None,
        "cadstn": __version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    truth = recording.truth_xyz_mm
    if truth is not None and recording.skeleton == tracked.skeleton:
        from cadstn.evaluate import score

        # Frames whose truth is that there is no hand have no error; time breaks there.
        kept = np.flatnonzero(np.isfinite(truth).all((1, 2)))
        if not tracked.found[kept].any():
            return summary
        breaks = np.flatnonzero((np.diff(kept) > 1) | np.isin(kept[1:], recording.cuts)) + 1
        scores = score(tracked.joints_xyz_mm[kept], truth[kept], breaks.tolist())
        summary["error"] = scores.to_dict()
    return summary
