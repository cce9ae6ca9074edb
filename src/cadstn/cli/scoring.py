"""Commands that score: score."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
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
