"""An open hand with its 21 joints named: ``python docs/figures/joints.py``.

The simulator's mean right hand, seen from its palm. Needs PyTorch, which casts its surface.
"""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import torch
from draw import FINGERS, HERE, arrow, canvas
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from cadstn.geometry.skeleton import HAND21
from cadstn.synth.hand import ANGLES, Cones, forward
from cadstn.synth.raster import View, cast
from cadstn.synth.shape import average_shape
from cadstn.tracking.conventions import OPENXR26, to_convention

OPEN_DEG = {
    "index_splay": 8.0, "middle_splay": 1.0, "ring_splay": -7.0, "pinky_splay": -13.0,
    "thumb_radial": 44.0, "thumb_palmar": 20.0,
}  # fmt: skip
LEFT, RIGHT, BELOW, ABOVE = -108.0, 112.0, -32.0, 196.0  # what is shown of the palm's frame, mm
AWAY_MM = 20_000.0  # so far off that nothing is foreshortened
STEP_MM = 0.4
MM_AN_INCH = 27.0
GRAY = "#444444"


def hand() -> tuple[NDArray[np.float64], Cones]:
    """Joints (21, 3) in the palm's frame, and the surface around them."""
    angles = torch.zeros(1, len(ANGLES))
    for name, degrees in OPEN_DEG.items():
        angles[0, ANGLES.index(name)] = math.radians(degrees)
    joints, cones = forward(angles, average_shape())
    return joints[0].double().numpy(), cones


def picture(cones: Cones) -> NDArray[np.float64]:
    """Brightness (H, W) of the surface, lit from the viewer; NaN beside it."""

    def seen(points: torch.Tensor) -> torch.Tensor:  # camera frame: y down, z away
        return points * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, AWAY_MM])

    one = torch.ones(1) / AWAY_MM
    high, wide = (round(length / STEP_MM) for length in (ABOVE - BELOW, RIGHT - LEFT))
    view = View(LEFT * one, -ABOVE * one, STEP_MM * one, STEP_MM * one, high, wide)
    double = Cones(seen(cones.a).double(), seen(cones.b).double(), *(
        radius.double() for radius in (cones.ra, cones.rb)
    ))  # fmt: skip
    depth = cast(double, View(*(field.double() for field in view[:4]), high, wide))[0].numpy()
    depth = np.where(np.isfinite(depth), depth, np.nan)
    down, right = np.gradient(depth, STEP_MM)
    return 0.5 + 0.38 / np.sqrt(1 + 0.5 * (down**2 + right**2))


def place(point: NDArray[np.float64]) -> tuple[float, float]:
    """Where a point of the palm's frame lies on the page, in inches."""
    return (point[0] - LEFT) / MM_AN_INCH, (point[1] - BELOW) / MM_AN_INCH


def word(axes: Axes, at: tuple[float, float], text: str, **how: object) -> None:
    """Write over whatever is below."""
    axes.text(*at, text, path_effects=[withStroke(linewidth=2.5, foreground="white")], **how)


def main() -> None:
    """Draw the surface, the bones, the joints by number and name, and what OpenXR adds."""
    joints, cones = hand()
    width, height = (RIGHT - LEFT) / MM_AN_INCH, (ABOVE - BELOW) / MM_AN_INCH
    figure, axes = canvas(width, height)
    axes.imshow(
        picture(cones), cmap="gray", vmin=0, vmax=1, extent=(0, width, 0, height), aspect="auto"
    )
    colors = {0: "#444444"}
    for color, chain in zip(FINGERS, HAND21.fingers.values(), strict=True):
        colors |= dict.fromkeys(chain, color)
    for start, end in HAND21.bones:
        ends = np.array([place(joints[start]), place(joints[end])])
        axes.plot(*ends.T, color=colors[end], linewidth=2, zorder=2)
    for index, name in enumerate(HAND21.joints):
        x, y = place(joints[index])
        axes.plot(x, y, "o", color=colors[index], markeredgecolor="#333", markersize=12, zorder=3)
        dark = "white" if index == 0 else "black"
        axes.text(x, y - 0.01, str(index), ha="center", va="center", fontsize=7, color=dark)
        if name.endswith("mcp") and index > 4:
            word(axes, (x, y - 0.2), name, ha="center", va="center", fontsize=8.5)
        else:
            word(axes, (x + 0.13, y), name, va="center", fontsize=8.5)
    added = to_convention(joints, HAND21, "openxr")
    names = ("palm", *(f"{finger}_metacarpal" for finger in ("index", "middle", "ring", "little")))
    rings = [place(added[OPENXR26.index(name)]) for name in names]
    axes.plot(*np.array(rings).T, "o", color="none", markeredgecolor=GRAY, markersize=7, zorder=3)
    for text, at, ring in (
        ("OpenXR's palm", (0.95, 2.85), rings[0]),
        ("OpenXR's metacarpals:\nlittle, ring, middle, index", (0.95, 2.05), rings[4]),
    ):
        word(axes, at, text, ha="center", va="center", fontsize=8.5, color=GRAY)
        arrow(axes, (at[0] + 0.75, at[1]), (ring[0] - 0.06, ring[1]))
    # The surface and the letters' white rims would be ten times as large as SVG.
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    image = cv2.imdecode(np.frombuffer(png.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(HERE / "joints.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, 80])


if __name__ == "__main__":
    main()
