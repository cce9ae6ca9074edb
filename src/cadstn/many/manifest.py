"""Manifests: which recordings to track, one a line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.arrays import factor_mm
from cadstn.io.arrays import read_regular
from cadstn.io.bags import BAGS
from cadstn.io.files import error_context
from cadstn.io.images import IMAGES

_COLUMNS = ("path", "name", "camera", "unit")


@dataclass(frozen=True)
class Entry:
    """One recording of a manifest."""

    path: str  # what `cadstn.io.open_recording` takes, absolute but for ``demo``
    name: str = ""  # of its results: a path below the output folder, with ``/`` between its parts
    # text for `cadstn.geometry.camera.parse_camera`, a file's path absolute; None for the
    # recording's own
    camera: str | None = None
    # millimetres of a step of its depth, or of 1.0 in floats; None for the camera's
    unit: float | None = None
    # the path from the list's folder, where it is below it: the same after all of it was moved
    below: str = field(default="", compare=False)


def read_manifest(path: Path) -> list[Entry]:
    """Read a list of recordings.

    The ending decides the form. ``.csv`` has a header with ``path`` and, as wanted, ``name``,
    ``camera`` and ``unit``. ``.jsonl`` has an object with these keys a line. Any other file has a
    path a line, where ``#`` begins a comment line. Relative paths, also that of a ``camera.json``,
    start at the manifest's folder; ``demo`` is the recording that ships, if there is no other.

    Without a name, results are named by the path below the folder that all these recordings share.

    Raises:
        CadstnError: naming the line, if it cannot be read; if two recordings have one name, or one
            name lies inside another; if there are none.
    """
    with error_context(path):
        try:
            text = read_regular(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise CadstnError("not a text file", hint="give a list of recordings") from None
    read = {".csv": _of_csv, ".jsonl": _of_json_lines}.get(path.suffix.lower(), _of_text)
    entries = []
    for number, row in read(path, text):
        with error_context(f"{path}, line {number}"):
            entries.append(_entry(row, path.parent))
    if not entries:
        raise CadstnError("lists no recording", where=path, hint="give one path a line")
    entries = _named(entries)
    _check_names(entries, path)
    return entries


def _of_text(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, {"path": line.strip()}


def _of_csv(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = csv.DictReader(text.splitlines())
    if "path" not in (rows.fieldnames or ()):
        raise CadstnError("has no column 'path'", where=path, hint="begin it with a line: path")
    for row in rows:
        if None in row:
            raise CadstnError(
                "has more cells than the header",
                where=f"{path}, line {rows.line_num}",
                hint="put a cell with commas in quotes",
            )
        yield rows.line_num, {name: cell for name, cell in row.items() if cell}


def _of_json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise CadstnError(
                "not a JSON object", where=f"{path}, line {number}", hint='such as {"path": "a"}'
            )
        yield number, row


def _entry(row: dict[str, Any], folder: Path) -> Entry:
    for column in row:
        if column not in _COLUMNS:
            raise CadstnError(f"no column '{column}'", hint=nearest_name(column, _COLUMNS))
    for column in _COLUMNS[:3]:
        if not isinstance(row.get(column, ""), str):
            raise CadstnError(f"{column} is no text", hint=f"give {column} as text")
    if not row.get("path"):
        raise CadstnError("has no path", hint="give the path of a recording")
    unit, camera = row.get("unit"), row.get("camera") or None
    if camera is not None and camera.lower().endswith(".json"):
        camera = os.path.abspath(folder / camera)
    path, root = os.path.abspath(folder / row["path"]), os.path.abspath(folder)
    if row["path"] == "demo" and not os.path.exists(path):
        path = "demo"
    below = Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else ""
    unit_mm = None if unit is None else factor_mm(unit)
    return Entry(path, row.get("name", ""), camera, unit_mm, below)


def _named(entries: Sequence[Entry]) -> list[Entry]:
    """Name what has no name by its path below the deepest folder that all such share."""
    paths = {entry: Path(entry.path) for entry in entries if not entry.name}
    parents = [path.parent for path in paths.values() if path.is_absolute()]
    shared = os.path.commonpath(parents) if parents else ""

    def name(entry: Entry) -> str:
        if entry.path == "demo":
            return entry.path
        below = paths[entry].relative_to(shared)
        is_file = below.suffix.lower() in (".npz", *BAGS, *IMAGES)
        return (below.with_suffix("") if is_file else below).as_posix()

    return [entry if entry.name else replace(entry, name=name(entry)) for entry in entries]


def _check_names(entries: Sequence[Entry], path: Path) -> None:
    """Refuse names that lead out of the output folder, or to one another's results."""
    hint = "give each a name of its own, in the column 'name'"
    seen: dict[PurePosixPath, Entry] = {}
    for entry in entries:
        name = PurePosixPath(entry.name)
        if name.is_absolute() or ".." in name.parts or not name.parts or "\\" in entry.name:
            raise CadstnError(f"name '{entry.name}' leads out of the output", where=path, hint=hint)
        if name in seen:
            raise CadstnError(f"two recordings are named '{name}'", where=path, hint=hint)
        seen[name] = entry
    for name in seen:
        for parent in name.parents:
            if parent in seen:
                raise CadstnError(f"name '{name}' lies inside '{parent}'", where=path, hint=hint)
