from __future__ import annotations

import json
from typing import Any

import pytest

from cadstn.errors import CadstnError
from cadstn.models import CompactConfig, NetConfig


def test_defaults_are_the_papers() -> None:
    config = NetConfig()
    assert (config.joints, config.size, config.slices) == (14, 128, 8)
    assert config.features == 8192


def test_survives_json() -> None:
    config = NetConfig(joints=16, size=96, channels=(4, 5, 6), dropout=0.0)
    assert NetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.features == 6 * 6 * 6


def test_sizes_of_older_files_name_the_keys_of_both_families() -> None:
    old = {"joints": 14, "trunk": "paper", "blocks": [], "dropout": 0.3}
    assert NetConfig.from_dict(old) == NetConfig()
    old = {"trunk": "residual", "channels": [4, 6], "blocks": [1, 1], "dropout": 0.0, "size": 32}
    assert NetConfig.from_dict(old) == CompactConfig(size=32, channels=(4, 6), blocks=(1, 1))


def test_missing_keys_keep_the_defaults() -> None:
    assert NetConfig.from_dict({"joints": 16}) == NetConfig(joints=16)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match=r"'widht'.*'width'"):
        NetConfig.from_dict({"widht": 4})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"size": 100}, r"multiple of 16; use 96"),
        ({"size": 0}, "size"),
        ({"joints": -1}, "joints"),
        ({"joints": True}, "joints"),
        ({"slices": 2.0}, "slices"),
        ({"width": "8"}, "width"),
        ({"hidden": 0}, "hidden"),
        ({"channels": (1, 2)}, "channels"),
        ({"channels": (1, 2, 0)}, "channels"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"fusion": "fre"}, "did you mean 'free'"),
        ({"dropout_recurrent": float("nan")}, "dropout_recurrent"),
    ],
)
def test_impossible_values_are_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(CadstnError, match=named):
        NetConfig(**values)
