"""Where others' data lie, a short demo, and how many threads a test has."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from cadstn.tracking import Network

#: The folder of others' data, which may be absent.
SHARED = Path(os.environ.get("CADSTN_SHARED", Path(__file__).resolve().parents[2] / "shared"))

# The suite runs in several processes: one thread each. With more, torch's threads wait for each
# other in busy loops and take the processors from the other tests. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("cadstn", deadline=None)
settings.load_profile("cadstn")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of others' data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no data of others at {SHARED} (set CADSTN_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def published(shared: Path) -> Path:
    """The folder of published predictions; the test is skipped where it is absent."""
    folder = shared / "published"
    if not folder.is_dir():
        pytest.skip(f"no published predictions at {folder} (set CADSTN_SHARED)")
    return folder


@pytest.fixture(scope="session")
def network() -> Network:
    """The shipped network on one thread."""
    from cadstn.tracking import load_network

    return load_network(threads=1)


@pytest.fixture(scope="session")
def demo_clip() -> Callable[[Path, int], Path]:
    """Writes the demo's first frames with their truth to a path, which it returns."""
    import numpy as np

    from cadstn.geometry.skeleton import HAND21
    from cadstn.io import open_recording, write_recording

    def write(path: Path, count: int) -> Path:
        demo = open_recording("demo")
        assert demo.truth_xyz_mm is not None
        units = [frame.depth.astype(np.uint16) for frame in islice(demo, count)]
        truth = demo.truth_xyz_mm[:count]
        write_recording(path, units, demo.camera, truth_xyz_mm=truth, skeleton=HAND21)
        return path

    return write


@pytest.fixture(scope="session")
def short_demo(
    demo_clip: Callable[[Path, int], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder whose `demo` has 30 frames: in it the name opens these, not the package's 150."""
    return demo_clip(tmp_path_factory.mktemp("short") / "demo", 30).parent
