"""Work of many processes or machines: track-many, and what ``synth --shards`` needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cadstn.cli.shared import WEIGHTS, echo
from cadstn.errors import CadstnError

if TYPE_CHECKING:
    from cadstn.many import Row

_SHOWN = 5
WORKERS = click.option(
    "--workers", type=click.IntRange(1, 1024),
    help="Processes on this machine; one for each processor by default.",
)  # fmt: skip
SCHEDULER = click.option(
    "--scheduler", metavar="ADDRESS",
    help="Use the workers of this Dask scheduler; all must reach the files by the same paths.",
)  # fmt: skip


@contextmanager
def many_jobs(
    out: Path, total: int, noun: str, workers: int | None, scheduler: str | None
) -> Iterator[tuple[Any, Callable[[Row], None]]]:
    """Give a client of the workers, and a function of each row that writes the progress.

    Raises:
        CadstnError: if both kinds of workers are asked for, or it was interrupted.
    """
    from cadstn.io.workers import signals_end_it
    from cadstn.many.cluster import Progress, dask_client

    if workers and scheduler:
        raise CadstnError("--workers and --scheduler exclude each other", hint="give one of them")
    progress = Progress(sys.stderr, total, noun)

    def count(row: Row) -> None:
        progress(row.frames, skipped=row.skipped, failed=bool(row.error))

    try:
        with signals_end_it(), dask_client(workers, scheduler) as client:
            yield client, count
    except KeyboardInterrupt:
        raise CadstnError(
            "interrupted", where=out, hint="what is finished is kept: the same command goes on"
        ) from None


def end_of_many(rows: Sequence[Row], table: Path, noun: str) -> None:
    """Sum up what was done; exit with 1 if something failed."""
    failed = [row for row in rows if row.error]
    for row in failed[:_SHOWN]:
        echo(f"failed: {row.name}: {row.error}", err=True)
    if len(failed) > _SHOWN:
        echo(f"failed: {len(failed) - _SHOWN} more, see {table}", err=True)
    skipped = sum(row.skipped for row in rows)
    done = len(rows) - skipped - len(failed)
    echo(
        f"{done} {noun} done, {skipped} there already, {len(failed)} failed; "
        f"{sum(row.frames for row in rows)} frames"
    )
    echo(f"wrote {table}")
    if failed:
        sys.exit(1)


@click.command("track-many")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@WEIGHTS
@click.option("--hands", default=1, show_default=True, type=click.IntRange(1, 8),
              help="Hands at most.")  # fmt: skip
@click.option("--video/--no-video", default=False, show_default=True, help="Write the overlays.")
@WORKERS
@SCHEDULER
def track_many(
    manifest: Path,
    out: Path,
    weights: Path | None,
    hands: int,
    video: bool,
    workers: int | None,
    scheduler: str | None,
) -> None:
    r"""Track the recordings of a list, by many processes or machines (needs cadstn[many]).

    MANIFEST is a text file with a path a line, a .csv file with the columns path, name, camera and
    unit (all but path may be left out), or a .jsonl file of objects with these keys. Each recording
    gets a folder of results in --out, as 'cadstn track' writes it, and a row in recordings.parquet.
    What is done is skipped, so the same command goes on. Exits with 1 if a recording failed.

    \b
    cadstn track-many recordings.csv --out results
    cadstn track-many recordings.csv --out /shared/results --scheduler tcp://10.0.0.1:8786
    """
    from cadstn.many import read_manifest
    from cadstn.many import track_many as track_all
    from cadstn.many.recordings import TABLE

    entries = read_manifest(manifest)
    with many_jobs(out, len(entries), "recordings", workers, scheduler) as (client, on_row):
        rows = track_all(
            client, entries, out, weights=weights, hands=hands, video=video, on_row=on_row
        )
    end_of_many(rows, out / TABLE, "recordings")
