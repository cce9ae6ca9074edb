"""Track plain frames with the whole graph: onnxruntime and NumPy alone.

cadstn export --whole hand.onnx
python track.py hand.onnx demo.raw 320 240 285 285 160 120
"""

import sys

import numpy as np
import onnxruntime

model, path = sys.argv[1:3]
width, height = map(int, sys.argv[3:5])
intrinsics = np.array(sys.argv[5:9], np.float32)  # fx, fy, cx, cy

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
shape = next(item.shape for item in session.get_inputs() if item.name == "state")
state = np.zeros(shape, np.float32)  # a new stream
names = ["joints_mm", "found", "left", "presence", "new_state"]

frames = np.fromfile(path, np.uint16).reshape(-1, height, width)
for number, steps in enumerate(frames):
    feed = {"depth": steps.astype(np.float32), "intrinsics": intrinsics, "state": state}
    joints_mm, found, left, presence, state = session.run(names, feed)
    for hand in range(len(found)):
        if not found[hand]:
            print(number, hand, "lost")
            continue
        x, y, z = joints_mm[hand, 8]  # the index finger's tip
        side = "left" if left[hand] else "right"
        print(f"{number} {hand} {side} {presence[hand]:.3f} {x:.2f} {y:.2f} {z:.2f}")
