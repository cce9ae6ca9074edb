"""Pages: what goes in comes out in all three forms, and nothing of it is taken for markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cadstn.errors import CadstnError
from cadstn.evaluate.page import (
    Block,
    Heading,
    Picture,
    Table,
    Text,
    to_html,
    to_markdown,
    to_text,
    write_page,
)

TABLE = Table("Results", ("method", "mm"), (("a|b <x>", "1.5"), ("c", "10.25")), "a & b", (1,))
DRAWN: list[int] = []


def draw() -> bytes:
    DRAWN.append(1)
    return b"png"


def blocks() -> list[Block]:
    return [Heading("Title", 1), Text("1 < 2"), TABLE, Picture("p.png", draw, "it's")]


def test_text() -> None:
    text = to_text(blocks())
    assert text == (
        "Title\n\n1 < 2\n\nResults\nmethod       mm\n--------  -----\na|b <x>     1.5\n"
        "c         10.25\na & b\n"
    )
    assert not DRAWN  # a terminal needs no picture, and then none is drawn


def test_markdown() -> None:
    text = to_markdown(blocks())
    lines = [" ".join(line.split()) for line in text.split("\n")]
    assert lines[:7] == ["# Title", "", "1 < 2", "", "**Results**", "", "| method | mm |"]
    assert re.fullmatch(r"\|:-+\|-+:\|", lines[7])
    assert lines[8:12] == ["| a\\|b &lt;x> | 1.5 |", "| **c** | **10.25** |", "", "a & b"]
    assert text.endswith("![it's](p.png)\n\n*it's*\n")


def test_html() -> None:
    page = to_html(blocks(), "A & B")
    assert "<title>A &amp; B</title>" in page
    assert "<p>1 &lt; 2</p>" in page
    assert "<td>a|b &lt;x&gt;</td>" in page
    assert "<tr class=strong><td>c</td>" in page
    assert 'src="data:image/png;base64,cG5n"' in page


def test_written_whole_and_drawn_once(tmp_path: Path) -> None:
    DRAWN.clear()
    written = write_page(tmp_path / "new", "report", blocks(), "T")
    assert [path.name for path in written] == ["report.html", "report.md", "p.png"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in written)
    assert (tmp_path / "new" / "p.png").read_bytes() == b"png"
    assert len(DRAWN) == 1


def test_mistakes(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(CadstnError, match=r"taken.report\.html: cannot write \("):
        write_page(tmp_path / "taken", "report", [], "T")
    with pytest.raises(ValueError, match="1 cells"):
        Table("t", ("a", "b"), (("x",),))


def test_a_long_page_has_a_table_of_contents() -> None:
    long: list[Block] = [Heading("Title", 1)]
    long += [Heading(f"Part {i}: NYU & more", 2 + i % 2) for i in range(7)]
    page, markdown = to_html(long, "T"), to_markdown(long)
    for i in range(7):
        assert f'href="#part-{i}-nyu--more">Part {i}: NYU &amp; more</a>' in page
        assert f'id="part-{i}-nyu--more"' in page
        assert f"- [Part {i}: NYU & more](#part-{i}-nyu--more)" in markdown
    assert "<nav>" not in to_html(long[:4], "T")
