"""A report as a list of blocks, written as one HTML page, as Markdown, or as text.

The HTML holds its pictures inside and refers to nothing outside: it can be mailed or kept. Its
layout and the Markdown's are the Jinja2 templates in ``templates/``; tables of text and Markdown
are tabulate's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cadstn.io.whole import write_bytes

_LONG = 4  # headings from which on a page has a table of contents


@dataclass(frozen=True)
class Heading:
    """A heading of level 1, 2 or 3."""

    text: str
    level: int = 2

    @property
    def anchor(self) -> str:
        """Name that links within the page go to, as GitHub makes it of a Markdown heading."""
        return re.sub(r"[^\w -]", "", self.text.lower()).replace(" ", "-")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of text, the first column left, the others right."""

    title: str  # what it shows, with the paper's number where it has one
    header: tuple[str, ...]  # a name for each column
    rows: tuple[tuple[str, ...], ...]  # as many cells each
    note: str = ""  # the rules behind the numbers: centre, camera, joints, cuts
    strong: tuple[int, ...] = ()  # which rows stand out

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"{len(row)} cells {row} under {len(self.header)} headings")

    @property
    def plain(self) -> str:
        """The table for a terminal."""
        return _tabulate(self.header, self.rows, "simple")

    @property
    def markdown(self) -> str:
        """The table for Markdown: strong rows in bold, cells escaped."""
        header, *rows = [
            [_plain(cell).replace("|", "\\|") for cell in row] for row in (self.header, *self.rows)
        ]
        for i in self.strong:
            rows[i] = [f"**{cell}**" if cell else cell for cell in rows[i]]
        return _tabulate(header, rows, "pipe")


@dataclass(frozen=True)
class Picture:
    """A PNG, drawn when it is first used: text on a terminal needs none."""

    name: str  # file name of the Markdown's copy, without folder
    draw: Callable[[], bytes]  # gives the file's bytes
    caption: str  # what it shows, with the paper's number where it has one

    @cached_property
    def png(self) -> bytes:
        """The file's bytes."""
        return self.draw()

    @property
    def base64(self) -> str:
        """The file's bytes as text, for a page that holds them."""
        return base64.b64encode(self.png).decode()


Block = Heading | Text | Table | Picture


def to_text(blocks: Sequence[Block]) -> str:
    """Lay out for the terminal; pictures are left out."""
    parts = []
    for block in blocks:
        if isinstance(block, Table):
            parts.append("\n".join(filter(None, (block.title, block.plain, block.note))))
        elif not isinstance(block, Picture):
            parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def to_markdown(blocks: Sequence[Block]) -> str:
    """Lay out as Markdown that names the pictures' files."""
    return _render("page.md", blocks)


def to_html(blocks: Sequence[Block], title: str) -> str:
    """Lay out as one page with everything in it."""
    return _render("page.html", blocks, title)


def write_page(folder: Path, name: str, blocks: Sequence[Block], title: str) -> list[Path]:
    """Write NAME.html, NAME.md and the pictures of the Markdown, each whole or not at all.

    The folder is made where it does not exist.

    Returns:
        The files written.

    Raises:
        CadstnError: if one cannot be written.
    """
    files = {
        folder / f"{name}.html": to_html(blocks, title).encode(),
        folder / f"{name}.md": to_markdown(blocks).encode(),
    }
    files |= {folder / block.name: block.png for block in blocks if isinstance(block, Picture)}
    for path, content in files.items():
        write_bytes(path, content)
    return list(files)


def _plain(text: str) -> str:
    """Text in which Markdown finds no HTML, link or picture: names in it are strangers'."""
    text = re.sub(r"\\|\](?=\()", r"\\\g<0>", text)
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _render(template: str, blocks: Sequence[Block], title: str = "") -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cadstn.evaluate"),
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["plain"] = _plain
    headings = [block for block in blocks if isinstance(block, Heading) and block.level > 1]
    return environment.get_template(template).render(
        blocks=[(type(block).__name__, block) for block in blocks],
        contents=headings if len(headings) >= _LONG else [],
        title=title,
    )


def _tabulate(header: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    from tabulate import tabulate

    align = ("left", *["right"] * (len(header) - 1))
    return tabulate(rows, header, tablefmt=style, colalign=align, disable_numparse=True)
