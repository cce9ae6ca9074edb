"""The paper's networks and ours as diagrams: ``python docs/figures/networks.py``."""

from __future__ import annotations

from draw import INPUT, RESULT, STATE, arrow, box, canvas, save


def spatial() -> None:
    """Deep fusion, equation 2: two branches, averaged after the trunk and after each layer."""
    figure, axes = canvas(10.4, 3.3)
    rows = (2.45, 0.95)
    inputs = ("depth\n1 x 128 x 128", "slices\n8 x 128 x 128")
    trunks = ("depth trunk\n3 conv, 3 pool", "sliced trunk\n3 x (conv, 1x1), 3 pool")
    layers = (("FC1\n1024", "FC2\n1024"), ("FC1 3D\n1024", "FC2 3D\n1024"))
    middle = sum(rows) / 2
    for row, source, trunk in zip(rows, inputs, trunks, strict=True):
        box(axes, 0.85, row, source, INPUT, size=(1.4, 0.7))
        box(axes, 2.75, row, trunk, size=(1.8, 0.7))
        arrow(axes, (1.55, row), (1.85, row))
    for k, x in enumerate((4.35, 6.35, 8.35)):
        box(axes, x, middle, f"mean\n$\\phi_{k}$", STATE, size=(0.8, 0.7))
        left = 3.65 if k == 0 else x - 0.55
        for row in rows:
            edge = middle + (0.35 if row > middle else -0.35)
            arrow(axes, (left, row), (x - 0.1, edge))
    for k, x in enumerate((5.35, 7.35)):
        for row, names in zip(rows, layers, strict=True):
            box(axes, x, row, names[k], size=(0.95, 0.7))
            edge = middle + (0.35 if row > middle else -0.35)
            arrow(axes, (x - 0.9, edge), (x - 0.4, row + (-0.35 if row > middle else 0.35)))
    box(axes, 9.6, middle, "FC 3K\njoints", RESULT, size=(1.1, 0.7))
    arrow(axes, (8.75, middle), (9.05, middle))
    axes.text(
        5.3, 0.28,
        "In training each branch also predicts the joints alone, through the same FC layers and an "
        "output layer of its own.",
        ha="center", fontsize=8.5,
    )  # fmt: skip
    save(figure, "spatial")


def temporal() -> None:
    """The LSTM, equations 3 to 5, over three frames."""
    figure, axes = canvas(10.4, 4.3)
    for k, (x, name) in enumerate(zip((1.9, 5.2, 8.5), ("t-1", "t", "t+1"), strict=True)):
        box(axes, x, 0.5, f"depth crop, frame {name}", INPUT, size=(2.1, 0.5))
        box(axes, x, 1.4, "depth trunk, FC1\n$\\phi_t$, 1024", size=(2.1, 0.7))
        box(axes, x - 0.3, 2.5, "LSTM\n$h_t, c_t$, 1024", STATE, size=(1.5, 0.7))
        box(axes, x, 3.7, "FC 3K on $[h_t, \\phi_t]$\njoints", RESULT, size=(2.1, 0.7))
        arrow(axes, (x, 0.75), (x, 1.05))
        arrow(axes, (x - 0.3, 1.75), (x - 0.3, 2.15))
        arrow(axes, (x - 0.3, 2.85), (x - 0.3, 3.35))
        arrow(axes, (x + 0.75, 1.75), (x + 0.75, 3.35))
        if k < 2:
            arrow(axes, (x + 0.45, 2.5), (x + 2.25, 2.5), "memory")
    save(figure, "temporal")


def fusion() -> None:
    """The gate, equation 6."""
    figure, axes = canvas(10.4, 2.9)
    box(axes, 0.95, 1.45, "depth crop", INPUT, size=(1.3, 0.6))
    box(axes, 3.1, 2.4, "spatial network", size=(1.9, 0.6))
    box(axes, 3.1, 1.45, "gate\ntrunk, 2 FC, sigmoid", STATE, size=(1.9, 0.7))
    box(axes, 3.1, 0.5, "temporal network", size=(1.9, 0.6))
    arrow(axes, (1.6, 1.6), (2.15, 2.3))
    arrow(axes, (1.6, 1.45), (2.15, 1.45))
    arrow(axes, (1.6, 1.3), (2.15, 0.6))
    box(axes, 6.15, 2.4, "$(1 - w) \\cdot$ spatial", size=(1.9, 0.6))
    box(axes, 6.15, 0.5, "$w \\cdot$ temporal", size=(1.9, 0.6))
    arrow(axes, (4.05, 2.4), (5.2, 2.4), "K x 3")
    arrow(axes, (4.05, 0.5), (5.2, 0.5), "K x 3")
    arrow(axes, (4.05, 1.55), (5.7, 2.1))
    arrow(axes, (4.05, 1.35), (5.7, 0.8))
    axes.text(5.35, 1.45, "w: one weight\na coordinate, 0 to 1", fontsize=8.5, va="center")
    box(axes, 8.0, 1.45, "sum", STATE, size=(0.8, 0.6))
    arrow(axes, (7.1, 2.3), (7.75, 1.75))
    arrow(axes, (7.1, 0.6), (7.75, 1.15))
    box(axes, 9.5, 1.45, "joints\nK x 3", RESULT, size=(1.1, 0.7))
    arrow(axes, (8.4, 1.45), (8.95, 1.45))
    save(figure, "fusion")


def compact() -> None:
    """The networks that ship: one trunk, dense offsets, an LSTM, a gate."""
    figure, axes = canvas(10.4, 4.9)
    box(axes, 0.9, 4.0, "crop\n128 x 128", INPUT, size=(1.3, 0.7))
    box(axes, 0.9, 2.9, "8 slices", INPUT, size=(1.3, 0.6))
    arrow(axes, (0.9, 3.65), (0.9, 3.2))
    box(axes, 2.7, 3.45, "two stems, mean\n24 @ 32 x 32", size=(1.7, 0.8))
    arrow(axes, (1.55, 4.0), (1.85, 3.65))
    arrow(axes, (1.55, 2.9), (1.85, 3.25))
    box(axes, 4.95, 3.45, "residual trunk\n24, 48, 96, 192\nchannels", size=(1.8, 1.0))
    arrow(axes, (3.55, 3.45), (4.05, 3.45))
    box(axes, 7.2, 4.25, "dense offsets\n16 x 16 cells", size=(1.7, 0.7))
    box(axes, 7.2, 2.75, "features $\\phi$\n256", STATE, size=(1.7, 0.7))
    arrow(axes, (5.85, 3.7), (6.35, 4.15))
    arrow(axes, (5.85, 3.2), (6.35, 2.85))
    box(axes, 9.35, 4.25, "spatial joints\n21 x (u, v, depth)", RESULT, size=(1.8, 0.7))
    box(axes, 9.35, 2.75, "error scale, presence,\nhandedness", RESULT, size=(1.9, 0.7))
    arrow(axes, (8.05, 4.25), (8.45, 4.25))
    arrow(axes, (8.05, 2.75), (8.4, 2.75))
    box(axes, 2.7, 1.2, "memory of the\nframe before\n$h, c$, joints", STATE, size=(1.7, 1.0))
    box(axes, 4.95, 1.2, "LSTM\ncorrects joints", STATE, size=(1.8, 0.8))
    arrow(axes, (3.55, 1.2), (4.05, 1.2))
    arrow(axes, (6.5, 2.4), (5.6, 1.6))
    axes.text(5.35, 2.2, "$\\phi$, spatial joints,\nerror scale", fontsize=8.5, ha="center")
    box(axes, 7.2, 1.2, "gate\na weight a coordinate", STATE, size=(1.9, 0.8))
    arrow(axes, (5.85, 1.2), (6.25, 1.2))
    arrow(axes, (7.2, 2.4), (7.2, 1.6))
    box(axes, 9.35, 1.2, "joints and\ntheir error scale", RESULT, size=(1.8, 0.7))
    arrow(axes, (8.15, 1.2), (8.45, 1.2))
    axes.text(
        5.2, 0.3, "Shift of the crop since the frame before enters the LSTM as well.",
        ha="center", fontsize=8.5,
    )  # fmt: skip
    save(figure, "compact")


def road() -> None:
    """One frame, from the camera to millimetres."""
    figure, axes = canvas(10.4, 3.3)
    top, low = 2.55, 0.95
    box(axes, 0.95, top, "depth frame\nmm, camera", INPUT, size=(1.4, 0.8))
    box(axes, 3.2, top, "detector\n160 x 120", size=(1.5, 0.8))
    box(axes, 5.8, top, "place, depth, direction,\nside, presence", STATE, size=(2.2, 0.8))
    arrow(axes, (1.65, top), (2.45, top))
    arrow(axes, (3.95, top), (4.7, top))
    axes.text(
        7.05, top, "runs only while a hand is missing,\nand every few frames",
        ha="left", va="center", fontsize=8.5,
    )  # fmt: skip
    names = (
        ("crop\ncube around it", 0.95),
        ("canonical view\nupright, right", 2.85),
        ("network step\n+ memory", 4.75),
        ("undo the view,\nto millimetres", 6.65),
        ("bone lengths", 8.4),
    )
    for name, x in names:
        box(axes, x, low, name, size=(1.55, 0.8))
    for a, b in ((1.72, 2.08), (3.62, 3.98), (5.52, 5.88), (7.42, 7.63)):
        arrow(axes, (a, low), (b, low))
    box(axes, 9.85, low, "Hand", RESULT, size=(0.85, 0.6))
    arrow(axes, (9.17, low), (9.42, low))
    arrow(axes, (0.95, top - 0.4), (0.95, low + 0.4))
    arrow(axes, (4.9, top - 0.4), (1.7, low + 0.38))
    arrow(axes, (8.4, low - 0.4), (1.2, low - 0.4), bend=-0.06)
    axes.text(4.75, 0.12, "next frame: crop where the hand was", ha="center", fontsize=8.5)
    save(figure, "road")


if __name__ == "__main__":
    for draw in (spatial, temporal, fusion, compact, road):
        draw()
