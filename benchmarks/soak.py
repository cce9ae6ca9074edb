"""Live tracking at full speed with faults injected: no growth, no frame lost but the counted.

    python benchmarks/soak.py --minutes 30

A camera is played from the recording in the package, faster than it can be tracked, with faults
drawn at random: frames dropped and repeated, sizes that change, clocks set back or without a time,
NaN, empty frames, cuts, another camera, and being unplugged and plugged in again. Ends with 1, and
says why, if

- memory grew by more than 2 % from the second tenth of the run to the last (the first is warming
  up: buffers of every size are made there),
- a frame was lost uncounted: each that the camera made was tracked, told of as bad, or counted as
  dropped,
- a written line is broken, or no line a tracked frame was written,
- it was not told of every bad frame in one line, or
- no hand was found in most of the good frames.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.cameras import open_source
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame
from cadstn.tracking.listeners import Listeners
from cadstn.tracking.live import Tally, track_source
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import Tracker

FAULTS = (
    "drop", "repeat", "size", "clock", "no clock", "nan", "empty", "cut", "camera", "unplug",
)  # fmt: skip
SHARE = 0.02  # of frames, each fault
UNPLUGGED = 0.02  # of what would be that fault: to plug in again takes time
SAMPLES = 2_000  # of memory, at most: the list must not grow either
GROWTH = 1.02


class Faulty(BaseSource):
    """The demo for ever, as a bad camera would give it.

    Attributes:
        count: of frames that it has made, dropped ones among them.
        given: how many it had made when it last gave one.
    """

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
        self.count = self.given = 0

    def __iter__(self) -> Iterator[LiveFrame]:
        missed, when = 0, 0.0
        while True:
            time.sleep(self.every_s)
            when += 1 / 30
            depth, camera = self.frames[self.count % len(self.frames)]
            fault = str(self.rng.choice(FAULTS)) if self.rng.random() < SHARE * len(FAULTS) else ""
            if fault == "unplug" and self.rng.random() > UNPLUGGED:
                fault = ""
            self.made[fault or "good"] += 1
            if fault == "unplug":
                raise CadstnError("stopped", where=self.name)
            index, self.count = self.count, self.count + 1
            cut, stamp = False, when
            if fault == "drop":
                missed += 1
                continue
            if fault == "repeat":
                stamp = when - 1 / 30
            elif fault == "size":
                depth = depth[: int(self.rng.integers(1, 200))]
            elif fault == "clock":
                stamp = when = when - 5.0
            elif fault == "no clock":
                stamp = float("nan")
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
            self.given = self.count
            yield LiveFrame(depth, camera, stamp, index, missed, cut)


@dataclass
class Memory:
    """Samples of the resident size, fewer and fewer of them as time goes on."""

    mb: list[float] = field(default_factory=list)
    every: int = 1
    asked: int = 0

    def sample(self) -> None:
        self.asked += 1
        if self.asked % self.every == 0:
            self.mb.append(resident_mb())
        if len(self.mb) >= SAMPLES:
            self.mb, self.every = self.mb[1::2], self.every * 2


@dataclass
class Soak:
    """What a run came to; all but the memory are counts."""

    made: Counter[str] = field(default_factory=Counter)
    memory: Memory = field(default_factory=Memory)
    plugged: int = 0
    frames: int = 0
    found: int = 0
    bad: int = 0
    told: int = 0
    dropped: int = 0
    unaccounted: int = 0
    broken: int = 0
    lacking: int = 0

    def play(self, source: Faulty, tracker: Tracker, seconds: float, lines: Path) -> None:
        """Track until it is unplugged or time is up, and check what came of it."""
        self.plugged += 1
        tally, last = Tally(), -1
        ended = False

        def tell(error: CadstnError) -> None:
            self.told += "\n" not in str(error)

        try:
            # Lines only: video and its file grow by nature.
            with (
                lines.open("w", encoding="utf-8") as file,
                Listeners(tracker.network.skeleton, None, file) as listeners,
            ):
                for seen in track_source(
                    source, tracker, seconds=seconds, on_bad=tell, tally=tally
                ):  # fmt: skip
                    listeners(seen)
                    last = seen.frame.index
                    # All before this frame were tracked, told of as bad, or counted as dropped.
                    self.unaccounted += abs(last + 1 - _known(tally))
                    if tally.frames % 50 == 0:
                        self.memory.sample()
        except CadstnError as error:
            if error.what != "stopped":
                raise
            ended = True
        if ended:  # nothing was left waiting, so what came last is known as well
            self.unaccounted += abs(source.given - _known(tally))
        written = -1  # the first line holds the names
        for line in lines.read_text(encoding="utf-8").splitlines():
            try:
                json.loads(line)
                written += 1
            except ValueError:
                self.broken += 1
        self.lacking += abs(written - tally.frames)
        self.frames, self.found = self.frames + tally.frames, self.found + tally.found
        self.bad, self.dropped = self.bad + tally.bad, self.dropped + tally.dropped


def _known(tally: Tally) -> int:
    return tally.frames + tally.bad + tally.dropped


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-ms", type=float, default=1.0, help="between two frames")
    parser.add_argument("--threads", type=int, help="of the network; as many as there are")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    tracker = Tracker(load_network(threads=chosen.threads))
    demo = [(f.depth_mm, f.camera) for f in open_source("demo")]
    soak = Soak()
    began = time.monotonic()
    end = began + chosen.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        while (left := end - time.monotonic()) > 0:
            source = Faulty(demo, rng, soak.made, chosen.every_ms / 1000)
            soak.play(source, tracker, left, Path(folder) / "lines")
    passed, mb = time.monotonic() - began, soak.memory.mb
    tenth = len(mb) // 10
    if tenth == 0:
        print("too short to say anything of memory", file=sys.stderr)
        return 1
    begin, finish = float(np.median(mb[tenth : 2 * tenth])), float(np.median(mb[-tenth:]))
    made = sum(soak.made.values()) - soak.made["unplug"]
    print(f"{passed / 60:.1f} minutes, plugged in {soak.plugged} times")
    print(f"made {made} frames, {made / passed:.0f} a second: {dict(soak.made)}")
    print(f"tracked {soak.frames}, {soak.frames / passed:.0f} a second, hand in {soak.found}; "
          f"left out as bad {soak.bad}; dropped {soak.dropped}; lost uncounted {soak.unaccounted}; "
          f"broken lines {soak.broken}, lacking {soak.lacking}")  # fmt: skip
    print(f"memory {begin:.1f} MB in the second tenth, {finish:.1f} MB in the last, "
          f"most {max(mb):.1f} MB")  # fmt: skip
    wrong = {
        "memory grew": finish > GROWTH * begin,
        "frames were lost uncounted": soak.unaccounted != 0,
        "lines are broken or lacking": soak.broken + soak.lacking != 0,
        "bad frames were not told of": soak.told != soak.bad,
        "hands were lost": soak.found < 0.8 * soak.frames,
    }
    for what in (name for name, is_so in wrong.items() if is_so):
        print(f"failed: {what}", file=sys.stderr)
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
