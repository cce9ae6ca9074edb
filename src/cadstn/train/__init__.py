"""Algorithm 1: train the spatial, the temporal and the fusion network, in this order."""

from cadstn.train.loop import Progress, load_model, train

__all__ = ["Progress", "load_model", "train"]
