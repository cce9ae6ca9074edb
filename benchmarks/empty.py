"""What a frame without a hand costs over one with a followed hand, on recordings of your own.

python benchmarks/empty.py real/kinect2:kinect2 [RECORDING:CAMERA ...]

Each recording is tracked as it is, and then without what lies within a forearm's reach of the
hand. Milliseconds of processor time, one thread; three rounds in turn.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from cadstn.bench.track import bench_empty, bench_tracking, without_hands
from cadstn.io import open_recording
from cadstn.tracking import load_network

_ROUNDS = 3


def main(recordings: list[str]) -> None:
    """Print a line for each recording."""
    network = load_network(threads=1)
    for text in recordings:
        path, _, camera = text.partition(":")
        frames = [(f.depth, f.camera) for f in open_recording(path, camera or None)]
        empty = without_hands(network, frames)
        followed, without = [], []
        for _ in range(_ROUNDS):
            followed.append(bench_tracking(network, frames, time.thread_time)["a frame"].p50)
            if (timing := bench_empty(network, empty, time.thread_time)) is not None:
                without.append(timing.p50)
        if not without:
            print(f"{text}: no frame without a hand")
            continue
        one, none = np.median(followed), np.median(without)
        print(f"{text}: {none:.2f} ms without a hand, {one:.2f} followed, ratio {none / one:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
