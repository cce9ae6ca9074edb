"""Live tracking at full speed with faults injected: no growth, no frame lost but the counted.

    python benchmarks/soak.py --minutes 30

A camera is played from the recording in the package, faster than it can be tracked, with faults
drawn at random: frames dropped and repeated, sizes that change, clocks set back, NaN, empty frames,
cuts, another camera, and being unplugged and plugged in again. Ends with 1 if memory grew by more
than 5 % from the first tenth to the last, a frame was lost uncounted, or a written line is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cadstn.camera import Camera, DepthMm
from cadstn.errors import CadstnError
from cadstn.track.listeners import Listeners
from cadstn.track.live import Tally, track_source
from cadstn.track.sources import open_source
from cadstn.track.sources.frames import BaseSource, LiveFrame
from cadstn.track.tracker import Tracker

FAULTS = ("drop", "repeat", "size", "clock", "nan", "empty", "cut", "camera", "unplug")
SHARE = 0.02  # of frames, each fault


class Faulty(BaseSource):
    """The demo for ever, as a bad camera would give it."""

    live = True
    name = "faulty camera"

    def __init__(
        self,
        frames: list[tuple[DepthMm, Camera]],
        rng: np.random.Generator,
        made: Counter[str],
        every_s: float,
    ) -> None:
        self.frames, self.rng, self.made, self.every_s = frames, rng, made, every_s

    def __iter__(self) -> Iterator[LiveFrame]:
        index, missed, when = -1, 0, 0.0
        while True:
            time.sleep(self.every_s)
            index += 1
            when += 1 / 30
            depth, camera = self.frames[index % len(self.frames)]
            fault = str(self.rng.choice(FAULTS)) if self.rng.random() < SHARE * len(FAULTS) else ""
            if fault == "unplug" and self.rng.random() > 0.02:
                fault = ""
            self.made[fault or "good"] += 1
            cut = False
            stamp = when
            if fault == "unplug":
                raise CadstnError("stopped", where=self.name)
            if fault == "drop":
                missed += 1
                continue
            if fault == "repeat":
                stamp = when - 1 / 30
            elif fault == "size":
                depth = depth[: int(self.rng.integers(1, 200))]
            elif fault == "clock":
                stamp = when = when - 5.0
            elif fault == "nan":
                depth = depth.copy()
                depth[self.rng.random(depth.shape) < 0.3] = np.nan
            elif fault == "empty":
                depth = np.zeros_like(depth)
            elif fault == "cut":
                cut = True
            elif fault == "camera":
                depth = depth[::2, ::2]
                camera = Camera(camera.fx / 2, camera.fy / 2, camera.cx / 2, camera.cy / 2)
                camera = camera.sized(depth.shape[1], depth.shape[0])
            yield LiveFrame(depth, camera, stamp, index, missed, cut)


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-ms", type=float, default=2.0, help="between two frames")
    chosen = parser.parse_args()
    rng, made = np.random.default_rng(chosen.seed), Counter[str]()
    tracker = Tracker()
    demo = [(f.depth_mm, f.camera) for f in open_source("demo")]
    memory: list[float] = []
    frames = found = plugged = unaccounted = bad_told = broken = 0
    end = time.monotonic() + chosen.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            plugged += 1
            tally, told, last = Tally(), [0], -1
            source = Faulty(demo, rng, made, chosen.every_ms / 1000)

            def count(error: CadstnError, told: list[int] = told) -> None:
                assert "\n" not in str(error)
                told[0] += 1

            out = Path(folder)
            try:
                # Lines only: video and its file grow by nature.
                with (
                    (out / "l").open("w", encoding="utf-8") as file,
                    Listeners(tracker.network.skeleton, None, file) as listeners,
                ):
                    for seen in track_source(
                        source, tracker, seconds=end - time.monotonic(), on_bad=count, tally=tally
                    ):
                        listeners(seen)
                        last = seen.frame.index
                        # All before this frame were seen, told of as bad, or counted as dropped.
                        known = tally.frames + tally.bad + seen.frame.dropped
                        unaccounted += abs(last + 1 - known)
                        if tally.frames % 50 == 0:
                            memory.append(resident_mb())
            except CadstnError as error:
                if error.what != "stopped":
                    raise
            for line in (out / "l").read_text(encoding="utf-8").splitlines():
                try:
                    json.loads(line)
                except ValueError:
                    broken += 1
            frames, found, bad_told = frames + tally.frames, found + tally.found, bad_told + told[0]
    tenth = max(1, len(memory) // 10)
    # The first tenth is warming up: buffers of every size are made there.
    begin, finish = np.median(memory[tenth : 2 * tenth]), np.median(memory[-tenth:])
    print(f"{chosen.minutes:g} minutes, plugged in {plugged} times, made {dict(made)}")
    print(f"tracked {frames}, hand in {found}, left out {bad_told}, unaccounted {unaccounted}, "
          f"broken lines {broken}")  # fmt: skip
    print(f"memory {begin:.1f} MB after the first tenth, {finish:.1f} MB in the last, "
          f"most {max(memory):.1f} MB")  # fmt: skip
    return int(unaccounted != 0 or broken != 0 or finish > 1.05 * begin)


if __name__ == "__main__":
    sys.exit(main())
