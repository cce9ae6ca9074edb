"""The tracker's answers in fixed frames, pinned: a change that means none to change has none.

Which hand it is, is compared with the truth; the rest with what was recorded (``pins/record.py``).
"""

import json
from importlib import util
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..conftest import SHARED

HERE = Path(__file__).parent / "pins"
_spec = util.spec_from_file_location("record", HERE / "record.py")
assert _spec is not None
assert _spec.loader is not None
record = util.module_from_spec(_spec)
_spec.loader.exec_module(record)

PINS: dict[str, dict[str, Any]] = json.loads((HERE / "pins.json").read_text())

#: Rounding differs between processors, and a threshold can turn it into more: in few frames.
JOINTS_MM, PRESENT, FEW = 0.5, 0.02, 0.05
#: Joints may differ by so much where another processor renders other frames, and by the error
#: itself where the hand is not understood: there the least change of a frame moves all joints.
OTHER_MM = 10.0


def check(seen: dict[str, Any], pinned: dict[str, Any], joints_mm: float = JOINTS_MM) -> None:
    frames = len(pinned["how"])
    assert len(seen["how"]) == frames
    for key in ("how", "side", "runs"):
        other = sum(a != b for a, b in zip(seen[key], pinned[key], strict=True))
        assert other <= FEW * frames, f"{key} differs in {other} of {frames} frames"
    for key, bound in (("present", PRESENT), ("joints_mm", joints_mm), ("error_mm", joints_mm)):
        if key not in pinned:
            continue
        pairs = list(zip(seen[key], pinned[key], strict=True))
        away = sum(
            not np.allclose(np.array(a, float), np.array(b, float), atol=bound, equal_nan=True)
            for a, b in pairs
        )
        assert away <= FEW * len(pairs), f"{key} differs in {away} of {len(pairs)} frames"


def test_the_demo_is_seen_as_pinned() -> None:
    check(record.pin(record.demo()), PINS["demo"])


def test_frames_without_their_hand_are_seen_as_pinned() -> None:
    seen = record.pin(record.without_hand())
    check(seen, PINS["without hand"])
    assert seen["how"][9] != "lost"
    assert seen["how"][11:25] == ["lost"] * 14


def test_a_file_of_an_older_release_works_as_it_did() -> None:
    seen = record.pin(islice(record.demo(), 12), record.OLDER)
    assert "followed" in seen["how"]
    check(seen, PINS["older file"])


@pytest.mark.parametrize("index", range(record.SCENES))
def test_a_rendered_scene_is_seen_as_pinned(index: int) -> None:
    frames, truth = record.rendered(index)
    seen = record.pin(frames)
    pinned = PINS[f"rendered {index}"]
    assert truth == pinned["truth"]
    assert seen["side"].count(truth) > 0.9 * len(frames)
    same = record.checksum(frames) == pinned.get("frames")
    error_mm = float(np.nanmean(np.array(pinned["error_mm"], float)))
    check(seen, pinned, JOINTS_MM if same else max(OTHER_MM, error_mm))


@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason="no ../shared/real beside the project")
@pytest.mark.parametrize(("name", "camera", "most"), record.REAL)
def test_real_frames_are_seen_as_pinned(name: str, camera: str, most: int) -> None:
    check(record.pin(record.real(SHARED, name, camera, most)), PINS[f"real {name}"])
