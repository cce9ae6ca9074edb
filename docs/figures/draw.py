"""Boxes, arrows and depth images in one style, for the figures of the concept pages."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

HERE = Path(__file__).parent

# Okabe and Ito's colours: told apart by readers who do not see red and green.
INPUT, LAYER, STATE, RESULT = "#e8e8e8", "#cfe8f7", "#fde3b5", "#cdeadf"
FINGERS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7")

mpl.use("svg")
plt.rcParams.update(
    {
        "font.size": 10,
        "font.family": "DejaVu Sans",
        "svg.fonttype": "path",  # the same letters wherever the page is read
        "svg.hashsalt": "cadstn",  # the same file from every run
    }
)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a white figure of ``width`` x ``height`` inches and axes in inches, y up."""
    figure = plt.figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def box(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    color: str = LAYER,
    *,
    size: tuple[float, float] = (1.3, 0.6),
) -> tuple[float, float, float, float]:
    """Draw a box around (x, y); returns its left, bottom, right and top."""
    width, height = size
    left, bottom = x - width / 2, y - height / 2
    axes.add_patch(
        FancyBboxPatch(
            (left + 0.05, bottom + 0.05), width - 0.1, height - 0.1,
            boxstyle="round,pad=0.05", facecolor=color, edgecolor="#444", linewidth=0.8,
        )
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", linespacing=1.25)
    return left, bottom, left + width, bottom + height


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    *,
    bend: float = 0.0,
    above: float = 0.12,
) -> None:
    """Draw an arrow, with words beside its middle."""
    style = f"arc3,rad={bend}"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, connectionstyle=style,
            color="#444", linewidth=1.0, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        axes.text(x, y + above, text, ha="center", va="center", fontsize=8.5, color="#333")


def depth(axes: Axes, image: NDArray[np.float32], title: str = "") -> None:
    """Show a crop (M, M) in [-1, 1], near bright, +1 (nothing) white."""
    shown = np.ma.masked_equal(image, 1.0)
    axes.imshow(shown, cmap="gray_r", vmin=-1, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)


def save(figure: Figure, name: str) -> None:
    """Write ``docs/figures/NAME.svg``, the same bytes from the same code."""
    figure.savefig(HERE / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
