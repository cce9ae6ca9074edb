"""Results that are several files: all of them new or all of them old, and their hashes beside."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.io.arrays import read_regular
from cadstn.io.files import error_context
from cadstn.io.hashes import file_sha256
from cadstn.io.temporary import ACTIVE, replace_each, sweep, was_interrupted, working_name
from cadstn.io.whole import keep_inputs, kind_of, sync, sync_folder, write_text, writing

#: Where the summary lists the hashes of the other files.
FILES_KEY = "files"
_SUMMARY, _MAX_BYTES = "summary.json", 1 << 26
#: In the note of a folder that is filled bit by bit.
_RELEASE = "version"
_GO_ON = "give the same ones to go on, or another path"
_RENAME_EXCHANGE = 2  # Linux, renameat2(2)
_AT_CWD = -100


@contextmanager
def whole_folder(
    out: str | os.PathLike[str],
    names: Collection[str],
    *,
    optional: Collection[str] = (),
    inputs: Iterable[Path] = (),
) -> Iterator[Path]:
    """Give a new folder to write into; after the block its files are the files of ``out``.

    Where ``out`` is absent or holds nothing but earlier results, the two folders are exchanged in
    one step. Where it holds other files as well, or is a mount point, these stay and the new files
    are renamed into place one by one, the summary last: a kill in between leaves a folder without
    its summary, which the next process replaces.

    Args:
        out: the folder; made if it is not there.
        names: of the files that the block writes, ``summary.json`` among them: a JSON object that
            gets the hashes of the others, under ``files``. Only files that an earlier one lists are
            replaced.
        optional: which of them it may leave out; then an old one goes.
        inputs: files and folders that are read meanwhile, which ``out`` must not be.

    Raises:
        CadstnError: if ``out`` is a file, a device, a dangling link or one of the inputs, a folder
            in it has the name of a file to write, a file of such a name is no earlier result's, a
            file was not written, or the disk is full; an old result stays as it was.
    """
    out = Path(out)
    inputs = [Path(path) for path in inputs]
    target = folder_target(out, inputs)
    for name in names:
        keep_inputs(target / name, inputs)
    with writing(out):
        _refuse_folders(target, names)
        if not was_interrupted(target):
            _refuse_others(target, names)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target)
        if target.is_dir():
            sweep(target / target.name)
        work = working_name(target)
    try:
        with writing(out):
            work.mkdir()
        with writing(out):  # what the block reads names itself, so other errors are of writing
            yield work
            for name in names:
                if not (work / name).is_file() and name not in optional:
                    raise CadstnError(f"{name} could not be written", hint="is the disk full?")
            _list_hashes(work)
            for path in work.iterdir():
                sync(path)
            _put_in_place(work, target, [*(n for n in names if n != _SUMMARY), _SUMMARY])
            sync_folder(target.parent)
    finally:
        ACTIVE.discard(work.name)
        shutil.rmtree(work, ignore_errors=True)


def begin_folder(folder: Path, name: str, about: Mapping[str, object]) -> None:
    """Make a folder that is filled bit by bit, and note in a file of it what it is to hold.

    The release is noted as well, and need not be the same to go on.

    Raises:
        CadstnError: if it was begun as something else, holds anything without such a note, or
            cannot be written.
    """
    note = folder / name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with error_context(folder):
        sweep(note)
        if note.is_file():
            check_note(read_regular(note, _MAX_BYTES).decode("utf-8", "replace"), about)
        elif any(folder.iterdir()):
            raise CadstnError("is not empty", hint="give a new folder")
        else:
            write_text(note, note_of(about))


def note_of(about: Mapping[str, object]) -> str:
    """The note on what is made, with the release that makes it: a line of JSON."""
    return json.dumps({**about, _RELEASE: __version__}) + "\n"


def check_note(note: str, about: Mapping[str, object]) -> None:
    """Refuse to go on with what a note says was begun as something else.

    What `about` holds and a note lacks counts as different: nobody knows what it was.

    Raises:
        CadstnError: naming what differs.
    """
    try:
        held = json.loads(note)
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict):
        raise CadstnError("was begun with other settings: its note is damaged", hint=_GO_ON)
    due = json.loads(json.dumps(about))  # as it comes back: lists for tuples
    names = [name for name in due if name not in held or held[name] != due[name]]
    names += [name for name in held if name not in due and name != _RELEASE]
    if names:
        what = ", ".join(f"{n} {_shown(held, n)}, not {_shown(due, n)}" for n in names)
        raise CadstnError(f"was begun with other settings ({what[:300]})", hint=_GO_ON)


def _shown(values: Mapping[str, object], name: str) -> str:
    return json.dumps(values[name]) if name in values else "unknown"


def check_hashes(file: Path) -> None:
    """Refuse a file whose hash is not the one in the ``summary.json`` beside it.

    A file without such a summary, or one that the summary does not list, passes.

    Raises:
        CadstnError: naming the file.
    """
    try:
        held = json.loads(read_regular(file.parent / _SUMMARY, _MAX_BYTES))
        expected = held[FILES_KEY][file.name]
    except (CadstnError, OSError, ValueError, RecursionError, KeyError, TypeError):
        return
    if expected != file_sha256(file):
        raise CadstnError(
            f"not the file that {_SUMMARY} beside it lists: its contents changed, or the command "
            "that wrote it was interrupted",
            where=file,
            hint=f"write it again, or move it away from {_SUMMARY}",
        )


def folder_target(out: Path, inputs: Iterable[Path] = ()) -> Path:
    """Resolve a folder to write to.

    Raises:
        CadstnError: if it is a file, a device or a dangling link, or one of the inputs.
    """
    hint = "give a folder: --out DIR"
    with writing(out):
        if out.is_symlink() and not out.exists():
            raise CadstnError("a link that leads nowhere", hint=hint)
        if out.exists() and not out.is_dir():
            raise CadstnError(
                f"{kind_of(out)} stands where a folder is to be made", hint="give another --out DIR"
            )
        target = Path(os.path.realpath(out))
        keep_inputs(target, inputs)
    return target


def _refuse_folders(target: Path, names: Iterable[str]) -> None:
    for name in names:
        if (target / name).is_dir():
            raise CadstnError(f"a folder named {name} is in it", hint="give another --out")


def _refuse_others(target: Path, names: Iterable[str]) -> None:
    """Refuse to replace or remove files that no earlier result lists: they may be the user's."""
    there = {name for name in names if os.path.lexists(target / name)}
    if others := sorted(there - _listed(target / _SUMMARY, there)):
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise CadstnError(
            f"holds {', '.join(others[:3])}{more}, which no {_SUMMARY} of a result lists",
            hint="give another folder or move them; delete them if an interrupted run left them",
        )


def _listed(summary: Path, there: set[str]) -> set[str]:
    """Which files are a result's, by its summary: all that are there where it is of 0.1.0."""
    try:
        held = json.loads(read_regular(summary, _MAX_BYTES))
        if FILES_KEY in held:
            return {summary.name, *held[FILES_KEY]}
        return there if {"recording", "frames", "cadstn"} <= held.keys() else set()
    except (CadstnError, OSError, ValueError, RecursionError, TypeError, AttributeError):
        return set()


def _put_in_place(work: Path, target: Path, names: list[str]) -> None:
    if not target.exists():
        os.rename(work, target)
        return
    _refuse_folders(target, names)  # made meanwhile
    mine = {path.name for path in target.iterdir()} <= set(names)
    if mine and not _is_in_use(target):
        os.chmod(work, stat.S_IMODE(target.stat().st_mode))
        if _exchange(work, target):
            return
    replace_each(work, target, names)
    sync_folder(target)


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


def _list_hashes(work: Path) -> None:
    summary = work / _SUMMARY
    held = json.loads(summary.read_text(encoding="utf-8"))
    others = (file for file in sorted(work.iterdir()) if file != summary)
    held[FILES_KEY] = {file.name: file_sha256(file) for file in others}
    summary.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
