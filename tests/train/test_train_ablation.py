from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cadstn.train.ablation import WEIGHTS, format_tables, tables


def predictions(seed: int, lean: float) -> dict[str, Any]:
    """Two shots of random walks; spatial shakes, temporal is off by ``lean`` the other way."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 2, (60, 4, 3)).cumsum(0)
    truth[30:] += 200
    spatial = truth + 6.0
    temporal = truth - lean
    return {
        "truth": truth, "spatial": spatial, "temporal": temporal, "cadstn": truth + 1.0,
        "baseline": truth + 2.0, "sliced": truth - 3.0, "starts": np.array([0, 30]),
    }  # fmt: skip


def test_errors_are_those_of_the_mixtures() -> None:
    found = tables(predictions(0, 14.0), predictions(1, 14.0))
    root = 3**0.5
    assert found["networks"]["cadstn"]["error_mm"] == pytest.approx(root, abs=1e-3)
    for weight in WEIGHTS:
        expected = abs((1 - weight) * 6 - weight * 14) * root
        assert found["fixed"][str(weight)]["error_mm"] == pytest.approx(expected, abs=1e-3)
    assert found["best_fixed"]["weight"] == 0.3
    # A constant error does not accelerate, and nothing is counted across the cut.
    assert found["networks"]["spatial"]["acceleration_error_mm_frame2"] == pytest.approx(
        0, abs=1e-3
    )


def test_weights_are_chosen_on_the_held_out_frames_and_not_on_the_test() -> None:
    """The held-out frames want 0.7; on the test frames 0.3 would be better."""
    found = tables(predictions(0, 14.0), predictions(1, 2.6))
    assert found["best_fixed"]["weight"] == 0.7
    assert found["best_fixed"]["error_mm"] == found["fixed"]["0.7"]["error_mm"]
    assert found["best_fixed"]["error_mm"] > found["fixed"]["0.3"]["error_mm"]


def test_table_tells_seeds_and_chosen_weights() -> None:
    about = {
        "train": {"frames": 7}, "test": {"frames": 60}, "center": "truth", "windows": "of 16",
    }  # fmt: skip
    results = [{**about, **tables(predictions(s, 14.0), predictions(9, 14.0))} for s in (0, 1)]
    text = format_tables(results)
    assert "60 test frames, 2 seeds" in text
    assert "+-" in text
    assert "weight 0.3" in text
