"""Rooms import in one direction: each only from those before it."""

import ast
from pathlib import Path

import pytest

import cadstn

SOURCE = Path(cadstn.__file__).parent
#: A room may import from those before it. Imports inside functions are left out: of extras,
#: or of what a camera named `synth` renders.
ORDER = (
    "_version", "errors", "geometry", "io", "data", "models", "evaluate", "tracking", "export",
    "synth", "train", "bench", "reproduce", "cli",
)  # fmt: skip


def imported(file: Path) -> set[str]:
    """Rooms that a module imports from when it is imported."""
    rooms = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module == "cadstn":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cadstn."):
            rooms.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if a.name.startswith("cadstn.")}
    return rooms


def test_every_room_stands_in_the_order() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_from_those_before_it(room: str) -> None:
    folder = SOURCE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{room}.py"]
    assert files
    before = set(ORDER[: ORDER.index(room) + 1])
    wrong = {file.name: late for file in files if (late := imported(file) & set(ORDER) - before)}
    assert wrong == {}
