"""The one way to write: a file or folder appears whole or not at all, and an old one stays.

What is written goes to a temporary name beside the target and is renamed when it is complete and on
the disk. A process that is killed leaves the old target and a temporary file, which the next writer
of the same target removes. Modes follow the umask, or those of the file that is replaced.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cadstn.errors import CadstnError
from cadstn.io.temporary import (
    ACTIVE,
    remove,
    replace_each,
    sweep,
    sweep_once,
    temporary_of,
    working_name,
)


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path; after the block it is renamed to ``path``, or removed on an error.

    Args:
        path: the file to write; one that exists is replaced and its mode is kept, a link is kept
            and its target replaced.
        durable: wait until the contents are on the disk before the rename; without it, as for one
            of many frames, a power failure may leave an empty file.

    Raises:
        CadstnError: if ``path`` is a folder, a device or a link that leads nowhere, or the disk
            is full, in the block as well.
    """
    path = Path(path)
    target = _file_target(path)
    temporary = temporary_of(target)
    try:
        with writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            if durable:
                sweep(target)
            else:
                sweep_once(target.parent)
            temporary.touch(exist_ok=False)  # with the mode that the umask leaves
            mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
        with writing(path):  # the block only writes
            yield temporary
        with writing(path):
            if durable:
                sync(temporary)
            os.chmod(temporary, mode)  # some libraries make files for their owner alone
            os.replace(temporary, target)
            if durable:
                sync_folder(target.parent)
    finally:
        ACTIVE.discard(temporary.name)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def resumed_file(path: Path, *, wait: bool = False) -> Iterator[Path]:
    """Give ``path`` with ``.part`` after it, this process's alone; it is renamed after the block.

    Whatever ends the block early leaves the file, and the next process is given it as it is. A
    block that removes it leaves ``path`` as it is.

    Args:
        path: the file to write.
        wait: for another process that writes it.

    Raises:
        CadstnError: if another process writes it, ``path`` is a folder, a device or a link that
            leads nowhere, or the disk is full.
    """
    target = _file_target(path)
    part = target.with_name(f"{target.name}.part")
    with writing(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(part, wait)
    with file:
        yield part
        # Where the block has removed it, another process may have begun its own there.
        if _is_at(file, part):
            with writing(path):
                sync(part)
                os.replace(part, target)
                sync_folder(target.parent)


def _locked(path: Path, wait: bool) -> BinaryIO:
    """Open a file that no other process has locked; closing it gives up the lock."""
    import fcntl

    while True:
        file = path.open("ab")
        try:
            # The system takes the lock from a process that ends, however it ends.
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_at(file, path):  # or the process that was waited for has renamed it
                return file
        except BlockingIOError:
            file.close()
            raise CadstnError(
                "another process is making it", hint="wait for it, or give another file"
            ) from None
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that stands at a path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and keep it for this process; however that ends, the system frees it.

    Windows and some network disks have no such lock; there it is not kept.

    Raises:
        CadstnError: if another process keeps it, or it cannot be made or read.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CadstnError(
                "another process writes into it",
                where=folder,
                hint="wait for it, or give another folder",
            ) from None
        except OSError:
            pass  # a disk without locks
        yield
    finally:
        os.close(handle)


@contextmanager
def new_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a name beside a path at which nothing is, or nothing but an empty file or folder.

    What the block made under that name, if anything, is renamed at its end; after an error nothing
    of it is left. An empty mount point cannot be renamed onto: the entries of a folder are renamed
    into it one by one, and a kill in between leaves a part of them.

    Raises:
        CadstnError: if something is at ``path``, or it cannot be written.
    """
    path = Path(path)
    target = Path(os.path.abspath(path))
    with writing(path):
        if target.is_dir():
            sweep(target / target.name)
        if is_taken(path):
            raise CadstnError("is already there", hint="give a new name, or delete it")
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        temporary = working_name(target)
    try:
        yield temporary
        with writing(path):
            if not temporary.exists():
                return
            if temporary.parent == target and temporary.is_dir():
                replace_each(temporary, target, sorted(p.name for p in temporary.iterdir()))
                sync_folder(target)
                return
            if target.is_dir():
                target.rmdir()  # empty; to rename onto it works on some systems only
            elif temporary.is_dir():
                target.unlink(missing_ok=True)
            os.replace(temporary, target)
            sync_folder(target.parent)
    finally:
        ACTIVE.discard(temporary.name)
        remove(temporary)


def is_taken(path: Path) -> bool:
    """Whether something is at a path: a link, a device, or a file or folder that is not empty."""
    if path.is_dir():
        return any(path.iterdir())
    return path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size > 0))


def write_bytes(path: str | os.PathLike[str], data: bytes, *, durable: bool = True) -> None:
    """Write a file whole or not at all; raises CadstnError naming it."""
    with whole_file(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all; raises CadstnError naming it."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], value: object, **options: Any) -> None:
    """Write a value as JSON with a line end, whole or not at all; raises CadstnError naming it."""
    write_text(path, json.dumps(value, **options) + "\n")


def write_npz(path: str | os.PathLike[str], **arrays: Any) -> None:
    """Write arrays as a compressed ``.npz`` file, whole or not at all; the name stays as it is."""
    write_with(path, lambda file: np.savez_compressed(file, **arrays))


def write_with(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Write a file through a function that takes an open binary file, whole or not at all."""
    with whole_file(path) as temporary:  # noqa: SIM117
        with temporary.open("wb") as file:  # closed, and a full disk found, before the rename
            write(file)


def _file_target(path: Path) -> Path:
    hint = "give the name of a file"
    with writing(path):
        if path.is_symlink() and not path.exists():
            raise CadstnError("a link that leads nowhere", hint=hint)
        if path.exists() and not path.is_file():
            raise CadstnError(f"{kind_of(path)} where a file is to be written", hint=hint)
        return Path(os.path.realpath(path))


def kind_of(path: Path) -> str:
    """Say what is at a path."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a device or pipe"


def sync(path: Path) -> None:
    """Wait until a file's contents are on the disk."""
    with path.open("r+b") as file:  # Windows syncs no file that is open for reading alone
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Put a rename on the disk; where folders cannot be synced, the system does it later."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def no_file(path: Path, what: str = "no such file") -> str:
    """Say why a path is no file to read: what stands there, or that nothing does."""
    return f"{kind_of(path)}, not a file" if path.exists() else what


def keep_inputs(out: Path, inputs: Iterable[Path | None]) -> None:
    """Raise CadstnError if a file or folder to write is one that is read, by any of its names."""
    real = os.path.realpath(out)
    if any(path is not None and os.path.realpath(path) == real for path in inputs):
        raise CadstnError(
            "is the input itself, which would be overwritten",
            where=out,
            hint="give another name to write to",
        )


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in errors that do not name one, and turn the system's errors into ours."""
    try:
        yield
    except CadstnError as error:
        if error.where is not None:
            raise
        raise CadstnError(error.what, where=path, hint=error.hint) from None
    except (FileExistsError, NotADirectoryError) as error:
        raise CadstnError(
            f"cannot write ({error.strerror or error})",
            where=path,
            hint="a part of its path is a file; name a folder",
        ) from None
    except OSError as error:
        raise CadstnError(
            f"cannot write ({error.strerror or error})",
            where=path,
            hint="check its permissions and the space left; what was there before is unchanged",
        ) from None
