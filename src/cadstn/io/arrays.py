"""Arrays in ``.npy`` and ``.npz`` files of strangers, and opening files that may be no files.

NumPy allocates what a header claims before it reads the data. Here a header must agree with the
number of bytes that are there, these are limited, and nothing is unpickled.
"""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError

_HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
#: The largest image file; what else is read whole may take `max_bytes`.
MAX_IMAGE_BYTES = 1 << 28
_MAX_BYTES = "CADSTN_MAX_BYTES"  # environment variable
_MAX_MEMBERS = 10_000


def max_bytes() -> int:
    """The most that text, or arrays of one file, may take: 1 GB, or ``CADSTN_MAX_BYTES``.

    Raises:
        CadstnError: if the variable is no number of bytes.
    """
    text = os.environ.get(_MAX_BYTES, "").strip() or str(1 << 30)
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 20):
        raise CadstnError(f"{_MAX_BYTES} is '{text}'", hint=f"give bytes: {_MAX_BYTES}=8000000000")
    return int(text)


@contextmanager
def open_regular(path: Path, limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading: never a pipe or a device, on which one could wait for ever.

    Raises:
        CadstnError: if it is no regular file, or larger.
        OSError: if it cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise CadstnError("a folder, pipe or device, not a file", hint="give a file")
        if limit is not None and about.st_size > limit:
            raise CadstnError(
                f"a file of {about.st_size / 1e6:.0f} MB", hint=f"give {limit / 1e6:.0f} MB at most"
            )
        yield file


def read_regular(path: Path, limit: int | None = MAX_IMAGE_BYTES) -> bytes:
    """Read a whole file, of `max_bytes` where there is no other limit; raises as `open_regular`."""
    with open_regular(path, limit) as file:
        if limit is None:
            check_bytes(os.fstat(file.fileno()).st_size)
        return file.read()


def load_npz(path: Path, keys: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """Those of the arrays that an ``.npz`` file holds, or all of them; never unpickles.

    Raises:
        CadstnError: if it is damaged, holds objects, or takes more than `max_bytes`.
    """
    with open_regular(path) as file, _named(".npz"):
        archive = _archive(file)
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise ValueError(f"{len(members)} members")
        wanted = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name != member.filename and (keys is None or name in keys):
                wanted[name] = member
        check_bytes(sum(member.file_size for member in wanted.values()))
        for member in wanted.values():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("packed in an unknown way")
        arrays = {}
        for name, member in wanted.items():
            with archive.open(member) as opened:
                arrays[name] = read_array(opened, member.file_size)
        return arrays


def _archive(file: BinaryIO) -> zipfile.ZipFile:
    if file.read(6) == b"\x93NUMPY":
        raise CadstnError("not an .npz file but one array", hint="save it with numpy.savez")
    file.seek(0)
    return zipfile.ZipFile(file)


def load_npy(path: Path) -> NDArray[Any]:
    """The array of an ``.npy`` file; raises CadstnError as `load_npz`."""
    with open_regular(path) as file, _named(".npy"):
        size = os.fstat(file.fileno()).st_size
        check_bytes(size)
        return read_array(file, size)


def npz_names(path: Path) -> list[str]:
    """Names of the arrays in an ``.npz`` file; raises CadstnError if it is none."""
    with open_regular(path) as file, _named(".npz"):
        names = _archive(file).namelist()
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def check_bytes(count: int) -> None:
    """Raise a CadstnError if so many bytes are more than what one file holds may take."""
    if count > (most := max_bytes()):
        raise CadstnError(
            f"holds {count / 1e6:.0f} MB, more than {most / 1e6:.0f}",
            hint=f"set the environment variable {_MAX_BYTES}={-(-count // 10**9)}000000000",
        )


def read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array in ``.npy`` form of so many bytes.

    Raises:
        ValueError: if it holds objects, or its header does not agree with its size.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"of version {version}")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be read")
    if dtype.names is not None:
        raise ValueError(f"of {dtype}")
    count = math.prod(shape)
    held = size - file.tell()
    # NumPy makes items of no bytes larger.
    if len(shape) > 8 or count < 0 or not dtype.itemsize or count * dtype.itemsize != held:
        raise ValueError(f"header declares {dtype} of shape {shape}, which is not what it holds")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


@contextmanager
def _named(kind: str) -> Iterator[None]:
    try:
        yield
    except CadstnError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and ast raise a dozen kinds on damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise CadstnError(f"not a readable {kind} file ({why})", hint="write it again") from None
