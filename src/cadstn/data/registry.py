"""What the reader of a data set offers.

To add a set: write a module that defines a `Reader`, and name it in `cadstn.data.opening`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cadstn.data.dataset import Dataset

Pairs = tuple[tuple[str, str], ...]


def train_and_test(splits: tuple[str, ...]) -> Pairs:
    """One pair, where a set has a split for training and one for testing."""
    return (("train", "test"),) if {"train", "test"} <= set(splits) else ()


def undivided(splits: tuple[str, ...]) -> tuple[str, ...]:
    """Splits that hold every frame once: those whose name has no dash."""
    return tuple(split for split in splits if "-" not in split)


@dataclass(frozen=True)
class Reader:
    """How one set is found and opened."""

    name: str  # what the command line and recipes call it
    recognised_by: str  # what a folder of it contains, for people
    # gives the splits in a folder itself, for training first; empty if it is no such set. Raises
    # CadstnError for one that is half unpacked
    find: Callable[[Path], tuple[str, ...]]
    open: Callable[[Path, str], Dataset]  # opens one of these splits
    # gives the pairs of what to train on and what to test on
    folds: Callable[[tuple[str, ...]], Pairs] = train_and_test
    # gives the splits that hold every frame once
    whole: Callable[[tuple[str, ...]], tuple[str, ...]] = undivided
