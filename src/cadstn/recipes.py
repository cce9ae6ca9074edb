"""Complete training configurations, each a function that returns one.

The numbers of `paper` are those of section IV-A3.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from cadstn.errors import CadstnError, nearest_name
from cadstn.models import NetConfig
from cadstn.skeleton import HAND21, skeleton

STAGES = ("spatial", "temporal", "fusion")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what training gives, besides the code.

    Attributes:
        name: the function it came from.
        net: sizes of the networks.
        skeleton: joint convention of the labels.
        cube_mm: edge of the crop's cube.
        seed: of weights, data, dropout.
        batch: images a step; the temporal and fusion stages take batch / clip clips.
        clip: T, frames a clip.
        spatial_steps, temporal_steps, fusion_steps: iterations of the three stages.
        learning_rate: Adam's, at the start.
        schedule: ``step`` (times ``decay`` every ``decay_every`` steps) or ``cosine`` (to zero).
        weight_decay: Adam's l2 term.
        loss: ``pose_distance`` (eq. 1) or ``half_squared`` (the released definitions).
        temporal_start: ``scratch`` (the text), or ``spatial``: trunk and FC1 of temporal and fusion
            begin as copies of the spatial network's.
        compiled: render with torch.compile (needs a C++ compiler).
    """

    name: str
    net: NetConfig = field(default_factory=lambda: NetConfig(joints=len(HAND21)))
    skeleton: str = HAND21.name
    cube_mm: float = 250.0
    seed: int = 0
    batch: int = 128
    clip: int = 16
    spatial_steps: int = 60_000
    temporal_steps: int = 60_000
    fusion_steps: int = 40_000
    learning_rate: float = 1e-3
    schedule: str = "step"
    decay: float = 0.1
    decay_every: int = 20_000
    weight_decay: float = 0.0
    loss: str = "pose_distance"
    temporal_start: str = "scratch"
    compiled: bool = False

    def __post_init__(self) -> None:
        choices = {
            "schedule": ("step", "cosine"),
            "loss": ("pose_distance", "half_squared"),
            "temporal_start": ("scratch", "spatial"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise CadstnError(
                    f"recipe {name} is '{getattr(self, name)}'",
                    mend=nearest_name(getattr(self, name), known),
                )
        if self.batch < 1 or self.clip < 1 or self.batch % self.clip:
            raise CadstnError(
                f"batch {self.batch} is not whole clips of {self.clip} frames",
                mend="make batch a multiple of clip",
            )
        for name in ("cube_mm", "learning_rate", "decay_every"):
            if not getattr(self, name) > 0:
                raise CadstnError(
                    f"recipe {name} is {getattr(self, name)}", mend="make it positive"
                )
        joints = len(skeleton(self.skeleton))
        if joints != self.net.joints:
            raise CadstnError(
                f"skeleton {self.skeleton} has {joints} joints, the network {self.net.joints}",
                mend=f"set net.joints={joints}",
            )

    def steps(self, stage: str) -> int:
        """Iterations of one stage."""
        return int(getattr(self, f"{stage}_steps"))

    def to_json(self) -> str:
        """One line of JSON, the form in which it travels with weights."""
        return json.dumps({**asdict(self), "net": self.net.to_dict()}, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Read what `to_json` wrote; raises CadstnError on unknown fields."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise CadstnError(f"a recipe that is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise CadstnError(f"a recipe that is not a JSON object: {text[:40]}")
        return override(Recipe(name=str(values.pop("name", ""))), values)


def paper() -> Recipe:
    """Return the paper's text: 160,000 steps of 128 images, full size networks.

    An estimate: some 100 hours at the 56 images a second that trunks of this size reached on two
    CPU cores (LOG.md).
    """
    return Recipe(name="paper")


def compact() -> Recipe:
    """Return the recipe of the shipped weights: small networks, an hour or so on two CPU cores."""
    return Recipe(
        name="compact",
        net=NetConfig(
            joints=len(HAND21),
            channels=(16, 32, 64),
            width=256,
            hidden=256,
            dropout=0.0,
            dropout_recurrent=0.0,
        ),
        batch=64,
        spatial_steps=6_000,
        temporal_steps=2_500,
        fusion_steps=500,
        schedule="cosine",
        temporal_start="spatial",
        compiled=True,
    )


def tiny() -> Recipe:
    """Return a recipe for tests: seconds on one core, and hopeless as a hand tracker."""
    return Recipe(
        name="tiny",
        net=NetConfig(
            joints=len(HAND21), size=32, slices=4, channels=(4, 8, 8), width=32, hidden=32
        ),
        batch=16,
        clip=8,
        spatial_steps=40,
        temporal_steps=20,
        fusion_steps=10,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {f.__name__: f for f in (paper, compact, tiny)}


def recipe(name: str) -> Recipe:
    """Return a recipe by name; raises CadstnError for an unknown one."""
    if name not in RECIPES:
        raise CadstnError(f"no recipe '{name}'", mend=nearest_name(name, RECIPES))
    return RECIPES[name]()


def override(base: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Replace fields of a recipe, those of the network as ``net.FIELD`` or a mapping ``net``.

    Raises:
        CadstnError: for an unknown field, with the nearest name, or a value of the wrong type.
    """
    net = base.net.to_dict()
    plain: dict[str, Any] = {}
    known = {f.name: f for f in fields(Recipe)}
    for name, value in values.items():
        if name == "net":
            if not isinstance(value, Mapping):
                raise CadstnError(f"recipe field 'net' is {value!r}", mend="set net.FIELD")
            net.update(value)
        elif name.startswith("net."):
            net[name[4:]] = value
        elif name not in known:
            raise CadstnError(
                f"unknown recipe field '{name}'",
                mend=nearest_name(name, [*known, *(f"net.{n}" for n in net)]),
            )
        else:
            plain[name] = _typed(name, value, getattr(base, name))
    return dataclasses.replace(base, net=NetConfig.from_dict(net), **plain)


def _typed(name: str, value: Any, like: Any) -> Any:
    """Accept a value of the field's own type, or a whole number for a float."""
    if type(value) is type(like):
        return value
    if isinstance(like, float) and type(value) is int:
        return float(value)
    raise CadstnError(
        f"recipe field '{name}' is {value!r}", mend=f"give a {type(like).__name__}, like {like!r}"
    )
