"""3D hand pose from depth cameras: the CADSTN method as software.

>>> import cadstn
>>> tracker = cadstn.Tracker()
>>> len(tracker.network.skeleton)
21
"""

from cadstn import _telemetry  # noqa: F401  # first: before onnxruntime is imported
from cadstn._version import __version__
from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera
from cadstn.geometry.crop import Crop, crop_cube
from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, Skeleton
from cadstn.io import Frame, Recording, open_recording, write_recording
from cadstn.tracking import Hand, Tracker
from cadstn.tracking.detector import find_hand

__all__ = [
    "HAND21",
    "ICVL16",
    "KNOWN_CAMERAS",
    "MSRA21",
    "NYU14",
    "CadstnError",
    "Camera",
    "Crop",
    "Frame",
    "Hand",
    "Recording",
    "Skeleton",
    "Tracker",
    "__version__",
    "crop_cube",
    "find_hand",
    "open_recording",
    "parse_camera",
    "write_recording",
]
