"""Data sets: readers and writers of NYU, ICVL, MSRA15, HANDS 2017, DexYCB and plain recordings.

Each reader knows one format and gives what all of them share: depth in mm (0 where nothing was
measured), joints in pixels and in mm (x right, y down, z forward), the camera, the recording, the
subject and where a shot begins.
"""

from cadstn.data.dataset import Dataset, LeftOut, Sample, jump_starts
from cadstn.data.opening import Found, find_dataset, open_dataset

__all__ = [
    "Dataset",
    "Found",
    "LeftOut",
    "Sample",
    "find_dataset",
    "jump_starts",
    "open_dataset",
]
