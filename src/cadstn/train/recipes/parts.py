"""Parts of a training configuration: how a stage is trained, and what is done to its crops."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cadstn.errors import CadstnError, nearest_name

TURNS = ("none", "paper", "released")
"""Fixed extra copies: quarter turns and flips (the text), or quarter turns alone (their files)."""


def choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is none of those known; raises CadstnError with the nearest."""
    if value not in known:
        raise CadstnError(f"recipe {name} is '{value}'", mend=nearest_name(value, known))


@dataclass(frozen=True)
class Plan:
    """How one stage is trained.

    Attributes:
        steps: iterations.
        batch: images a step; the temporal and fusion stages take batch / clip clips.
        learning_rate: at the start.
    """

    steps: int = 60_000
    batch: int = 128
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Augment:
    """What is done to crops on the device, labels moving along.

    Attributes:
        turns: one of `TURNS`: the set holds every image twice, the second time turned or flipped.
        rotate_deg: each clip is turned in the image by up to this much, evenly.
        scale: its cube grows or shrinks by up to this share, evenly.
        shift_mm: its centre moves along each axis, by a Gauss curve of this standard deviation.
        noise_mm: each surface pixel's depth shakes, standard deviation.
        mirror: every second clip, by chance, is seen in a mirror: a left hand becomes a right one.
        upright: share of clips turned so that the hand points up, and mirrored if it is a left
            one, before ``rotate_deg`` turns them; the others are turned any way. For ``hand21``.
        edge: share of clips that the edge of the picture cuts; beyond it nothing is seen.
    """

    turns: str = "none"
    rotate_deg: float = 0.0
    scale: float = 0.0
    shift_mm: float = 0.0
    noise_mm: float = 0.0
    mirror: bool = False
    upright: float = 0.0
    edge: float = 0.0

    def __post_init__(self) -> None:
        choice("augment.turns", self.turns, TURNS)
        for name in ("rotate_deg", "scale", "shift_mm", "noise_mm", "upright", "edge"):
            if getattr(self, name) < 0:
                raise CadstnError(f"recipe augment.{name} is negative", mend="give 0 or more")

    @property
    def continuous(self) -> bool:
        """Whether anything but the fixed copies is drawn anew every step."""
        return dataclasses.replace(self, turns="none") != Augment()
