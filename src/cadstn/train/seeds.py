"""The words that seeds are made of: what random numbers are for, and the stage they belong to.

Values are part of what a run gives: they are never changed or used again.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Use(IntEnum):
    """Second word of a seed, after the recipe's own: what the numbers are for."""

    TRAIN = 0
    VALIDATE = 1
    AUGMENT = 2
    DROPOUT = 3
    ORDER = 4
    BANK = 5
    PREPARED = 6
    """Plus the number of frames a clip: 7 for single frames, 22 for clips of 16."""
    WHOLE = 20
    """Whole frames for the detector; their order is drawn by NumPy."""
    WHOLE_ORDER = 22
    MINED = 23


class Stage(IntEnum):
    """Last word of a seed: the stage, which has an order and numbers of its own."""

    spatial = 0
    temporal = 1
    fusion = 2
    baseline = 3
    sliced = 4


def torch_seed(*words: int) -> int:
    """Make one seed for a generator of torch from several words."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 2)
