"""The site builds without a warning, its links exist, and nothing comes from elsewhere."""

import importlib.util
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
