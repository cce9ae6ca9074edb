"""Published figures, which published files belong to which method, and the methods' colors.

The numbers are in ``published.toml``, with their sources. Nothing is computed here.
"""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Collection, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from cadstn.errors import printable


def _published() -> dict[str, Any]:
    text = (resources.files("cadstn.evaluate") / "published.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


_DATA = _published()
#: Tables II and III by set, then method: mean error in mm; and the tables' numbers in the paper.
PAPER_MM: dict[str, dict[str, float]] = _DATA["methods_mm"]
PAPER_TABLE: dict[str, str] = _DATA["table"]
#: Table IV (NYU) by network, and table V (NYU) by fixed weight: mean error in mm.
PAPER_NETWORKS_MM: dict[str, float] = _DATA["networks_mm"]
PAPER_FIXED_WEIGHT_MM = {float(w): float(mm) for w, mm in _DATA["fixed_weight_mm"].items()}
#: The authors' log by set, then network: mean error in mm of each joint.
AUTHORS_LOG_MM: dict[str, dict[str, list[float]]] = _DATA["authors_log_mm"]
#: The five networks of the ablation, by the names that every table and figure here uses.
NETWORKS = tuple(PAPER_NETWORKS_MM)
#: CADSTN under the free gate, where it was trained as well.
FREE_NAME = "CADSTN, free gate"

_OTHERS = ("#AA3377", "#66A61E", "#4B0082", "#E7298A", "#A6761D", "#1B9E77", "#B22222", "#6A8EAE")
_MORE_DASHES = (":", "-.")  # for more unknown names than colours
_AUTHORS = " (authors)"


def method_name(path: str | Path) -> str:
    """Name the method of a file: its published name where it is known, otherwise the file's stem.

    >>> method_name("nyu/IJCV16_NYU_LieX.txt"), method_name("runs/mine.npz")
    ('Lie-X', 'mine')
    """
    stem = Path(path).stem
    return printable(str(_DATA["method_of_stem"].get(stem, stem)))


class Style(NamedTuple):
    """How a method is drawn."""

    color: str  # of lines, marks and bars
    dash: str  # of lines, as matplotlib has it


def styles_of(names: Collection[str]) -> dict[str, Style]:
    """How the methods of one figure are drawn; no two alike, of up to 24 unknown names.

    Published names have the same colour in every figure, and the authors' own predictions are
    dashed. An unknown name has a colour of its own too, unless one before it in the figure has
    that: then the next free one, and when all are taken the next with another dash.

    >>> styles_of(["Spatial", "Spatial (authors)"])["Spatial (authors)"]
    Style(color='#0072B2', dash='--')
    """
    styles = {name: style for name in names if (style := _published_style(name))}
    taken = set(styles.values())
    for name in names:
        if name in styles:
            continue
        plain, dash = name.removesuffix(_AUTHORS), _dash_of(name)
        first = zlib.crc32(plain.encode()) % len(_OTHERS)
        colors = (*_OTHERS[first:], *_OTHERS[:first])
        every = [Style(color, other) for other in (dash, *_MORE_DASHES) for color in colors]
        styles[name] = next((style for style in every if style not in taken), every[0])
        taken.add(styles[name])
    return styles


def _published_style(name: str) -> Style | None:
    color = _DATA["colors"].get(name.removesuffix(_AUTHORS))
    return None if color is None else Style(str(color), _dash_of(name))


def _dash_of(name: str) -> str:
    return "--" if name.endswith(_AUTHORS) else "-"


def paper_rows(set_name: str, present: Iterable[str]) -> list[tuple[str, float]]:
    """Rows of the paper's table of a set whose files are not at hand: to be quoted."""
    held = set(present)
    return [(name, mm) for name, mm in PAPER_MM.get(set_name, {}).items() if name not in held]


def authors_log_mm(set_name: str) -> dict[str, list[float]]:
    """Per-joint errors of the authors' five networks, by the names of their files' methods.

    >>> [f"{sum(mm) / len(mm):.2f}" for mm in authors_log_mm("nyu").values()]
    ['16.56', '15.95', '15.47', '15.03', '14.84']
    """
    return {f"{name}{_AUTHORS}": mm for name, mm in AUTHORS_LOG_MM.get(set_name, {}).items()}


#: What the authors' figures of the fusion were made with. Sources: dates and definitions of the
#: authors' repository, branches code and dev.
FREE_GATE = (
    "What the published figures of the fusion were made with. The authors' log (14.84 mm on NYU) "
    "and their ICVL files date from 2017-09-05. The gate of equation 6, a sigmoid with w2 = 1 - "
    "w1, was committed two days later. The gate before it gave two free weights a coordinate "
    "without a sigmoid: one times the temporal prediction plus the other times the spatial one. "
    "Equation 6 cannot leave the interval between its two experts. The printed 14.83 and 8.04 were "
    "therefore most likely made with the free gate, and give little evidence on equation 6's."
)
