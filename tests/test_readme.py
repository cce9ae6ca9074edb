"""What the README and the pages of docs/ show runs as shown, and their links lead somewhere."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

import cadstn
from cadstn.cli import cli

ROOT = Path(__file__).resolve().parents[1]
#: Written by `make docs` from the command line's own help.
GENERATED = ROOT / "docs/reference/command-line.md"
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page != GENERATED),
]
#: Pages whose Python runs on a recording and a depth image; the others' needs a camera.
RUN = ("README.md", "docs/index.md", "docs/start/first-hand.md", "docs/guides/track.md")


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        if page.parent.name == "report":  # made by an older release, whose command it shows
            continue
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("#")[0].split("&&"):
                    if part.strip().startswith("cadstn "):
                        yield page.name, part.split("|")[0].strip()


@pytest.mark.parametrize("name", RUN)
def test_python_runs(
    name: str, short_demo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for recording in ("demo", "my_recording"):
        (tmp_path / recording).symlink_to(short_demo / "demo", target_is_directory=True)
    frame = next(iter(cadstn.open_recording("demo")))
    # Its (285, 160, 120) camera is the README's; the other pages' (475.1, 320, 240) needs
    # an image four times as large.
    names: dict[str, object] = {}
    for code in blocks(ROOT / name, "python"):
        wide = "cx=320.0" in code
        depth = np.kron(frame.depth, np.ones((2, 2), np.float32)) if wide else frame.depth
        np.save("depth.npy", depth.astype(np.uint16))
        exec(compile(code, name, "exec"), names)
    if "hand" in names:
        assert names["hand"].joints_mm.shape == (21, 3)  # type: ignore[attr-defined]
        assert names["hand"].found  # type: ignore[attr-defined]
    else:
        assert names["joints_mm"].shape == (30, 21, 3)  # type: ignore[attr-defined]


def test_outputs_run() -> None:
    """The page on angles, gestures and tables begins with a hand and its frame."""
    frame = next(iter(cadstn.open_recording("demo")))
    hand = cadstn.Tracker().update(frame.depth, frame.camera)
    names: dict[str, object] = {
        "hand": hand, "hands": [hand], "image": frame.depth, "camera": frame.camera
    }  # fmt: skip
    page = blocks(ROOT / "docs/guides/outputs.md", "python")
    code = "".join(block for block in page if "import LeRobotDataset" not in block)
    if importlib.util.find_spec("pandas") is None:
        code = code.replace("hands_table(hands)", "")
    exec(compile(code, "outputs.md", "exec"), names)
    assert names["pose"].quaternion.shape == (4,)  # type: ignore[attr-defined]
    assert 3.2 < names["angles"].to_dict()["index_mcp_flexion"] < 90  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_compiles(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, page.name, "exec")


def test_there_are_commands() -> None:
    pages = [page for page, _ in commands()]
    assert pages.count("README.md") >= 3
    assert len(pages) >= 40


@pytest.mark.parametrize("line", [f"{page}: {line}" for page, line in commands()])
def test_commands_parse(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every command of the README and of the pages exists, with these options."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()  # a folder that `bench model --real` wants to see
    words = shlex.split(line.split(": ", 1)[1])[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        word = words.pop(0)
        inner = command.get_command(click.Context(command), word)
        assert inner is not None, word
        command = inner
    command.make_context("cadstn", words)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = "\n".join(block for page in PAGES for block in blocks(page, "sh"))
    targets = re.findall(r"^make (\w+)", shown, flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_exist(page: Path) -> None:
    """Anchors are checked in the built site (`tests/test_docs.py`)."""
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        target = page.parent / path
        assert target.exists() or target.resolve() == GENERATED, path


def test_the_readme_fits_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 50


def test_the_cameras_page_has_every_preset() -> None:
    page = (ROOT / "docs/start/cameras.md").read_text(encoding="utf-8")
    for name in cadstn.KNOWN_CAMERAS:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("name", ["LOG.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_lines_are_short(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    long = [number for number, line in enumerate(lines, 1) if len(line) > 120]
    assert not long
