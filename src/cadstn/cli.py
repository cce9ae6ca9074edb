"""The command line: thin functions over the package, errors in one line."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn._version import __version__
from cadstn.camera import KNOWN_CAMERAS
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.recording import BadFrame, Recording
    from cadstn.train import Progress

_CAMERA_HELP = (
    f"A known camera ({', '.join(KNOWN_CAMERAS)}), a camera.json, or fx,fy,cx,cy[,depth_unit_mm]."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    r"""3D hand pose from depth cameras.

    \b
    cadstn demo                                   # track the recording that ships with the package
    cadstn track RECORDING --out DIR              # joints, an overlay video, a summary
    cadstn track FOLDER --camera kinect2 --out DIR
    cadstn info RECORDING
    cadstn score PRED.txt TRUTH.txt --set nyu
    """


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--camera", help=_CAMERA_HELP)
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


@cli.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo_out"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
def demo(out: Path) -> None:
    """Track the recording that ships with the package, and score it against its own truth."""
    with resources.as_file(resources.files("cadstn") / "demo") as path:
        _track(path, None, out, None)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--camera", help=_CAMERA_HELP)
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


@cli.command()
@click.argument("pred", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--set", "set_name", help="Whose test set it is: nyu or icvl (text files).")
@click.option(
    "--format", "fmt", type=click.Choice(["uvd", "xyz"]), default="uvd", show_default=True,
    help="Columns of a text prediction: pixels and depth, or millimetres.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(pred: Path, truth: Path, set_name: str | None, fmt: str, as_json: bool) -> None:
    r"""Score predictions: mean error, accuracy, acceleration error, jitter (eqs. 7 to 9).

    PRED and TRUTH are text files of the field, one frame a line, K x (u v d), or .npz files as
    'cadstn track' writes them.

    \b
    cadstn score CVWW15_NYU_Prior-Refinement.txt groundtruth.txt --set nyu
    cadstn score result/joints.npz my_recording/truth.npz
    """
    from cadstn.evaluate import score_files

    scores, text = score_files(pred, truth, set_name, "xyz" if fmt == "xyz" else "uvd")
    click.echo(json.dumps(scores.to_dict(), indent=2) if as_json else text)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--frames", default=150, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=0, show_default=True, help="The recording is a function of it.")
def synth(path: Path, frames: int, seed: int) -> None:
    """Render a recording of a moving hand, with its truth beside it (needs cadstn[train])."""
    _need_train("cadstn synth")
    from cadstn.synth.write import write_synthetic

    with click.progressbar(length=frames, label="rendering", file=sys.stderr) as bar:
        write_synthetic(path, frames=frames, seed=seed, on_frame=lambda: bar.update(1))
    click.echo(f"wrote {frames} frames to {path}")


@cli.command()
@click.argument("name", metavar="RECIPE", default="compact")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field.")
def train(name: str, out: Path, device: str, settings: tuple[str, ...]) -> None:
    r"""Train the three networks on rendered hands (needs cadstn[train]).

    RECIPE is paper, compact or tiny. The same command goes on where it stopped.

    \b
    cadstn train compact --out runs/compact
    cadstn train tiny --out runs/tiny --set spatial_steps=200 --set net.width=64
    """
    _need_train("cadstn train")
    from cadstn.recipes import STAGES, override, recipe
    from cadstn.train import train as run

    chosen = override(recipe(name), dict(_setting(text) for text in settings))
    total = sum(chosen.steps(stage) for stage in STAGES)
    with click.progressbar(length=total, file=sys.stderr, item_show_func=_told) as bar:
        place = 0

        def watch(progress: Progress) -> None:
            nonlocal place
            before = STAGES[: STAGES.index(progress.stage)]
            now = sum(chosen.steps(stage) for stage in before) + progress.step
            bar.update(now - place, progress)
            place = now

        run(chosen, out, device=device, watch=watch)
    click.echo(f"trained; next: cadstn export {out} --out {out / 'hand.onnx'}")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--half", is_flag=True, help="Store weights in 16 bits: half the size.")
def export(run: Path, out: Path, half: bool) -> None:
    """Write a finished run as one ONNX file that 'cadstn track --weights' takes."""
    _need_train("cadstn export")
    from cadstn.export import export_onnx, round_to_half
    from cadstn.train import load_model

    model, recipe = load_model(run)
    if half:
        round_to_half(model)
    about = {
        "skeleton": recipe.skeleton,
        "cube_mm": str(recipe.cube_mm),
        "recipe": recipe.to_json(),
        "cadstn": __version__,
    }
    export_onnx(model, out, about, half=half)
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


def main() -> None:
    """Run the command line; a CadstnError becomes one line and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CadstnError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


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


def _setting(text: str) -> tuple[str, Any]:
    """Read FIELD=VALUE, the value as JSON or else as plain text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CadstnError(f"--set {text}", mend="write --set FIELD=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _told(progress: Progress | None) -> str | None:
    """What the bar says beside the time that is left."""
    if progress is None:
        return None
    return (
        f"{progress.stage} {progress.step}/{progress.steps}  loss {progress.loss:.3f}  "
        f"{progress.error_mm:.1f} mm  {progress.images_per_s:.0f} images/s"
    )


def _need_train(command: str) -> None:
    """Say how to get torch, where it is missing."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise CadstnError(
            f"'{command}' needs PyTorch", mend="pip install 'cadstn[train]'"
        ) from None


if __name__ == "__main__":
    main()
