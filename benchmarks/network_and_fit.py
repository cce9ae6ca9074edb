"""Time of a followed frame's network and fit over that of another version's network, in one run.

git show 9bd7ef7:src/cadstn/weights/hand21.onnx > hand-0.1.0.onnx
python benchmarks/network_and_fit.py hand-0.1.0.onnx 10

Both track the packaged recording by this version's code, a pass each in turn; without the detector
and what else a frame costs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cadstn import Tracker
from cadstn.bench.track import demo_frames
from cadstn.tracking import load_network, observation
from cadstn.tracking.network import Network

_WARM = 20


def timed(call: Callable[..., Any], took: list[float]) -> Callable[..., Any]:
    """Do the same, and append how many milliseconds it took."""

    def timed_call(*given: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*given, **options)
        finally:
            took.append((time.perf_counter() - began) * 1000)

    return timed_call


class TimedSession:
    """A network's session whose runs are timed."""

    def __init__(self, session: Any, took: list[float]) -> None:
        self.run = timed(session.run, took)


def frame_ms(network: Network, *, fit: bool) -> float:
    """Median over the recording's frames of network and fit together, ms."""
    took: list[float] = []
    tracker = Tracker(replace(network, session=TimedSession(network.session, took)), fit=fit)
    own_fit = observation.fit_hand
    observation.fit_hand = timed(own_fit, took)
    frames = []
    try:
        for depth_mm, camera in demo_frames():
            before = len(took)
            tracker.update(depth_mm, camera)
            frames.append(sum(took[before:]))
    finally:
        observation.fit_hand = own_fit
    return statistics.median(frames[_WARM:])


def main() -> None:
    """Measure in turn, and print medians over the passes and their ratios."""
    before, now = load_network(sys.argv[1]), load_network()
    passes = [
        (frame_ms(before, fit=False), frame_ms(now, fit=False), frame_ms(now, fit=True))
        for _ in range(int(sys.argv[2]))
    ]
    first, *others = (statistics.median(column) for column in zip(*passes, strict=True))
    print(f"network of {sys.argv[1]}: {first:.2f} ms")
    for name, ms in zip(("network", "network and fit"), others, strict=True):
        print(f"{name}: {ms:.2f} ms, {ms / first:.2f} times as long")


if __name__ == "__main__":
    main()
