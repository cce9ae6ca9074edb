"""Commands that look at recordings: track, demo, info."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn.cli.shared import CAMERA_HELP

if TYPE_CHECKING:
    from cadstn.recording import BadFrame, Recording


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--camera", help=CAMERA_HELP)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@click.option("--weights", type=click.Path(path_type=Path), help="A network of your own (.onnx).")
def track(path: Path, camera: str | None, out: Path, weights: Path | None) -> None:
    r"""Track the hand in a recording.

    PATH is a folder of 16-bit PNGs with a camera.json, any folder of 16-bit PNGs together with
    --camera, or one .npz file. Written to --out: joints.npz, joints.csv, joints_uvd.txt,
    overlay.mp4, contact.png and summary.json.

    \b
    cadstn track my_recording --out result
    cadstn track frames/ --camera 475.1,475.1,320,240,0.125 --out result
    """
    _track(path, camera, out, weights)


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo_out"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
def demo(out: Path) -> None:
    """Track the recording that ships with the package, and score it against its own truth."""
    with resources.as_file(resources.files("cadstn") / "demo") as path:
        _track(path, None, out, None)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--camera", help=CAMERA_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(path: Path, camera: str | None, as_json: bool) -> None:
    """Say what is in a recording: frames, size, camera, depths, truth."""
    from cadstn.recording import describe, open_recording

    about = describe(open_recording(path, camera))
    if as_json:
        click.echo(json.dumps(about, indent=2))
        return
    for name, value in about.items():
        click.echo(f"{name:>20}  {value}")


def _track(path: Path, camera: str | None, out: Path, weights: Path | None) -> None:
    from cadstn.recording import open_recording
    from cadstn.results import OUTPUTS, track_recording
    from cadstn.track import Tracker

    recording = open_recording(path, camera)
    tracker = Tracker(weights)

    def bad(frame: BadFrame) -> None:
        click.echo(f"skipped: {frame.error}", err=True)

    with click.progressbar(length=len(recording), label="tracking", file=sys.stderr) as bar:
        summary = track_recording(
            recording, tracker, out, on_bad=bad, on_frame=lambda: bar.update(1)
        )
    for line in _report(summary, recording):
        click.echo(line)
    click.echo("wrote " + "\n      ".join(str(out / name) for name in OUTPUTS))


def _report(summary: dict[str, Any], recording: Recording) -> list[str]:
    """Sum up in a few lines what was tracked."""
    lines = [
        f"{summary['tracked']} of {summary['frames']} frames tracked, {summary['lost']} lost, "
        f"{summary['bad']} unreadable"
    ]
    place = summary["first_found"]
    if place is None:
        lines.append("no hand found")
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
