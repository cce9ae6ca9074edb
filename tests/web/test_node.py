"""The page's decoders and views pass their own tests, which need no browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
@pytest.mark.parametrize("name", ["decoders", "tracker", "views"])
def test_the_tests_of_the_page_pass(name: str) -> None:
    done = subprocess.run(
        ["node", "--test", str(HERE / f"{name}.test.mjs")],
        env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
