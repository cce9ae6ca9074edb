"""Track the recordings of a manifest, each whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.io import open_recording
from cadstn.io.arrays import read_regular
from cadstn.io.folder import check_hashes, folder_target
from cadstn.io.hashes import file_sha256
from cadstn.many.cluster import run_jobs
from cadstn.many.manifest import Entry
from cadstn.many.table import Row, error_line, table_of
from cadstn.tracking import Network, Tracker, load_network
from cadstn.tracking.weights import path_of

TABLE = "recordings.parquet"


@dataclass(frozen=True)
class Job:
    """One recording, and how it is tracked."""

    entry: Entry  # the recording
    out: str  # folder of all results
    weights: str | None  # an exported network; None for the one that ships
    weights_sha256: str  # of that file
    hands: int  # at most
    video: bool  # whether to write the overlay

    @property
    def folder(self) -> Path:
        """Where its results are."""
        return Path(self.out) / self.entry.name

    def order(self) -> dict[str, Any]:
        """All that its results are a function of, as far as it shows without opening a file."""
        camera = self.entry.camera
        is_file = camera is not None and camera.lower().endswith(".json")
        return {
            "path": self.entry.path, "below": self.entry.below,
            "camera": None if is_file else camera,  # its place may change
            "camera_sha256": file_sha256(camera) if camera and is_file else "",
            "unit_mm": self.entry.unit, "source": _source(Path(self.entry.path)),
            "weights": self.weights_sha256, "hands": self.hands, "video": self.video,
            "cadstn": __version__,
        }  # fmt: skip


def _source(path: Path) -> dict[str, Any] | None:
    """How many files and bytes a recording has, and its cameras' hashes; None where it is gone."""
    if not path.is_dir():
        return {"files": 1, "bytes": path.stat().st_size} if path.exists() else None
    files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
    cameras = sorted(file for file in files if file.name == "camera.json")
    return {
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "cameras": [file_sha256(file) for file in cameras],
    }


def track_many(
    client: Any,
    entries: Sequence[Entry],
    out: Path,
    *,
    weights: Path | None = None,
    hands: int = 1,
    video: bool = False,
    on_row: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Track recordings, and write a folder of results for each and ``recordings.parquet``.

    The folders are those of `cadstn.tracking.results.track_recording`. One that is there, whole and
    made by the same settings and release, of as many files and bytes and the same camera, is
    skipped, also where its recording is gone, or was moved with its list, or the overlay is there
    and not asked for. Rows of earlier lists whose results are there stay in the table.

    Args:
        client: see `cadstn.many.cluster.dask_client`.
        entries: see `cadstn.many.manifest.read_manifest`.
        out: folder to write to; every worker must reach it, and the recordings, by the same path.
        weights: an exported network; None for the one that ships.
        hands: how many are followed at most.
        video: write the overlay video of each.
        on_row: called with each recording's row as it ends.

    Returns:
        A row for each recording, in the order of their names. A recording that failed is one with
        an error.

    Raises:
        CadstnError: if the weights cannot be used, or ``out`` cannot be written to.
    """
    sha256 = load_network(weights, threads=1).sha256  # refused here, not in every row
    target = folder_target(out)
    network = None if weights is None else str(path_of(weights).resolve())
    jobs = [Job(entry, str(target), network, sha256, hands, video) for entry in entries]
    return table_of(
        run_jobs(client, track_job, jobs),
        lambda job, error: Row(job.entry.name, job.entry.path, error=error),
        target / TABLE,
        on_row,
    )


def track_job(job: Job) -> Row:
    """Track one recording, in a worker; whatever goes wrong is the row's error."""
    try:
        order = job.order()
        if (row := _done(job, order)) is not None:
            return row
        from cadstn.tracking.results import track_recording

        recording = open_recording(job.entry.path, job.entry.camera, unit=job.entry.unit)
        tracker = Tracker(_network(job.weights), hands=job.hands)
        track_recording(
            recording, tracker, job.folder, on_bad=lambda bad: None, video=job.video,
            about={"order": order, "unit_mm": job.entry.unit},
        )  # fmt: skip
        row = _done(job, order)
        if row is None:
            raise CadstnError("its results changed while they were read", where=job.folder)
        return replace(row, skipped=False)
    except Exception as error:
        return Row(job.entry.name, job.entry.path, error=error_line(error))


@lru_cache(maxsize=1)
def _network(weights: str | None) -> Network:
    """One network a process, on one thread: workers are as many as processors."""
    import cv2

    cv2.setNumThreads(1)
    return load_network(weights, threads=1)


def _done(job: Job, order: dict[str, Any]) -> Row | None:
    """Return the row of results that are there; None if they are not whole, or of another order."""
    from cadstn.tracking.results import VIDEOS, hand_name

    try:
        summary = json.loads(read_regular(job.folder / "summary.json"))
        held = summary["order"]
        if order["source"] is None:  # what was tracked cannot be compared any more
            order = order | {"source": held["source"]}
        if held["video"]:  # an overlay that is not asked for does no harm
            order = order | {"video": True}
        same = held["path"] == order["path"]
        if not same and order["below"] and held["below"] == order["below"]:
            # Moved with its list. Where the old path is still there, this is another recording.
            same = not Path(held["path"]).exists()
        if not same or held != order | {name: held[name] for name in ("path", "below")}:
            return None
        needed = [name for name in summary["files"] if job.video or name not in VIDEOS]
        if not all((job.folder / name).is_file() for name in needed):
            return None
        found, present = [], []
        for name in (f"{hand_name(place)}.npz" for place in range(job.hands)):
            if name not in summary["files"]:
                return None
            check_hashes(job.folder / name)
            with np.load(job.folder / name, allow_pickle=False) as arrays:
                found.append(arrays["found"])
                present.append(arrays["present"][arrays["found"]])
        seen = np.concatenate(present)
        return Row(
            job.entry.name,
            job.entry.path,
            frames=summary["frames"],
            found_share=float(np.any(found, axis=0).mean()),
            mean_presence=float(seen.mean()) if np.isfinite(seen).any() else None,
            seconds=summary["seconds"],
            skipped=True,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, CadstnError):
        return None
