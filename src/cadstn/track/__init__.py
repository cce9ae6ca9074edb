"""Tracking: from depth frames to joints, with the network that ships or one of your own."""

from cadstn.track.runtime import Network, load_network
from cadstn.track.tracker import Hand, Tracker, TrackState

__all__ = ["Hand", "Network", "TrackState", "Tracker", "load_network"]
