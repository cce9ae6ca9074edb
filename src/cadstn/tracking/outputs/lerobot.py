"""A session as a data set of LeRobot, format v3.0: depth and hands (the extra ``lerobot``).

Depth is kept as 16-bit PNG images in the Parquet files: LeRobot's videos hold 8 bits with losses. A
cut in the source begins a new episode, and so does a gap that begins a new stream of the tracker.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library
from cadstn.geometry.skeleton import Skeleton
from cadstn.io.files import error_context
from cadstn.io.temporary import remove
from cadstn.io.whole import new_path, write_json
from cadstn.tracking.live import Tracked
from cadstn.tracking.outputs.lerobot_stats import ImageStats, stats_of
from cadstn.tracking.tracker import _LONGEST_GAP_S

DEPTH, STATE, FOUND, TIME = (
    "observation.images.depth", "observation.state", "observation.found", "observation.time_s",
)  # fmt: skip
_INDICES = ("frame_index", "episode_index", "index", "task_index")
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
#: The task of an episode where none is given.
TASK = "move the hand"
#: Frames that are written at once; a reader loads as many to get one.
_GROUP = 64


class LeRobotWriter:
    """Writes each tracked frame into a data set, which is whole once it is closed.

    Features: ``observation.images.depth`` (H, W, 1), 16-bit PNG; ``observation.state``, the joints
    of every hand in mm, camera frame; ``observation.found``, whether a hand is there;
    ``observation.time_s``, the source's own clock; and LeRobot's own, whose ``timestamp`` counts
    frames, also where some were dropped. NaN has no place in such a data set: while a hand is lost,
    its joints stay where they were, at an episode's beginning at 0.

    Args:
        folder: new or empty.
        skeleton: of the tracker.
        task: what is done, in words.

    Attributes:
        frames: how many were written.
        dropped: how many the source made since the first of these and nobody saw.

    Raises:
        CadstnError: if pyarrow is missing, something is in the folder, it cannot be written to, or
            the size of the frames changes.
    """

    def __init__(self, folder: Path, skeleton: Skeleton, task: str = TASK) -> None:
        with library("LeRobot's data sets need pyarrow", "lerobot"):
            import pyarrow
            import pyarrow.parquet
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        self._skeleton, self._task = skeleton, task
        self._target, self._placing = folder, ExitStack()
        self._folder = self._placing.enter_context(new_path(folder))
        with error_context(folder):
            self._folder.mkdir()
        self._features: dict[str, Any] = {}
        self.frames = self.dropped = 0
        self._before, self._time_s = 0, 0.0  # dropped before the first frame; the last one's time
        self._shape = (0, 0)
        self._unit_mm, self._fps = 1.0, 0
        self._file: Any = None
        self._rows: list[dict[str, Any]] = []  # not yet written
        self._kept: list[dict[str, Any]] = []  # of this episode, without the images
        self._image = ImageStats()
        self._images = ImageStats()
        self._episodes: list[dict[str, Any]] = []
        self._all: list[dict[str, Any]] = []
        self._last: NDArray[np.float32] = np.zeros((0, len(skeleton), 3), np.float32)

    def __call__(self, seen: Tracked) -> None:
        """Write a frame."""
        depth_mm = seen.frame.depth_mm
        if not self._features:
            self._begin(seen)
        if depth_mm.shape != self._shape:
            raise CadstnError(
                f"frames of {depth_mm.shape} after {self._shape}", where=self._target,
                hint="a data set has one size",
            )  # fmt: skip
        passed_s = seen.frame.time_s - self._time_s
        if self._kept and (seen.frame.cut or not 0 < passed_s <= _LONGEST_GAP_S):
            self._end_episode()
        self._time_s = seen.frame.time_s
        self.frames += 1
        self.dropped = seen.frame.dropped - self._before
        found = np.array([hand.found for hand in seen.hands])
        joints = np.stack([hand.joints_mm for hand in seen.hands])
        self._last = np.where(found[:, None, None], joints, self._last).astype(np.float32)
        units = np.rint(depth_mm / self._unit_mm)
        units = np.where(units <= 0xFFFF, units, 0).astype(np.uint16)
        self._image.add(units)
        row = {
            STATE: self._last.ravel(),
            FOUND: found,
            TIME: np.array([seen.frame.time_s]),
            "timestamp": np.array([len(self._kept) / self._fps], np.float32),
            "frame_index": np.array([len(self._kept)]),
            "episode_index": np.array([len(self._episodes)]),
            "index": np.array([len(self._all) + len(self._kept)]),
            "task_index": np.array([0]),
        }
        self._kept.append(row)
        self._rows.append({DEPTH: _png(units), **row})
        if len(self._rows) >= _GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the last episode, write ``meta`` and give the folder its name; again does nothing.

        Of a session without a frame nothing is left.
        """
        with self._placing, error_context(self._target):
            if self._kept:
                self._end_episode()
            if self._episodes:
                self._write_meta()
            else:
                remove(self._folder)
        self._episodes = []

    def _begin(self, seen: Tracked) -> None:
        """Settle what the first frame decides."""
        camera, hands = seen.frame.camera, len(seen.hands)
        self._before = seen.frame.dropped
        self._shape = seen.frame.depth_mm.shape
        # In the camera's own unit nothing is lost; a unit of metres would leave nothing.
        self._unit_mm = min(camera.depth_unit_mm, 1.0)
        self._fps = max(round(camera.fps), 1)
        self._last = np.zeros((hands, len(self._skeleton), 3), np.float32)
        prefix = ["", *(f"hand{place + 1}_" for place in range(1, hands))]
        coordinates = [
            f"{p}{name}_{axis}_mm"
            for p in prefix
            for name in self._skeleton.joints
            for axis in "xyz"
        ]
        info = {
            "is_depth_map": True,
            "depth_unit_mm": self._unit_mm,
            "camera": {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
        }
        self._features = {
            DEPTH: _feature("image", (*self._shape, 1), ["height", "width", "channels"])
            | {"info": info},
            STATE: _feature("float32", (len(coordinates),), coordinates),
            FOUND: _feature("bool", (hands,), [f"{p}found" for p in prefix]),
            TIME: _feature("float64", (1,), None),
            "timestamp": _feature("float32", (1,), None),
            **{name: _feature("int64", (1,), None) for name in _INDICES},
        }

    def _schema(self) -> Any:
        """Columns as LeRobot has them: an image is bytes and a path, one number no list."""
        pa = self._arrow
        kinds = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64(),
                 "bool": pa.bool_()}  # fmt: skip
        columns = []
        for name, feature in self._features.items():
            if feature["dtype"] == "image":
                kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            else:
                (size,) = feature["shape"]
                kind = kinds[feature["dtype"]]
                kind = kind if size == 1 else pa.list_(kind, size)
            columns.append((name, kind))
        return pa.schema(columns)

    def _flush(self) -> None:
        """Write the rows that wait to the episode's file."""
        if not self._rows:
            return
        path = self._folder / _DATA.format(chunk_index=0, file_index=len(self._episodes))
        columns = {}
        for name, feature in self._features.items():
            values = [row[name] for row in self._rows]
            plain = feature["dtype"] == "image"
            one = not plain and feature["shape"] == (1,)
            columns[name] = [v if plain else v[0].item() if one else v.tolist() for v in values]
        with error_context(self._target):
            if self._file is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._parquet.ParquetWriter(path, self._schema())
            self._file.write_table(self._arrow.table(columns, schema=self._schema()))
        self._rows = []

    def _end_episode(self) -> None:
        self._flush()
        with error_context(self._target):
            self._file.close()
        self._file = None
        start, number = len(self._all), len(self._episodes)
        self._all += self._kept
        stats = self._stats(self._kept, self._image)
        self._episodes.append(
            {
                "episode_index": number,
                "tasks": [self._task],
                "length": len(self._kept),
                "data/chunk_index": 0,
                "data/file_index": number,
                "dataset_from_index": start,
                "dataset_to_index": len(self._all),
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
            | {f"stats/{name}/{key}": v for name, all_ in stats.items() for key, v in all_.items()}
        )
        self._images.merge(self._image)
        self._kept, self._image = [], ImageStats()
        self._last = np.zeros_like(self._last)  # of another shot, no hand is known yet

    def _stats(self, rows: list[dict[str, Any]], image: ImageStats) -> dict[str, Any]:
        """Statistics by feature of some frames."""
        names = [name for name in self._features if name != DEPTH]
        return {DEPTH: image.to_dict()} | {
            name: stats_of(np.stack([row[name] for row in rows])) for name in names
        }

    def _write_meta(self) -> None:
        pa, meta = self._arrow, self._folder / "meta"
        with error_context(self._target):
            episodes = meta / "episodes/chunk-000/file-000.parquet"
            episodes.parent.mkdir(parents=True)
            self._parquet.write_table(pa.Table.from_pylist(self._episodes), episodes)
            # LeRobot takes the tasks for the index of a pandas table.
            tasks = pa.table({"task_index": pa.array([0]), "__index_level_0__": [self._task]})
            tasks = tasks.replace_schema_metadata({"pandas": json.dumps(_PANDAS)})
            self._parquet.write_table(tasks, meta / "tasks.parquet")
        write_json(meta / "stats.json", self._stats(self._all, self._images), indent=2)
        write_json(
            meta / "info.json",
            {
                "codebase_version": "v3.0",
                "robot_type": None,
                "total_episodes": len(self._episodes),
                "total_frames": len(self._all),
                "total_tasks": 1,
                "chunks_size": 1000,
                "data_files_size_in_mb": 100,
                "video_files_size_in_mb": 200,
                "fps": self._fps,
                "splits": {"train": f"0:{len(self._episodes)}"},
                "data_path": _DATA,
                "video_path": _VIDEO,
                "features": self._features,
            },
            indent=2,
        )


def _feature(dtype: str, shape: tuple[int, ...], names: list[str] | None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "names": names}


def _png(units: NDArray[np.uint16]) -> dict[str, Any]:
    """An image as a column of LeRobot's holds it."""
    return {"bytes": cv2.imencode(".png", units)[1].tobytes(), "path": None}


def _column(name: str | None, field: str, kind: str, numpy_kind: str) -> dict[str, Any]:
    return {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy_kind,
            "metadata": None}  # fmt: skip


#: What pandas writes beside a table whose index is text.
_PANDAS = {
    "index_columns": ["__index_level_0__"],
    "column_indexes": [_column(None, "None", "unicode", "object") | {"field_name": None}],
    "columns": [
        _column("task_index", "task_index", "int64", "int64"),
        _column(None, "__index_level_0__", "unicode", "object"),
    ],
    "pandas_version": "2.0.0",
}
