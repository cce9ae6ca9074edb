"""Tracking: from depth frames to joints, with the network that ships or one of your own."""

from cadstn.tracking.hand import Frame, Hand, State
from cadstn.tracking.network import Network
from cadstn.tracking.observation import observe
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import WINDOW, HandsTracker, Tracker, track_batch, track_step

__all__ = [
    "WINDOW",
    "Frame",
    "Hand",
    "HandsTracker",
    "Network",
    "State",
    "Tracker",
    "load_network",
    "observe",
    "track_batch",
    "track_step",
]
