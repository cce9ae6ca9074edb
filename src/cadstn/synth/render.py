"""Depth of whole scenes: cones, planes, what is grasped, and skin where a mesh is the hand."""

from __future__ import annotations

import torch
from torch import Tensor

from cadstn.synth.mesh import cast_mesh, template
from cadstn.synth.raster import View, cast
from cadstn.synth.scene import Scene
from cadstn.synth.surface import Cones


def cast_scene(
    scene: Scene,
    view: View,
    *,
    rows: Tensor | None = None,
    far_mm: Tensor | None = None,
    compiled: bool = False,
) -> Tensor:
    """Nearest depth of anything in a scene along every ray.

    Args:
        scene: of N frames.
        view: the rays, one set for each frame that is rendered.
        rows: (R,) which frames; all.
        far_mm: see `cadstn.synth.raster.cast`.
        compiled: see `cadstn.synth.raster.cast`.

    Returns:
        (R, height, width) mm, ``inf`` where nothing is hit.
    """
    if rows is None:
        rows = torch.arange(len(scene.joints_xyz_mm), device=scene.joints_xyz_mm.device)
    depth = cast(
        Cones(*(field[rows] for field in scene.cones)),
        view,
        planes=scene.planes[rows],
        solids=None if scene.solids is None else scene.solids.rows(rows),
        far_mm=far_mm,
        compiled=compiled,
    )
    if scene.skin is not None:
        skinned, place = (rows[:, None] == scene.skin.frames).nonzero().unbind(1)
        if len(skinned):
            x0, y0, step_x, step_y = (field[skinned] for field in view[:4])
            grid = View(x0, y0, step_x, step_y, view.height, view.width)
            vertices = scene.skin.vertices_mm[place]
            mesh = cast_mesh(vertices, template(depth.device).faces, grid)
            depth[skinned] = torch.minimum(depth[skinned], mesh)
    return depth


def one_thread() -> None:
    """Let this process render with one thread: more hinder each other, processes do not."""
    torch.set_num_threads(1)
