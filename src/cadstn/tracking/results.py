"""Track a whole recording and write what came of it: joints, pictures, a summary."""

from __future__ import annotations

import csv
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.evaluate import score, write_joints_uvd
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import BadFrame, Recording
from cadstn.io.text import csv_cell
from cadstn.io.whole import whole_folder
from cadstn.tracking import Tracker
from cadstn.tracking.views import contact_sheet, overlay

#: Files that `track_recording` writes; their names are an interface.
OUTPUTS = (
    "joints.npz", "joints.csv", "joints_uvd.txt", "overlay.mp4", "contact.png", "summary.json",
)  # fmt: skip
VIDEO = "overlay.mp4"
_SHEET_FRAMES = 12


@dataclass(frozen=True)
class Tracked:
    """Joints of a whole recording; a frame that is lost or bad is NaN.

    Attributes:
        joints_xyz_mm: (N, K, 3) float32, camera frame.
        found: (N,) whether there is a hand.
        time_s: (N,) time of each frame.
        names: of the frames.
        skeleton: of the joints.
        confidence: (N, K) 0 to 1, see `cadstn.tracking.Hand`; 0 where lost.
    """

    joints_xyz_mm: NDArray[np.float32]
    found: NDArray[np.bool_]
    time_s: NDArray[np.float64]
    names: tuple[str, ...]
    skeleton: Skeleton
    confidence: NDArray[np.float32]


def track_recording(
    recording: Recording,
    tracker: Tracker,
    out: Path,
    *,
    on_bad: Callable[[BadFrame], None] = lambda bad: None,
    on_frame: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Track every frame and write `OUTPUTS` into a folder, all of them or none.

    Args:
        recording: what to track; each of its shots begins with a fresh tracker.
        tracker: holds the network.
        out: folder to write to; made if it is not there.
        on_bad: told of each frame that cannot be read.
        on_frame: called after each frame, for a progress bar.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        CadstnError: if no frame can be read, or ``out`` cannot be written to.
    """
    with whole_folder(
        out, OUTPUTS, optional=[VIDEO], inputs=[recording.path], summary="summary.json"
    ) as work:
        summary = _track_into(recording, tracker, work, on_bad, on_frame)
    return summary


def _track_into(
    recording: Recording,
    tracker: Tracker,
    out: Path,
    on_bad: Callable[[BadFrame], None],
    on_frame: Callable[[], None],
) -> dict[str, Any]:
    skeleton, total = tracker.network.skeleton, len(recording)
    joints = np.full((total, len(skeleton), 3), np.nan, np.float32)
    confidence = np.zeros((total, len(skeleton)), np.float32)
    how = ["bad"] * total
    took_ms: list[float] = []
    bad: list[BadFrame] = []
    chosen = set(np.linspace(0, total - 1, min(_SHEET_FRAMES, total)).round().astype(int).tolist())
    sheet = []

    def note(frame: BadFrame) -> None:
        bad.append(frame)
        on_bad(frame)
        on_frame()

    video: cv2.VideoWriter | None = None
    tracker.reset()
    try:
        for frame in recording.frames(note):
            if frame.cut:
                tracker.reset()
            began = time.perf_counter()
            hand = tracker.update(frame.depth, frame.camera)
            took_ms.append((time.perf_counter() - began) * 1000)
            joints[frame.index], confidence[frame.index] = hand.joints_mm, hand.confidence
            how[frame.index] = hand.how
            caption = f"{frame.name}  {frame.time_s:.2f} s  {hand.how}"
            picture = overlay(frame.depth, frame.camera, hand, skeleton, caption)
            if not took_ms[1:]:
                video = _video(out / VIDEO, recording.camera.fps, picture)
            if video is not None:
                video.write(picture)
            if frame.index in chosen:
                sheet.append(picture)
            on_frame()
    finally:
        if video is not None:
            video.release()
    if video is not None:
        check_video(out / VIDEO, len(took_ms))
    # A frame that was chosen for the sheet may turn out bad; any other picture will do.
    if not cv2.imwrite(str(out / "contact.png"), contact_sheet(sheet or [picture])):
        raise CadstnError("contact.png could not be written", where=out, mend="is the disk full?")
    found = np.isfinite(joints[:, 0, 0])
    fps = recording.camera.fps
    tracked = Tracked(joints, found, np.arange(total) / fps, recording.names, skeleton, confidence)
    _write_joints(tracked, out)
    write_joints_uvd(out / "joints_uvd.txt", recording.camera.to_uvd(joints))
    summary = _summary(recording, tracked, how, bad, took_ms)
    summary["video"] = (out / VIDEO).is_file()
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def check_video(path: Path, frames: int) -> None:
    """Raise a CadstnError if a video does not hold its frames: OpenCV tells of no full disk."""
    video = cv2.VideoCapture(str(path))
    held = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if held != frames:
        raise CadstnError(
            f"{path.name} could not be written ({held} of {frames} frames)",
            where=path.parent,
            mend="make room, or give another --out",
        )


def _video(path: Path, fps: float, picture: NDArray[np.uint8]) -> cv2.VideoWriter | None:
    """Open an MPEG-4 file: what OpenCV's own wheels can write everywhere, and players play.

    None where the format does not take this frame rate or size.
    """
    size = (picture.shape[1], picture.shape[0])
    fourcc = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(path), fourcc, fps, size)
    if video.isOpened():
        return video
    path.unlink(missing_ok=True)
    return None


def _write_joints(tracked: Tracked, out: Path) -> None:
    names = tracked.skeleton.joints
    np.savez_compressed(
        out / "joints.npz",
        joints_xyz_mm=tracked.joints_xyz_mm,
        found=tracked.found,
        confidence=tracked.confidence,
        time_s=tracked.time_s,
        joint_names=np.array(names),
        skeleton=np.array(tracked.skeleton.name),
        centre=np.array("found"),
        frames=np.array(tracked.names),
    )
    with (out / "joints.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["frame", "time_s", "found", *(f"{n}_{a}_mm" for n in names for a in "xyz")])
        for name, when, found, pose in zip(
            tracked.names, tracked.time_s, tracked.found, tracked.joints_xyz_mm, strict=True
        ):
            values = [f"{v:.3f}" for v in pose.ravel()] if found else [""] * pose.size
            rows.writerow([csv_cell(name), f"{when:.4f}", int(found), *values])


def _summary(
    recording: Recording,
    tracked: Tracked,
    how: list[str],
    bad: list[BadFrame],
    took_ms: list[float],
) -> dict[str, Any]:
    """Gather what a person wants to know first."""
    p50, p99 = np.percentile(took_ms, [50, 99])
    first = next((i for i, state in enumerate(how) if state == "found"), None)
    place = None
    if first is not None:
        center = tracked.joints_xyz_mm[first].mean(0, np.float64)
        place = {
            "frame": tracked.names[first],
            "center_xyz_mm": [round(float(v), 1) for v in center],
            "center_uv_px": [round(float(v), 1) for v in recording.camera.to_uvd(center)[:2]],
        }
    summary: dict[str, Any] = {
        "recording": str(recording.path),
        "frames": len(recording),
        "tracked": int(tracked.found.sum()),
        "lost": how.count("lost"),
        "bad": len(bad),
        "bad_frames": [{"frame": b.name, "error": str(b.error)} for b in bad],
        "first_found": place,
        "searches": how.count("found"),
        "ms_per_frame": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)},
        "skeleton": tracked.skeleton.name,
        "error": None,
        "cadstn": __version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    truth = recording.truth_xyz_mm
    if truth is not None and recording.skeleton == tracked.skeleton and tracked.found.any():
        # Frames whose truth is that there is no hand have no error; time breaks there.
        kept = np.flatnonzero(np.isfinite(truth).all((1, 2)))
        breaks = np.flatnonzero((np.diff(kept) > 1) | np.isin(kept[1:], recording.cuts)) + 1
        scores = score(tracked.joints_xyz_mm[kept], truth[kept], breaks.tolist())
        summary["error"] = scores.to_dict()
    return summary
