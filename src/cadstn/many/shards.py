"""Render millions of frames: recordings of a common seed, each whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cadstn._version import __version__
from cadstn.io.folder import begin_folder, folder_target
from cadstn.many.cluster import run_jobs
from cadstn.many.table import Row, error_line, table_of

TABLE = "shards.parquet"
_BEGUN = "shards.json"


@dataclass(frozen=True)
class Shard:
    """One recording of a set: which, how long, of what."""

    out: str
    number: int
    frames: int
    seed: int
    held: float

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"shard-{self.number:06d}"


def render_shards(
    client: Any,
    out: Path,
    *,
    shards: int,
    frames: int,
    seed: int,
    held: float = 0.0,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Render recordings ``shard-000000``, ``shard-000001``, ... and ``shards.parquet``.

    Shard k is a function of (seed, k, frames, held): the first ones are the same however many there
    are. Those that are whole are skipped, one that was interrupted goes on.

    Args:
        client: see `cadstn.many.cluster.dask_client`.
        out: folder to write to; every worker must reach it by the same path.
        shards: how many.
        frames: of each.
        seed: of the set.
        held: chance that a hand grasps something, 0 to 1.
        on_row: called with each shard's row as it ends.

    Returns:
        A row for each shard, in order. A shard that failed is one with an error.

    Raises:
        CadstnError: if the folder holds anything else, or cannot be written to.
    """
    target = folder_target(out)
    about = {"frames": frames, "seed": seed, "held": held, "version": __version__}
    begin_folder(target, _BEGUN, about)
    jobs = [Shard(str(target), number, frames, seed, held) for number in range(shards)]
    return table_of(
        run_jobs(client, render_shard, jobs),
        lambda job, error: Row(job.name, error=error),
        target / TABLE,
        on_row,
    )


def render_shard(job: Shard) -> Row:
    """Render one shard, in a worker; whatever goes wrong is the row's error."""
    try:
        from cadstn.synth.render import one_thread
        from cadstn.synth.write import is_written, write_synthetic

        one_thread()
        path = Path(job.out) / job.name
        skipped, began = is_written(path), time.perf_counter()
        if not skipped:
            write_synthetic(
                path, frames=job.frames, seed=job.seed, number=job.number, held=job.held
            )
        seconds = None if skipped else time.perf_counter() - began
        return Row(job.name, frames=job.frames, seconds=seconds, skipped=skipped)
    except Exception as error:
        return Row(job.name, error=error_line(error))
