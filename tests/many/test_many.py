"""Many recordings and shards by local workers: whole, skipped, done again after a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cadstn
from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.io.hashes import file_sha256
from cadstn.many import Entry, read_manifest
from cadstn.many.recordings import Job, track_job
from cadstn.many.table import Row, table_of
from cadstn.tracking import load_network
from cadstn.tracking.runtime import shipped_weights

for needed in ("distributed", "pyarrow", "cryptography"):
    pytest.importorskip(needed, reason="needs cadstn[many]")
CommClosedError = pytest.importorskip("distributed.comm").CommClosedError


def run(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cadstn.cli", *map(str, arguments)], cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    with process:
        try:
            out, err = process.communicate(timeout=240)
        finally:
            process.kill()
    return process.returncode, out + err


def recordings(folder: Path, frames: int, names: str) -> None:
    """Copies of the demo's first frames."""
    with resources.as_file(resources.files("cadstn") / "demo") as demo:
        for name in names:
            (folder / name).mkdir()
            for file in [f"{k:06d}.png" for k in range(frames)] + ["camera.json"]:
                shutil.copy(demo / file, folder / name)


def rows_of(table: Path) -> dict[str, dict[str, object]]:
    from pyarrow import parquet

    return {row["name"]: row for row in parquet.read_table(table).to_pylist()}


def killed_in_work(out: Path) -> str:
    """Kill the first worker that is seen to work on a result; returns the result's name."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for path in out.glob(".*.tmp"):
            found = re.fullmatch(r"\.(.+)\.(\d+)-\w+-\d+\.tmp", path.name)
            if found and path.is_dir():
                os.kill(int(found[2]), signal.SIGKILL)
                return found[1]
        time.sleep(0.005)
    raise AssertionError("no worker was seen at work")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    recordings(tmp_path, 12, "abcd")
    (tmp_path / "list.txt").write_text("# all\na\nb\nc\nd\nnone\n")
    out = tmp_path / "out"
    command = ("track-many", "list.txt", "--out", "out", "--workers", 2)
    process = run(tmp_path, *command)
    try:
        name = killed_in_work(out)
    except BaseException:
        process.kill()
        raise
    code, text = ended(process)
    assert code == 1, text
    assert "4 recordings done, 0 there already, 1 failed; 48 frames" in text
    assert "failed: none: " in text
    assert "no such recording" in text
    rows = rows_of(out / "recordings.parquet")
    assert rows["none"]["frames"] == 0
    assert "no such recording" in str(rows["none"]["error"])
    assert "\n" not in str(rows["none"]["error"])
    for recording in "abcd":
        assert rows[recording]["frames"] == 12
        assert rows[recording]["found_share"] == 1
        assert rows[recording]["error"] == ""
        assert float(str(rows[recording]["seconds"])) > 0
        assert 0.9 < float(str(rows[recording]["mean_presence"])) <= 1
    assert name in rows  # whose worker was killed
    assert sorted(path.name for path in out.iterdir()) == [*"abcd", "recordings.parquet"]

    # The same recording gives the same joints, whoever tracked it and whatever died meanwhile.
    joints = [np.load(out / one / "joints.npz")["joints_xyz_mm"] for one in "abcd"]
    for other in joints[1:]:
        np.testing.assert_array_equal(other, joints[0])


def test_what_is_done_is_skipped_and_what_is_not_is_done_again(tmp_path: Path) -> None:
    recordings(tmp_path, 3, "a")
    entry = Entry(str(tmp_path / "a"), "a")
    job = Job(entry, str(tmp_path / "out"), None, "", 1, False)
    first = track_job(job)
    assert (first.frames, first.found_share, first.skipped, first.error) == (3, 1, False, "")
    assert track_job(job) == replace(first, skipped=True)
    joints = tmp_path / "out/a/joints.npz"
    whole = joints.read_bytes()
    joints.write_bytes(b"damaged")
    assert not track_job(job).skipped
    assert len(joints.read_bytes()) == len(whole)
    for other in (
        replace(job, hands=2), replace(job, entry=replace(entry, camera="285,285,160,120")),
        replace(job, entry=replace(entry, unit=0.5)),
    ):  # fmt: skip
        row = track_job(other)
        assert not row.skipped
        assert not row.error
        assert track_job(other).skipped
    failed = track_job(replace(job, entry=replace(entry, camera="nonesuch")))
    assert "nonesuch" in failed.error
    assert track_job(other).skipped  # a failure leaves what was there


def test_what_is_done_stays_when_its_recording_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings(tmp_path, 2, "a")
    job = Job(Entry(str(tmp_path / "a"), "a"), str(tmp_path / "out"), None, "", 1, False)
    assert track_job(job).error == ""
    monkeypatch.setattr("cadstn.many.recordings.open_recording", None)  # nothing is opened
    assert track_job(job).skipped
    shutil.rmtree(tmp_path / "a")
    assert track_job(job).skipped


def test_what_was_moved_with_its_list_is_done(tmp_path: Path) -> None:
    root, moved = tmp_path / "one", tmp_path / "two"
    root.mkdir()
    recordings(root, 2, "a")
    shutil.copy(root / "a/camera.json", root / "camera.json")

    def row(folder: Path) -> Row:
        (folder / "l.csv").write_text("path,camera\na,camera.json\n")
        (entry,) = read_manifest(folder / "l.csv")
        return track_job(Job(entry, str(folder / "out"), None, "", 1, False))

    assert not row(root).skipped
    shutil.copytree(root, moved)
    shutil.rmtree(moved / "out/a")
    shutil.copytree(root / "out/a", moved / "out/a")
    assert not row(moved).skipped  # a copy may be of another recording of the same length
    shutil.rmtree(moved)
    root.rename(moved)
    assert row(moved).skipped
    (tmp_path / "l.csv").write_text("path,name,camera\ntwo/a,a,two/camera.json\n")
    (entry,) = read_manifest(tmp_path / "l.csv")  # the same recording of another list
    shutil.rmtree(moved / "out")
    assert not track_job(Job(entry, str(moved / "out"), None, "", 1, False)).skipped
    assert row(moved).skipped


def test_an_overlay_is_kept_and_what_is_gone_is_made_again(tmp_path: Path) -> None:
    recordings(tmp_path, 2, "a")
    job = Job(Entry(str(tmp_path / "a"), "a"), str(tmp_path / "out"), None, "", 1, False)
    assert not track_job(job).skipped
    assert not track_job(replace(job, video=True)).skipped
    assert track_job(job).skipped
    (overlay,) = (tmp_path / "out/a").glob("overlay.*")
    overlay.unlink()
    assert track_job(job).skipped
    assert not track_job(replace(job, video=True)).skipped
    assert overlay.is_file()
    (tmp_path / "out/a/joints.csv").unlink()
    assert not track_job(job).skipped
    assert track_job(job).skipped


def test_rows_of_other_jobs_stay_where_their_results_are(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"

    def write(*rows: Row) -> list[Row]:
        return table_of(((row, row) for row in rows), lambda row, error: row, table, print)

    for name in "ab":
        (tmp_path / name).mkdir()
    write(Row("a", frames=3), Row("b", frames=4), Row("none", error="gone"))
    assert write(Row("b", frames=5)) == [Row("b", frames=5)]
    rows = rows_of(table)
    assert {name: (row["frames"], row["skipped"]) for name, row in rows.items()} == {
        "a": (3, True), "b": (5, False),
    }  # fmt: skip
    table.write_bytes(b"mine")
    with pytest.raises(CadstnError, match=r"t\.parquet: no table of this command .*; move it, or"):
        write(Row("b"))
    assert table.read_bytes() == b"mine"


def test_another_camera_or_length_is_not_what_was_done(tmp_path: Path) -> None:
    recordings(tmp_path, 3, "ab")
    (tmp_path / "lists").mkdir()
    text = (tmp_path / "a/camera.json").read_text()
    for name, own in (("a", "lists/cam.json"), ("b", "b/camera.json")):
        (tmp_path / own).write_text(text)
        (tmp_path / "lists/l.csv").write_text(
            f"path,name,camera\n../{name},{name},{'cam.json' if name == 'a' else ''}\n"
        )
        (entry,) = read_manifest(tmp_path / "lists/l.csv")
        job = Job(entry, str(tmp_path / "out"), None, "", 1, False)
        assert not track_job(job).skipped
        assert track_job(job).skipped
        camera = json.loads(text)
        (tmp_path / own).write_text(json.dumps(camera | {"fx": 1.1 * camera["fx"]}))
        assert (track_job(job).skipped, track_job(job).skipped) == (False, True)
        (tmp_path / name / "000002.png").unlink()
        row = track_job(job)
        assert (row.frames, row.skipped, row.error) == (2, False, "")


def test_a_frame_with_any_hand_is_one_with_a_hand(tmp_path: Path) -> None:
    """Also if it is the hand in the second place that is left."""
    recordings(tmp_path, 4, "a")
    job = Job(Entry(str(tmp_path / "a"), "a"), str(tmp_path / "out"), None, "", 2, False)
    assert track_job(job).found_share == 1
    first, second = tmp_path / "out/a/joints.npz", tmp_path / "out/a/joints-2.npz"
    with np.load(first) as held, np.load(second) as other:
        one, two = dict(held), dict(other)
    one["found"][2:], two["found"][:] = False, [False, True, True, False]
    two["present"][:] = 0.5
    np.savez(first, **one)
    np.savez(second, **two)
    summary = json.loads((tmp_path / "out/a/summary.json").read_text())
    summary["files"] |= {file.name: file_sha256(file) for file in (first, second)}
    (tmp_path / "out/a/summary.json").write_text(json.dumps(summary))
    row = track_job(job)
    assert row.skipped
    assert row.found_share == 0.75
    assert row.mean_presence == pytest.approx((one["present"][:2].sum() + 1) / 4)
    second.write_bytes(b"damaged")
    assert not track_job(job).skipped


@pytest.mark.parametrize(("unit", "factor"), [("um", 1000.0), ("cm", 0.1), ("m", 0.001)])
def test_floats_of_every_unit(tmp_path: Path, unit: str, factor: float) -> None:
    """Of a recording whose camera has no size, which is taken from the frames."""
    demo = cadstn.open_recording("demo")
    own = replace(demo.camera, width=0, height=0).to_json()
    depth = next(iter(demo)).depth[None] * factor
    np.savez(tmp_path / "a.npz", depth=depth, camera=np.array(own))
    (tmp_path / "l.csv").write_text(f"path,unit\na.npz,{unit}\n")
    (entry,) = read_manifest(tmp_path / "l.csv")
    row = track_job(Job(entry, str(tmp_path / "out"), None, "", 1, False))
    assert (row.found_share, row.error) == (1, "")


def test_floats_in_metres_are_tracked_by_their_unit(tmp_path: Path) -> None:
    recording = cadstn.open_recording("demo")
    frame = next(iter(recording))
    np.savez(tmp_path / "m.npz", depth=frame.depth[None] / 1000)
    camera = "285,285,160,120"
    entry = Entry(str(tmp_path / "m.npz"), "m", camera, 1000.0)
    job = Job(entry, str(tmp_path / "out"), None, "", 1, False)
    assert track_job(job).found_share == 1
    assert "metres" in track_job(replace(job, entry=replace(entry, unit=None))).error


def test_a_job_that_kills_its_workers_is_an_error_of_its_own(tmp_path: Path) -> None:
    """Not the end of the others."""
    from cadstn.many.cluster import dask_client, run_jobs

    with dask_client(workers=1) as client:
        ended = list(run_jobs(client, _exit_if, [0, 0, 1, 0, 0, 0]))
    assert sum(result == 0 for job, result in ended if not job) == 5
    assert ["its worker died 3 times" in str(result) for job, result in ended if job] == [True]


def test_a_cluster_without_workers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from cadstn.many import cluster

    monkeypatch.setattr(cluster, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(cluster, "_CHECK_S", 0.05)
    never = SimpleNamespace(has_ready=lambda: False)
    with pytest.raises(CadstnError, match="no worker is left; the same command goes on"):
        cluster._wait_for_a_result(SimpleNamespace(nthreads=dict), never)
    gone = SimpleNamespace(nthreads=Path("gone").stat)  # raises OSError, as a lost scheduler does
    with pytest.raises(CadstnError, match="no worker is left"):
        cluster._wait_for_a_result(gone, never)
    # One that is busy for longer is waited for.
    ends = time.monotonic() + 1.0
    busy = SimpleNamespace(has_ready=lambda: time.monotonic() > ends)
    cluster._wait_for_a_result(SimpleNamespace(nthreads=lambda: {"a": 1}), busy)
    assert time.monotonic() > ends


class _Completed(list[SimpleNamespace]):
    """Futures that are all there, as Dask's ``as_completed`` gives them."""

    def __init__(self, futures: list[SimpleNamespace], loop: None) -> None:
        super().__init__(futures)

    def is_empty(self) -> bool:
        return not self

    def has_ready(self) -> bool:
        return True

    def __next__(self) -> SimpleNamespace:
        return self.pop()


@pytest.mark.parametrize("kind", [CancelledError, CommClosedError])
def test_a_lost_scheduler_is_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadstn.many.cluster import run_jobs

    def result() -> None:
        raise kind("scheduler-connection-lost")

    monkeypatch.setattr("distributed.as_completed", _Completed)
    futures = [SimpleNamespace(key="a", result=result)]
    client = SimpleNamespace(map=lambda *jobs, **how: futures, loop=None)
    with pytest.raises(CadstnError, match="the connection to the scheduler is lost; start it"):
        list(run_jobs(client, abs, [1]))


def _exit_if(code: int) -> int:
    if code:
        time.sleep(1)  # Dask starts no worker again that dies before its nanny knows that it lives
        os._exit(code)
    return code


def test_shards_are_whole_skipped_and_a_data_set(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from cadstn.data import open_dataset
    from cadstn.many import render_shards
    from cadstn.many.shards import Shard, render_shard
    from cadstn.synth import SIMULATOR
    from cadstn.synth.write import write_synthetic

    out = tmp_path / "set"
    command = ["synth", str(out), "--frames", "2", "--workers", "1", "--seed", "5", "--shards", "2"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "2 shards done, 0 there already, 0 failed; 4 frames" in done.output
    assert set(rows_of(out / "shards.parquet")) == {"shard-000000", "shard-000001"}
    assert len(open_dataset(out, "all")) == 4
    write_synthetic(tmp_path / "one", frames=2, seed=5, number=1)  # a shard is its number's
    for name in ("000000.png", "000001.png"):
        shard = out / "shard-000001" / name
        assert shard.read_bytes() == (tmp_path / "one" / name).read_bytes()
        assert shard.read_bytes() != (out / "shard-000000" / name).read_bytes()
    job = Shard(str(out), 1, 2, 5, 0.0)
    assert render_shard(job).skipped
    lost, cut = out / "shard-000001/000000.png", out / "shard-000001/000001.png"
    held = lost.read_bytes(), cut.read_bytes()
    lost.unlink()
    cut.write_bytes(held[1][:-5])
    assert not render_shard(job).skipped
    assert (lost.read_bytes(), cut.read_bytes()) == held
    (tmp_path / "other").mkdir()
    assert not render_shard(Shard(str(tmp_path / "other"), 0, 2, 5, 1.0, True)).error
    write_synthetic(tmp_path / "held", frames=2, seed=5, held=1.0, alone=True)
    for name in ("000000.png", "000001.png", "synth.json"):
        shard = tmp_path / "other/shard-000000" / name
        assert shard.read_bytes() == (tmp_path / "held" / name).read_bytes()
    assert json.loads((out / "shards.json").read_text())["simulator"] == SIMULATOR
    shutil.rmtree(out / "shard-000001")
    assert not render_shard(job).skipped
    assert render_shard(replace(job, number=3, frames=0)).error.startswith("frames is 0; give a")
    with pytest.raises(CadstnError, match="was begun with other settings"):
        render_shards(None, out, shards=2, frames=3, seed=5)
    with pytest.raises(CadstnError, match="is not empty"):
        render_shards(None, tmp_path, shards=2, frames=3, seed=5)
    with pytest.raises(CadstnError, match=r"seed is 5.0; give a whole number"):
        render_shards(None, out, shards=2, frames=3, seed=5.0)  # type: ignore[arg-type]


def test_a_job_tracks_with_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cadstn.many import recordings as source

    recordings(tmp_path, 2, "a")
    asked, load = list[object](), load_network

    def loaded(weights: str | None, threads: int) -> object:
        asked.append(weights)
        return load(None, threads=threads)

    monkeypatch.setattr(source, "load_network", loaded)
    source._network.cache_clear()
    try:
        entry = Entry(str(tmp_path / "a"), "a")
        row = track_job(Job(entry, str(tmp_path / "out"), "mine.onnx", "0" * 64, 1, False))
    finally:
        source._network.cache_clear()
    assert (row.error, asked) == ("", ["mine.onnx"])


def test_workers_of_another_release_are_refused() -> None:
    from cadstn.many.cluster import _check_workers

    old = SimpleNamespace(run=lambda work: {"tcp://b": "0.0.1"})
    with pytest.raises(CadstnError, match=r"^tcp://b: has cadstn 0\.0\.1; install cadstn"):
        _check_workers(old, "tcp://s")
    nothing: dict[str, str] = {}
    none = SimpleNamespace(run=lambda work: nothing["cadstn"])
    with pytest.raises(CadstnError, match=r"^tcp://s: its workers cannot run cadstn \(KeyError"):
        _check_workers(none, "tcp://s")
    _check_workers(SimpleNamespace(run=lambda work: {"tcp://a": work()}), "tcp://s")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_shard_whose_worker_is_killed_is_ended_by_another(tmp_path: Path) -> None:
    """With the workers of a scheduler that was started by hand."""
    pytest.importorskip("torch")
    from cadstn.synth.write import write_synthetic

    address = tmp_path / "scheduler.json"
    listen = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", address)
    worker = ("worker", "--no-nanny", "--nthreads", "1", *listen)
    part = tmp_path / "set/shard-000000.part"
    with ExitStack() as started:
        started.enter_context(dask("scheduler", "--port", "0", *listen))
        first = started.enter_context(dask(*worker))
        until(lambda: address.is_file() and address.stat().st_size > 0)
        at = json.loads(address.read_text())["address"]
        command = ("synth", "set", "--shards", 1, "--frames", 30, "--seed", 5)
        process = run(tmp_path, *command, "--scheduler", at)
        started.callback(process.kill)
        until((part / "000000.png").is_file)
        first.kill()
        first.wait()
        assert part.is_dir()
        started.enter_context(dask(*worker))
        code, text = ended(process)
    assert code == 0, text
    assert "1 shards done, 0 there already, 0 failed; 30 frames" in text
    out = tmp_path / "set"
    kept = ["shard-000000", "shards.json", "shards.parquet"]
    assert sorted(path.name for path in out.iterdir()) == kept
    write_synthetic(tmp_path / "one", frames=30, seed=5)
    files = {path.name for path in (tmp_path / "one").iterdir()}
    assert files == {path.name for path in (out / kept[0]).iterdir()}
    for file in files:
        assert (out / kept[0] / file).read_bytes() == (tmp_path / "one" / file).read_bytes()


@contextmanager
def dask(kind: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler or a worker, started by hand."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.005)


def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cadstn.many import cluster

    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    with (
        pytest.raises(CadstnError, match=r"tcp://127\.0\.0\.1:1: no scheduler with workers"),
        cluster.dask_client(scheduler="tcp://127.0.0.1:1"),
    ):
        pass


def test_progress_gives_rate_and_time_left() -> None:
    import io

    from cadstn.many.cluster import Progress

    progress = Progress(io.StringIO(), 10, "recordings")
    for _ in range(3):
        progress(100)
    progress(0, failed=True)
    progress(100, skipped=True)
    # 4 worked in 8 s: 2 s each, 5 to come; 300 frames in 8 s, those that were there not counted.
    assert progress.line(8) == (
        "5 of 10 recordings, 1 failed, 38 frames a second, 0:00:10 left"
    )  # fmt: skip


def test_manifests_of_three_forms(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x/depth\n\n# none\ny/rec.npz\n")
    (tmp_path / "a.csv").write_text("path,name,camera,unit\nx,one,kinect2,\ny,,c/k.json,0.5\n")
    (tmp_path / "a.jsonl").write_text('{"path": "x", "unit": "m"}\n{"path": "/z/y"}\n')
    x, y = str(tmp_path / "x"), str(tmp_path / "y")
    assert read_manifest(tmp_path / "a.txt") == [
        Entry(f"{x}/depth", "x/depth"), Entry(f"{y}/rec.npz", "y/rec"),
    ]  # fmt: skip
    assert read_manifest(tmp_path / "a.csv") == [
        Entry(x, "one", "kinect2"), Entry(y, "y", str(tmp_path / "c/k.json"), 0.5)
    ]  # fmt: skip
    (tmp_path / "b.txt").write_text("x/a\ndemo\n")
    below, shipped = read_manifest(tmp_path / "b.txt")
    assert (below.name, below.below) == ("a", "x/a")
    assert (shipped, shipped.below) == (Entry("demo", "demo"), "")
    assert len(cadstn.open_recording(shipped.path)) > 1
    (tmp_path / "demo").mkdir()
    assert read_manifest(tmp_path / "b.txt")[1] == Entry(str(tmp_path / "demo"), "demo")
    first, second = read_manifest(tmp_path / "a.jsonl")
    assert (first.path, first.unit, second.name) == (x, 1000.0, "z/y")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.txt", "# nothing\n", "a.txt: lists no recording"),
        ("a.txt", "a\na\n", "two recordings are named 'a'"),
        ("a.txt", "r\nr/b\n", "name 'r/b' lies inside 'r'"),
        ("a.csv", "recording\na\n", "has no column 'path'"),
        ("a.csv", "path,camra\na,b\n", "a.csv, line 2: no column 'camra'; did you mean 'camera'"),
        ("a.csv", "path\na,b\n", "a.csv, line 2: has more cells"),
        ("a.csv", "path,name\na,../b\n", "name '../b' leads out of the output"),
        ("a.csv", "path,unit\na,-1\n", "a.csv, line 2: unit is -1"),
        ("a.csv", "path,name\n,b\n", "a.csv, line 2: has no path"),
        ("a.jsonl", '{"path": "a"}\n[1]\n', "a.jsonl, line 2: not a JSON object"),
        ("a.jsonl", '{"path": 1}\n', "a.jsonl, line 1: path is no text"),
    ],
)
def test_broken_manifests_are_one_line(tmp_path: Path, name: str, text: str, line: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CadstnError, match=re.escape(line)):
        read_manifest(tmp_path / name)


def test_the_command_hands_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    @contextmanager
    def jobs(*order: object) -> Iterator[tuple[None, None]]:
        yield None, None

    def tracked(client: None, entries: list[Any], out: Path, **given: Any) -> list[Any]:
        asked.update(given, paths=[Path(entry.path).name for entry in entries], out=out)
        return []

    monkeypatch.setattr("cadstn.cli.many.many_jobs", jobs)
    monkeypatch.setattr("cadstn.many.track_many", tracked)
    (tmp_path / "list.txt").write_text("a\n")
    words = ["track-many", tmp_path / "list.txt", "--out", tmp_path / "out"]
    words += ["--weights", "mine.onnx", "--hands", 2, "--video"]
    done = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert asked == {
        "paths": ["a"], "out": tmp_path / "out", "weights": Path("mine.onnx"), "hands": 2,
        "video": True, "on_row": None,
    }  # fmt: skip


def test_every_job_is_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cadstn.many import recordings as source

    asked: list[Job] = []

    def run_jobs(client: None, work: object, jobs: list[Job]) -> Iterator[Any]:
        asked.extend(jobs)
        return iter(())

    monkeypatch.setattr(source, "run_jobs", run_jobs)
    monkeypatch.chdir(tmp_path)
    with shipped_weights() as path:
        shutil.copy(path, "mine.onnx")
    entries = [Entry("/x/a", "a"), Entry("/x/b", "b", "kinect2", 0.5)]
    given: dict[str, Any] = {"weights": Path("mine.onnx"), "hands": 2, "video": True}
    assert source.track_many(None, entries, Path("out"), **given) == []
    sha256, mine, out = file_sha256(Path("mine.onnx")), tmp_path / "mine.onnx", tmp_path / "out"
    assert asked == [Job(one, str(out), str(mine), sha256, 2, True) for one in entries]


def test_every_shard_is_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from cadstn.many import shards

    asked: list[shards.Shard] = []

    def run_jobs(client: None, work: object, jobs: list[shards.Shard]) -> Iterator[Any]:
        asked.extend(jobs)
        return iter(())

    monkeypatch.setattr(shards, "run_jobs", run_jobs)
    out, given = tmp_path / "set", {"frames": 3, "seed": 5, "held": 0.5, "alone": True}
    assert shards.render_shards(None, out, shards=2, **given) == []  # type: ignore[arg-type]
    assert asked == [shards.Shard(str(out), number, 3, 5, 0.5, True) for number in (0, 1)]


def test_other_weights_and_another_release_do_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings(tmp_path, 1, "a")

    def skipped(job: Job) -> bool:
        row = track_job(job)
        assert row.error == ""
        return row.skipped

    job = Job(Entry(str(tmp_path / "a"), "a"), str(tmp_path / "out"), None, "0" * 64, 1, False)
    other = replace(job, weights_sha256="1" * 64)
    assert [skipped(one) for one in (job, job, other, other)] == [False, True, False, True]
    monkeypatch.setattr("cadstn.many.recordings.__version__", "0.0.1")
    assert [skipped(other), skipped(other)] == [False, True]
