"""Writing: whole or not at all, old results stay, and nothing is written where it must not be."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import temporary, write_recording
from cadstn.io.folder import begin_folder, check_hashes, whole_folder
from cadstn.io.hashes import BLANK_STAMP, check_stamp, file_sha256, stamp_file
from cadstn.io.whole import (
    keep_inputs,
    resumed_file,
    whole_file,
    write_bytes,
    write_json,
    write_text,
)

NAMES = ("a.txt", "b.txt", "summary.json")


def put(out: Path, text: str, **options: object) -> None:
    with whole_folder(out, NAMES, **options) as work:  # type: ignore[arg-type]
        for name in NAMES[:2]:
            (work / name).write_text(text)
        (work / "summary.json").write_text("{}")


def contents(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_file_appears_whole_with_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new" / "a.txt", "one")
    finally:
        os.umask(before)
    file = tmp_path / "new" / "a.txt"
    assert file.read_text() == "one"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o604)
    write_text(file, "two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o604
    assert [p.name for p in file.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def half() -> None:
        with whole_file(file) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert contents(tmp_path) == {"a.txt": "old"}


def test_what_the_next_process_begins_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    path, part = tmp_path / "a.bank", tmp_path / "a.bank.part"
    path.write_bytes(b"made by the process before")
    with resumed_file(path, wait=True) as given:
        given.unlink()  # nothing is to be made
        part.touch()  # the next process has opened it
    assert path.read_bytes() == b"made by the process before"
    assert part.exists()


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("old")
    link = tmp_path / "a.txt"
    link.symlink_to(tmp_path / "there" / "a.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "there" / "a.txt").read_text() == "new"


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "dangling"])
def test_refused_as_a_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "device":
        path = Path("/dev/full")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    before = path.lstat()
    with pytest.raises(CadstnError, match=r"a (device or pipe|folder) where a file|leads nowhere"):
        write_text(path, "x")
    assert path.lstat().st_ino == before.st_ino
    assert path.lstat().st_mode == before.st_mode


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("device", "a device or pipe stands where a folder is to be made"),
        ("file", "a file stands where a folder is to be made"),
        ("dangling", "a link that leads nowhere"),
        ("input", "is the input itself"),
    ],
)
def test_refused_as_a_folder(tmp_path: Path, kind: str, what: str) -> None:
    out = tmp_path / "out"
    if kind == "device":
        out = Path("/dev/null")
    elif kind == "file":
        out.write_text("mine")
    elif kind == "input":
        out.mkdir()
        (out / "000000.png").touch()
    else:
        out.symlink_to("nowhere")
    with pytest.raises(CadstnError, match=what):
        put(out, "x", inputs=[tmp_path / "." / "out"] if kind == "input" else [])
    if kind == "input":
        assert contents(out) == {"000000.png": ""}


def test_an_earlier_result_is_exchanged_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out, "old")
    held = out.stat().st_ino
    out.chmod(0o750)
    put(out, "new")
    assert contents(out)["a.txt"] == contents(out)["b.txt"] == "new"
    assert sys.platform != "linux" or out.stat().st_ino != held
    assert stat.S_IMODE(out.stat().st_mode) == 0o750
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_files_that_no_result_lists_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    line = r"out: holds a.txt, which no summary.json of a result lists; give another folder"
    for others in ({}, {"summary.json": '{"files": ["b.txt"]}'}, {"summary.json": '{"a": {}}'}):
        for name, text in {"a.txt": "mine", **others}.items():
            (out / name).write_text(text)
        with pytest.raises(CadstnError, match=line if len(others) == 0 else "holds a.txt"):
            put(out, "new", optional=["a.txt"])
        assert contents(out) == {"a.txt": "mine", **others}
    for mine in ("{", "[]", '{"recording": "r"}'):  # a summary of something else
        (out / "summary.json").write_text(mine)
        with pytest.raises(CadstnError, match=r"holds a\.txt, summary\.json, which"):
            put(out, "new")
    (out / "a.txt").unlink()
    (out / "summary.json").unlink()
    put(out, "old")
    put(out, "new")  # a result may be replaced, changed as it may be, and so may one of 0.1.0
    (out / "a.txt").write_text("damaged")
    put(out, "newer")
    (out / "summary.json").unlink()
    with pytest.raises(CadstnError, match="delete them if an interrupted run left them"):
        put(out, "x")
    left = tmp_path / f".out.{dead_pid()}-{temporary._HOST}-0.tmp"
    (left / ".old").mkdir(parents=True)  # as a kill leaves it between two renames
    put(out, "x")
    assert not left.exists()
    (out / "summary.json").write_text('{"recording": "r", "frames": 2, "cadstn": "0.1.0"}')
    put(out, "newest")
    assert contents(out)["a.txt"] == "newest"


def test_an_input_is_never_the_output(tmp_path: Path) -> None:
    held, link = tmp_path / "joints.npz", tmp_path / "link.npz"
    held.write_bytes(b"frames")
    link.symlink_to(held)
    for path in (held, link):
        with pytest.raises(CadstnError, match="is the input itself"):
            keep_inputs(path, [None, held])
        with (
            pytest.raises(CadstnError, match="is the input itself"),  # a file of the folder
            whole_folder(tmp_path, ["joints.npz"], inputs=[path]),
        ):
            pass
    keep_inputs(tmp_path / "other.npz", [held, None])
    assert held.read_bytes() == b"frames"


def test_other_files_of_a_folder_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    put(out, "old")
    (out / "mine").mkdir()
    (out / "mine.txt").write_text("mine")
    put(out, "new")
    assert contents(out)["mine.txt"] == "mine"
    assert contents(out)["a.txt"] == "new"
    assert (out / "mine").is_dir()


def test_the_folder_one_works_in_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "out", "old")
    held = (tmp_path / "out").stat().st_ino
    monkeypatch.chdir(tmp_path / "out")
    put(Path(), "new")
    assert (tmp_path / "out").stat().st_ino == held
    assert contents(tmp_path / "out")["b.txt"] == "new"


def test_a_file_that_was_not_written_keeps_the_old_result(tmp_path: Path) -> None:
    put(tmp_path / "out", "old")
    with (
        pytest.raises(CadstnError, match=r"b\.txt could not be written"),
        whole_folder(tmp_path / "out", NAMES) as work,
    ):
        (work / "a.txt").write_text("new")
    assert contents(tmp_path / "out")["a.txt"] == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_summary_lists_hashes_and_readers_compare_them(tmp_path: Path) -> None:
    put(tmp_path / "out", "text")
    file = tmp_path / "out" / "a.txt"
    listed = json.loads((tmp_path / "out" / "summary.json").read_text())["files"]
    assert listed == {name: file_sha256(tmp_path / "out" / name) for name in NAMES[:2]}
    check_hashes(file)
    file.write_text("tezt")
    with pytest.raises(CadstnError, match=r"a\.txt: not the file that summary\.json"):
        check_hashes(file)
    (tmp_path / "out" / "summary.json").write_text('{"files": 3}')
    check_hashes(file)
    (tmp_path / "out" / "summary.json").unlink()
    check_hashes(file)


def test_a_folder_goes_on_whose_beginning_was_killed(tmp_path: Path) -> None:
    (tmp_path / f".note.json.{dead_pid()}-{temporary._HOST}-0.tmp").touch()
    for _ in range(2):
        begin_folder(tmp_path, "note.json", {"seed": 1})
    with pytest.raises(CadstnError, match=r"other settings \(seed 1, not 2\); give the"):
        begin_folder(tmp_path, "note.json", {"seed": 2})
    with pytest.raises(CadstnError, match=r"\(kind unknown, not \[1\]\)"):
        begin_folder(tmp_path, "note.json", {"seed": 1, "kind": (1,)})


def test_a_folder_goes_on_under_another_release_and_damaged_notes_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_folder(tmp_path, "note.json", {"seed": (1, 2)})
    monkeypatch.setattr("cadstn.io.folder.__version__", "9.9")
    begin_folder(tmp_path, "note.json", {"seed": (1, 2)})
    for note in ("", "[]", "{", "[" * 100_000):
        (tmp_path / "note.json").write_text(note)
        with pytest.raises(CadstnError, match="its note is damaged"):
            begin_folder(tmp_path, "note.json", {"seed": (1, 2)})
    with pytest.raises(CadstnError, match="name a folder"):
        begin_folder(tmp_path / "note.json", "note.json", {})


def test_what_dead_processes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    host = temporary._HOST
    dead = tmp_path / f".a.txt.{dead_pid()}-{host}-0.tmp"
    folder = tmp_path / f".a.txt.{dead_pid()}.tmp"
    folder.mkdir()
    kept = [
        tmp_path / f".a.txt.{os.getppid()}-{host}-0.tmp",  # of a process that runs
        tmp_path / f".a.txt.{dead_pid()}-otherhost-0.tmp",
        tmp_path / f".b.txt.{dead_pid()}-{host}-0.tmp",
        tmp_path / ".a.txt.swp",
    ]
    for path in (dead, *kept):
        path.touch()
    with whole_file(tmp_path / "a.txt") as outer:  # two writers of one process
        write_json(tmp_path / "a.txt", 1)
        assert outer.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", *(p.name for p in kept)}


def test_every_flipped_bit_of_a_stamped_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"head " + BLANK_STAMP.encode() + bytes(range(64)))
    stamp_file(file)
    assert check_stamp(file, hint="")
    good = file.read_bytes()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bad)
        with pytest.raises(CadstnError, match=r"a\.bin: damaged"):
            check_stamp(file, hint="")
    for length in range(6, len(good)):
        file.write_bytes(good[:length])
        if b"cadstn-sha256=" in good[:length]:
            with pytest.raises(CadstnError, match="damaged"):
                check_stamp(file, hint="")
    file.write_bytes(b"of an older version")
    assert not check_stamp(file, hint="")
    with pytest.raises(ValueError, match="no blank stamp"):
        stamp_file(file)


def test_a_stamp_over_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cadstn.io.hashes._BLOCK", 50)
    file = tmp_path / "a.bin"
    file.write_bytes(bytes(30) + BLANK_STAMP.encode() + bytes(200))
    stamp_file(file)
    assert check_stamp(file, hint="")
    for place in (0, 90, len(file.read_bytes()) - 1):
        bad = bytearray(file.read_bytes())
        bad[place] ^= 1
        file.write_bytes(bad)
        with pytest.raises(CadstnError, match="damaged"):
            check_stamp(file, hint="")
        bad[place] ^= 1
        file.write_bytes(bad)


def test_stamps_of_large_files_are_those_of_earlier_releases(tmp_path: Path) -> None:
    """Over blocks of 16 MB: with others every large file that was written before is damaged."""
    file, head = tmp_path / "a.bin", BLANK_STAMP.encode()
    blocks = (head + bytes((1 << 24) - len(head)), b"end")
    file.write_bytes(b"".join(blocks))
    stamp_file(file)
    digests = b"".join(hashlib.sha256(block).digest() for block in blocks)
    with file.open("rb") as opened:
        assert opened.read(78)[14:] == hashlib.sha256(digests).hexdigest().encode()


def set_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder as if it were a mount point: no rename leads into or out of it, or onto it."""
    real = {name: getattr(os, name) for name in ("rename", "replace", "rmdir")}

    def moved(name: str, source: Path, goal: Path) -> None:
        if (folder in Path(source).parents) != (folder in Path(goal).parents):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        if folder in (Path(source), Path(goal)):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        real[name](source, goal)

    def removed(path: Path, **options: int) -> None:
        if Path(path) == folder:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        real["rmdir"](path, **options)

    monkeypatch.setattr(os, "rename", lambda a, b: moved("rename", a, b))
    monkeypatch.setattr(os, "replace", lambda a, b: moved("replace", a, b))
    monkeypatch.setattr(os, "rmdir", removed)
    monkeypatch.setattr("cadstn.io.folder._exchange", lambda work, target: False)


def test_a_mount_point_takes_results_and_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "volume"
    out.mkdir()
    set_apart(out, monkeypatch)
    write_recording(out, [np.full((6, 8), 600, np.uint16)] * 2, Camera(9, 9, 4, 3))
    assert {p.name for p in out.iterdir()} == {"000000.png", "000001.png", "camera.json"}
    for text in ("old", "new"):
        put(out, text)
        assert (out / "a.txt").read_text() == text
    assert (out / "000001.png").is_file()
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_in_one_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    put(out, "old")
    real = Path.mkdir

    def mkdir(path: Path, **more: bool) -> None:
        if path.parent == tmp_path and not path.is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        real(path, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    put(out, "new")
    assert contents(out)["a.txt"] == "new"
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("at", range(6))
def test_an_error_between_the_renames_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    out = tmp_path / "out"
    put(out, "old")
    (out / "mine.txt").write_text("mine")
    before = contents(out)
    real, seen = os.replace, []

    def replace(source: Path, goal: Path) -> None:
        seen.append(goal)
        if len(seen) == at + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, goal)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(CadstnError, match="what was there before is unchanged"):
        put(out, "new")
    assert contents(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("others", [False, True])
def test_a_folder_named_as_a_result_stays(tmp_path: Path, others: bool) -> None:
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    (tmp_path / "out" / "a.txt" / "mine").touch()
    if others:
        (tmp_path / "out" / "mine").touch()
    with (
        pytest.raises(CadstnError, match=r"out: a folder named a\.txt is in it"),
        whole_folder(tmp_path / "out", NAMES),
    ):
        raise AssertionError("refused only after the work")
    assert (tmp_path / "out" / "a.txt" / "mine").exists()


def test_many_frames_list_their_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f".0.png.{dead_pid()}-{temporary._HOST}-0.tmp").touch()
    kept = tmp_path / f".0.png.{dead_pid()}-otherhost-0.tmp"
    kept.touch()
    real, listed = Path.iterdir, []

    def iterdir(path: Path) -> Iterator[Path]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    for index in range(5):
        write_bytes(tmp_path / f"{index}.png", b"", durable=False)
    assert listed == [tmp_path]
    assert {p.name for p in real(tmp_path)} == {*(f"{k}.png" for k in range(5)), kept.name}


def test_what_is_synced_may_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to sync a file that was opened for reading alone."""
    fcntl = pytest.importorskip("fcntl")
    real, modes = os.fsync, []

    def fsync(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            modes.append(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(0o444)
    write_text(tmp_path / "a.txt", "new")
    put(tmp_path / "out", "new")
    assert modes
    assert os.O_RDONLY not in modes
