"""How deep rendered fingers are in what they hold, and what grasps and the mesh cost.

python benchmarks/grasp_contact.py [--clips 400] [--frames 3] [--seed 11]

Contact is measured by 33 balls along each of the hand's cones, in all frames of clips that all hold
something. Costs are processor time of one thread against clips without grasps, mesh and more
sensors, twelve batches of 16 clips of 4 frames in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from typing import Any

import torch

from cadstn.synth.draws import Draws
from cadstn.synth.scene import HAND_CONES, OTHER, sample_scene
from cadstn.synth.stream import sample_clips
from cadstn.synth.surface import Cones
from cadstn.synth.things import Thing

LETS_GO_MM = 1000.0  # the thing has been put away


def contact(clips: int, frames: int, seed: int) -> None:
    """Print how often something is held, and depths of contact."""
    scene = sample_scene(Draws((seed, 77), torch.arange(clips)), frames, held=1.0)
    assert scene.solids is not None
    thing = Thing(Cones(*(field[:, OTHER.stop :] for field in scene.cones)), scene.solids)
    a, b, ra, rb = (field[:, :HAND_CONES] for field in scene.cones)
    share = torch.linspace(0, 1, 33)
    points = a[:, :, None] + share[:, None] * (b - a)[:, :, None]
    radii = ra[..., None] + share * (rb - ra)[..., None]
    gap_mm = (thing.distance_mm(points.flatten(1, 2)).view_as(radii) - radii).amin((1, 2))
    held = gap_mm < LETS_GO_MM
    deep_mm = (-gap_mm[held]).clamp(min=0)
    print(f"{len(gap_mm)} frames, held in {100 * held.float().mean():.1f} %")
    print(f"at most 1 mm deep in {100 * (deep_mm <= 1).float().mean():.2f} %")
    for share_of in (0.5, 0.99, 1.0):
        print(f"depth, share {share_of:g}: {deep_mm.quantile(share_of):.2f} mm")


def costs() -> None:
    """Print processor times against plain clips."""
    torch.set_num_threads(1)
    kinds: dict[str, dict[str, Any]] = {
        "plain": {}, "held=0.35": {"held": 0.35}, "sensors=all": {"sensors": "all"},
    }  # fmt: skip
    if importlib.util.find_spec("anny"):
        kinds["mesh=0.15"] = {"mesh": 0.15}
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    for batch in range(13):
        for kind, arguments in kinds.items():
            began = time.process_time()
            sample_clips((0, 3), torch.arange(16 * batch, 16 * batch + 16), 4, **arguments)
            took[kind].append(time.process_time() - began)
    plain = statistics.median(took["plain"][1:])
    for kind, some in took.items():
        print(f"{kind}: {statistics.median(some[1:]) / plain:.2f} times")


def main() -> None:
    """Print contact, then costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--seed", type=int, default=11)
    chosen = parser.parse_args()
    contact(chosen.clips, chosen.frames, chosen.seed)
    costs()


if __name__ == "__main__":
    main()
