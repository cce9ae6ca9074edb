"""Track a camera until Ctrl-C and print where the index fingertip is.

python examples/camera_loop.py realsense   # or orbbec, luxonis; left out: the packaged recording
"""

import sys
from contextlib import suppress

import cadstn
from cadstn.tracking.cameras import open_source

source = sys.argv[1] if len(sys.argv) > 1 else "demo"
tracker = cadstn.Tracker()
tip = cadstn.HAND21.index("index_tip")

with suppress(KeyboardInterrupt), open_source(source) as frames:
    for frame in frames:
        if frame.cut:  # a recording's next shot, or its beginning again
            tracker.reset()
        hand = tracker.update(frame.depth_mm, frame.camera, frame.time_s)
        where = "no hand"
        if hand.found:
            x, y, z = hand.joints_mm[tip]
            where = f"x {x:7.1f}  y {y:7.1f}  z {z:7.1f} mm"
        print(f"{frame.time_s:7.3f} s  {where}")
