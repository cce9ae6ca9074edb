"""Nothing leaves the machine: no socket that leads out of it, nothing in the home folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: Sockets that lead nowhere but into this machine.
_LOCAL = re.compile(r'AF_UNIX|AF_NETLINK|inet_addr\("127\.0\.0\.1"\)|"::1"')
_USE = """
import pathlib, shutil, sys, tempfile
from importlib.util import find_spec
import cadstn, cadstn.io
from cadstn.cli import cli
from cadstn.tracking.excerpt import part_of
whole = cadstn.io.open_recording
cadstn.io.open_recording = lambda *words, **more: part_of(whole(*words, **more), 0, 3)
out = pathlib.Path(tempfile.mkdtemp())
clip = out / "clip"
clip.mkdir()
for name in ("000000.png", "000001.png", "000002.png", "camera.json"):
    shutil.copy(pathlib.Path(cadstn.__file__).parent / "demo" / name, clip)
lines = []
traced = len(sys.argv) > 1
if traced and find_spec("rerun"):  # from its second start on its viewer would send usage data
    lines += 2 * [["live", "demo", "--fast", "--view", "browser", "--seconds", "0.5"]]
if traced and find_spec("torch"):
    tiny = ["net.size=16", "net.slices=2", "net.channels=[2,4,4]", "net.width=8", "spatial.steps=1",
            "spatial.batch=2", "validation_frames=2"]
    words = [word for text in tiny for word in ("--set", text)]
    lines += [["train", "spatial.rendered.tiny", "--out", str(out / "run"), *words]]
for line in (
    *lines,
    ["track", str(clip), "--out", str(out / "track")],
    *([] if traced else [["demo", "--out", str(out / "demo")]]),  # tracks as `track` does
    ["live", str(clip), "--fast", "--emit", "jsonl", "--out", str(out / "live")],
    ["doctor", "--seconds", "0"],
    ["info", str(clip)],
):
    cli(line, standalone_mode=False)
assert "onnxruntime" in sys.modules
"""


def run(home: Path, *command: str, **variables: str) -> str:
    environment = {**os.environ, "HOME": str(home), "BROWSER": "true", **variables}
    done = subprocess.run(
        [*command, sys.executable, "-c", _USE, *(["traced"] if command else [])],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_nothing_is_stored_in_the_home_folder(tmp_path: Path) -> None:
    run(tmp_path)
    # librealsense, where it is installed, counts there what `doctor` finds plugged in.
    assert [p for p in tmp_path.rglob("*") if ".rum" not in p.parts] == []


def test_the_users_own_choice_stays() -> None:
    code = "import os, cadstn; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, kept in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **given},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == kept


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_socket_leads_out_of_this_machine(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    home = tmp_path / "home"
    home.mkdir()
    run(
        home,
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=connect,bind,sendto,sendmsg",
        "-o",
        str(log),
    )
    calls = log.read_text().splitlines()
    assert [line for line in calls if "sa_family" in line and not _LOCAL.search(line)] == []
