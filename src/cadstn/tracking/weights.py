"""Weights by name and version: those of the package, and those of a folder of your own.

A folder of weights holds ``index.json``: a list of objects with the fields of `Weights`. The
package has one; another is named by the environment variable ``CADSTN_WEIGHTS``. Nothing is ever
fetched.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from cadstn.errors import CadstnError, nearest_name
from cadstn.io.arrays import read_regular
from cadstn.io.files import error_context
from cadstn.io.hashes import check_stamp, file_sha256

INDEX = "index.json"
#: Environment variable of a folder of your own.
FOLDER = "CADSTN_WEIGHTS"
_NAME = re.compile(r"[\w-]+(@[\w.+-]+)?")


@dataclass(frozen=True)
class Weights:
    """One entry of an index."""

    name: str  # of the weights, such as ``hand21``
    version: str  # of these
    file: str  # the network, below the index's folder
    sha256: str  # of the file
    licence: str  # of the weights
    trained_on: str  # what data they were trained on
    use: str  # what they are for, and what not
    card: str  # where the model card is
    folder: Path = Path()  # of the index

    @property
    def key(self) -> str:
        """What `find_weights` takes: ``NAME@VERSION``."""
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.folder / self.file

    def check(self) -> None:
        """Compare the file with the hash of the index.

        Raises:
            CadstnError: if it is absent or another one.
        """
        with error_context(self.path):
            found = file_sha256(self.path)
        if found != self.sha256:
            raise CadstnError(
                f"is not {self.key}: its SHA-256 is {found[:12]}..., not {self.sha256[:12]}...",
                where=self.path,
                hint="copy or install it again",
            )


def known_weights() -> list[Weights]:
    """Return the weights of the package, then those of the folder in ``CADSTN_WEIGHTS``.

    Raises:
        CadstnError: if an index cannot be read.
    """
    folders = [Path(str(resources.files("cadstn") / "weights"))]
    if own := os.environ.get(FOLDER):
        folders.append(Path(own))
    return [weights for folder in folders for weights in _index(folder)]


def _index(folder: Path) -> list[Weights]:
    path = folder / INDEX
    wanted = {field.name for field in fields(Weights)} - {"folder"}
    with error_context(path):
        try:
            rows = json.loads(read_regular(path))
        except (ValueError, RecursionError):
            rows = None
        if not isinstance(rows, list):
            raise CadstnError("is not a JSON list", hint="see the package's own")
        for row in rows:
            if not isinstance(row, dict) or set(row) != wanted:
                raise CadstnError("has an entry of other fields", hint=f"give {sorted(wanted)}")
            if not all(isinstance(value, str) for value in row.values()):
                raise CadstnError("has an entry that is not all text", hint="give text alone")
            if Path(row["file"]).name != row["file"]:
                raise CadstnError(f"names '{row['file']}'", hint="name a file of its own folder")
    return [Weights(**row, folder=folder) for row in rows]


def find_weights(name: str) -> Weights:
    """Return the weights of a name.

    Args:
        name: ``NAME@VERSION``, or ``NAME`` for the package's own, else the last one of that name.

    Raises:
        CadstnError: if there is none, with the nearest one that there is.
    """
    known = known_weights()
    for weights in known:
        if weights.key == name:
            return weights
    for weights in [known[0], *reversed(known)]:
        if weights.name == name:
            return weights
    raise CadstnError(
        f"no weights '{name}'", hint=nearest_name(name, [weights.key for weights in known])
    )


def path_of(given: str | Path) -> Path:
    """Return the file of weights given by path or by ``NAME@VERSION``, whose hash is checked.

    A file that exists is taken as a path, whatever its name.

    Raises:
        CadstnError: if a name is unknown, or its file is not the one of the index.
    """
    text, path = str(given), Path(given)
    if "@" not in text or not _NAME.fullmatch(text) or path.exists():
        return path
    weights = find_weights(text)
    weights.check()
    return weights.path


def verify_file(path: Path) -> str:
    """Describe in one line what a file of weights is, by its hash.

    Raises:
        CadstnError: if it is absent, damaged, or nothing is known to compare it with.
    """
    if not path.exists():
        raise CadstnError(
            "no such file", where=path, hint="'cadstn weights list' lists those known"
        )
    with error_context(path):
        sha256 = file_sha256(path)
        stamped = check_stamp(path, hint="copy it again")
    for weights in known_weights():
        if weights.sha256 == sha256:
            return f"{weights.key}, SHA-256 {sha256}"
    if stamped:
        return f"not in an index, but whole by the hash within it; SHA-256 {sha256}"
    raise CadstnError(
        "in no index, and without a hash of its own",
        where=path,
        hint=f"name the folder of its index in {FOLDER}",
    )
