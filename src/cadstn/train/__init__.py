"""Algorithm 1: train the spatial, the temporal and the fusion network, in this order."""

from cadstn.errors import Stopped
from cadstn.train.loading import load_model, load_networks
from cadstn.train.loop import train
from cadstn.train.networks import assemble, predict
from cadstn.train.prepared import PreparedSource
from cadstn.train.source import BankSource, Batch, RenderedSource, Source
from cadstn.train.start import Start, read_start
from cadstn.train.watching import Progress

__all__ = [
    "BankSource",
    "Batch",
    "PreparedSource",
    "Progress",
    "RenderedSource",
    "Source",
    "Start",
    "Stopped",
    "assemble",
    "load_model",
    "load_networks",
    "predict",
    "read_start",
    "train",
]
