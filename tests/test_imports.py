"""Rooms import in one direction: each only from those before it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cadstn

SOURCE = Path(cadstn.__file__).parent
#: A room may import from those before it. Imports inside functions are left out: of extras,
#: or of what a camera named `synth` renders.
ORDER = (
    "_version", "errors", "geometry", "io", "data", "models", "evaluate", "tracking", "graph",
    "export", "synth", "train", "bench", "reproduce", "many", "cli",
)  # fmt: skip


def imported(file: Path) -> set[str]:
    """Rooms that a module imports from when it is imported."""
    rooms = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        assert not getattr(node, "level", 0), f"{file.name}: a relative import"
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


#: What no start needs: each of these costs 1 to 30 ms of processor time to import.
HEAVY = {
    "numpy.ma", "subprocess", "concurrent.futures", "logging", "asyncio", "multiprocessing",
    "importlib.metadata", "difflib", "scipy", "pandas", "matplotlib", "jinja2", "tabulate",
    "torch", "onnx", "cadstn.data", "cadstn.evaluate", "cadstn.synth", "cadstn.train",
}  # fmt: skip
TRACK = """
import json, sys
import cadstn.cli
path, out = sys.argv[1:]
options = ["track", path, "--out", out, "--no-video", "--threads", "1"]
cadstn.cli.cli(options, standalone_mode=False)
json.dump(sorted(sys.modules), open(out + "/modules.json", "w"))
"""


def test_track_imports_nothing_heavy(tmp_path: Path) -> None:
    frame, out = SOURCE / "demo" / "000000.png", tmp_path / "out"
    folder = tmp_path / "in"
    folder.mkdir()
    for file in (frame, SOURCE / "demo" / "camera.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    subprocess.run([sys.executable, "-c", TRACK, str(folder), str(out)], check=True, timeout=120)
    modules = set(json.loads((out / "modules.json").read_text()))
    assert modules & HEAVY == set()
    commands = {name for name in modules if name.startswith("cadstn.cli.")}
    assert commands == {"cadstn.cli.shared", "cadstn.cli.tracking"}
