"""The timing of tracking: every stage it names exists and is timed."""

import pytest

from cadstn.bench.track import bench_graphs, bench_tracking, demo_frames, report_lines
from cadstn.tracking.runtime import load_network, shipped_weights


def test_stages_of_the_demo_are_timed() -> None:
    frames = demo_frames(320)[:30]
    timings = bench_tracking(load_network(threads=1), frames)
    assert {"a frame", "all but the network", "network", "crop", "agreement"} <= set(timings)
    assert timings["a frame"].calls == 10  # after 20 to warm up
    assert timings["a frame"].p50 > timings["network"].p50 > timings["crop"].p50 > 0


def test_graphs_are_timed_in_turns_and_told() -> None:
    with shipped_weights() as path:
        timings = bench_graphs({"one": path, "two": path}, threads=1, rounds=2)
    assert list(timings) == ["one", "two"]
    assert all(t.calls == 20 and 0 < t.p50 <= t.p99 for t in timings.values())
    start = {"import_s": 0.1, "first_result_s": 0.2}
    about = {"machine": "m", "frame": "640x480", "clock": "wall time", "start": start}
    graphs = {name: timing._asdict() for name, timing in timings.items()}
    lines = report_lines({**about, "stages": {}, "graphs": graphs})
    assert lines[-1].startswith("network alone: two")
    assert lines[-1].split()[-1] == f"{1000 / timings['two'].p50:.0f}"


@pytest.mark.parametrize(
    ("key", "least", "most"), [("awr", 1.8, 2.0), ("deepprior", 0.2, 0.3), ("a2j", 12, 13)]
)
def test_peers_have_their_published_sizes(key: str, least: float, most: float) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
    from cadstn.bench.peers import PEERS, gflop

    _, make, shape = PEERS[key]
    assert least < gflop(make().eval(), torch.rand(shape)) < most
