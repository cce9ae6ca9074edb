"""Commands that make or check data: synth, data check."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn.cli.many import SCHEDULER, WORKERS, end_of_many, many_jobs
from cadstn.cli.shared import MANY, echo, given_options, need_train, quoted
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
    help="Chance that the hand of a recording grasps something; of the other hands some 10 % hold "
    "a simple thing all the same.",
)
@click.option("--alone", is_flag=True,
              help="No second hand (15 % have one), nothing held but by --held.")  # fmt: skip
@click.option("--shards", type=MANY,
              help="So many recordings of --frames each, by many processes.")  # fmt: skip
@WORKERS
@SCHEDULER
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
    alone: bool,
    shards: int | None,
    workers: int | None,
    scheduler: str | None,
    preview: bool,
) -> None:
    r"""Render moving hands with their truth (needs cadstn[train]).

    The same command goes on with what was interrupted, and leaves what is whole as it is.

    \b
    cadstn synth my_recording --frames 300 --seed 7
    cadstn synth empty --frames 300 --alone      # one empty hand
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

        drawn = draw_previews(path, seed=seed)
        for sheet in drawn:
            echo(f"wrote {sheet}")
        if not drawn:
            echo(f"{path} is there already")
        return
    _must_suit(layout, {"frames": frames, "train": train, "test": test, "all-cameras": all_cameras,
                        "held": held, "alone": alone, "shards": shards})  # fmt: skip
    if shards is not None:
        from cadstn.many import render_shards
        from cadstn.many.shards import TABLE

        with many_jobs(path, shards, "shards", workers, scheduler) as (client, on_row):
            rows = render_shards(
                client, path, shards=shards, frames=frames or _FRAMES[layout], seed=seed,
                held=held, alone=alone, on_row=on_row,
            )  # fmt: skip
        end_of_many(rows, path / TABLE, "shards")
        return
    if scheduler or (workers and layout == "recording"):
        given = "--scheduler" if scheduler else "--workers"
        raise CadstnError(f"{given} needs --shards", hint="give --shards as well")
    split = layout in ("nyu", "icvl", "icvl-old")
    counts = (train or 1000, test or 300) if split else (frames or _FRAMES[layout], 0)
    total = sum(counts) * (3 if all_cameras else 1)
    try:
        with _late_bar("rendering", total) as update:
            if layout == "recording":
                from cadstn.synth.write import write_synthetic

                new = write_synthetic(
                    path, frames=total, seed=seed, held=held, alone=alone,
                    on_frame=lambda: update(1),
                )  # fmt: skip
            else:
                from cadstn.synth.datasets import write_dataset
                from cadstn.tracking.runtime import processors

                new = write_dataset(
                    path, layout, train=counts[0], test=counts[1], seed=seed,
                    all_cameras=all_cameras, alone=alone, workers=workers or processors(),
                    on_frames=update,
                )  # fmt: skip
    except KeyboardInterrupt:
        raise CadstnError(
            "interrupted", where=path, hint="what is finished is kept: the same command goes on"
        ) from None
    echo(f"wrote {total} frames to {path}" if new else f"{path} is there already: {total} frames")
    following = "cadstn info" if layout == "recording" else "cadstn data check"
    echo(f"next: {following} {quoted(path)}")


@contextmanager
def _late_bar(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A progress bar that first shows when there is progress: not before an order is refused."""
    with ExitStack() as stack:
        shown: list[Callable[[int], None]] = []

        def update(count: int) -> None:
            if not shown:
                bar = click.progressbar(length=length, label=label, file=sys.stderr)
                shown.append(stack.enter_context(bar).update)
            shown[0](count)

        yield update


#: Frames that are rendered where no number is given.
_FRAMES = {"recording": 150, "msra": 1000}
_SUITS = {
    "recording": ("frames", "held", "alone", "shards"),
    "nyu": ("train", "test", "all-cameras"),
    "icvl": ("train", "test", "alone"),
    "icvl-old": ("train", "test", "alone"),
    "msra": ("frames", "alone"),
}


_NOT_OF_PREVIEWS = (
    "layout", "frames", "train", "test", "all_cameras", "held", "alone", "shards", "workers",
    "scheduler",
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
    root = quoted(found.root)
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
