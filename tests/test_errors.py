"""What reaches the terminal, spreadsheets and pages: no control characters, formulas or HTML."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cadstn.errors import CadstnError, nearest_name, printable
from cadstn.evaluate.page import Heading, Table, Text, to_markdown
from cadstn.io.text import csv_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand  blanks", "two lines and blanks"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),  # the one-byte form of ESC [
        ("\u202egpj.exe", "\\u202egpj.exe"),  # turns the direction of text
        ("Größe 手", "Größe 手"),
        (os.fsdecode(b"a\xff.png"), "a\ufffd.png"),
        ("\ud800", "?"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    line = str(CadstnError(text, where=text, hint=text))
    assert line.isprintable()
    line.encode("utf-8")


def test_a_long_line_is_cut_in_the_middle() -> None:
    line = str(CadstnError("x" * 10**6, where="file", hint="do this"))
    assert len(line) < 2100
    assert line.startswith("file: x")
    assert line.endswith("; do this")
    assert "known" in nearest_name("y" * 10**6, ["a"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_cell(f"{start}cmd") == f"'{start}cmd"
    assert csv_cell(f"\t{start}cmd") == f"'{start}cmd"


def test_markdown_holds_no_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    table = Table(evil, ("a", evil), (("x", evil),), note=evil)
    assert "<img" not in to_markdown([Heading(evil, 2), Text(evil), table])


def test_the_command_line_shows_no_control_characters(tmp_path: Path) -> None:
    def run(*arguments: str | bytes) -> tuple[int, bytes]:
        command = [sys.executable, "-m", "cadstn.cli", *arguments]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
        return done.returncode, done.stderr

    evil = "\x1b[31mred"
    for arguments in (
        ("info", evil),
        ("info", b"\xff\xfe"),
        ("track", "a", "--out", "b", f"--{evil}"),
        (evil,),
        ("live", "demo", "--view", evil),
        ("track", "a", "--out", "b", "--camera", evil),
    ):
        code, text = run(*arguments)
        assert code == 2
        assert b"\x1b" not in text
        assert b"Traceback" not in text
        text.decode("utf-8")
