"""One depth frame as a NumPy array -> 21 joints in millimetres.

python examples/own_array.py [FRAME.npy fx fy cx cy]
"""

import sys

import numpy as np

import cadstn

if len(sys.argv) == 6:
    depth = np.load(sys.argv[1])  # (height, width): uint16 or float, in mm; 0: nothing measured
    fx, fy, cx, cy = map(float, sys.argv[2:])
    camera = cadstn.Camera(fx=fx, fy=fy, cx=cx, cy=cy)
else:  # the first frame of the recording in the package
    frame = next(iter(cadstn.open_recording("demo")))
    depth, camera = frame.depth, frame.camera

tracker = cadstn.Tracker()
hand = tracker.update(depth, camera)

if not hand.found:
    sys.exit("no hand found")
print(f"{hand.side} hand")
for name, (x, y, z) in zip(cadstn.HAND21.joints, hand.joints_mm, strict=True):
    print(f"{name:>11}  x {x:7.1f}  y {y:7.1f}  z {z:7.1f} mm")
