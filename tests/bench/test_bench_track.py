"""The timing of tracking: every stage it names exists and is timed."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.bench.load import busy_cores
from cadstn.bench.mediapipe_hands import bench_mediapipe, gray_picture
from cadstn.bench.track import (
    bench_empty,
    bench_graphs,
    bench_tracking,
    demo_frames,
    report_lines,
    without_hands,
)
from cadstn.cli import cli
from cadstn.tracking.runtime import load_network, shipped_weights


def test_stages_of_the_demo_are_timed() -> None:
    frames = demo_frames(320)[:30]
    timings = bench_tracking(load_network(threads=1), frames)
    assert {"a frame", "all but the network", "network"} <= set(timings)
    assert timings["a frame"].calls == 10  # after 20 to warm up
    assert timings["a frame"].p50 > timings["network"].p50 > 0
    assert timings["a frame"].p50 > timings["all but the network"].p50 > 0


def test_graphs_are_timed_in_turns_and_reported() -> None:
    with shipped_weights() as path:
        # Processor time: on a busy machine a round's half second ends before ten calls.
        both = {"one": path, "two": path}
        timings = bench_graphs(both, threads=1, rounds=2, clock=time.thread_time)
    assert list(timings) == ["one", "two"]
    assert all(t.calls == 20 and 0 < t.p50 <= t.p99 for t in timings.values())
    start = {"import_s": 0.1, "first_result_s": 0.2}
    about = {"machine": "m", "frame": "640x480", "clock": "wall time", "start": start}
    graphs = {name: timing._asdict() for name, timing in timings.items()}
    mediapipe = {"timings": {}, "note": "not installed"}
    lines = report_lines({**about, "stages": {}, "graphs": graphs, "mediapipe": mediapipe})
    assert lines[-2].startswith("network alone: two")
    assert lines[-2].split()[-1] == f"{1000 / timings['two'].p50:.0f}"
    assert lines[-1] == "MediaPipe: not installed"


def test_graphs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    class Session:
        def __init__(self, path: str, *options: object, **more: object) -> None:
            self.path = path

        def get_inputs(self) -> list[object]:
            return []

        def run(self, outputs: object, feed: object) -> None:
            ran.append(self.path)

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    bench_graphs({"one": Path("a"), "two": Path("b")}, rounds=2, clock=lambda: 0.0)
    assert ran == (["a"] * 11 + ["b"] * 11) * 2  # one to warm the caches, then ten


@pytest.mark.parametrize(
    ("key", "least", "most"), [("awr", 1.8, 2.0), ("deepprior", 0.2, 0.3), ("a2j", 12, 13)]
)
def test_peers_have_their_published_sizes(key: str, least: float, most: float) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
    from cadstn.bench.peers import PEERS, gflop

    _, make, shape = PEERS[key]
    assert least < gflop(make().eval(), torch.rand(shape)) < most


def test_frames_without_a_hand_are_timed_apart() -> None:
    network, frames = load_network(threads=1), demo_frames(320)[:30]
    empty = without_hands(network, frames)
    for depth_mm, _ in empty:
        assert (depth_mm > 0).any()
    assert 20 < len(empty) <= 30
    timing = bench_empty(network, empty)
    assert timing is not None
    assert 0 < timing.calls <= len(empty) - 20
    assert bench_empty(network, frames[:25]) is None  # a hand is in all of them


def test_spinning_processes_end_with_the_context() -> None:
    with busy_cores(1) as spinning:
        assert [process.poll() for process in spinning] == [None]
    assert all(process.returncode is not None for process in spinning)


def test_busy_and_mediapipe_rows_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)  # as where it cannot be imported
    note = bench_mediapipe(demo_frames(320)[:1])
    assert note["timings"] == {}
    assert "not installed" in note["note"] or "cannot be used" in note["note"]
    few = demo_frames(320)[:30]
    monkeypatch.setattr("cadstn.bench.track.demo_frames", lambda width: few)
    arguments = ["bench", "track", "--width", "320", "--no-paper", "--no-peers", "--busy"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "shipped, busy: a frame " in result.stdout
    assert "MediaPipe: " in result.stdout
    assert "a frame without a hand over a followed frame: " in result.stdout
    assert "a frame without a hand over a followed frame, busy: " in result.stdout


def test_pictures_for_color_models_show_near_things_bright() -> None:
    depth = np.zeros((120, 160), np.float32)
    depth[:, :80], depth[:, 80:120] = 300, 1200
    picture = gray_picture(depth)
    assert picture.shape == (480, 640, 3)
    assert picture[200, 100, 0] > picture[200, 400, 0] > picture[200, 600, 0] == 0


@pytest.mark.parametrize("width", ["0", "-640", "1000000"])
def test_frames_of_no_width_are_refused(width: str) -> None:
    refused = CliRunner().invoke(cli, ["bench", "track", "--width", width])
    assert refused.exit_code == 2
    assert "--width" in refused.output
