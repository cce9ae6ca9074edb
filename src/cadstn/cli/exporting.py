"""The command that makes one file of a finished run: export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn._version import __version__
from cadstn.cli.shared import begun, need_train
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.train import Start


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--half", is_flag=True, help="Store weights in 16 bits: half the size.")
@click.option("--int8", is_flag=True, help="Dense layers in 8 bits: a quarter of the size, faster.")
@click.option(
    "--blend", metavar="WEIGHTS=SHARE",
    help="Mix in a share of other compact weights: an exported .onnx that is not int8, or shipped.",
)  # fmt: skip
@click.option(
    "--detector", metavar="RUN",
    help="The detector that the file carries: a run of 'cadstn train detector'. Without one a "
    "tracker takes the package's.",
)  # fmt: skip
@click.option(
    "--spread", default=1.0, show_default=True,
    help="Factor of the predicted error scales: chosen on held-out frames, it calibrates.",
)  # fmt: skip
def export(
    run: Path,
    out: Path,
    half: bool,
    int8: bool,
    blend: str | None,
    detector: str | None,
    spread: float,
) -> None:
    r"""Write a finished run as one ONNX file that 'cadstn track --weights' takes.

    \b
    cadstn export runs/compact --out hand.onnx --half
    cadstn export runs/more --out hand.onnx --half --blend shipped=0.2
    cadstn export runs/follow --out hand.onnx --half --detector runs/detector
    """
    need_train("cadstn export")
    from cadstn.export import export_onnx
    from cadstn.export.detector_file import read_detector
    from cadstn.train import load_model
    from cadstn.train.recipes import STAGES

    model, recipe = load_model(run)
    about = {
        "skeleton": recipe.skeleton,
        "cube_mm": str(recipe.cube_mm),
        "recipe": recipe.to_json(),
        "cadstn": __version__,
        "wants": recipe.wants(),
    }
    mixed = None
    if blend is not None:
        weights, share = _blend(blend)
        mixed = {stage: weights.tensors[stage] for stage in STAGES}, share
        about["blend"] = f"{weights.name} {share:g}"
    if spread != 1:
        about["spread"] = f"{spread:g}"
    weights_of = None if detector is None else read_detector(Path(detector))
    export_onnx(
        model, out, about, half=half, int8=int8, blend=mixed, spread=spread, detector=weights_of
    )
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


def _blend(text: str) -> tuple[Start, float]:
    """Read the weights and the share that ``--blend`` names."""
    weights, _, share = text.rpartition("=")
    hint = "give --blend WEIGHTS=SHARE, for instance shipped=0.2"
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not weights or not 0 < value < 1:
        raise CadstnError(f"'{text}' is not weights and a share", where="--blend", hint=hint)
    return _exported(weights, "--blend"), value


def _exported(weights: str, option: str) -> Start:
    """Read weights of which an option takes only those of an export."""
    start = begun(weights)
    if not start.folded:
        raise CadstnError(
            f"{option} takes an export, not a run", where=weights, hint="export the run first"
        )
    return start
