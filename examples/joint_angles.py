"""Joint angles in degrees and the hand's gesture, one CSV line a frame.

python examples/joint_angles.py [RECORDING] > angles.csv
"""

import csv
import sys

import numpy as np

import cadstn
from cadstn.tracking.angles import hand_angles
from cadstn.tracking.gestures import GestureFilter, static_gesture

path = sys.argv[1] if len(sys.argv) > 1 else "demo"
tracker = cadstn.Tracker()
steady = GestureFilter(frames=3)
table = csv.writer(sys.stdout)
no_hand = np.full((len(cadstn.HAND21), 3), np.nan)
table.writerow(["time_s", "gesture", *hand_angles(no_hand, "unknown").to_dict()])

for frame in cadstn.open_recording(path):
    if frame.cut:  # another shot: its hand is not that of the one before
        tracker.reset()
        steady = GestureFilter(frames=3)
    hand = tracker.update(frame.depth, frame.camera, frame.time_s)
    angles = hand_angles(hand.joints_mm, hand.side)  # NaN where there is no hand
    degrees = [f"{value:.1f}" for value in angles.to_dict().values()]
    table.writerow([f"{frame.time_s:.3f}", steady(static_gesture(angles)) or "", *degrees])
