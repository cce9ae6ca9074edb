"""The summary table of many recordings or shards: a row each, as Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from cadstn.errors import CadstnError, printable
from cadstn.io.whole import whole_file

_Job = TypeVar("_Job")


@dataclass(frozen=True)
class Row:
    """What came of one recording or shard."""

    name: str  # of the results, below the output folder
    path: str = ""  # what was read; empty of a shard
    frames: int = 0  # how many it has; 0 of one that failed
    # share of the frames with a hand; None where nothing was tracked
    found_share: float | None = None
    # mean predicted presence of the hands that were found; None without one
    mean_presence: float | None = None
    seconds: float | None = None  # what the work took in its process; None of one that failed
    skipped: bool = False  # whether it was there already
    error: str = ""  # why it failed, in one line; empty if it did not


def error_line(error: Exception) -> str:
    """One line on what went wrong, short enough for a table."""
    line = str(error) if isinstance(error, CadstnError) else f"{type(error).__name__}: {error}"
    return printable(line)[:500]


def table_of(
    results: Iterable[tuple[_Job, Row | str]],
    failed: Callable[[_Job, str], Row],
    path: Path,
    on_row: Callable[[Row], None],
) -> list[Row]:
    """Collect the rows of jobs as they end, and write them as a table, also when interrupted.

    Rows that the table has of other jobs stay, as ones that were skipped, where their results are
    beside it.

    Args:
        results: of `cadstn.many.cluster.run_jobs`.
        failed: the row of a job that ended with this error.
        path: the Parquet file.
        on_row: called with each row.

    Returns:
        The rows of these jobs in the order of their names.

    Raises:
        CadstnError: before a job is begun, if the file is no such table; or it cannot be written.
    """
    earlier = [row for row in read_table(path) if (path.parent / row.name).is_dir()]
    rows: list[Row] = []
    try:
        for job, found in results:
            row = failed(job, found) if isinstance(found, str) else found
            rows.append(row)
            on_row(row)
    finally:
        if rows:
            names = {row.name for row in rows}
            kept = [replace(row, skipped=True) for row in earlier if row.name not in names]
            write_table(path, [*rows, *kept])
    return sorted(rows, key=lambda row: row.name)


def read_table(path: Path) -> list[Row]:
    """Read the rows of a table; none where there is no file.

    Raises:
        CadstnError: if the file is no table that `write_table` wrote.
    """
    from pyarrow import parquet

    if not path.exists():
        return []
    try:
        return [Row(**row) for row in parquet.read_table(path).to_pylist()]
    except (OSError, ValueError, TypeError) as error:
        raise CadstnError(
            f"no table of this command ({type(error).__name__})",
            where=path, hint="move it, or give another folder",
        ) from None  # fmt: skip


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a Parquet file, in the order of their names, whole or not at all.

    Raises:
        CadstnError: if the file cannot be written.
    """
    import pyarrow as arrow
    from pyarrow import parquet

    kinds = {
        "frames": arrow.int64(), "skipped": arrow.bool_(), "found_share": arrow.float64(),
        "mean_presence": arrow.float64(), "seconds": arrow.float64(),
    }  # fmt: skip
    schema = arrow.schema(
        [(field.name, kinds.get(field.name, arrow.string())) for field in fields(Row)]
    )
    held = [vars(row) for row in sorted(rows, key=lambda row: row.name)]
    with whole_file(path) as temporary:
        parquet.write_table(arrow.Table.from_pylist(held, schema=schema), temporary)
