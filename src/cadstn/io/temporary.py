"""Temporary names beside what is written: whose they are, where they may be, and their end."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_HOST = f"{zlib.crc32(os.uname().nodename.encode() if hasattr(os, 'uname') else b''):08x}"
_COUNT = itertools.count()
_OLD = ".old"  # where `replace_each` keeps what was there
ACTIVE: set[str] = set()  # temporary names of this process
_DAY_S = 86_400.0
#: How a rename fails that leads to another mount, or into a folder that may not be written to.
_APART = (errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)


def temporary_of(target: Path) -> Path:
    """Return a new name beside a target, among the active ones until its owner takes it out."""
    name = f".{target.name}.{os.getpid()}-{_HOST}-{next(_COUNT)}.tmp"
    ACTIVE.add(name)
    return target.with_name(name)


def working_name(target: Path) -> Path:
    """Return a name as `temporary_of` does, from which one can rename to the target or into it.

    It is within the target, where that is a folder into which nothing can be renamed from beside
    it: a mount point, or one whose own folder may not be written to.
    """
    beside = temporary_of(target)
    if not target.is_dir():
        return beside
    within = target / beside.name
    try:
        # Tried, since device numbers do not show it: a folder may be bound to one of the same disk.
        beside.mkdir()
        os.rename(beside, within)
        os.rename(within, beside)
    except OSError as error:
        ACTIVE.discard(beside.name)
        if error.errno not in _APART:
            raise
        return temporary_of(target / target.name)
    finally:
        for path in (beside, within):
            with suppress(OSError):
                path.rmdir()
    return beside


def is_replaceable(folder: Path) -> bool:
    """Whether another folder beside an empty one can take its place."""
    name = working_name(folder)
    ACTIVE.discard(name.name)
    return name.parent != folder


def replace_each(work: Path, target: Path, names: Sequence[str]) -> None:
    """Rename files of one folder into another, one by one; an error undoes what was done.

    Args:
        work: where the new files are; of one that is not there the old one goes.
        target: where they belong; what was there is moved to ``work``.
        names: of the files in order. The last one stands for all: its old file goes first.
    """
    old = work / _OLD
    old.mkdir()
    done: list[tuple[Path, Path]] = []
    moves = [(target, old, name) for name in names[-1:]]
    moves += [move for name in names for move in ((target, old, name), (work, target, name))]
    try:
        for source, goal, name in moves:
            if os.path.lexists(source / name):
                os.replace(source / name, goal / name)
                done.append((source / name, goal / name))
    except BaseException:
        for before, after in reversed(done):
            with suppress(OSError):
                os.replace(after, before)
        raise


def was_interrupted(target: Path) -> bool:
    """Whether a process was killed while it renamed files into a folder one by one."""
    for folder in (target.parent, target):
        with suppress(PermissionError, FileNotFoundError):  # as in `_sweep`
            for path in folder.iterdir():
                if path.name.startswith(f".{target.name}.") and (path / _OLD).is_dir():
                    return True
    return False


def sweep(target: Path) -> None:
    """Remove temporary files and folders of processes that were killed while writing a target."""
    _sweep(target.parent, rf"\.{re.escape(target.name)}\.(.+)\.tmp")


@lru_cache(maxsize=64)
def sweep_once(folder: Path) -> None:
    """Remove what processes that were killed left in a folder, whatever they were writing.

    Once a process: listing a folder for each of its N files would take N * N time.
    """
    _sweep(folder, rf"\..+\.(\d+-{_HOST}-\d+)\.tmp")  # of this machine


def _sweep(folder: Path, pattern: str) -> None:
    """Remove files and folders of a name whose group is the owner, where that runs no more."""
    temporary = re.compile(pattern, re.DOTALL)
    with suppress(PermissionError):  # a folder that cannot be listed may still be passed through
        for path in folder.iterdir():
            found = temporary.fullmatch(path.name)
            if found and path.name not in ACTIVE and _is_dead(found[1], path):
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_dead(owner: str, path: Path) -> bool:
    """Whether the process that a temporary name stands for runs no more."""
    pid, _, rest = owner.partition("-")
    if not pid.isdigit() or (rest and not rest.startswith(_HOST)):
        return False  # another program's, or another machine's
    if int(pid) == os.getpid():
        return True  # not among the active: of an earlier process of this number
    try:
        if os.name == "nt":  # there is no harmless signal to ask with
            return time.time() - path.lstat().st_mtime > _DAY_S
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
