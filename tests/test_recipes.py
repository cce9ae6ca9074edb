from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.models import Cadstn, NetConfig
from cadstn.recipes import RECIPES, STAGES, Recipe, override, paper, recipe, tiny

NAMES = sorted(RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_its_network(name: str) -> None:
    chosen = recipe(name)
    assert chosen.name == name
    with torch.device("meta"):
        model = Cadstn(chosen.net, auxiliary=True)
    for stage in STAGES:
        assert any(True for _ in getattr(model, stage).parameters())
        assert chosen.steps(stage) > 0
    assert RECIPES[name].__doc__


def test_tiny_network_runs() -> None:
    net = tiny().net
    clips = torch.zeros(1, 2, net.size, net.size)
    assert Cadstn(net)(clips).joints.shape == (1, 2, 21, 3)


def test_paper_has_the_papers_numbers() -> None:
    """Section IV-A3, apart from the joints, which are those of the label set."""
    chosen = paper()
    assert [chosen.steps(stage) for stage in STAGES] == [60_000, 60_000, 40_000]
    assert (chosen.batch, chosen.clip, chosen.learning_rate) == (128, 16, 1e-3)
    assert (chosen.schedule, chosen.decay, chosen.decay_every) == ("step", 0.1, 20_000)
    assert chosen.temporal_start == "scratch"
    assert chosen.loss == "pose_distance"
    assert chosen.net == NetConfig(joints=21)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match=r"no recipe 'compct'; did you mean 'compact'\?"):
        recipe("compct")


@pytest.mark.parametrize("name", NAMES)
def test_json_round_trip(name: str) -> None:
    chosen = override(recipe(name), {"seed": 3, "net.dropout": 0.25})
    text = chosen.to_json()
    assert "\n" not in text
    assert Recipe.from_json(text) == chosen
    assert Recipe.from_json(text).to_json() == text
    assert json.loads(text)["net"]["dropout"] == 0.25


def test_json_names_every_field() -> None:
    values = json.loads(tiny().to_json())
    assert set(values) == {field.name for field in dataclasses.fields(Recipe)}
    assert set(values["net"]) == {field.name for field in dataclasses.fields(NetConfig)}


def test_json_with_an_unknown_field_is_refused() -> None:
    values = json.loads(tiny().to_json()) | {"momentum": 0.9}
    with pytest.raises(CadstnError, match="unknown recipe field 'momentum'"):
        Recipe.from_json(json.dumps(values))


def test_override_replaces_what_it_names_and_nothing_else() -> None:
    base = tiny()
    changed = override(base, {"batch": 24, "net.width": 48, "learning_rate": 1})
    assert changed == dataclasses.replace(
        base, batch=24, net=dataclasses.replace(base.net, width=48), learning_rate=1.0
    )
    assert isinstance(changed.learning_rate, float)
    assert base == tiny()


def test_override_takes_the_network_as_a_mapping() -> None:
    changed = override(tiny(), {"net": {"width": 48, "channels": [2, 4, 6]}})
    assert changed.net == dataclasses.replace(tiny().net, width=48, channels=(2, 4, 6))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("bach", "batch"), ("learning_rat", "learning_rate"), ("net_width", "net.width")],
)
def test_unknown_field_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(CadstnError, match=f"unknown recipe field '{name}'; did you mean") as caught:
        override(tiny(), {name: 1})
    assert f"did you mean '{nearest}'?" in str(caught.value)


def test_unknown_field_of_the_network_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match=r"unknown key 'widht'.*did you mean 'width'"):
        override(tiny(), {"net.widht": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", "16"),
        ("batch", 16.0),
        ("batch", True),
        ("learning_rate", "fast"),
        ("learning_rate", None),
        ("compiled", 1),
        ("skeleton", 21),
        ("net.width", "48"),
        ("net.channels", 8),
        ("net.dropout", 1.5),
    ],
)
def test_value_of_the_wrong_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CadstnError, match=name.removeprefix("net.")):
        override(tiny(), {name: value})


@pytest.mark.parametrize(
    "values", [{"batch": 20}, {"clip": 3}, {"batch": 0}, {"clip": 0}, {"batch": -8}]
)
def test_batch_is_whole_clips(values: dict[str, int]) -> None:
    with pytest.raises(CadstnError, match="is not whole clips"):
        override(tiny(), values)


def test_network_and_skeleton_agree_on_the_joints() -> None:
    with pytest.raises(CadstnError, match=r"hand21 has 21 joints, the network 14; set net.joints"):
        override(tiny(), {"net.joints": 14})
    with pytest.raises(CadstnError, match=r"nyu14 has 14 joints, the network 21"):
        override(tiny(), {"skeleton": "nyu14"})
    assert override(tiny(), {"skeleton": "nyu14", "net.joints": 14}).net.joints == 14


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("schedule", "cosin", "cosine"),
        ("loss", "half_square", "half_squared"),
        ("temporal_start", "spacial", "spatial"),
        ("skeleton", "hand12", "hand21"),
    ],
)
def test_choices_name_the_nearest(name: str, value: str, nearest: str) -> None:
    with pytest.raises(CadstnError, match=f"did you mean '{nearest}'"):
        override(tiny(), {name: value})
