"""The package as users get it: a wheel in an empty environment, light and without torch."""

import ast
import importlib
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import cadstn

ROOT = Path(__file__).resolve().parents[1]
MOST_MB = 400


def call(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an empty environment in which only the wheel was installed."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("package")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith(f"cadstn-{cadstn.__version__}-py3-none-any")
    assert wheel.stat().st_size < 25e6
    environment = folder / "empty"
    venv.create(environment)
    python = environment / "bin/python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", wheel)
    return environment


def test_wheel_runs_the_demo_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin/cadstn"
    assert call(command, "--version", cwd=tmp_path).strip().endswith(cadstn.__version__)
    printed = call(command, "demo", "--out", tmp_path / "out", cwd=tmp_path)
    assert "150 of 150 frames tracked" in printed
    assert (tmp_path / "out/overlay.webm").stat().st_size > 10_000


def test_base_install_is_light_and_without_torch(installed: Path) -> None:
    (site,) = (installed / "lib").glob("python*/site-packages")
    packages = {path.name.lower() for path in site.iterdir()}
    assert "torch" not in packages
    assert "py.typed" in {path.name for path in (site / "cadstn").iterdir()}
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < MOST_MB * 1e6, f"{size / 1e6:.0f} MB"


def test_base_modules_import_no_torch() -> None:
    """Importing the whole base, in a fresh interpreter, loads neither torch nor onnx."""
    code = (
        "import sys, cadstn, cadstn.cli, cadstn.evaluate, cadstn.tracking.results\n"
        "heavy = {'torch', 'onnx', 'onnxscript', 'safetensors', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    call(sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("old", "name"),
    [("camera", "Camera"), ("skeleton", "HAND21"), ("crop", "crop_cube"), ("recording", "Frame"),
     ("track", "Tracker"), ("recipes", "recipe")],
)  # fmt: skip
def test_modules_that_moved_are_found_for_one_more_release(old: str, name: str) -> None:
    module = importlib.import_module(f"cadstn.{old}")
    with pytest.warns(DeprecationWarning, match=f"cadstn.{old} is now cadstn."):
        assert getattr(module, name) is not None


def test_no_dataclass_compares_arrays() -> None:
    """Generated ``==`` of two with arrays is an error, and so are ``in`` and ``index``."""
    arrays = re.compile(r"NDArray|ndarray|DepthMm|FloatArray|\bArray\b|Joints|Tensor")
    wrong = []
    for file in Path(cadstn.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            kinds = [ast.unparse(one) for one in node.decorator_list]
            fields = [ast.unparse(x.annotation) for x in node.body if isinstance(x, ast.AnnAssign)]
            if "dataclass(frozen=True)" in kinds and any(map(arrays.search, fields)):
                wrong.append(f"{file.name}: {node.name}")
    assert not wrong
