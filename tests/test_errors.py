"""What reaches the terminal, spreadsheets and pages: no control characters, formulas or HTML."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.errors import CadstnError, Stopped, nearest_name, printable
from cadstn.evaluate import write_joints_uvd
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
        ("\ud800", "\ufffd"),
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
    many = nearest_name("train", ["all", *(f"shard-{k:06d}" for k in range(1000))])
    assert many.startswith("known: all, shard-000000, ")
    assert many.endswith(", shard-000028 and 971 more")


def test_errors_come_whole_out_of_a_worker_process() -> None:
    stopped = pickle.loads(pickle.dumps(Stopped("spatial", 76)))
    assert (stopped.stage, stopped.step) == ("spatial", 76)
    assert str(stopped) == "stopped after step 76 of the spatial stage"
    error = CadstnError("is none", where=Path("a"), hint="give another")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == ("a: is none; give another", vars(error))


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_cell(f"{start}cmd") == f"'{start}cmd"
    assert csv_cell(f"\t{start}cmd") == f"'{start}cmd"


def test_markdown_holds_no_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    table = Table(evil, ("a", evil), (("x", evil),), note=evil)
    assert "<img" not in to_markdown([Heading(evil, 2), Text(evil), table])


def test_names_in_markdown_are_no_links_and_stay_in_their_cell() -> None:
    evil = "![a](http://b/c.png)"
    table = Table(evil, ("a", evil), ((evil, "x|y"), ("b\\|c", "d")), note=evil, strong=(0,))
    text = to_markdown([Heading(evil, 2), Text(evil), table])
    assert "](" not in text.replace("\\](", "")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] == [3] * 4


def test_the_name_of_a_file_is_text_in_every_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    name = "a<script>$\\frac|b\x1b[31m手"
    rng = np.random.default_rng(1)
    for stem in (name, "groundtruth"):
        uvd = rng.normal((160, 120, 400), 5, (1596, 16, 3))
        write_joints_uvd(tmp_path / f"{stem}.txt", uvd)
    words = ["compare", "--set", "icvl", str(tmp_path / f"{name}.txt"), "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, words, color=True, catch_exceptions=False)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    page, text = (
        (tmp_path / f"compare-icvl.{end}").read_text(encoding="utf-8") for end in ("html", "md")
    )
    assert "<script" not in page
    assert "a&lt;script&gt;$" in page
    assert "<script" not in text
    assert "\x1b" not in page + text


def test_what_commands_print_shows_no_control_characters(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31mred"
    with resources.as_file(resources.files("cadstn") / "demo") as demo:
        folder.mkdir()
        for name in ("000000.png", "camera.json"):
            shutil.copy(demo / name, folder)
    done = CliRunner().invoke(cli, ["info", str(folder)], color=True)
    assert done.exit_code == 0, done.output
    assert r"/\x1b[31mred" in done.output
    assert "\x1b" not in done.output


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
