"""A recording: depth frames in order, in a folder of images, one ``.npz`` file or a ROS bag.

A folder holds the frames, ``camera.json`` and, where the joints are known, ``truth.npz``. A folder
of such folders is one recording as well, each of them a shot. A frame that cannot be read keeps its
place and is reported, never replaced by its neighbour: every number about a recording counts on it.
"""

from cadstn.io.describing import describe
from cadstn.io.reading import open_recording
from cadstn.io.recording import BadFrame, BadFrameWarning, Frame, Recording, summed_up
from cadstn.io.writing import write_recording

__all__ = [
    "BadFrame",
    "BadFrameWarning",
    "Frame",
    "Recording",
    "describe",
    "open_recording",
    "summed_up",
    "write_recording",
]
