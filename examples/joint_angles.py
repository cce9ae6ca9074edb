"""Finger flexion in degrees from the joints, one CSV line a frame.

python examples/joint_angles.py [RECORDING] > angles.csv
"""

import csv
import sys
from importlib import resources

import numpy as np
from numpy.typing import NDArray

import cadstn

FINGERS = cadstn.HAND21.fingers  # name -> four joints from root to tip
WRIST = 0


def flexion_deg(joints_mm: NDArray[np.float32], chain: tuple[int, ...]) -> list[float]:
    """Return the bend at the first three joints of a finger; 0 where it is straight."""
    bones = np.diff(joints_mm[[WRIST, *chain]].astype(np.float64), axis=0)
    bones /= np.linalg.norm(bones, axis=1, keepdims=True)
    cosines = (bones[:-1] * bones[1:]).sum(1).clip(-1, 1)
    return np.degrees(np.arccos(cosines)).round(1).tolist()


def main() -> None:
    """Track the recording and write the table."""
    path = sys.argv[1] if len(sys.argv) > 1 else resources.files("cadstn") / "demo"
    tracker = cadstn.Tracker()
    table = csv.writer(sys.stdout)
    table.writerow(["time_s", *(cadstn.HAND21.joints[j] for c in FINGERS.values() for j in c[:3])])
    for frame in cadstn.open_recording(path):
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        if hand.found:
            angles = [a for chain in FINGERS.values() for a in flexion_deg(hand.joints_mm, chain)]
            table.writerow([f"{frame.time_s:.3f}", *angles])


if __name__ == "__main__":
    main()
