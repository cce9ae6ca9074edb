"""The timing of tracking: every stage it names exists and is timed."""

from cadstn.bench.track import bench_tracking, demo_frames
from cadstn.track.runtime import load_network


def test_stages_of_the_demo_are_timed() -> None:
    frames = demo_frames(320)[:30]
    timings = bench_tracking(load_network(threads=1), frames)
    assert {"a frame", "all but the network", "network", "crop", "agreement"} <= set(timings)
    assert timings["a frame"].calls == 10  # after 20 to warm up
    assert timings["a frame"].p50 > timings["network"].p50 > timings["crop"].p50 > 0
