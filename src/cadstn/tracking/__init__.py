"""Tracking: from depth frames to joints, with the network that ships or one of your own."""

from cadstn.tracking.hand import Hand, TrackState, View
from cadstn.tracking.hands import HandsTracker
from cadstn.tracking.network import Network
from cadstn.tracking.runtime import load_network
from cadstn.tracking.tracker import (
    WINDOW,
    Tracker,
    track_batch,
    track_step,
)

__all__ = [
    "WINDOW",
    "Hand",
    "HandsTracker",
    "Network",
    "TrackState",
    "Tracker",
    "View",
    "load_network",
    "track_batch",
    "track_step",
]
