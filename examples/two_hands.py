"""Follow two hands of one camera.

python examples/two_hands.py [RECORDING]
"""

import sys
from dataclasses import replace

import numpy as np

import cadstn

tracker = cadstn.Tracker(hands=2)

if len(sys.argv) > 1:
    frames = ((f.depth, f.camera, f.cut) for f in cadstn.open_recording(sys.argv[1]))
else:  # the recording in the package beside its mirror image: a right and a left hand
    recording = cadstn.open_recording("demo")
    wide = replace(recording.camera, cx=recording.camera.width - 0.5, width=0)
    frames = ((np.hstack([f.depth, f.depth[:, ::-1]]), wide, f.cut) for f in recording)

for number, (depth, camera, cut) in enumerate(frames):
    if cut:  # another shot: its hands are not those of the one before
        tracker.reset()
    hands = tracker.update_all(depth, camera)
    # A hand keeps its place in the tuple while it is found.
    text = [f"{h.side} at {h.joints_mm[0].round().tolist()} mm" if h.found else "-" for h in hands]
    print(f"{number:4}  {'   '.join(text)}")
