"""Commands that make or check data: synth, data check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from cadstn.cli.many import end_of_many, many_jobs, workers_options
from cadstn.cli.shared import MANY, echo, given_options, need_train
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.data import Found
    from cadstn.data.check import Report


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--layout", default="recording", show_default=True,
    type=click.Choice(["recording", "nyu", "icvl", "icvl-old", "msra"]),
    help="One recording, or a whole set with its labels as NYU, ICVL or MSRA15 has them.",
)  # fmt: skip
@click.option(
    "--frames", type=MANY, help="Frames of a recording (150), of an MSRA15 subject (1000)."
)
@click.option("--train", type=MANY, help="Frames to train with (NYU, ICVL; 1000).")
@click.option("--test", type=MANY, help="Frames to test with (NYU, ICVL; 300).")
@click.option("--all-cameras", is_flag=True, help="NYU: render cameras 2 and 3 as well.")
@click.option("--seed", default=0, show_default=True, help="All of it is a function of this.")
@click.option(
    "--held",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Chance that the hand of a recording holds something.",
)
@click.option("--shards", type=MANY,
              help="So many recordings of --frames each, by many processes.")  # fmt: skip
@workers_options
@click.option("--preview", is_flag=True, help="Draw sheets of what would be made instead.")
def synth(
    path: Path,
    layout: str,
    frames: int | None,
    train: int | None,
    test: int | None,
    all_cameras: bool,
    seed: int,
    held: float,
    shards: int | None,
    workers: int | None,
    scheduler: str | None,
    preview: bool,
) -> None:
    r"""Render moving hands with their truth (needs cadstn[train]).

    One that was interrupted goes on by the same command.

    \b
    cadstn synth my_recording --frames 300 --seed 7
    cadstn synth grasp --frames 300 --held 1     # a hand that holds something
    cadstn synth shards --shards 1000 --frames 1000 --workers 16
    cadstn synth data/nyu --layout nyu --train 4000 --test 1000
    cadstn synth data/icvl --layout icvl
    cadstn synth data/msra --layout msra --frames 3000
    cadstn synth previews --preview              # contact sheets: poses, people, grasps ...
    """
    need_train("cadstn synth")
    if preview:
        if useless := given_options(*_NOT_OF_PREVIEWS):
            raise CadstnError(f"{useless[0]} means nothing to --preview", hint="it takes --seed")
        from cadstn.synth.preview import draw_previews

        for sheet in draw_previews(path, seed=seed):
            echo(f"wrote {sheet}")
        return
    _must_suit(layout, {"frames": frames, "train": train, "test": test, "all-cameras": all_cameras,
                        "held": held, "shards": shards})  # fmt: skip
    if shards is not None:
        _render_shards(path, shards, frames or _FRAMES[layout], seed, held, workers, scheduler)
        return
    if scheduler or (workers and layout == "recording"):
        given = "--scheduler" if scheduler else "--workers"
        raise CadstnError(f"{given} needs --shards", hint="give --shards as well")
    split = layout in ("nyu", "icvl", "icvl-old")
    counts = (train or 1000, test or 300) if split else (frames or _FRAMES[layout], 0)
    total = sum(counts) * (3 if all_cameras else 1)
    try:
        with click.progressbar(length=total, label="rendering", file=sys.stderr) as bar:
            if layout == "recording":
                from cadstn.synth.write import write_synthetic

                write_synthetic(
                    path, frames=total, seed=seed, held=held, on_frame=lambda: bar.update(1)
                )
            else:
                from cadstn.synth.datasets import write_dataset
                from cadstn.tracking.runtime import processors

                write_dataset(
                    path, layout, train=counts[0], test=counts[1], seed=seed,
                    all_cameras=all_cameras, workers=workers or processors(),
                    on_frames=bar.update,
                )  # fmt: skip
    except KeyboardInterrupt:
        raise CadstnError(
            "interrupted", where=path, hint="what is finished is kept: the same command goes on"
        ) from None
    echo(f"wrote {total} frames to {path}")
    following = "cadstn info" if layout == "recording" else "cadstn data check"
    echo(f"next: {following} {path}")


def _render_shards(
    path: Path,
    shards: int,
    frames: int,
    seed: int,
    held: float,
    workers: int | None,
    scheduler: str | None,
) -> None:
    from cadstn.many import render_shards
    from cadstn.many.shards import TABLE

    with many_jobs(path, shards, "shards", workers, scheduler) as (client, on_row):
        rows = render_shards(
            client, path, shards=shards, frames=frames, seed=seed, held=held, on_row=on_row
        )
    end_of_many(rows, path / TABLE, "shards")


#: Frames that are rendered where no number is given.
_FRAMES = {"recording": 150, "msra": 1000}
_SUITS = {
    "recording": ("frames", "held", "shards"),
    "nyu": ("train", "test", "all-cameras"),
    "icvl": ("train", "test"),
    "icvl-old": ("train", "test"),
    "msra": ("frames",),
}


_NOT_OF_PREVIEWS = (
    "layout", "frames", "train", "test", "all_cameras", "held", "shards", "workers", "scheduler",
)  # fmt: skip


def _must_suit(layout: str, options: dict[str, object]) -> None:
    """Refuse options that would do nothing."""
    for name, value in options.items():
        if value and name not in _SUITS[layout]:
            raise CadstnError(
                f"--{name} means nothing to --layout {layout}",
                hint=f"it takes {', '.join(f'--{known}' for known in _SUITS[layout])}",
            )


@click.group()
def data() -> None:
    """Check data sets on disk."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", help="Check only this one; else all there is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every problem named.")
def check(path: Path, split: str | None, as_json: bool) -> None:
    r"""Find which data set PATH holds, open every file, list what is missing or wrong.

    Ends with the command to use next; exits with 1 if a frame cannot be read, or if labels and
    pictures do not belong together.

    \b
    cadstn data check data/nyu
    cadstn data check data/icvl --split test
    """
    from cadstn.data import find_dataset, open_dataset
    from cadstn.data.check import check_dataset, describe

    found = find_dataset(path)
    reports = []
    for name in (split,) if split else found.whole():
        dataset = open_dataset(path, name)
        label = f"{dataset.name} {name}"
        with click.progressbar(length=len(dataset), label=label, file=sys.stderr) as bar:
            reports.append(check_dataset(dataset, bar.update))
    following = _next_command(found, reports)
    if as_json:
        found_all = {"splits": [report.to_dict() for report in reports], "next": following}
        echo(json.dumps(found_all, indent=1))
    else:
        for report in reports:
            for line in describe(report):
                echo(line)
        echo(f"next: {following}")
    if not all(report.usable for report in reports):
        sys.exit(1)


def _next_command(found: Found, reports: list[Report]) -> str:
    """What to do with a set that was checked."""
    root = quote(str(found.root))
    lost = sum(len(report.dataset) - report.opened for report in reports)
    if any(report.mismatch for report in reports):
        return "give pictures and labels of one set, mm and axes as documented, then check again"
    if lost:
        return f"unpack the set again ({lost} frames cannot be read), then the same command"
    if found.folds():
        return f"cadstn reproduce --data {root} --out report"
    train = [split for split in found.splits if split in ("train", "all")]
    if train:
        more = "" if train[0] == "train" else f" --split {train[0]}"
        return f"cadstn train cadstn --data {root}{more} --out runs/{found.name}"
    ending = ".npz" if any(report.dataset.several_cameras for report in reports) else ".txt"
    return f"cadstn predict RUN --data {root} --split test --center truth --out prediction{ending}"
