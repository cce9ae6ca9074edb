"""Track a recording that has ground truth, and score the joints.

python examples/score_file.py [RECORDING]
"""

import sys

import numpy as np

import cadstn
from cadstn.evaluate import joint_errors_mm

path = sys.argv[1] if len(sys.argv) > 1 else "demo"
recording = cadstn.open_recording(path)
tracker = cadstn.Tracker()
hands = [tracker.update(f.depth, f.camera, f.time_s) for f in recording]

found = np.array([hand.found for hand in hands])
predicted = np.stack([hand.joints_mm for hand in hands])
if recording.truth_xyz_mm is None:
    sys.exit(f"{path}: no truth.npz")
errors = joint_errors_mm(predicted[found], recording.truth_xyz_mm[found])  # (N, K)
print(f"frames with a hand  {found.sum()} of {len(found)}")
print(f"mean joint error    {errors.mean():.2f} mm")
print(f"all joints < 30 mm  {100 * (errors.max(1) < 30).mean():.1f} % of these frames")
