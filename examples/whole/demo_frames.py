"""Write the packaged demo recording as the plain frames that the programs in this folder read.

    python demo_frames.py demo.raw

A frame is 320x240 steps of 1 mm, uint16, row by row; one frame follows the other. Its camera has
fx = fy = 285, cx = 160, cy = 120.
"""

import sys

import numpy as np

import cadstn

recording = cadstn.open_recording("demo")
with open(sys.argv[1], "wb") as file:
    for frame in recording:
        file.write(frame.depth.astype(np.uint16).tobytes())
