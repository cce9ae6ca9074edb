"""Hashes of files, and a hash that a file carries within itself: a flipped bit is an error.

A file with a stamp holds the text ``cadstn-sha256=HASH=652ahs``, where HASH is that of the whole
file with 64 zeros in HASH's place. The stamp fits wherever a format has room for text: in the
metadata of ONNX and safetensors files, in the header of a bank.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

from cadstn.errors import CadstnError
from cadstn.io.arrays import open_regular

_BEFORE, _AFTER = b"cadstn-sha256=", b"=652ahs-ntsdac"
_ZEROS = b"0" * 64
#: The text to put into a file before `stamp_file`.
BLANK_STAMP = (_BEFORE + _ZEROS + _AFTER).decode("ascii")
#: Its key in the metadata of ONNX and safetensors files.
STAMP_KEY = "sha256"
_BLOCK = 1 << 24
_DAMAGED = "damaged: its contents are not those that were written"


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as ``sha256sum`` prints it; raises as `open_regular`."""
    with open_regular(Path(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def stamp_file(path: Path) -> None:
    """Fill the blank stamp of a file; its contents must not change afterwards.

    Raises:
        ValueError: if the file holds no blank stamp.
    """
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as held:
        place = held.find(BLANK_STAMP.encode("ascii"))
        if place < 0:
            raise ValueError(f"{path} holds no blank stamp")
        place += len(_BEFORE)
        held[place : place + 64] = _digest(held, place).encode("ascii")
        held.flush()


def check_stamp(path: Path, *, hint: str) -> bool:
    """Compare a file with its own stamp; returns whether it has one.

    Files of older versions have none. A single damaged bit is found wherever it lies: in the
    stamp's first word, its last word, the hash or the rest.

    Raises:
        CadstnError: naming the file, if its contents are not those that were stamped.
    """
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        first = held.find(_BEFORE)
        if first < 0 and held.find(_AFTER) < 0:
            return False
        place = first + len(_BEFORE)
        digest, last = held[place : place + 64], held[place + 64 : place + 64 + len(_AFTER)]
        if first < 0 or last != _AFTER or digest != _digest(held, place).encode("ascii"):
            raise CadstnError(_DAMAGED, where=path, hint=hint)
    return True


def _digest(held: mmap.mmap, place: int) -> str:
    """SHA-256 over the hashes of 16 MB blocks, with zeros at the place: hashed on all cores."""
    size = len(held)

    def block(start: int) -> bytes:
        end = min(start + _BLOCK, size)
        hole, after = (min(max(edge, start), end) for edge in (place, place + 64))
        digest = hashlib.sha256()
        with memoryview(held) as view:
            digest.update(view[start:hole])
            digest.update(_ZEROS[: after - hole])
            digest.update(view[after:end])
        return digest.digest()

    starts = range(0, size, _BLOCK)
    if len(starts) == 1:
        return hashlib.sha256(block(0)).hexdigest()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        whole = hashlib.sha256()
        for digest in pool.map(block, starts):
            whole.update(digest)
    return whole.hexdigest()
