"""Track a whole recording and write what came of it: joints, pictures, a summary."""

from __future__ import annotations

import csv
import json
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cadstn._version import __version__
from cadstn.geometry.arrays import quantiles
from cadstn.geometry.plausible import StreamCheck, describe_scene
from cadstn.geometry.skeleton import Skeleton
from cadstn.io import BadFrame, Recording
from cadstn.io.folder import whole_folder
from cadstn.io.joints import write_joints_uvd
from cadstn.io.text import csv_cell
from cadstn.io.times import implausible_times
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
_HANDS = re.compile(r"joints-([2-9]|[1-9]\d+)\.(npz|csv)")


#: The arrays of one hand's ``joints.npz`` by name: N frames, K joints, see `_empty`.
Columns = dict[str, Any]


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
        on_warning: called with one line, once, for depth, times, a camera or hands that cannot be
            right.
        video: whether to write the overlay video.
        about: more entries of the summary, fit for JSON.

    Returns:
        The summary, as in ``summary.json``.

    Raises:
        CadstnError: if no frame can be read, ``out`` cannot be written to, or files of these names
            in it are no earlier results.
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
    how = ["bad"] * total
    took_ms: list[float] = []
    bad: list[BadFrame] = []
    warnings: list[str] = []

    def warn(line: str) -> None:
        warnings.append(line)
        on_warning(line)

    if (line := implausible_times(recording)) is not None:
        warn(line)
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
            for line in lines:
                warn(line)
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
        _write_joints(one_place, recording.names, out / hand_name(place))
    write_joints_uvd(out / "joints_uvd.txt", recording.camera.to_uvd(places[0]["joints_xyz_mm"]))
    summary = _summary(recording, skeleton, places, how, bad, took_ms)
    summary |= _made_by(recording, tracker) | about
    summary["seconds"] = round(time.perf_counter() - started, 3)
    summary["warnings"] = warnings
    summary["without_hand"] = without or None
    summary["video"] = None if video.path is None else video.path.name
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _made_by(recording: Recording, tracker: Tracker) -> dict[str, Any]:
    """What the joints are a function of, besides the frames and this release."""
    network = tracker.network
    return {
        "camera": json.loads(recording.camera.to_json()),
        "weights": {"file": network.file, "sha256": network.sha256},
        "hands": len(tracker.state.tracks),
        "fit": tracker.state.fit,
    }


def _empty(recording: Recording, skeleton: Skeleton) -> Columns:
    """A recording of which nothing is tracked yet; so stay frames that are lost or bad."""
    frames, joints = len(recording), len(skeleton)
    return {
        "joints_xyz_mm": np.full((frames, joints, 3), np.nan, np.float32),  # camera frame
        "found": np.zeros(frames, np.bool_),
        "confidence": np.zeros((frames, joints), np.float32),  # 0 to 1, see `cadstn.tracking.Hand`
        "uncertainty_mm": np.full((frames, joints), np.nan, np.float32),  # likewise; an error scale
        "present": np.full(frames, np.nan, np.float32),  # 0 to 1
        "side": np.full(frames, "unknown", "U7"),
        "identity": np.full(frames, -1, np.int64),  # one more each time that a hand is acquired
        "time_s": np.array([recording.time_s(index) for index in range(frames)]),
        "joint_names": np.array(skeleton.joints),
        "skeleton": np.array(skeleton.name),
        "centre": np.array("found"),  # the name in the file
        "frames": np.array(recording.names),
        # By these two 'cadstn score' finds the rows of the truth.
        "frame_index": np.array(frame_index(recording), np.int64),
        "frame_count": np.array(frame_count(recording), np.int64),
        # Of these rows. Folders' own are in no file of truth.
        "cuts": np.array(recording.cuts, np.int64),
    }


def _keep(columns: Columns, index: int, hand: Hand, identity: int | None) -> None:
    """Keep one frame's hand, in place."""
    columns["joints_xyz_mm"][index] = hand.joints_mm
    columns["identity"][index] = -1 if identity is None else identity
    for name in ("found", "confidence", "uncertainty_mm", "present", "side"):
        columns[name][index] = getattr(hand, name)


def hand_name(place: int) -> str:
    """Name of the files of the hand in a place: ``joints``, and ``joints-2`` of the second."""
    return "joints" if place == 0 else f"joints-{place + 1}"


def _write_joints(columns: Columns, names: Sequence[str], stem: Path) -> None:
    """Write ``.npz`` and ``.csv`` of a hand in frames of these names."""
    np.savez_compressed(stem.with_suffix(".npz"), **columns)
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        joints = columns["joint_names"].tolist()
        coordinates = [f"{n}_{a}_mm" for n in joints for a in "xyz"]
        scales = [f"{n}_uncertainty_mm" for n in joints]
        rows.writerow(
            ["frame", "time_s", "found", *coordinates, "side", "present", "identity", *scales]
        )
        for k, name in enumerate(names):
            found = bool(columns["found"][k])
            numbers = [*columns["joints_xyz_mm"][k].ravel(), columns["present"][k]]
            *pose, present = [f"{v:.3f}" if np.isfinite(v) else "" for v in numbers]
            error = [f"{v:.1f}" if np.isfinite(v) else "" for v in columns["uncertainty_mm"][k]]
            identity = columns["identity"][k] if found else ""
            rows.writerow(
                [
                    csv_cell(name), f"{columns['time_s'][k]:.4f}", int(found), *pose,
                    columns["side"][k], present, identity, *error,
                ]
            )  # fmt: skip


def _summary(
    recording: Recording,
    skeleton: Skeleton,
    places: Sequence[Columns],
    how: list[str],
    bad: list[BadFrame],
    took_ms: list[float],
) -> dict[str, Any]:
    """Gather what a person wants to know first."""
    p50, p99 = quantiles(took_ms, (0.5, 0.99))
    found = np.array([one["found"] for one in places])
    first = next((i for i, state in enumerate(how) if state == "found"), None)
    place = None
    if first is not None:
        seen = places[int(found[:, first].argmax())]
        center = seen["joints_xyz_mm"][first].mean(0, np.float64)
        place = {
            "frame": recording.names[first],
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
            side: sum(int((one["side"] == side).sum()) for one in places)
            for side in ("left", "right")
        },
        "ms_per_frame": {"p50": round(p50, 2), "p99": round(p99, 2)},
        "skeleton": skeleton.name,
        "error": None,
        "cadstn": __version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    truth = recording.truth_xyz_mm
    if truth is not None and recording.skeleton == skeleton:
        from cadstn.evaluate import score

        # Frames whose truth is that there is no hand have no error; time breaks there.
        kept = np.flatnonzero(np.isfinite(truth).all((1, 2)))
        if not found[0, kept].any():
            return summary
        breaks = np.flatnonzero((np.diff(kept) > 1) | np.isin(kept[1:], recording.cuts)) + 1
        scores = score(places[0]["joints_xyz_mm"][kept], truth[kept], breaks.tolist())
        summary["error"] = scores.to_dict()
    return summary
