"""How fast tracking is, stage by stage: from the depth frame to millimetres, batch 1."""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from cadstn.bench.load import Timing, busy_cores, timing_of
from cadstn.bench.mediapipe_hands import bench_mediapipe
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera, DepthMm
from cadstn.tracking.detector import Detector
from cadstn.tracking.network import Network
from cadstn.tracking.runtime import load_network, processors, shipped_weights
from cadstn.tracking.tracker import Tracker

_NETWORK, _DETECTOR = "network", "detector (when due)"
_FRAME, _EMPTY = "a frame", "a frame without a hand"
_WARM = 20
_CALLS, _ROUND_MS = 10, 500.0
_CUT_MM = 260.0  # hand and forearm


def demo_frames(width: int = 640) -> list[tuple[DepthMm, Camera]]:
    """The recording that ships with the package, enlarged to a width in pixels."""
    from cadstn.tracking.cameras import open_source

    frames = []
    for frame in open_source("demo"):
        size = (width, round(frame.camera.height * width / frame.camera.width))
        depth = cv2.resize(frame.depth_mm, size, interpolation=cv2.INTER_NEAREST)
        frames.append((np.asarray(depth, np.float32), frame.camera.resized(*size)))
    return frames


def bench_tracking(
    network: Network,
    frames: list[tuple[DepthMm, Camera]],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Track frames one by one and time each stage.

    Args:
        network: to run.
        frames: (H, W) mm, each with its camera.
        clock: seconds; `time.thread_time` leaves out what other programs take, and is right only
            with one thread.

    Returns:
        Timings by stage; "a frame" is all of it.
    """
    took: dict[str, list[float]] = {_NETWORK: [], _DETECTOR: []}
    detector = network.detector
    assert detector is not None
    tracker = Tracker(
        replace(
            network,
            session=_TimedSession(network.session, took[_NETWORK], clock),
            detector=Detector(_TimedSession(detector.session, took[_DETECTOR], clock)),
        )
    )
    total: list[float] = []
    rest: list[float] = []
    for number, (depth_mm, camera) in enumerate(frames):
        if number == _WARM:
            for values in (*took.values(), total, rest):
                values.clear()
        before = {name: len(values) for name, values in took.items()}
        began = clock()
        tracker.update(depth_mm, camera)
        total.append((clock() - began) * 1000)
        rest.append(total[-1] - sum(sum(took[name][n:]) for name, n in before.items()))
    took = {_FRAME: total, "all but the network": rest, **took}
    return {name: timing_of(values) for name, values in took.items() if values}


def without_hands(
    network: Network, frames: list[tuple[DepthMm, Camera]]
) -> list[tuple[DepthMm, Camera]]:
    """The same frames without what lies within a forearm's reach of the hand that is tracked."""
    tracker, out = Tracker(network), []
    for depth_mm, camera in frames:
        hand = tracker.update(depth_mm, camera)
        if not hand.found:
            continue
        depth_mm = depth_mm.copy()
        rows, columns = np.nonzero(depth_mm)
        uvd = np.stack([columns, rows, depth_mm[rows, columns]], -1)
        near = np.linalg.norm(camera.to_xyz_mm(uvd) - hand.joints_mm.mean(0), axis=1) < _CUT_MM
        depth_mm[rows[near], columns[near]] = 0
        out.append((depth_mm, camera))
    return out


def bench_empty(
    network: Network,
    frames: list[tuple[DepthMm, Camera]],
    clock: Callable[[], float] = time.perf_counter,
) -> Timing | None:
    """Time frames in which the tracker announces no hand; None if there are none.

    Args:
        network: to run.
        frames: without a hand, see `without_hands`.
        clock: see `bench_tracking`.
    """
    tracker, took = Tracker(network), []
    for number, (depth_mm, camera) in enumerate(frames):
        began = clock()
        hand = tracker.update(depth_mm, camera)
        milliseconds = (clock() - began) * 1000
        if number >= _WARM and not hand.found:
            took.append(milliseconds)
    return timing_of(took) if took else None


def bench_start() -> dict[str, float]:
    """Seconds of a fresh Python: to import the package, and to the first result."""
    code = (
        "import time; a = time.perf_counter(); import cadstn; b = time.perf_counter()\n"
        "import numpy as np\n"
        "f = np.full((240, 320), 900, np.float32); f[80:160, 120:180] = 500\n"
        "t = cadstn.Tracker(); t.update(f, cadstn.Camera(285, 285, 160, 120))\n"
        "print(b - a, time.perf_counter() - a)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    imported, first = np.median([[float(v) for v in run.stdout.split()] for run in runs], axis=0)
    return {"import_s": float(imported), "first_result_s": float(first)}


def bench_graphs(
    paths: Mapping[str, Path],
    *,
    threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
    rounds: int = 10,
) -> dict[str, Timing]:
    """Time ONNX graphs alone on zeros, batch 1, on onnxruntime's CPU provider.

    In rounds, in which each has its turn: a busy moment of the machine hits all of them.

    Args:
        paths: files by name.
        threads: of each; None for as many as the machine has.
        clock: seconds.
        rounds: of up to 10 calls, or half a second, after one that warms the caches.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads or 0, 3
    # Threads of one that spin on after its turn would take the processor from the next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    runs: dict[str, Callable[[], object]] = {}
    for name, path in paths.items():
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {  # all zero
            i.name: np.zeros(
                [d if isinstance(d, int) else 1 for d in i.shape],
                bool if i.type == "tensor(bool)" else np.float32,
            )
            for i in session.get_inputs()
        }
        runs[name] = partial(session.run, None, feed)
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            block: list[float] = []
            while len(block) < _CALLS and sum(block) < _ROUND_MS:
                began = clock()
                run()
                block.append((clock() - began) * 1000)
            took[name] += block
    return {name: timing_of(values) for name, values in took.items()}


def paper_sized(folder: Path, *, int8: bool = False) -> Path:
    """Export the paper's networks at full size with random weights: for their speed alone.

    Raises:
        CadstnError: if PyTorch is missing.
    """
    try:
        import torch

        from cadstn.export import export_onnx
        from cadstn.models import Cadstn, NetConfig
    except ImportError:
        raise CadstnError(
            "the paper's sizes are exported for this, which needs PyTorch",
            hint="pip install 'cadstn[train]'",
        ) from None
    path = folder / f"paper{'-int8' if int8 else ''}.onnx"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Cadstn(NetConfig(joints=21))
    export_onnx(model, path, {"skeleton": "hand21", "cube_mm": "250"}, int8=int8)
    return path


def bench_track(
    *,
    width: int = 640,
    paper: bool = True,
    peers: bool = True,
    threads: int | None = None,
    busy: bool = False,
) -> dict[str, Any]:
    """Everything ``cadstn bench track`` prints, as JSON.

    Args:
        width: of the frames, in pixels.
        paper: time the paper's sizes too.
        peers: time other published networks too.
        threads: of networks; with 1 it is processor time that counts.
        busy: time all stages again while every core runs another program, by the clock.

    MediaPipe's hands are timed where they are installed, in the same minute.

    Raises:
        CadstnError: if `paper` is requested without PyTorch.
        ImportError: if `peers` alone is.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    frames = demo_frames(width)
    network = load_network(threads=threads)
    empty = without_hands(network, frames)
    report: dict[str, Any] = {
        "machine": f"{platform.system()} {platform.machine()}, {processors()} cores",
        "frame": f"{frames[0][1].width}x{frames[0][1].height}",
        "clock": "processor time" if threads == 1 else "wall time",
        "start": bench_start(),
        "stages": _stages(network, frames, empty, clock),
        "busy": None,
        "mediapipe": bench_mediapipe(frames),
    }
    if busy:
        with busy_cores():
            report["busy"] = _stages(network, frames, empty, time.perf_counter)
            report["mediapipe"]["busy"] = bench_mediapipe(frames)["timings"]
    with tempfile.TemporaryDirectory() as name, shipped_weights() as shipped:
        folder = Path(name)
        graphs = {"shipped": shipped}
        if paper:
            # Random weights find no hand: their cost is timed by itself.
            graphs["paper's sizes, float32"] = paper_sized(folder)
            graphs["paper's sizes, int8"] = paper_sized(folder, int8=True)
        if peers:
            from cadstn.bench.peers import export_peers

            graphs |= export_peers(folder)
        alone = bench_graphs(graphs, threads=threads, clock=clock)
    report["graphs"] = {name: timing._asdict() for name, timing in alone.items()}
    return report


def _stages(
    network: Network,
    frames: list[tuple[DepthMm, Camera]],
    empty: list[tuple[DepthMm, Camera]],
    clock: Callable[[], float],
) -> dict[str, Any]:
    stages = bench_tracking(network, frames, clock=clock)
    nothing = bench_empty(network, empty, clock)
    if nothing is not None:
        stages[_EMPTY] = nothing
    return {name: timing._asdict() for name, timing in stages.items()}


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Lay the report out as a table."""
    start = report["start"]
    lines = [
        f"{report['machine']}, {report['frame']} frames, batch 1, {report['clock']}",
        f"import cadstn {start['import_s']:.2f} s, first result after "
        f"{start['first_result_s']:.2f} s",
        f"{'':<50}{'calls':>7}{'p50 ms':>9}{'p99 ms':>9}{'frames/s':>10}",
    ]
    mediapipe = report["mediapipe"]
    parts = (
        ("shipped: ", report["stages"]),
        ("shipped, busy: ", report.get("busy") or {}),
        ("network alone: ", report["graphs"]),
        ("MediaPipe, whole call: ", mediapipe["timings"]),
        ("MediaPipe, busy: ", mediapipe.get("busy", {})),
    )
    for what, rows in parts:
        for stage, t in rows.items():
            stage_only = what.startswith("shipped") and stage not in (_FRAME, _EMPTY, _NETWORK)
            rate = "" if stage_only else f"{1000 / t['p50']:.0f}"
            label = f"{what}{stage}"
            lines.append(f"{label:<50}{t['calls']:>7}{t['p50']:>9.2f}{t['p99']:>9.2f}{rate:>10}")
    lines.append(f"MediaPipe: {mediapipe['note']}")
    for what, rows in (("", report["stages"]), (", busy", report.get("busy") or {})):
        if _EMPTY in rows:
            ratio = rows[_EMPTY]["p50"] / rows[_FRAME]["p50"]
            lines.append(f"a frame without a hand over a followed frame{what}: {ratio:.2f}")
    return lines


class _TimedSession(NamedTuple):
    """A session whose runs are timed."""

    session: Any
    took: list[float]
    clock: Callable[[], float]

    def run(self, outputs: Any, feed: Any) -> Any:
        """Run it."""
        began = self.clock()
        out = self.session.run(outputs, feed)
        self.took.append((self.clock() - began) * 1000)
        return out
