"""What is in the picture of a rendered scene; scenes without a hand."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.camera import Camera

if TYPE_CHECKING:
    import torch

    from cadstn.synth.frames import Sequence
    from cadstn.synth.scene import Scene
    from cadstn.synth.surface import Cones

_OUT_MM = 5.0  # a hand this far outside of the picture's edge is not in it


def without_hand(moving: Sequence, *, arm: bool) -> Sequence:
    """Return the same scene and moments without a hand in the picture.

    The second hand goes. Of the labelled one, either hand and arm go and what was held stays in the
    air; or both are pushed, along the forearm and across the line of sight, until the hand is out
    of the picture in every frame: what is left is an arm that reaches out of it.
    """
    import torch

    from cadstn.synth.scene import OTHER, OWN
    from cadstn.synth.surface import hide

    scene, other = moving._scene, copy.copy(moving)
    there = torch.ones_like(scene.cones.ra, dtype=torch.bool)
    there[:, OTHER] = False
    there[:, OWN] = arm
    cones = _pushed(scene.cones, scene.joints_xyz_mm[:, 0], moving.camera) if arm else scene.cones
    other._scene = scene._replace(cones=hide(cones, there), second_xyz_mm=None)
    return other


def _pushed(cones: Cones, wrist: torch.Tensor, camera: Camera) -> Cones:
    """Push hand, forearm and what is held out of the picture; the shoulder stays where it is."""
    import torch
    from torch.nn.functional import normalize

    from cadstn.synth.scene import ARM, HAND_CONES, PERSON

    elbow = cones.a[:, ARM.stop - 1]
    along = (wrist - elbow).mean(0)
    # Across the line of sight; an arm that lies straight along it goes up.
    along = normalize(along * along.new_tensor([1, 1, 0]) - along.new_tensor([0, 1e-3, 0]), dim=0)
    right, low = camera.width - 1 - camera.cx, camera.height - 1 - camera.cy
    outward = normalize(
        along.new_tensor([
            [-1, 0, -camera.cx / camera.fx], [1, 0, -right / camera.fx],
            [0, -1, -camera.cy / camera.fy], [0, 1, -low / camera.fy],
        ]), dim=1,
    )  # fmt: skip
    hand = slice(HAND_CONES)
    places = torch.cat([cones.a[:, hand], cones.b[:, hand]], 1)
    radii = torch.cat([cones.ra[:, hand], cones.rb[:, hand]], 1)
    inside = (radii[..., None] - places @ outward.T).flatten(0, 1).amax(0)  # of each edge
    lacking = inside + _OUT_MM
    speed = outward @ along
    way = torch.where(speed > 0.1, lacking / speed.clamp(min=0.1), torch.inf).amin().clamp(min=0)
    starts, ends = (torch.zeros_like(cones.ra[..., None]) for _ in range(2))
    starts[:, : PERSON.start] = ends[:, : PERSON.start] = 1
    ends[:, ARM.stop - 1] = 0
    push = way * along
    return cones._replace(a=cones.a + starts * push, b=cones.b + ends * push)


def other_hand_mm(moving: Sequence) -> NDArray[np.float64] | None:
    """Middle of the second hand's cones (T, 3) mm, None if there is none."""
    middle = other_hands_mm(moving._scene)
    return middle if bool((middle[:, 2] > 0).all()) else None


def other_hands_mm(scene: Scene) -> NDArray[np.float64]:
    """Middle of the second hand's cones (N, 3) mm, behind the camera where there is none."""
    from cadstn.synth.scene import HAND_CONES, OTHER

    cones = scene.cones
    middle = (cones.a[:, OTHER] + cones.b[:, OTHER])[:, :HAND_CONES].mean(1) / 2
    return middle.double().numpy()


def joints_in_picture(joints_mm: NDArray[np.floating], camera: Camera) -> NDArray[np.bool_]:
    """Whether each joint (T, K, 3) is in the camera's picture: (T, K)."""
    uv = camera.to_uvd(joints_mm)[..., :2]
    inside = (uv >= 0) & (uv <= np.array([camera.width - 1, camera.height - 1]))
    return np.asarray(inside.all(-1) & (joints_mm[..., 2] > 0), np.bool_)
