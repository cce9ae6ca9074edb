"""A report as a list of blocks, written as one HTML page, as Markdown, or as text.

The HTML holds its pictures inside and refers to nothing outside: it can be mailed or kept.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cadstn.io.whole import write_bytes


@dataclass(frozen=True)
class Heading:
    """A heading of level 1, 2 or 3."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph of plain words."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table of words, the first column left, the others right.

    Attributes:
        title: what it shows, with the paper's number where it has one.
        header: a name for each column.
        rows: as many cells each.
        note: the rules behind the numbers: centre, camera, joints, cuts.
        strong: which rows stand out.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    strong: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"{len(row)} cells {row} under {len(self.header)} headings")


@dataclass(frozen=True)
class Picture:
    """A PNG, drawn when it is first asked for: text on a terminal needs none.

    Attributes:
        name: file name of the Markdown's copy, without folder.
        draw: gives the file's bytes.
        caption: what it shows, with the paper's number where it has one.
    """

    name: str
    draw: Callable[[], bytes]
    caption: str

    @cached_property
    def png(self) -> bytes:
        """The file's bytes."""
        return self.draw()


Block = Heading | Text | Table | Picture


def to_text(blocks: Sequence[Block]) -> str:
    """Lay out for the terminal; pictures are left out."""
    parts = []
    for block in blocks:
        if isinstance(block, Table):
            parts.append(_text_table(block))
        elif not isinstance(block, Picture):
            parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def to_markdown(blocks: Sequence[Block]) -> str:
    """Lay out as Markdown that names the pictures' files."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {block.text}")
        elif isinstance(block, Text):
            parts.append(block.text)
        elif isinstance(block, Table):
            parts.append(_markdown_table(block))
        else:
            parts.append(f"![{block.caption}]({block.name})\n\n*{block.caption}*")
    return "\n\n".join(parts) + "\n"


def to_html(blocks: Sequence[Block], title: str) -> str:
    """Lay out as one page with everything in it."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def write_page(folder: Path, name: str, blocks: Sequence[Block], title: str) -> list[Path]:
    """Write NAME.html, NAME.md and the pictures of the Markdown, each whole or not at all.

    Args:
        folder: made where it does not exist.
        name: of both pages, without ending.
        blocks: what they show.
        title: of the HTML page.

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


def _text_table(table: Table) -> str:
    rows = [table.header, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.header))]
    lines = [table.title]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(2, "-" * len(lines[1]))
    return "\n".join([*lines, *([table.note] if table.note else [])])


def _markdown_table(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rows = [
        tuple(f"**{cell}**" if cell and i in table.strong else cell for cell in row)
        for i, row in enumerate(table.rows)
    ]
    rule = "|---|" + "---:|" * (len(table.header) - 1)
    text = "\n".join([f"**{table.title}**", "", line(table.header), rule, *map(line, rows)])
    return f"{text}\n\n{table.note}" if table.note else text


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode()
        words = html.escape(block.caption)
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{words}">'
            f"<figcaption>{words}</figcaption></figure>"
        )
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.header)
    rows = "\n".join(
        f"<tr{' class=strong' if i in block.strong else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for i, row in enumerate(block.rows)
    )
    note = f"<p class=note>{html.escape(block.note)}</p>" if block.note else ""
    return (
        f"<div class=table><table><caption>{html.escape(block.title)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>{note}"
    )


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:1020px;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{margin-top:2.6rem;border-bottom:1px solid #ccc}
.table{overflow-x:auto;margin-top:1.6rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.86rem}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.2rem .5rem;text-align:right;border-bottom:1px solid #e2e2e2;white-space:nowrap}
th{border-bottom:2px solid #888;vertical-align:bottom;white-space:normal}
th:first-child,td:first-child{text-align:left;padding-left:0}
tr.strong td{font-weight:700}
.note,figcaption{color:#555;font-size:.88rem;margin:.3rem 0 0}
figure{margin:1.6rem 0}img{max-width:100%;height:auto}
"""
