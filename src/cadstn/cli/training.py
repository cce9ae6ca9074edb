"""Commands that train and export: train, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn._version import __version__
from cadstn.cli.shared import need_train
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.train import Progress


@click.command()
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
    need_train("cadstn train")
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


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--half", is_flag=True, help="Store weights in 16 bits: half the size.")
def export(run: Path, out: Path, half: bool) -> None:
    """Write a finished run as one ONNX file that 'cadstn track --weights' takes."""
    need_train("cadstn export")
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
