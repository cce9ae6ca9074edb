"""What the README shows runs as shown."""

import re
import shlex
from importlib import resources
from pathlib import Path

import click
import pytest

from cadstn.cli import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with resources.as_file(resources.files("cadstn") / "demo") as demo:
        (tmp_path / "my_recording").symlink_to(demo, target_is_directory=True)
        for code in blocks("python"):
            names: dict[str, object] = {}
            exec(compile(code, "README.md", "exec"), names)
            hand = names["hand"]
            assert hand.joints_mm.shape == (21, 3)  # type: ignore[attr-defined]
            assert hand.found  # type: ignore[attr-defined]


def commands() -> list[str]:
    lines = "\n".join(blocks("sh")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("cadstn ")]


def test_there_are_commands() -> None:
    assert len(commands()) >= 5


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line: str) -> None:
    """Every command of the README exists, with these options."""
    name, *arguments = shlex.split(line)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, list(arguments))


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_linked_files_exist() -> None:
    for path in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / path).exists(), path
