"""Timings, and other programs that keep every core busy while something is timed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from cadstn.tracking.runtime import processors

#: Spins until its standard input closes, which the end of this process does as well.
_SPIN = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("on", flush=True)
while True:
    pass
"""


class Timing(NamedTuple):
    """Milliseconds of one stage: how often it ran, median and 99th percentile."""

    calls: int
    p50: float
    p99: float


def timing_of(values_ms: Sequence[float]) -> Timing:
    """Median and 99th percentile of some runs."""
    p50, p99 = np.percentile(values_ms, [50, 99]).tolist()
    return Timing(len(values_ms), p50, p99)


@contextmanager
def busy_cores(count: int | None = None) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a spinning process for each core as long as the context lasts.

    Args:
        count: of processes; None for one a core.
    """
    spinning: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count or processors()):
            command = [sys.executable, "-c", _SPIN]
            pipe = subprocess.PIPE
            spinning.append(subprocess.Popen(command, stdin=pipe, stdout=pipe))
        for process in spinning:
            assert process.stdout is not None
            process.stdout.readline()  # until it has begun to spin
        yield spinning
    finally:
        for process in spinning:
            process.kill()
            process.communicate()
