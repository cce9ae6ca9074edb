"""Where the published predictions lie: beside the repository, or where CADSTN_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of published predictions; the test is skipped where it is absent."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("CADSTN_SHARED", beside)) / "published"
    if not folder.is_dir():
        pytest.skip(f"no published predictions at {folder} (set CADSTN_SHARED)")
    return folder
