"""Tracking: from depth frames to joints, with the network that ships or one of your own."""

from cadstn.track.hand import Hand, TrackState, View
from cadstn.track.hands import HandsTracker
from cadstn.track.network import Network
from cadstn.track.runtime import load_network
from cadstn.track.tracker import (
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
