"""Every write, rename and fsync of the commands fails, and kills, in turn: old or new, never mixed.

As SQLite's tests do: the step at which the disk is full, or the process dies, moves on until the
command gets through. ``CADSTN_FAULTS=all`` tries every step, a number so many a command.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import open_recording, write_recording
from cadstn.io.folder import check_hashes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
_STEPS = os.environ.get("CADSTN_FAULTS", "6")
_THROUGH = 50
Run = Callable[[Path, list[str], int, bool], tuple[int, str]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a command that fails, or is killed, at a step; gives its exit code and output."""
    yield from runs()


@pytest.fixture(scope="module")
def run_torch() -> Iterator[Run]:
    """The same of commands that need torch, which takes seconds to import."""
    pytest.importorskip("torch")
    yield from runs("torch", "cadstn.train", "cadstn.export", "cadstn.reproduce", "cadstn.synth")


def runs(*modules: str) -> Iterator[Run]:
    """Start the process that runs commands, with modules imported before."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("inject.py")), *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def order(root: Path, command: list[str], at: int, kill: bool) -> tuple[int, str]:
            log = root.parent / "log.txt"
            wish = {"root": str(root), "command": command, "at": at, "kill": kill, "log": str(log)}
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(wish) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline()), log.read_text(errors="replace")

        yield order
        process.stdin.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two frames."""
    path = tmp_path_factory.mktemp("clip") / "clip"
    units = np.random.default_rng(1).integers(400, 900, (2, 24, 32)).astype(np.uint16)
    write_recording(path, units, Camera(30.0, 30.0, 16.0, 12.0))
    return path


def snapshot(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder, by name."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def steps(every: int = 1) -> Iterator[int]:
    """Steps to fail at, ever farther apart, or each ``every``-th; the last is beyond all."""
    if _STEPS == "all":
        yield from range(10_000)
        return
    yield from (2**count - 1 for count in range(0, int(_STEPS), every))
    yield 10_000


def leftovers(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.name.endswith(".tmp")]


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
@pytest.mark.parametrize("other", [False, True], ids=["alone", "with files of the user"])
def test_track(run: Run, clip: Path, tmp_path: Path, kill: bool, other: bool) -> None:
    root = tmp_path / "root"
    out = root / "out"
    command = ["track", str(clip), "--out", str(out)]
    root.mkdir()
    assert run(root, command, -1, False)[0] == 0
    (out / "summary.json").write_text('{"old": true}')
    if other:
        (out / "mine.txt").write_text("mine")
    old = snapshot(out)
    shutil.copytree(out, tmp_path / "old")
    for at in steps():
        code, text = run(root, command, at, kill)
        if code == _THROUGH:
            break
        held = snapshot(out)
        if kill:
            assert code == -signal.SIGKILL
            whole = (
                held == old or "old" not in (out / "summary.json").read_text()
                if (out / "summary.json").exists()
                else other
            )
            assert whole, f"mixed at step {at}"
        elif code != 0:  # a failure after the new result is in place changes nothing
            assert code == 2, text
            assert text.splitlines()[-1].startswith("error: "), text
            assert "Traceback" not in text
            assert held == old or other, f"the old result changed at step {at}"
        if (out / "summary.json").exists():
            for name in ("joints.npz", "joints.csv"):
                check_hashes(out / name)
        if other:
            assert (out / "mine.txt").read_text() == "mine"
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "old", out)
    else:
        pytest.fail("never got through")
    assert leftovers(root) == []


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
def test_compare(run: Run, tmp_path: Path, kill: bool) -> None:
    root = tmp_path / "root"
    root.mkdir()
    from cadstn.evaluate import write_joints_uvd

    rng = np.random.default_rng(1)
    for name in ("a", "b", "groundtruth"):
        write_joints_uvd(tmp_path / f"{name}.txt", rng.normal((160, 120, 400), 5, (1596, 16, 3)))
    command = ["compare", "--set", "icvl", str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    command += ["--out", str(root / "page")]
    code, text = run(root, command, -1, False)
    assert code == 0, text
    old = snapshot(root)
    for at in steps():
        code, text = run(root, command, at, kill)
        if code == _THROUGH:
            break
        assert code in ((-signal.SIGKILL,) if kill else (0, 2)), text
        assert {n: h for n, h in snapshot(root).items() if not n.endswith(".tmp")} == old
    else:
        pytest.fail("never got through")
    assert leftovers(root) == []


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
def test_synth_goes_on_after_every_step(run: Run, tmp_path: Path, kill: bool) -> None:
    pytest.importorskip("torch")
    for at in steps(3):
        root = tmp_path / f"root{at}"
        root.mkdir()
        command = ["synth", str(root / "a"), "--frames", "2", "--seed", "3"]
        code, text = run(root, command, at, kill)
        assert code in ((-signal.SIGKILL, _THROUGH) if kill else (0, 2, _THROUGH)), text
        through = code == _THROUGH
        if code == -signal.SIGKILL or code == 2:
            code, text = run(root, command, -1, False)
            assert code == 0, text
        assert len(list(open_recording(root / "a"))) == 2
        assert [p for p in root.rglob("*") if p.suffix in (".tmp", ".part")] == []
        assert not (root / "a" / "synth.json").exists()
        if through:
            break
    else:
        pytest.fail("never got through")


TINY = [
    "net.size=16", "net.slices=2", "net.channels=[2,4,4]", "net.width=8", "net.hidden=8", "clip=2",
    "validation_frames=4", "spatial.steps=2", "temporal.steps=2", "fusion.steps=2",
    "spatial.batch=4", "temporal.batch=4", "fusion.batch=4",
]  # fmt: skip


def setting_options(*more: str) -> list[str]:
    return [word for text in (*TINY, *more) for word in ("--set", text)]


@pytest.fixture(scope="module")
def prepared(run_torch: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, a finished run on it and a small data set, which other commands read."""
    folder = tmp_path_factory.mktemp("prepared")
    bank = ["bank", str(folder / "a.bank"), "--clips", "4", "--frames", "2", "--kind", "tiny"]
    train = ["train", "tiny", "--data", str(folder / "a.bank"), "--out", str(folder / "run")]
    for command in (bank + setting_options(), train + setting_options()):
        code, text = run_torch(folder, command, -1, False)
        assert code == 0, text
    return folder


def outputs(root: Path) -> dict[str, str]:
    """Hashes of what a command wrote, but for what differs by itself: times and rates in logs."""
    return {
        name: digest
        for name, digest in snapshot(root).items()
        if not name.endswith((".tmp", ".part", ".jsonl")) and "tensorboard" not in name
    }


#: Commands that write one file: their words, the file, and whether they replace one.
REPLACING = {
    "export": (["export", "{in}/run"], "hand.onnx", True),
    "bank": (["bank", "--clips", "2", "--frames", "2", "--kind", "tiny", *setting_options()],
             "b.bank", False),
}  # fmt: skip


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
@pytest.mark.parametrize("name", REPLACING)
def test_a_file_is_old_or_new(
    run_torch: Run, prepared: Path, tmp_path: Path, name: str, kill: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    words, file, replaces = REPLACING[name]
    command = [word.replace("{in}", str(prepared)) for word in words]
    out = root / file
    command += ["--out", str(out)] if name == "export" else [str(out)]
    code, text = run_torch(root, command, -1, False)
    assert code == 0, text
    new = outputs(root)
    old = {file: hashlib.sha256(b"old").hexdigest()} if replaces else {}
    for at in steps(2):
        out.unlink()
        if replaces:
            out.write_bytes(b"old")
        code, text = run_torch(root, command, at, kill)
        if code == _THROUGH:
            break
        assert outputs(root) in (old, new), f"mixed at step {at}"
        if not kill and code != 0:
            assert code == 2, text
            assert text.splitlines()[-1].startswith("error: "), text
            assert leftovers(root) == []
        out.touch()
    else:
        pytest.fail("never got through")
    assert outputs(root) == new
    assert leftovers(root) == []


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
def test_training_goes_on_after_every_step(
    run_torch: Run, prepared: Path, tmp_path: Path, kill: bool
) -> None:
    command = ["train", "tiny", "--data", str(prepared / "a.bank"), *setting_options()]
    whole = {name: h for name, h in outputs(prepared / "run").items() if "checkpoint" not in name}
    for at in steps(3):
        root = tmp_path / f"root{at}"
        root.mkdir()
        order = [*command, "--out", str(root / "run")]
        code, text = run_torch(root, order, at, kill)
        through = code == _THROUGH
        if not through:
            assert code in ((-signal.SIGKILL,) if kill else (0, 2)), text
            code, text = run_torch(root, order, -1, False)
            assert code == 0, f"after step {at}: {text}"
        held = {n: h for n, h in outputs(root / "run").items() if "checkpoint" not in n}
        assert held == whole, f"other weights after a fault at step {at}"
        text = (root / "run" / "log.jsonl").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        places = [(line["stage"], line["step"]) for line in lines]
        assert len(set(places)) == len(places), f"lines twice after step {at}"
        assert leftovers(root) == []
        shutil.rmtree(root)
        if through:
            break
    else:
        pytest.fail("never got through")


@pytest.mark.parametrize("kill", [False, True], ids=["full disk", "killed"])
def test_live(run: Run, clip: Path, tmp_path: Path, kill: bool) -> None:
    root = tmp_path / "root"
    out = root / "out"
    out.mkdir(parents=True)
    command = ["live", str(clip), "--fast", "--out", str(out)]
    old = "old lines\n"
    for at in steps(2):
        (out / "joints.jsonl").write_text(old)
        code, text = run(root, command, at, kill)
        lines = (out / "joints.jsonl").read_text()
        if code == _THROUGH:
            break
        assert code in ((-signal.SIGKILL,) if kill else (0, 2)), text
        assert "Traceback" not in text
        assert lines == old or len([json.loads(line) for line in lines.splitlines()]) == 3
    else:
        pytest.fail("never got through")
    assert len([json.loads(line) for line in lines.splitlines()]) == 3  # what they hold comes first
    assert sorted(path.name for path in out.iterdir()) == ["joints.jsonl", "live.webm"]


def small_disk(folder: Path, kilobytes: int) -> bool:
    folder.mkdir()
    options = f"size={kilobytes}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("kilobytes", [4, 32, 64, 96])
def test_a_small_disk(run: Run, clip: Path, tmp_path: Path, kilobytes: int) -> None:
    root = tmp_path / "disk"
    if not small_disk(root, kilobytes):
        pytest.skip("no tmpfs can be mounted here")
    try:
        (root / "out").mkdir()
        (root / "out" / "summary.json").write_text("{}")
        code, text = run(root, ["track", str(clip), "--out", str(root / "out")], -1, False)
        if code == 0:
            assert (root / "out" / "joints.npz").stat().st_size > 0
        else:
            assert code == 2, text
            assert text.splitlines()[-1].startswith("error: ")
            assert snapshot(root / "out") == {"summary.json": hashlib.sha256(b"{}").hexdigest()}
            assert leftovers(root) == []
        with pytest.raises(CadstnError, match=r"No space left|cannot write"):
            write_recording(root / "big", np.random.default_rng(0).integers(
                1, 65000, (4, 300, 300), dtype=np.uint16), Camera(9, 9, 9, 9))  # fmt: skip
        assert not (root / "big").exists()
    finally:
        subprocess.run(["umount", str(root)], check=True)
