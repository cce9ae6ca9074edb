"""With what share of hand meshes a run or a bank began: who goes on may lack ``anny``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cadstn.data.bank import read_about
from cadstn.errors import CadstnError
from cadstn.train.state import recipe_of


def begun_bank(path: Path) -> float | None:
    """Share of meshes in a bank of rendered clips, or in what an interruption left of it.

    Args:
        path: of the bank; beside it may be ``path`` with ``.part`` after it.

    Returns:
        None where there is neither, or where it is no such bank.
    """
    for file in (path, Path(f"{path}.part")):  # "." and "/" have no name
        with suppress(CadstnError, ValueError, LookupError, TypeError, AttributeError):
            clips = json.loads(read_about(file)["data"])
            if "rendered" in clips:
                return float(clips.get("mesh", 0.0))
    return None


def begun_run(out: Path) -> float | None:
    """Share of meshes in the recipe that a run's folder began with; None where it holds no run."""
    return next(_shares(out), None)


def _shares(out: Path) -> Iterator[float]:
    # recipe.json last: it is there for people, and a run of older code may have written it anew
    # before it refused to go on.
    for path in sorted(out.glob("*.safetensors")):
        with suppress(CadstnError):
            yield recipe_of(path, read_about(path)).mesh
    for path in sorted(out.glob("rendered-*.bank*")):
        share = begun_bank(path.with_name(path.name.removesuffix(".part")))
        if share is not None:
            yield share
    with suppress(OSError, ValueError, LookupError, TypeError):
        yield float(json.loads((out / "recipe.json").read_text())["recipe"]["mesh"])
