"""Lowest versions are those of pyproject.toml; licences of the base install are known."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.cli.shared import need_train
from cadstn.tracking.doctor import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
#: Words of a licence that a package with our MIT licence may depend on without a condition on us.
PERMISSIVE = re.compile(r"MIT|BSD|Apache|PSF|Python Software Foundation", re.IGNORECASE)


def bounds() -> dict[str, str]:
    """Lowest version of each dependency of the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pairs = [re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for text in project["dependencies"]]
    assert all(pairs)
    return {pair[1]: pair[2] for pair in pairs if pair}


def test_lowest_versions_are_those_of_the_project() -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lowest.keys() == bounds().keys()
    for name, version in bounds().items():
        assert re.fullmatch(rf"{re.escape(version)}(\.0)*(\.\d+)?", lowest[name]), name


def extras() -> dict[str, list[str]]:
    """What each extra brings, by name; those for work on the project itself left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        extra: [re.split(r"[^\w.-]", need)[0] for need in needs]
        for extra, needs in project["optional-dependencies"].items()
        if extra not in ("dev", "docs")
    }


def test_doctor_names_every_package() -> None:
    brought = {package for needs in extras().values() for package in needs}
    assert bounds().keys() | brought <= set(PACKAGES)


@pytest.mark.parametrize("extra", sorted(extras()))
def test_extras_are_on_the_page_of_the_install(extra: str) -> None:
    page = (ROOT / "docs/start/install.md").read_text(encoding="utf-8")
    assert re.search(rf"^\|[^|]*`{extra}`", page, re.MULTILINE), extra


def test_the_trainer_s_extra_writes_nyu_s_labels_and_names_the_cpu_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "scipy" in extras()["train"]
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    words = ["synth", str(tmp_path / "set"), "--layout", "nyu", "--train", "2", "--test", "4"]
    if importlib.util.find_spec("torch"):  # before anything is rendered
        result = CliRunner().invoke(cli, words)
        assert "needs SciPy (" in str(result.exception)
        assert "; pip install 'cadstn[data]'" in str(result.exception)
        assert not (tmp_path / "set").exists()
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(cli, words)
    assert "pip install torch --index-url https://download.pytorch.org/whl/cpu" in str(
        result.exception
    )


def test_threads_of_a_training_wait_without_spinning_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    need_train("cadstn train")
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    need_train("cadstn train")
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


def required() -> set[str]:
    """Every package that the base install brings, found through the packages' own metadata."""
    found: set[str] = set()
    wanted = set(bounds())
    while wanted:
        name = wanted.pop()
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:  # of another system or Python
            continue
        found.add(name)
        for need in needs:
            if ";" not in need:
                wanted |= {re.split(r"[^\w.-]", need)[0].lower().replace("_", "-")} - found
    return found


@pytest.mark.parametrize("name", sorted(required()))
def test_licences_of_the_base_install_are_permissive_and_documented(name: str) -> None:
    about = distribution(name).metadata
    classifiers = about.get_all("Classifier") or []
    fields = ("License-Expression", "License")
    stated = [*(about[field] for field in fields if field in about), *classifiers]
    licences = [text for text in stated if text and PERMISSIVE.search(text)]
    assert licences, f"{name}: {stated}"
    page = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
    assert f"| {name} |" in page, f"docs/licences.md lacks {name}: {licences[0].splitlines()[0]}"
