"""Commands that make or check data: synth."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cadstn.cli.shared import need_train


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--frames", default=150, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=0, show_default=True, help="The recording is a function of it.")
def synth(path: Path, frames: int, seed: int) -> None:
    """Render a recording of a moving hand, with its truth beside it (needs cadstn[train])."""
    need_train("cadstn synth")
    from cadstn.synth.write import write_synthetic

    with click.progressbar(length=frames, label="rendering", file=sys.stderr) as bar:
        write_synthetic(path, frames=frames, seed=seed, on_frame=lambda: bar.update(1))
    click.echo(f"wrote {frames} frames to {path}")
