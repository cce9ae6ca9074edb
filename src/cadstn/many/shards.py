"""Render millions of frames: recordings of a common seed, each whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cadstn.io.folder import begin_folder, folder_target
from cadstn.many.cluster import run_jobs
from cadstn.many.table import Row, error_line, table_of
from cadstn.synth import SIMULATOR
from cadstn.synth.arguments import share, whole_number

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
    alone: bool = False

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
    alone: bool = False,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Render recordings ``shard-000000``, ``shard-000001``, ... and ``shards.parquet``.

    Shard k is a function of (seed, k, frames, held, alone): the first ones are the same however
    many there are. Those that are whole are skipped, one that was interrupted or lost a frame goes
    on.

    Args:
        client: see `cadstn.many.cluster.dask_client`.
        out: folder to write to; every worker must reach it by the same path.
        shards: how many.
        frames: of each.
        seed: of the set.
        held: chance that a hand grasps something, 0 to 1.
        alone: no second hands, and nothing held but by ``held``.
        on_row: called with each shard's row as it ends.

    Returns:
        A row for each shard, in order. A shard that failed is one with an error.

    Raises:
        CadstnError: if the folder holds anything else or what another simulator began, a number
            makes no sense, or it cannot be written to.
    """
    shards, frames = whole_number("shards", shards, 1), whole_number("frames", frames, 1)
    seed, held, alone = whole_number("seed", seed), share("held", held), bool(alone)
    target = folder_target(out)
    about = {"simulator": SIMULATOR, "frames": frames, "seed": seed, "held": held, "alone": alone}
    begin_folder(target, _BEGUN, about)
    jobs = [Shard(str(target), number, frames, seed, held, alone) for number in range(shards)]
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
        from cadstn.synth.write import write_synthetic

        one_thread()
        path = Path(job.out) / job.name
        began = time.perf_counter()
        skipped = not write_synthetic(
            path, frames=job.frames, seed=job.seed, number=job.number, held=job.held,
            alone=job.alone,
        )  # fmt: skip
        seconds = None if skipped else time.perf_counter() - began
        return Row(job.name, frames=job.frames, seconds=seconds, skipped=skipped)
    except Exception as error:
        return Row(job.name, error=error_line(error))
