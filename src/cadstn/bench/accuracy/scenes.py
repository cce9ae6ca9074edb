"""The scenes of the sealed and the choosing test: what each shows, and which clips belong to it.

Clip ``index`` of a scene is a function of (seed, scene, index). The clips of a set are the first
ones that show what the scene is about in every frame, so that every frame can count.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cadstn.bench.accuracy.picture import joints_in_picture, other_hands_mm
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import KNUCKLES

if TYPE_CHECKING:
    from torch import Tensor

    from cadstn.synth.frames import Sequence
    from cadstn.synth.motion import Frustum
    from cadstn.synth.scene import Scene as Sampled

SPLIT = 10_003
"""Second word of the seed; the first is the set's, the third the scene's."""

LARGE_MM = 30.0
"""Held things of a larger radius, or half thickness, are large."""

_BATCH = 32
_MOST_TRIED = 20_000
_LEAST_OUT = 0.5  # of the frames of a clip at the edge a joint is out of the picture


class Scene(NamedTuple):
    """One kind of scene."""

    title: str  # for the report
    # what each clip must show: ``bare`` (one hand that holds nothing), ``small`` or ``large`` (a
    # held thing), ``second`` (a second hand) or ``cut`` (by the edge)
    shows: str
    distance_mm: tuple[float, float]  # of the palm's middle from the camera, nearest and farthest
    # names, clip after clip in turn; None for one drawn at random
    sensors: tuple[str | None, ...] = (None,)
    # of a set's clips; each sensor has fewer, or clean hands would rule the headline
    share: float = 1.0

    def clips(self, count: int) -> int:
        """How many clips of the scene are in a set of so many clips a scene."""
        return max(1, round(self.share * count))


#: Every named sensor but the ideal one, with the distances that it measures.
_SENSORS_MM = {
    "kinect2": (500.0, 1000.0),
    "sr305": (350.0, 900.0),
    "nyu_primesense": (500.0, 1000.0),
    "ds325": (300.0, 600.0),
    "d435": (350.0, 1000.0),
    "d415": (350.0, 1000.0),
    "azure_kinect": (350.0, 1000.0),
    "l515": (350.0, 1000.0),
    "truedepth": (300.0, 900.0),
    "oak_d": (400.0, 1000.0),
}
_MM = (350.0, 1000.0)
#: By name. The camera is that of `cadstn synth`, 320x240 pixels.
SCENES = {
    "clean": Scene("clean", "bare", _MM),
    "held-small": Scene("held thing, radius up to 30 mm", "small", _MM),
    "held-large": Scene("held thing, radius over 30 mm", "large", _MM),
    "two-hands": Scene("two hands", "second", _MM),
    "edge": Scene("cut by the picture's edge", "cut", _MM),
    "far": Scene("1.2 to 2.4 m away", "bare", (1200.0, 2400.0), ("kinect2", "nyu_primesense")),
    **{
        f"sensor-{name}": Scene(f"sensor {name}", "bare", mm, (name,), 0.4)
        for name, mm in _SENSORS_MM.items()
    },
}


def clip(name: str, seed: int, index: int, frames: int) -> tuple[Sequence, Camera]:
    """One clip of a scene, ready to render, and its camera."""
    from cadstn.synth.frames import Sequence
    from cadstn.synth.sensors import sensor
    from cadstn.synth.write import SYNTH_CAMERA

    scene = SCENES[name]
    measures = scene.sensors[index % len(scene.sensors)]
    moving = Sequence(
        _seed(name, seed),
        index,
        SYNTH_CAMERA,
        frames,
        sensor=sensor(measures) if measures else None,
        distance_mm=scene.distance_mm,
        frustum=_frustum(scene, SYNTH_CAMERA),
        held=_held(scene),
    )
    return moving, SYNTH_CAMERA


def choose_clips(name: str, seed: int, count: int, frames: int) -> list[int]:
    """The first clips of a scene that show what it is about.

    Raises:
        CadstnError: if there are not as many among the first 20,000.
    """
    import torch

    from cadstn.synth.draws import Draws
    from cadstn.synth.scene import sample_scene
    from cadstn.synth.write import SYNTH_CAMERA

    scene, chosen, first = SCENES[name], list[int](), 0
    frustum = _frustum(scene, SYNTH_CAMERA)
    while len(chosen) < count:
        if first >= _MOST_TRIED:
            raise CadstnError(f"only {len(chosen)} clips of scene {name} in {first}")
        index, first = _candidates(scene, name, seed, first)
        draws = Draws(_seed(name, seed), index).fork("scene")
        sampled = sample_scene(draws, frames, SYNTH_CAMERA.fps, frustum=frustum, held=_held(scene))
        good = torch.from_numpy(_shows(scene.shows, sampled, SYNTH_CAMERA, frames))
        chosen += index[good].tolist()
    return chosen[:count]


def _candidates(scene: Scene, name: str, seed: int, first: int) -> tuple[Tensor, int]:
    """The next clips to try, and where to go on: few clips have a second hand at all."""
    import torch

    from cadstn.synth.draws import Draws
    from cadstn.synth.surroundings import EVERYDAY

    want = scene.shows == "second"
    last = first + (_BATCH * 6 if want else _BATCH)
    index = torch.arange(first, last)
    has = Draws(_seed(name, seed), index).fork("scene").fork("second").chance(EVERYDAY.second)
    return index[has == want], last


def _seed(name: str, seed: int) -> tuple[int, ...]:
    return (seed, SPLIT, zlib.crc32(name.encode()))


def _held(scene: Scene) -> float:
    return 1.0 if scene.shows in ("small", "large") else 0.0


def _frustum(scene: Scene, camera: Camera) -> Frustum:
    """Where the palm's middle may be: up to the edge in clips that it cuts."""
    from cadstn.synth.frames import view_frustum
    from cadstn.synth.motion import Frustum

    if scene.shows != "cut":
        return view_frustum(camera, scene.distance_mm)
    return Frustum(scene.distance_mm, camera.cx / camera.fx, camera.cy / camera.fy)


def _shows(what: str, sampled: Sampled, camera: Camera, frames: int) -> NDArray[np.bool_]:
    """Whether each of B clips shows what it must: (B,)."""
    joints = sampled.joints_xyz_mm.numpy()
    inside = joints_in_picture(joints, camera).reshape(-1, frames, joints.shape[1])
    if what == "cut":
        knuckles = joints_in_picture(joints[:, KNUCKLES].mean(1, keepdims=True), camera)
        often_out = (~inside.all(2)).mean(1) >= _LEAST_OUT
        return np.asarray(knuckles.reshape(-1, frames).all(1) & often_out, np.bool_)
    whole = inside.all((1, 2))
    if what == "second":
        middle = other_hands_mm(sampled)[:, None]
        good = joints_in_picture(middle, camera).reshape(-1, frames).all(1)
    elif what == "bare":
        good = ~_holds_rod(sampled).reshape(-1, frames).any(1)
    else:
        radius = held_radius_mm(sampled)[::frames]
        good = radius > LARGE_MM if what == "large" else radius <= LARGE_MM
    return np.asarray(whole & good, np.bool_)


def _holds_rod(sampled: Sampled) -> NDArray[np.bool_]:
    """Whether a rod lies in the room that the hand's pose leaves: (N,)."""
    from cadstn.synth.scene import OWN, PERSON

    rods = sampled.cones.a[:, OWN.stop : PERSON.start, 2]
    return (rods > 0).any(1).numpy()


def held_radius_mm(sampled: Sampled) -> NDArray[np.float64]:
    """Radius or half thickness (N,) mm of what hands hold, NaN where nothing is held.

    Of things of several parts that of the part that the fingers' joints are nearest to: the handle
    of a mug, not its body.
    """
    import torch

    from cadstn.synth.solids import cone_distance_mm, solid_distance_mm
    from cadstn.synth.surface import Cones
    from cadstn.synth.things import BLOCKS, RODS

    solids, fingers = sampled.solids, sampled.joints_xyz_mm[:, 1:]
    assert solids is not None
    rods = Cones(*(field[:, -RODS:] for field in sampled.cones))
    away, radius = [], []
    for k in range(RODS):
        rod = Cones(*(field[:, k : k + 1] for field in rods))
        away.append(cone_distance_mm(fingers, rod).mean(1))
        radius.append(torch.where(rod.a[:, 0, 2] > 0, rod.ra.maximum(rod.rb)[:, 0], torch.nan))
    for k in range(BLOCKS):
        block = type(solids)(*(field[:, k : k + 1] for field in solids))
        away.append(solid_distance_mm(fingers, block).mean(1))
        least = block.half[:, 0].amin(1)
        radius.append(torch.where(least > 0, least, torch.nan))
    radii = torch.stack(radius, 1)
    nearest = torch.where(radii.isnan(), torch.inf, torch.stack(away, 1)).argmin(1)
    return radii.gather(1, nearest[:, None])[:, 0].double().numpy()
