"""Processor time of a frame, read and tracked on one core, of several source trees in turn.

python benchmarks/frame.py 6 OLD/src NEW/src NEW/src:fit=False,detect_every=9999

What follows a colon are arguments of `cadstn.Tracker`. The frames are the packaged recording's,
five passes a process, of which the median counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

PASSES = """
import statistics, sys, time
import cadstn
from importlib import resources
from pathlib import Path

arguments = dict(pair.split("=") for pair in sys.argv[1].split(",") if pair)
tracker = cadstn.Tracker(**{name: eval(value) for name, value in arguments.items()})
folder = resources.files("cadstn") / "demo"
took = []
for _ in range(6):
    began, frames = time.process_time(), 0
    for frame in cadstn.open_recording(Path(str(folder))):
        tracker.update(frame.depth, frame.camera)
        frames += 1
    took.append(1000 * (time.process_time() - began) / frames)
print(statistics.median(took[1:]))
"""


def frame_ms(source: str, arguments: str) -> float:
    """Median processor time of a frame in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PASSES, arguments],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> None:
    """Measure each tree so often, in turn, and print medians and the least."""
    times, kinds = int(sys.argv[1]), [argument.partition(":") for argument in sys.argv[2:]]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    took: dict[tuple[str, str, str], list[float]] = {kind: [] for kind in kinds}
    for _ in range(times):
        for kind in kinds:
            took[kind].append(frame_ms(kind[0], kind[2]))
    for kind, some in took.items():
        print(f"{statistics.median(some):6.2f} ms, least {min(some):6.2f}  {''.join(kind)}")


if __name__ == "__main__":
    main()
