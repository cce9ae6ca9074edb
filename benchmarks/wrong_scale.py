"""What a wrong unit or focal length does: how often the hand is followed, its size, the warnings.

python benchmarks/wrong_scale.py [--recordings 30] [--frames 12] [--seed 5000]

Recordings are rendered with every sensor, children's hands among them. Each is tracked with its
camera as it is, with depths multiplied, and with a focal length multiplied. Sizes are of
recordings that are followed in half of their frames: wrist to the tip of the middle finger, along
the bones.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from cadstn import Tracker, open_recording
from cadstn.geometry.plausible import implausible_bones
from cadstn.synth.write import write_synthetic
from cadstn.tracking import load_network

MIDDLE = (0, 9, 10, 11, 12)


def main() -> None:
    """Print one row of Markdown for each mistake."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=int, default=30)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--seed", type=int, default=5000)
    chosen = parser.parse_args()
    network = load_network()
    with tempfile.TemporaryDirectory() as name:
        recordings = []
        for seed in range(chosen.seed, chosen.seed + chosen.recordings):
            path = Path(name) / str(seed)
            write_synthetic(path, frames=chosen.frames, seed=seed)
            recordings.append(list(open_recording(path)))
    print("| given | followed in half of the frames | length, mm (5 to 95 %) | warned of bones |")
    print("|---|---|---|---|")
    mistakes = [("unit", factor) for factor in (1.0, 0.5, 0.8, 1.5, 2.0)]
    for what, factor in mistakes + [("focal length", f) for f in (0.5, 0.7, 1.5, 2.0)]:
        lengths, warned = [], 0
        for frames in recordings:
            tracker, hands = Tracker(network), []
            for frame in frames:
                camera, depth_mm = frame.camera, frame.depth
                if what == "unit":
                    depth_mm = depth_mm * factor
                else:
                    camera = replace(camera, fx=camera.fx * factor, fy=camera.fy * factor)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    hands.append(tracker.update(depth_mm, camera))
            found = [hand.joints_mm for hand in hands if hand.found]
            if len(found) * 2 < len(frames):
                continue
            bones = np.diff(np.array(found)[:, MIDDLE], axis=1)
            lengths.append(float(np.median(np.linalg.norm(bones, axis=-1).sum(1))))
            warned += implausible_bones(np.array(found), frames[0].camera) is not None
        low, high = np.percentile(lengths, (5, 95)) if lengths else (np.nan, np.nan)
        name = "right unit and focal length" if factor == 1 else f"{what} times {factor:g}"
        print(f"| {name} | {len(lengths)} | {low:.0f} to {high:.0f} | {warned} |", flush=True)


if __name__ == "__main__":
    main()
