"""Time of the whole graph beside the Python road's, frame by frame in turn; see docs/guides.

    python benchmarks/whole_graph.py [--threads 1] [--frames 300]

The frames are the packaged recording's, each pixel made four: 640x480.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from cadstn import open_recording
from cadstn.graph.file import write_whole
from cadstn.tracking import State, load_network, track_step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--hands", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="time of the processor, not the clock")
    choice = parser.parse_args()
    clock = time.thread_time if choice.cpu else time.perf_counter
    network = load_network(threads=choice.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_whole(Path(folder) / "hand.onnx", hands=choice.hands)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = choice.threads
        options.add_session_config_entry("session.force_spinning_stop", "1")  # as the tracker
        session = onnxruntime.InferenceSession(
            str(Path(folder) / "hand.onnx"), options, providers=["CPUExecutionProvider"]
        )
    recording = list(open_recording("demo"))
    camera = recording[0].camera.scaled(2)
    intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    state = State.fresh(network, choice.hands, fit=False)
    shape = next(item.shape for item in session.get_inputs() if item.name == "state")
    theirs, times, worst = np.zeros(shape, np.float32), [], 0.0
    for k in range(choice.frames):
        depth_mm = recording[k % len(recording)].depth.repeat(2, 0).repeat(2, 1)
        start = clock()
        hands, state = track_step(network, state, depth_mm, camera)
        between = clock()
        joints_mm, theirs = session.run(
            ["joints_mm", "new_state"],
            {"depth": depth_mm, "intrinsics": intrinsics, "state": theirs},
        )
        times.append((between - start, clock() - between))
        for hand, joints in zip(hands, joints_mm, strict=True):
            if hand.found:
                worst = max(worst, float(abs(hand.joints_mm - joints).max()))
    for name, p in (("p50", 50), ("p95", 95)):
        python, graph = np.percentile(np.array(times) * 1000, p, axis=0)
        print(f"{name}: Python {python:.2f} ms, graph {graph:.2f} ms, {graph / python:.2f} times")
    print(f"largest distance of a coordinate: {worst:g} mm")


if __name__ == "__main__":
    main()
