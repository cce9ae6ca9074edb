"""Track a recording that has ground truth, and score the joints.

python examples/score_file.py [RECORDING]
"""

import sys

import numpy as np

import cadstn
from cadstn.evaluate import joint_errors_mm

path = sys.argv[1] if len(sys.argv) > 1 else "demo"
recording = cadstn.open_recording(path)
if recording.truth_xyz_mm is None:
    sys.exit(f"{path}: no truth.npz")

tracker = cadstn.Tracker()
predicted, true, frames = [], [], 0
for frame in recording:  # without those that cannot be read, so each brings its own truth
    if frame.cut:
        tracker.reset()
    hand = tracker.update(frame.depth, frame.camera, frame.time_s)
    if not np.isfinite(frame.truth_xyz_mm).all():  # NaN: no hand is there
        continue
    frames += 1
    if hand.found:
        predicted.append(hand.joints_mm)
        true.append(frame.truth_xyz_mm)

print(f"frames with a hand  {len(predicted)} of {frames}")
if not predicted:
    sys.exit("nothing to score")
errors = joint_errors_mm(np.stack(predicted), np.stack(true))  # (N, K)
print(f"mean joint error    {errors.mean():.2f} mm")
print(f"all joints < 30 mm  {100 * (errors.max(1) < 30).mean():.1f} % of these frames")
