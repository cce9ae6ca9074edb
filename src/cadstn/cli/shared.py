"""What several commands need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cadstn.errors import CadstnError
from cadstn.geometry.camera import KNOWN_CAMERAS

if TYPE_CHECKING:
    from cadstn.train import Start

CAMERA_HELP = (
    f"A known camera ({', '.join(KNOWN_CAMERAS)}), a camera.json, or fx,fy,cx,cy[,depth_unit_mm]."
)


def need_train(command: str) -> None:
    """Say how to get torch, where it is missing."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise CadstnError(
            f"'{command}' needs PyTorch",
            mend="pip install 'cadstn[train]'; without a GPU, first the CPU build: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        ) from None


@contextmanager
def weights_at(name: str) -> Iterator[Path]:
    """Where weights lie that are given as a path, or as ``shipped``: those of the package."""
    from cadstn.tracking.runtime import shipped_weights

    if name != "shipped":
        yield Path(name)
        return
    with shipped_weights() as path:
        yield path


def begun(start: str) -> Start:
    """Read weights to go on from, those of the package among them."""
    from cadstn.train import read_start

    with weights_at(start) as path:
        return read_start(path)
