"""Parts of a training configuration: stages, families of networks, augmentation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from cadstn.errors import CadstnError, nearest_name

STAGES = ("spatial", "temporal", "fusion")
"""The stages of Algorithm 1, in their order."""

NETWORKS = ("baseline", "sliced", "spatial", "temporal", "cadstn")
"""What can be trained and scored; the rows of table IV."""

ORDERS = ("shuffled", "windows")
"""Samples in a new random order every epoch, or one clip after another as they were recorded."""

TURNS = ("none", "paper", "released")
"""Fixed extra copies: rotations by right angles and flips (the text), or no flips (their files)."""


def choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that is none of those known; raises CadstnError with the nearest."""
    if value not in known:
        raise CadstnError(f"recipe {name} is '{value}'", hint=nearest_name(value, known))


@dataclass(frozen=True)
class Traits:
    """What recipes must respect of a family of networks, by its name in `TRAITS`."""

    networks: tuple[str, ...] = NETWORKS  # those of `NETWORKS` that it has
    # whether each stage reads what the one before it predicts, and so needs it
    chained: bool = False
    shortest_clip: int = 1  # frames a clip that its losses need
    optimizers: tuple[str, ...] = ("adam",)  # that can train it
    # whether several ranks compute what one does: the loss of a batch is the mean of its clips'
    # losses, and nothing is normalised by the batch
    shared: bool = True
    unused: tuple[str, ...] = ()  # fields of a recipe that do nothing for it

    def needed(self, stage: str) -> tuple[str, ...]:
        """The stages whose networks the predictions of one stage take, itself included."""
        if self.chained:
            return STAGES[: STAGES.index(stage) + 1]
        return STAGES if stage == "fusion" else (stage,)


TRAITS = {
    # It predicts no presence: frames without a hand, whose joints mean nothing, teach it nothing.
    "paper": Traits(unused=("hands", "smoothness", "worst_joint")),
    "residual": Traits(
        ("spatial", "temporal", "cadstn"),
        chained=True,
        shortest_clip=3,
        optimizers=("adam", "muon"),
        shared=False,
        unused=(
            "loss",
            "temporal_divisor",
            "bias_rate",
            "lstm_rate",
            "lstm_inputs_rate",
            "temporal_start",
            "temporal_frozen",
            "fusion_start",
            "expert_dropout",
        ),
    ),
}
"""By the name that a family's sizes have in files."""


@dataclass(frozen=True)
class Plan:
    """How one stage is trained.

    Attributes:
        steps: iterations.
        batch: images a step; the temporal and fusion stages take batch / clip clips.
        learning_rate: at the start.
        augment: whether the recipe's augmentation is done in this stage.
        order: one of `ORDERS`; ``windows`` takes clips that do not overlap.
    """

    steps: int = 60_000
    batch: int = 128
    learning_rate: float = 1e-3
    augment: bool = True
    order: str = "shuffled"

    def __post_init__(self) -> None:
        choice("order of a stage", self.order, ORDERS)


@dataclass(frozen=True)
class Augment:
    """What is done to crops on the device, labels moving along.

    Attributes:
        turns: one of `TURNS`: the set holds every image twice, the second time rotated or flipped.
        rotate_deg: each clip is rotated in the image by up to this much, evenly.
        scale: its cube grows or shrinks by up to this share, evenly.
        shift_mm: its centre moves along each axis, by a Gauss curve of this standard deviation.
        noise_mm: each surface pixel's depth shakes, standard deviation.
        mirror: every second clip, by chance, is seen in a mirror: a left hand becomes a right one.
        upright: share of clips rotated so that the hand points up, and mirrored if it is a left
            one, before ``rotate_deg`` rotates them; the others get any angle. For ``hand21``.
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
                raise CadstnError(f"recipe augment.{name} is negative", hint="give 0 or more")
        if self.scale >= 1 or self.upright > 1 or self.edge > 1:
            raise CadstnError(
                f"recipe augment.scale is {self.scale}, upright {self.upright}, edge {self.edge}",
                hint="give shares: a scale below 1, the others up to 1",
            )

    @property
    def continuous(self) -> bool:
        """Whether anything but the fixed copies is drawn anew every step."""
        return dataclasses.replace(self, turns="none") != Augment()
