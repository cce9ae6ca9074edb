"""Commands that track what is on disk: track, demo, info."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn.cli.shared import (
    AS_JSON,
    CAMERA,
    FIT,
    PATTERN,
    SCALE,
    THREADS,
    UNIT,
    WEIGHTS,
    echo,
    frames_bar,
    scaled_camera,
)

if TYPE_CHECKING:
    from cadstn.io import BadFrame, Recording
    from cadstn.tracking import Tracker


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@CAMERA
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@WEIGHTS
@PATTERN
@UNIT
@SCALE
@click.option("--start", default=0, show_default=True, type=click.IntRange(0),
              help="First frame, counted from 0.")  # fmt: skip
@click.option("--end", type=click.IntRange(1), help="Frame after the last one.")
@click.option("--every", default=1, show_default=True, type=click.IntRange(1),
              help="Take one frame in so many.")  # fmt: skip
@click.option("--hands", default=1, show_default=True, type=click.IntRange(1, 8),
              help="Hands at most; the second is written to joints-2.npz, and so on.")  # fmt: skip
@THREADS
@FIT
@click.option("--video/--no-video", default=True, show_default=True, help="Write the overlay.")
def track(
    path: Path,
    camera: str | None,
    out: Path,
    weights: Path | None,
    pattern: str | None,
    unit: str | None,
    scale: float | None,
    start: int,
    end: int | None,
    every: int,
    hands: int,
    threads: int | None,
    fit: bool,
    video: bool,
) -> None:
    r"""Track the hands in a recording.

    Hands are searched from 0.15 to 2.5 m from the camera.

    PATH is a folder of depth images (PNG, TIFF, PGM, NPY, EXR) with a camera.json or together with
    --camera, one such image, an .npz file, a ROS bag, Azure Kinect's .mkv, or a folder of TUM,
    ScanNet or DexYCB. Written to --out: joints.npz, joints.csv, joints_uvd.txt,
    overlay.webm, contact.png and summary.json.

    \b
    cadstn track demo --out result
    cadstn track my_recording --out result
    cadstn track frames/ --camera 475.1,475.1,320,240,0.125 --out result
    cadstn track floats.npz --camera d435 --unit m --out result
    """
    from cadstn.geometry.arrays import factor_mm
    from cadstn.io import open_recording
    from cadstn.tracking import Tracker
    from cadstn.tracking.excerpt import part_of

    camera_or_name = scaled_camera(path, camera, scale)
    recording = open_recording(path, camera_or_name, pattern=pattern, unit=unit)
    if start or end is not None or every > 1:
        recording = part_of(recording, start, end, every)
    tracker = Tracker(weights, hands=hands, threads=threads, fit=fit)
    _track(recording, out, tracker, video, {"unit_mm": factor_mm(unit) if unit else None})


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo_out"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
@click.option("--hands", default=1, show_default=True, type=click.IntRange(1, 8),
              help="Hands at most.")  # fmt: skip
def demo(out: Path, hands: int) -> None:
    """Track the recording that ships with the package, and score it against its own truth."""
    from cadstn.io import open_recording
    from cadstn.tracking import Tracker

    with resources.as_file(resources.files("cadstn") / "demo") as path:
        _track(open_recording(path), out, Tracker(hands=hands))


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@CAMERA
@SCALE
@PATTERN
@UNIT
@AS_JSON
def info(
    path: Path,
    camera: str | None,
    scale: float | None,
    pattern: str | None,
    unit: str | None,
    as_json: bool,
) -> None:
    """Describe a recording: frames, size, camera, depths, truth, and what cannot be right."""
    from cadstn.io import describe, open_recording

    camera_or_name = scaled_camera(path, camera, scale)
    about = describe(open_recording(path, camera_or_name, pattern=pattern, unit=unit))
    if as_json:
        echo(json.dumps(about, indent=2))
        return
    warnings = about.pop("warnings")
    for name, value in about.items():
        echo(f"{name:>20}  {_plain(value)}")
    for line in warnings:
        echo(f"warning: {line}", err=True)


def _plain(value: object) -> str:
    """A value of the description for people to read."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def _track(
    recording: Recording,
    out: Path,
    tracker: Tracker,
    video: bool = True,
    about: dict[str, Any] | None = None,
) -> None:
    from cadstn.io import summed_up
    from cadstn.tracking.results import OUTPUTS, VIDEOS, hand_name, track_recording
    from cadstn.tracking.video import NO_VIDEO

    warnings: list[str] = []
    bad: list[BadFrame] = []
    with frames_bar("tracking", len(recording)) as step:
        summary = track_recording(
            recording, tracker, out, on_bad=bad.append, on_frame=step,
            on_warning=warnings.append, video=video, about=about,
        )  # fmt: skip
    for line in summed_up(bad):
        echo(f"skipped: {line}", err=True)
    for line in warnings:
        echo(f"warning: {line}", err=True)
    for line in _report(summary):
        echo(line)
    if video and not summary["video"]:
        echo(f"no video: {NO_VIDEO}", err=True)
    names = dict.fromkeys([*OUTPUTS, *VIDEOS])
    for place in range(1, len(tracker.state.tracks)):
        names |= {f"{hand_name(place)}.{kind}": None for kind in ("npz", "csv")}
    written = [str(out / name) for name in names if (out / name).is_file()]
    echo("wrote " + "\n      ".join(written))


def _report(summary: dict[str, Any]) -> list[str]:
    """Sum up in a few lines what was tracked."""
    lines = [
        f"{summary['tracked']} of {summary['frames']} frames tracked, {summary['lost']} lost, "
        f"{summary['bad']} unreadable"
    ]
    place = summary["first_found"]
    if place is None:
        lines.append(f"no hand found: {summary['without_hand']}")
    else:
        x, y, z = place["center_xyz_mm"]
        u, v = place["center_uv_px"]
        lines.append(
            f"hand first found in {place['frame']} at pixel ({u:.0f}, {v:.0f}), "
            f"x {x:.0f} y {y:.0f} z {z:.0f} mm"
        )
    took = summary["ms_per_frame"]
    lines.append(f"{took['p50']:.1f} ms a frame (p50), {took['p99']:.1f} ms (p99)")
    if summary["error"] is not None:
        error = summary["error"]
        lines.append(
            f"mean joint error {error['mean_error_mm']:.1f} mm against its own truth "
            "(centre found, not given)"
        )
    return lines
