from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cadstn.data.bank import Bank, CropRule, quantise, write_bank
from cadstn.train.recipes import Recipe, override, tiny


def _recipe(**values: Any) -> Recipe:
    sizes = {
        "net.size": 16, "net.slices": 2, "net.channels": [2, 4, 4], "net.width": 16,
        "net.hidden": 12, "clip": 2, "validation_frames": 8, "holdout": 0.2,
    }  # fmt: skip
    steps = {"baseline": 4, "sliced": 4, "spatial": 5, "temporal": 4, "fusion": 4}
    for stage, count in steps.items():
        sizes |= {f"{stage}.steps": count, f"{stage}.batch": 4, f"{stage}.learning_rate": 1e-2}
    network = values.pop("network", "cadstn")
    return override(tiny(network, "rendered"), {**sizes, **values})


@pytest.fixture(scope="session")
def small() -> Callable[..., Recipe]:
    """Makes recipes smaller than tiny: a few steps a stage."""
    return _recipe


@pytest.fixture(scope="session")
def toy_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Ten shots of blobs that drift, of 3 to 12 frames; the joints are spread around the blob."""
    rng = np.random.default_rng(0)
    lengths = [12, 3, 9, 12, 7, 5, 12, 10, 4, 6]
    shots = np.repeat(np.arange(10), lengths)
    count = len(shots)
    place = rng.uniform(-0.4, 0.4, (10, 3))[shots] + rng.normal(0, 0.03, (count, 3)).cumsum(0) % 0.2
    shape = rng.uniform(-0.3, 0.3, (21, 3))
    joints = (place[:, None] + shape).astype(np.float32)
    line = (np.arange(16) - 7.5) / 8
    away = (line - place[:, :1])[:, None, :] ** 2 + (line - place[:, 1:2])[:, :, None] ** 2
    depth = place[:, 2, None, None] + away
    crops = np.where(away < 0.15, depth.clip(-1, 1), 1.0).astype(np.float32)

    def fill(bank: Bank) -> None:
        bank.crops[:] = quantise(crops)
        bank.joints[:] = joints
        bank.centers_mm[:] = (10.0, -20.0, 500.0)
        bank.cube_mm[:] = 250
        bank.shots[:] = shots
        assert bank.handedness is not None
        assert bank.presence is not None
        bank.handedness[:] = shots % 2
        bank.presence[:] = 1

    rule = CropRule("hand21", 250.0, {}, 16, "tracked")
    path: Path = tmp_path_factory.mktemp("bank") / "toy.bank"
    about = {"data": "toy", "rule": rule.to_json(), "set": "rendered", "split": "train"}
    return write_bank(path, (count, 16, 21), about, fill, answers=True)
