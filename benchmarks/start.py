"""Processor time of a start of cadstn, of several source trees in turn.

python benchmarks/start.py 9 OLD/src NEW/src

The first run of each compiles and is not counted.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

NO_PYAV = "import sys; sys.modules['av'] = None\n"
FIRST = """
import os, cadstn
name = "update_all" if hasattr(cadstn.Tracker, "update_all") else "update"
tracked = getattr(cadstn.Tracker, name)
def first(*given, **named):
    tracked(*given, **named)
    os._exit(0)
setattr(cadstn.Tracker, name, first)
"""
TRACK = """
import sys
from cadstn.cli import main
sys.argv = ["cadstn", "track", sys.argv[1], "--out", sys.argv[2]]
main()
"""
TEN_LINES = """
import sys, cadstn
recording = cadstn.open_recording(sys.argv[1])
tracker = cadstn.Tracker()
for frame in recording:
    print(tracker.update(frame.depth, frame.camera).found)
"""
KINDS = {
    "track, to its first frame": FIRST + TRACK,
    "track": NO_PYAV + TRACK,
    "track, with PyAV": TRACK,
    "ten lines of Python": TEN_LINES,
}


def cpu_ms(code: str, source: str, folder: Path) -> float:
    """Processor time of one process, its own and the system's."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code, str(folder / "in"), str(folder / "out")],
        env=env | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Measure each kind so often and print medians and the least."""
    times, sources = int(sys.argv[1]), sys.argv[2:]
    demo = Path(sources[0]) / "cadstn" / "demo"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for file in ("000000.png", "camera.json"):
            shutil.copy(demo / file, folder / "in")
        for kind, code in KINDS.items():
            took: dict[str, list[float]] = {source: [] for source in sources}
            for _ in range(times + 1):
                for source in sources:
                    took[source].append(cpu_ms(code, source, folder))
            for source in sources:
                some = took[source][1:]
                middle, least = statistics.median(some), min(some)
                print(f"{kind:26} {middle:5.0f} ms, least {least:5.0f}  {source}", flush=True)


if __name__ == "__main__":
    main()
