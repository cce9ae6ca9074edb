"""The site builds without a warning, its links exist, and nothing comes from elsewhere."""

import importlib.util
import itertools
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from cadstn.geometry.convention import convert
from cadstn.geometry.hand_shape import mean_lengths_mm
from cadstn.geometry.skeleton import HAND21, MSRA21, NYU14, NYU14_OF_36, NYU36
from cadstn.tracking.conventions import MANO21, OPENXR26, to_convention

ROOT = Path(__file__).resolve().parents[1]


def rows(page: str, head: str) -> list[list[str]]:
    """Cells of a page's table that begins with these words, without marks of code."""
    lines = page.replace("`", "").splitlines()
    start = lines.index(head) + 2
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_page_of_joints_says_what_the_code_does() -> None:
    page = (ROOT / "docs/concepts/conventions.md").read_text(encoding="utf-8")
    joints = rows(page, "| joint | the point | mm |")
    assert [row[0] for row in joints] == [f"{i} {name}" for i, name in enumerate(HAND21.joints)]
    lengths = [float(row[2]) for row in joints[1:]]
    np.testing.assert_allclose(lengths, mean_lengths_mm(), atol=0.0501)

    same = rows(page, "| ours | MANO | OpenXR | MSRA15 |")
    marked = np.arange(21.0)[:, None] * np.ones(3)
    orders = (
        (HAND21.joints, marked),
        (MANO21, to_convention(marked, HAND21, "mano")),
        (OPENXR26, to_convention(marked, HAND21, "openxr")),
        (MSRA21.joints, convert(marked, "msra21")),
    )
    for column, (names, places) in enumerate(orders):
        for ours, row in enumerate(same):
            number, name = row[column].split()
            assert (names[int(number)], places[int(number), 0]) == (name, pytest.approx(ours))

    any_hand = np.random.default_rng(0).normal(0, 50, (21, 3))
    added = to_convention(any_hand, HAND21, "openxr")
    knuckles = " | ".join(HAND21.joints[joint] for joint in HAND21.knuckles)
    for finger, *cells in rows(page, f"| metacarpal | {knuckles} | wrist |"):
        found = np.array(cells, float) @ any_hand[[*HAND21.knuckles, 0]]
        np.testing.assert_allclose(added[OPENXR26.index(f"{finger}_metacarpal")], found)

    nyu = rows(page, "| nyu14 | label | nyu14 | label |")
    pairs = [(row[k], row[k + 1]) for row in nyu for k in (0, 2)]
    assert pairs == [
        (f"{i} {name}", NYU36.joints[label])
        for i, (name, label) in enumerate(zip(NYU14.joints, NYU14_OF_36, strict=True))
    ]


class Links(HTMLParser):
    """Collect the anchors of a page, what it links to, and what the browser loads for it."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if tag in ("script", "img", "iframe", "source", "video") and "src" in values:
            self.loaded.add(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.loaded.add(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly from a copy of the pages."""
    for module in ("zensical", "mkdocstrings_handlers.python"):
        if importlib.util.find_spec(module.split(".")[0]) is None:
            pytest.skip(f"needs cadstn[docs]: no module {module}")
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LOG.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    page = runpy.run_path(str(ROOT / "docs/command_line.py"))
    text = "\n".join(["# Command line", "", *page["page"](page["cli"], "cadstn")])
    (folder / "docs/reference/command-line.md").write_text(text, encoding="utf-8")
    config = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert 'paths = ["src"]' in config
    config = config.replace('paths = ["src"]', f'paths = ["{(ROOT / "src").as_posix()}"]')
    (folder / "zensical.toml").write_text(config, encoding="utf-8")
    built = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "site"


def pages(site: Path) -> dict[Path, Links]:
    found = {}
    for page in sorted(site.rglob("*.html")):
        found[page] = Links()
        found[page].feed(page.read_text(encoding="utf-8"))
    return found


def test_links_and_anchors_exist(site: Path) -> None:
    parsed = pages(site)
    assert len(parsed) > 25
    broken = []
    for page, links in parsed.items():
        if page.name == "404.html":  # its links are absolute: it is shown at any address
            continue
        for link in links.links | links.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                broken.append(f"{page.name}: {link}")
            elif parts.fragment and target.suffix == ".html":
                known = parsed[target].anchors | {"__skip", ""}
                if unquote(parts.fragment) not in known:
                    broken.append(f"{page.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No fonts, scripts or pictures of others' servers: the site works without a network."""
    for page, links in pages(site).items():
        remote = [link for link in links.loaded if urlsplit(link).netloc]
        assert not remote, f"{page.name}: {remote}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8"))


def test_pages_hold_what_they_promise(site: Path) -> None:
    """The reference is made of docstrings, the notes of LOG.md, the commands of their help."""
    tracking = (site / "reference/tracking.html").read_text(encoding="utf-8")
    assert "cadstn.Tracker.update" in tracking
    assert "Follow" in tracking
    notes = (site / "notes.html").read_text(encoding="utf-8")
    title = re.findall(r"^### (.+)$", (ROOT / "LOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert title[0] in notes
    commands = (site / "reference/command-line.html").read_text(encoding="utf-8")
    assert "cadstn track" in commands
    assert "--camera" in commands
