"""Figures as PNG bytes, drawn by matplotlib, which is imported only when one is drawn.

A published method has the same colour in every figure, and no two methods of one figure are drawn
alike (`cadstn.evaluate.published.styles_of`); the authors' own predictions are dashed. Widths suit
a README of some 830 pixels.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError
from cadstn.evaluate.analysis import CURVE_MM
from cadstn.evaluate.metrics import proportion_within
from cadstn.evaluate.published import styles_of
from cadstn.geometry.skeleton import Skeleton
from cadstn.io.joints import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_MARKS = "osD^vP*Xhp<>"
_HATCHES = {"-": "", "--": "///", ":": "...", "-.": "xxx"}  # of bars, by the line's dash
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def good_frames(
    errors_mm: Mapping[str, FloatArray], title: str, *, of: Literal["max", "mean"] = "max"
) -> bytes:
    """Proportion of good frames over thresholds from 0 to 80 mm (figures 6a, 6b and 10a).

    Args:
        errors_mm: method -> (N, K) distances, NaN in lost frames.
        title: of the figure.
        of: ``max``, a frame is good if its worst joint is within the threshold (eq. 9); or
            ``mean``, if the mean over its joints is.
    """
    figure, axes = _figure(8.0, 4.4 + _legend_inches(errors_mm))
    reduce = np.max if of == "max" else np.mean
    styles = styles_of(errors_mm)
    for name, errors in errors_mm.items():
        within = 100 * proportion_within(reduce(errors, axis=1), CURVE_MM)
        color, dash = styles[name]
        axes.plot(CURVE_MM, within, dash, color=color, label=name, lw=1.8)
    which = "largest" if of == "max" else "mean"
    axes.set(
        title=title, xlim=(0, 80), ylim=(0, 100), ylabel="frames within the threshold, %",
        xlabel=f"threshold on the {which} joint error, mm",
    )  # fmt: skip
    axes.set_xticks(range(0, 81, 10))
    axes.set_yticks(range(0, 101, 10))
    _legend_below(figure, axes)
    return _png(figure)


def per_joint(errors_mm: Mapping[str, Sequence[float]], skeleton: Skeleton, title: str) -> bytes:
    """Mean error of each joint (figures 6c, 6d and 10b), with the mean over joints at the end.

    Args:
        errors_mm: method -> K mean errors.
        skeleton: names the joints.
        title: of the figure.
    """
    figure, axes = _figure(9.0, 4.4 + _legend_inches(errors_mm))
    labels, order = joint_labels(skeleton)
    places = np.arange(len(order) + 1)
    spread = 0.62 / max(1, len(errors_mm) - 1)
    highest, styles = 0.0, styles_of(errors_mm)
    for i, (name, errors) in enumerate(errors_mm.items()):
        values = np.append(np.asarray(errors)[order], np.mean(errors))
        offset = (i - (len(errors_mm) - 1) / 2) * spread
        color, dash = styles[name]
        axes.plot(
            places + offset, values, _MARKS[i % len(_MARKS)], color=color, label=name, ms=6,
            mfc=color if dash == "-" else "none", ls="none",
        )  # fmt: skip
        highest = max(highest, float(np.nanmax(values, initial=0.0)))
    for edge in places[1:]:
        axes.axvline(edge - 0.5, color="#dddddd", lw=1.6 if edge == places[-1] else 0.8, zorder=0)
    axes.set_xticks(places, [*(labels[k] for k in order), "mean"])
    axes.grid(False, axis="x")
    axes.set(
        title=title, xlim=(-0.5, len(places) - 0.5), ylabel="mean joint error, mm",
        ylim=(0, highest * 1.08 or 1),
        xlabel="joint (C palm, W wrist, T thumb, I index, M middle, R ring, P pinky)",
    )  # fmt: skip
    _legend_below(figure, axes)
    return _png(figure)


def bars(
    groups: Sequence[str], values: Mapping[str, Sequence[float]], title: str, xlabel: str,
    ylabel: str,
) -> bytes:  # fmt: skip
    """Bars of each method side by side in each group; a group without a number has no bar."""
    figure, axes = _figure(8.0, 3.8 + _legend_inches(values))
    places = np.arange(len(groups))
    width = 0.84 / max(1, len(values))
    styles = styles_of(values)
    for i, (name, numbers) in enumerate(values.items()):
        offset = (i - (len(values) - 1) / 2) * width
        color, dash = styles[name]
        axes.bar(
            places + offset, np.nan_to_num(numbers), width * 0.92, color=color, label=name,
            hatch=_HATCHES[dash], edgecolor="white", lw=0.3,
        )  # fmt: skip
    axes.set_xticks(places, groups)
    axes.grid(False, axis="x")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    _legend_below(figure, axes)
    return _png(figure)


def fixed_weights(
    weights: Sequence[float], errors_mm: Sequence[float], levels_mm: Mapping[str, float], title: str
) -> bytes:
    """Mean error over the fixed weight of the temporal prediction (table V), with other bars.

    Args:
        weights: M of them.
        errors_mm: M mean errors.
        levels_mm: what to draw as level lines: method -> mean error.
        title: of the figure.
    """
    figure, axes = _figure(8.0, 3.8 + _legend_inches(["fixed weight", *levels_mm]))
    axes.plot(weights, errors_mm, "o-", color="#444444", label="fixed weight", lw=1.8, ms=5)
    styles = styles_of(levels_mm)
    for i, (name, value) in enumerate(levels_mm.items()):
        style = ("-", "--", ":", "-.")[i % 4]
        label = f"{name}: {value:.2f} mm"
        axes.axhline(value, ls=style, color=styles[name].color, label=label, lw=1.6)
    axes.set(
        title=title, xlabel="weight w of the temporal prediction", ylabel="mean joint error, mm",
        xlim=(0, 1),
    )  # fmt: skip
    axes.set_xticks(np.arange(0, 1.01, 0.1))
    _legend_below(figure, axes)
    return _png(figure)


def fusion_weights(w1: NDArray[np.floating[Any]], skeleton: Skeleton, title: str) -> bytes:
    """Where fusion trusts the temporal network: per joint, and over time.

    Args:
        w1: (N, K) weight of the temporal prediction, mean over the three coordinates.
        skeleton: names the joints.
        title: of the figure.
    """
    figure = _blank(9.0, 6.0)
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.25))
    labels, order = joint_labels(skeleton)
    sorted_w1 = w1[:, order]
    shown = sorted_w1[~np.isnan(sorted_w1).any(axis=1)]
    low, middle, high = np.percentile(shown, (5, 50, 95), axis=0)
    places = np.arange(len(order))
    upper.vlines(places, low, high, color="#56B4E9", lw=7)
    upper.plot(places, middle, "o", color="#0072B2", ms=6)
    upper.set_xticks(places, [labels[k] for k in order])
    upper.set(
        title=f"{title}\nmedian (dot) and 5 to 95 % of frames (bar)", ylim=(0, 1),
        ylabel="weight of temporal",
    )  # fmt: skip
    upper.grid(False, axis="x")
    image = lower.imshow(
        sorted_w1.T, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest"
    )
    lower.set_yticks(places, [labels[k].replace("\n", " ") for k in order], fontsize=8)
    lower.grid(False)
    lower.set(xlabel="frame", ylabel="joint")
    figure.colorbar(image, ax=lower, label="weight of temporal", fraction=0.04, pad=0.02)
    # Invisible, but it keeps both halves equally wide.
    figure.colorbar(image, ax=upper, fraction=0.04, pad=0.02).ax.set_visible(False)
    return _png(figure)


def joint_labels(skeleton: Skeleton) -> tuple[list[str], list[int]]:
    r"""Short names of the joints as the paper has them, and its order: palm, fingers, wrist.

    >>> from cadstn.geometry.skeleton import ICVL16
    >>> labels, order = joint_labels(ICVL16)
    >>> [labels[k] for k in order][:5]
    ['C', 'T\nroot', 'T\nmid', 'T\ntip', 'I\nroot']
    """
    labels, rank = [], []
    for k, name in enumerate(skeleton.joints):
        finger, _, part = name.partition("_")
        if finger in skeleton.fingers:
            labels.append(f"{finger[0].upper()}\n{part}")
            rank.append((1 + _FINGERS.index(finger), skeleton.fingers[finger].index(k)))
        elif finger == "palm":
            labels.append("C")
            rank.append((0, 0))
        else:
            labels.append(f"W{part}" if part else "W")
            rank.append((9, k))
    return labels, sorted(range(len(labels)), key=lambda k: rank[k])


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = _blank(width, height)
    axes = figure.add_subplot()
    axes.grid(color="#e4e4e4", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _blank(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CadstnError(
            "figures need matplotlib", hint="pip install 'cadstn[plots]', or give no --out"
        ) from None
    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _legend_columns(names: Iterable[str]) -> tuple[int, int]:
    """Columns and rows of a legend of these names below the axes."""
    names = list(names)
    columns = min(4 if max(map(len, names), default=0) < 24 else 3, max(1, len(names)))
    rows = math.ceil(len(names) / columns)
    return math.ceil(len(names) / max(1, rows)), rows


def _legend_inches(names: Iterable[str]) -> float:
    """Height that a legend below the axes takes: the axes keep theirs, however many methods."""
    return 0.2 + 0.21 * _legend_columns(names)[1]


def _legend_below(figure: Figure, axes: Axes) -> None:
    """Beneath the axes: over the curves a legend of twenty hides some, or all."""
    handles, names = axes.get_legend_handles_labels()
    columns, _ = _legend_columns(names)
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def _png(figure: Figure) -> bytes:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a "$" in the name of a file is no formula
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of another script: a box
        # Without the version and time in it, the same numbers give the same file.
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
