"""Where a tracker would put the cubes of crops."""

from __future__ import annotations

import torch
from torch import Tensor

from cadstn.geometry.skeleton import KNUCKLES
from cadstn.synth.draws import Draws
from cadstn.synth.shape import constant

#: How far a cube lies off along each axis, in three sorts of clips, and the share of each. In
#: acquisition most crops follow a good guess; some start from a poor one, as a detector's first
#: may be: half of the places it finds in whole frames are more than 46 mm off (LOG.md). In
#: tracking alone half of a tracker's knuckles are within 4 mm, 19 in 20
#: within 10. Here it is more: a network that knows its centres to be good believes them, and
#: its errors with them (LOG.md, session 13).
_ASIDE_MM = {
    "tracked": ((9.0, 26.0, 50.0), (0.65, 0.22, 0.13)),
    "followed": ((5.5, 13.0, 35.0), (0.8, 0.15, 0.05)),
}
_SHAKE_MM = 2.5


def sample_centers(
    draws: Draws, joints_xyz_mm: Tensor, frames: int, center: str = "tracked"
) -> Tensor:
    """Where a tracker would put the cube, by the joints of the frame before.

    Args:
        draws: B streams.
        joints_xyz_mm: (B * T, 21, 3).
        frames: T.
        center: ``tracked``, near the joints' mean, as in acquisition; or ``followed``, near the
            knuckles' at a hand that it follows: those are seen where fingers are hidden, so
            that the cube's place reveals nothing of hidden ones that a tracker would not know.

    Returns:
        (B * T, 3) mm.
    """
    aside_mm, shares = _ASIDE_MM[center]
    around = joints_xyz_mm[:, KNUCKLES] if center == "followed" else joints_xyz_mm
    mean = around.mean(1).view(-1, frames, 3)
    before = torch.cat([mean[:, :1], mean[:, :-1]], 1)
    kind = draws.choice(shares, 1, 1)
    bias = draws.normal(1, 3) * constant(aside_mm, mean)[kind]
    shake = draws.normal(frames, 3, std=_SHAKE_MM)
    return (before + bias + shake).flatten(0, 1)
