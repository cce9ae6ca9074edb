"""The one way to write: a file or folder appears whole or not at all, and an old one stays.

What is written goes to a temporary name beside the target and is renamed when it is complete and on
the disk. A process that is killed leaves the old target and a temporary file, which the next writer
of the same target removes. Modes follow the umask, or those of the file that is replaced.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import stat
import sys
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cadstn.errors import CadstnError
from cadstn.io.hashes import file_sha256

#: Files of the summary that list the hashes of the other files of a folder.
FILES_KEY = "files"
_HOST = f"{zlib.crc32(os.uname().nodename.encode() if hasattr(os, 'uname') else b''):08x}"
_COUNT = itertools.count()
_ACTIVE: set[str] = set()  # temporary names of this process
_DAY_S = 86_400.0
_RENAME_EXCHANGE = 2  # Linux, renameat2(2)
_AT_CWD = -100


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path; after the block it is renamed to ``path``, or removed on an error.

    Args:
        path: the file to write; one that exists is replaced and its mode is kept, a link is kept
            and its target replaced.
        durable: wait until the contents are on the disk before the rename; without it a power
            failure may leave an empty file.

    Raises:
        CadstnError: if ``path`` is a folder, a device or a link that leads nowhere, or the disk
            is full.
    """
    path = Path(path)
    target = _file_target(path)
    temporary = _temporary(target)
    try:
        with _writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target)
            temporary.touch(exist_ok=False)  # with the mode that the umask leaves
            mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
        yield temporary
        with _writing(path):
            os.chmod(temporary, mode)  # some libraries make files for their owner alone
            if durable:
                _sync(temporary)
            os.replace(temporary, target)
            if durable:
                _sync_folder(target.parent)
    finally:
        _ACTIVE.discard(temporary.name)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def new_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside a path at which nothing is, or nothing but an empty file or folder.

    What the block made under that name, a file or a folder, is renamed at its end; after an error
    nothing of it is left.

    Raises:
        CadstnError: if something is at ``path``, or it cannot be written.
    """
    path = Path(path)
    target = Path(os.path.abspath(path))
    temporary = _temporary(target)
    try:
        with _writing(path):
            if is_taken(path):
                raise CadstnError("is already there", mend="give a new name, or delete it")
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target)
        yield temporary
        with _writing(path):
            if target.is_dir():
                target.rmdir()  # empty; to rename onto it works on some systems only
            elif temporary.is_dir():
                target.unlink(missing_ok=True)
            os.replace(temporary, target)
            _sync_folder(target.parent)
    finally:
        _ACTIVE.discard(temporary.name)
        _remove(temporary)


def is_taken(path: Path) -> bool:
    """Whether something is at a path: a link, a device, or a file or folder that is not empty."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size > 0))


def write_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; raises CadstnError naming it."""
    with whole_file(path, durable=durable) as temporary, _writing(path):
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str, encoding: str = "utf-8") -> None:
    """Write a text file whole or not at all; raises CadstnError naming it."""
    write_bytes(path, text.encode(encoding))


def write_json(path: str | os.PathLike[str], value: object, **options: Any) -> None:
    """Write a value as JSON with a line end, whole or not at all; raises CadstnError naming it."""
    write_text(path, json.dumps(value, **options) + "\n")


def write_npz(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Write arrays as a compressed ``.npz`` file, whole or not at all; the name stays as it is."""
    write_with(path, lambda file: np.savez_compressed(file, **arrays))


def write_with(
    path: str | os.PathLike[str], write: Callable[[BinaryIO], object], *, durable: bool = True
) -> None:
    """Write a file through a function that takes an open binary file, whole or not at all."""
    with whole_file(path, durable=durable) as temporary, _writing(path):  # noqa: SIM117
        with temporary.open("wb") as file:  # closed, and a full disk found, before the rename
            write(file)


@contextmanager
def whole_folder(
    out: str | os.PathLike[str],
    names: Collection[str],
    *,
    optional: Collection[str] = (),
    inputs: Iterable[Path] = (),
    summary: str | None = None,
) -> Iterator[Path]:
    """Give a new folder to write into; after the block its files are the files of ``out``.

    Where ``out`` is absent or holds nothing but earlier results, the two folders are exchanged in
    one step. Where it holds other files as well, these stay and the new files are renamed into
    place one by one, the summary last: a kill in between leaves a folder without its summary.

    Args:
        out: the folder; made if it is not there.
        names: of the files that the block writes.
        optional: which of them it may leave out; then an old one goes.
        inputs: files and folders that are read meanwhile, which ``out`` must not be.
        summary: which of them is a JSON object that gets the hashes of the others, under ``files``.

    Raises:
        CadstnError: if ``out`` is a file, a device, a dangling link or one of the inputs, a file
            was not written, or the disk is full; an old result stays as it was.
    """
    out = Path(out)
    target = folder_target(out, inputs)
    work = _temporary(target)
    try:
        with _writing(out):
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target)
            work.mkdir()
        yield work
        with _writing(out):
            for name in names:
                if not (work / name).is_file() and name not in optional:
                    raise CadstnError(f"{name} could not be written", mend="is the disk full?")
            if summary is not None:
                _list_hashes(work / summary, [path for path in sorted(work.iterdir())
                                              if path.name != summary])  # fmt: skip
            for path in work.iterdir():
                _sync(path)
            _put_in_place(work, target, [n for n in names if n != summary], summary)
            _sync_folder(target.parent)
    finally:
        _ACTIVE.discard(work.name)
        shutil.rmtree(work, ignore_errors=True)


def check_hashes(file: Path, summary: str = "summary.json") -> None:
    """Refuse a file whose hash is not the one in the summary beside it.

    A file without such a summary, or one that the summary does not list, passes.

    Raises:
        CadstnError: naming the file.
    """
    try:
        held = json.loads((file.parent / summary).read_text(encoding="utf-8"))
        expected = held[FILES_KEY][file.name]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return
    if expected != file_sha256(file):
        raise CadstnError(
            f"not the file that {summary} beside it lists: its contents changed, or the command "
            "that wrote it was interrupted",
            where=file,
            mend=f"write it again, or move it away from {summary}",
        )


def folder_target(out: Path, inputs: Iterable[Path] = ()) -> Path:
    """Resolve a folder to write to.

    Raises:
        CadstnError: if it is a file, a device or a dangling link, or one of the inputs.
    """
    hint = "give a folder: --out DIR"
    with _writing(out):
        if out.is_symlink() and not out.exists():
            raise CadstnError("a link that leads nowhere", mend=hint)
        if out.exists() and not out.is_dir():
            raise CadstnError(
                f"{_kind(out)} stands where a folder is to be made", mend="give another --out DIR"
            )
        target = Path(os.path.realpath(out))
        for path in inputs:
            if Path(os.path.realpath(path)) == target:
                raise CadstnError(
                    "is the input itself, which would be overwritten", mend="give another --out"
                )
    return target


def sweep(target: Path) -> None:
    """Remove temporary files and folders of processes that were killed while writing a target."""
    start, end = f".{target.name}.", ".tmp"
    for path in target.parent.iterdir():
        name = path.name
        if name.startswith(start) and name.endswith(end) and name not in _ACTIVE:
            owner = name[len(start) : -len(end)]
            if _is_dead(owner, path):
                _remove(path)


def _is_dead(owner: str, path: Path) -> bool:
    """Whether the process that a temporary name stands for runs no more."""
    pid, _, rest = owner.partition("-")
    if not pid.isdigit() or (rest and not rest.startswith(_HOST)):
        return False  # another program's, or another machine's
    if int(pid) == os.getpid():
        return True  # not among the active: of an earlier process of this number
    if os.name == "nt":  # there is no harmless signal to ask with
        return time.time() - path.lstat().st_mtime > _DAY_S
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _temporary(target: Path) -> Path:
    name = f".{target.name}.{os.getpid()}-{_HOST}-{next(_COUNT)}.tmp"
    _ACTIVE.add(name)
    return target.with_name(name)


def _file_target(path: Path) -> Path:
    hint = "give the name of a file"
    with _writing(path):
        if path.is_symlink() and not path.exists():
            raise CadstnError("a link that leads nowhere", mend=hint)
        if path.exists() and not path.is_file():
            raise CadstnError(f"{_kind(path)} where a file is to be written", mend=hint)
        return Path(os.path.realpath(path))


def _kind(path: Path) -> str:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a device or pipe"


def _put_in_place(work: Path, target: Path, names: list[str], summary: str | None) -> None:
    every = {*names, *([summary] if summary is not None else ())}
    if not target.exists():
        os.rename(work, target)
        return
    mine = {path.name for path in target.iterdir()} <= every
    if mine and not _is_in_use(target):
        os.chmod(work, stat.S_IMODE(target.stat().st_mode))
        if _exchange(work, target):
            return
    if summary is not None:
        (target / summary).unlink(missing_ok=True)
    for name in [*names, *([summary] if summary is not None else ())]:
        if (target / name).is_dir():
            raise CadstnError(f"a folder named {name} is in it", mend="give another --out")
        if (work / name).exists():
            os.replace(work / name, target / name)
        else:
            (target / name).unlink(missing_ok=True)


def _is_in_use(target: Path) -> bool:
    """Whether this process works in the folder, which must then stay the same folder."""
    here = Path.cwd()
    return target == here or target in here.parents


def _exchange(work: Path, target: Path) -> bool:
    """Exchange two folders in one step, where the system can."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(work), os.fsencode(target)
    return bool(rename(_AT_CWD, names[0], _AT_CWD, names[1], _RENAME_EXCHANGE) == 0)


def _list_hashes(summary: Path, files: Iterable[Path]) -> None:
    held = json.loads(summary.read_text(encoding="utf-8"))
    held[FILES_KEY] = {file.name: file_sha256(file) for file in files}
    summary.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Put a rename on the disk; where folders cannot be synced, the system does it later."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in errors that do not name one, and turn the system's errors into ours."""
    try:
        yield
    except CadstnError as error:
        if error.where is not None:
            raise
        raise CadstnError(error.what, where=path, mend=error.mend) from None
    except OSError as error:
        raise CadstnError(
            f"cannot write ({error.strerror or error})",
            where=path,
            mend="check its permissions and the space left; what was there before is unchanged",
        ) from None
