"""Where others' data lie, and how many threads a test has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The suite runs in several processes: one thread each. With more, torch's threads wait for each
# other in busy loops and take the processors from the other tests. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of others' data; the test is skipped where it is absent."""
    folder = Path(os.environ.get("CADSTN_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no data of others at {folder} (set CADSTN_SHARED)")
    return folder


@pytest.fixture(scope="session")
def published(shared: Path) -> Path:
    """The folder of published predictions; the test is skipped where it is absent."""
    folder = shared / "published"
    if not folder.is_dir():
        pytest.skip(f"no published predictions at {folder} (set CADSTN_SHARED)")
    return folder
