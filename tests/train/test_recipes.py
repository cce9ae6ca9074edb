from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from cadstn.errors import CadstnError
from cadstn.models import Cadstn, NetConfig
from cadstn.train.networks import build
from cadstn.train.recipes import (
    KINDS,
    NETWORKS,
    SETS,
    STAGES,
    Augment,
    Plan,
    Recipe,
    check_used,
    override,
    recipe,
)

NAMES = [
    f"{n}.{s}.{k}"
    for n in NETWORKS
    for s in SETS
    for k in KINDS
    if not (k in ("compact", "follow") and n in ("baseline", "sliced"))
    and not (k == "follow" and s != "rendered")
]


def tiny() -> Recipe:
    return recipe("tiny")


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_its_networks(name: str) -> None:
    chosen = recipe(name)
    assert chosen.name == name
    assert name == f"{chosen.network}.{chosen.data}.{name.split('.')[2]}"
    with torch.device("meta"):
        networks = build(chosen, "meta")
    assert tuple(networks) == chosen.stages
    assert all(chosen.plan(stage).steps > 0 for stage in chosen.stages)
    assert chosen.stages[-1] == ("fusion" if chosen.network == "cadstn" else chosen.network)


def test_every_kind_describes_itself() -> None:
    assert all(kind.__doc__ for kind in KINDS.values())


def test_following_is_learned_from_rendered_hands() -> None:
    follow, compact = recipe("follow"), recipe("compact")
    assert follow.net == compact.net  # of which weights both go on from the other's
    assert follow.crop_rule() != compact.crop_rule()
    with pytest.raises(CadstnError, match="follow is for rendered hands, not nyu"):
        recipe("follow.nyu")


def test_presence_and_side_are_learned_from_rendered_hands() -> None:
    for name, answers in {"compact": True, "follow": True, "compact.nyu": False, "small": False,
                          "compact.recordings": False}.items():  # fmt: skip
        assert recipe(name).wanted().answers == recipe(name).wanted().upright == answers, name


def test_tiny_network_runs() -> None:
    net = tiny().net
    assert isinstance(net, NetConfig)
    clips = torch.zeros(1, 2, net.size, net.size)
    assert Cadstn(net)(clips).joints.shape == (1, 2, 21, 3)


@pytest.mark.parametrize("data", ["nyu", "icvl"])
def test_paper_has_the_texts_numbers(data: str) -> None:
    """Section IV-A."""
    chosen = recipe(f"cadstn.{data}.paper")
    assert chosen.stages == STAGES
    assert [chosen.plan(stage).steps for stage in STAGES] == [60_000, 60_000, 40_000]
    assert {(chosen.plan(s).batch, chosen.plan(s).learning_rate) for s in STAGES} == {(128, 1e-3)}
    assert (chosen.schedule, chosen.decay, chosen.decay_every) == ("step", 0.1, 20_000)
    assert (chosen.temporal_start, chosen.fusion_start) == ("scratch", "scratch")
    assert (chosen.loss, chosen.weight_decay, chosen.clip) == ("pose_distance", 0.0, 16)
    assert chosen.augment == Augment(turns="paper" if data == "nyu" else "none")
    assert chosen.net == NetConfig(joints=14 if data == "nyu" else 16)
    assert chosen.cube_mm == {"nyu": 300, "icvl": 250}[data]


def test_cubes_of_the_sets_subjects() -> None:
    nyu, msra = recipe("cadstn.nyu").crop_rule(), recipe("cadstn.msra").crop_rule()
    assert [nyu.cube_of(s) for s in ("1", "2", "unknown")] == [300, 249, 300]
    found = [msra.cube_of(f"P{number}") for number in range(9)]
    assert found == [200, 200, 200, 180, 180, 180, 170, 160, 150]


def test_the_cube_stands_where_the_recipe_puts_it() -> None:
    assert recipe("cadstn.nyu").crop_rule().center == "mass_once"
    assert override(recipe("cadstn.nyu"), {"center": "joint"}).crop_rule().center == "joint"
    assert recipe("cadstn.rendered").crop_rule().center == "tracked"
    for name, wrong in (("cadstn.rendered", "joint"), ("cadstn.icvl", "tracked")):
        with pytest.raises(CadstnError, match="center"):
            override(recipe(name), {"center": wrong})


@pytest.mark.parametrize(
    ("name", "data", "full"),
    [
        ("compact", "rendered", "cadstn.rendered.compact"),
        ("cadstn", "nyu", "cadstn.nyu.paper"),
        ("paper", "rendered", "cadstn.rendered.paper"),
        ("released.temporal", "icvl", "temporal.icvl.released"),
        ("spatial.nyu.paper", "rendered", "spatial.nyu.paper"),
    ],
)
def test_words_left_out(name: str, data: str, full: str) -> None:
    assert recipe(name, data).name == full


def test_the_paper_s_single_networks_have_no_compact_form() -> None:
    with pytest.raises(CadstnError, match="the sliced network has no residual trunk"):
        recipe("sliced.compact")


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match=r"no recipe 'compct'; did you mean 'compact'\?"):
        recipe("compct")
    with pytest.raises(CadstnError, match=r"no recipe 'shiped'; did you mean 'shipped'\?"):
        recipe("shiped")
    with pytest.raises(CadstnError, match="'shipped' is no recipe; 'cadstn train shipped' trains"):
        recipe("shipped")
    with pytest.raises(CadstnError, match=r"no recipe 'spatial\.nyv'; did you mean 'nyu'\?"):
        recipe("spatial.nyv")
    with pytest.raises(CadstnError, match=r"'paper\.tiny' names two kinds"):
        recipe("paper.tiny")


@pytest.mark.parametrize("name", NAMES[::7])
def test_json_round_trip(name: str) -> None:
    chosen = override(recipe(name), {"seed": 3, "net.width": 40})
    text = chosen.to_json()
    assert "\n" not in text
    assert Recipe.from_json(text) == chosen
    assert Recipe.from_json(text).to_json() == text
    assert json.loads(text)["net"]["width"] == 40


def test_json_names_every_field() -> None:
    values = json.loads(tiny().to_json())
    assert set(values) == {field.name for field in dataclasses.fields(Recipe)}
    assert set(values["net"]) == {"trunk", *(f.name for f in dataclasses.fields(NetConfig))}


def test_json_with_an_unknown_field_is_refused() -> None:
    values = json.loads(tiny().to_json()) | {"momentum": 0.9}
    with pytest.raises(CadstnError, match="unknown recipe field 'momentum'"):
        Recipe.from_json(json.dumps(values))


def test_override_replaces_what_it_names_and_nothing_else() -> None:
    base = tiny()
    changed = override(base, {"fusion.batch": 24, "net.width": 48, "fusion.learning_rate": 1})
    assert changed == dataclasses.replace(
        base, net=dataclasses.replace(base.net, width=48), fusion=Plan(10, 24, 1.0)
    )
    assert isinstance(changed.fusion.learning_rate, float)
    assert base == tiny()


def test_override_takes_the_network_as_a_mapping() -> None:
    changed = override(tiny(), {"net": {"width": 48, "channels": [2, 4, 6]}})
    assert changed.net == dataclasses.replace(tiny().net, width=48, channels=(2, 4, 6))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("seeed", "seed"), ("spatial_steps", "spatial.steps"), ("net_width", "net.width")],
)
def test_unknown_field_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(CadstnError, match=f"unknown recipe field '{name}'; did you mean") as caught:
        override(tiny(), {name: 1})
    assert f"did you mean '{nearest}'?" in str(caught.value)


def test_unknown_field_of_the_network_names_the_nearest() -> None:
    with pytest.raises(CadstnError, match=r"unknown key 'widht'.*did you mean 'width'"):
        override(tiny(), {"net.widht": 1})
    with pytest.raises(CadstnError, match=r"'spatial.stepps'; did you mean 'steps'"):
        override(tiny(), {"spatial.stepps": 1})
    with pytest.raises(CadstnError, match=r"unknown recipe field 'seed.x'; set seed"):
        override(tiny(), {"seed.x": 1})
    with pytest.raises(CadstnError, match=r"'spatial' is 3; set spatial.FIELD"):
        override(tiny(), {"spatial": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip", "16"),
        ("clip", 16.0),
        ("clip", True),
        ("spatial.learning_rate", "fast"),
        ("spatial.learning_rate", None),
        ("cubes_mm", 3),
        ("augment.scale", -0.1),
        ("gate", 1.0),
        ("temporal.learning_rate", 0.0),
        ("compiled", 1),
        ("skeleton", 21),
        ("net.width", "48"),
        ("net.channels", 8),
        ("net.dropout", 1.5),
        ("net.blocks", (1, 1, 1)),
        ("seed", -1),
        ("weight_decay", -1.0),
        ("augment.scale", 1.0),
        ("augment.upright", 92.0),
        ("augment.edge", 1.5),
        ("decay", 0.0),
        ("decay", 1.5),
    ],
)
def test_value_of_the_wrong_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(CadstnError, match=name.rpartition(".")[2]):
        override(tiny(), {name: value})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("compact", {"temporal_start": "baseline"}, "temporal_start would do nothing for networks"),
        ("compact", {"fusion_start": "baseline"}, "of a residual trunk; set fusion_start=scratch"),
        ("compact", {"lstm_rate": 2, "lstm_inputs_rate": 9}, "lstm_rate=1.0 lstm_inputs_rate=1"),
        ("compact", {"bias_rate": 2.0, "temporal_divisor": "frames"}, "temporal_divisor, bias"),
        ("compact", {"expert_dropout": True}, "set expert_dropout=false"),
        ("compact", {"temporal_frozen": True}, "temporal_frozen would"),
        ("compact", {"loss": "half_squared"}, "set loss=pose_distance"),
        ("compact", {"decay": 0.5}, "decay would do nothing under the cosine schedule; set"),
        ("compact.dexycb", {"augment.upright": 0.9}, "others do not learn sides; set augment"),
        ("paper", {"augment.upright": 0.9}, "upright is for compact networks of rendered hands"),
        ("paper", {"hands": 0.9}, "hands would do nothing for networks of a paper trunk"),
        ("tiny", {"worst_joint": 0.3, "smoothness": 0.1}, "smoothness, worst_joint would"),
        ("small", {"net.fusion": "free"}, "too wide for the layers of the spatial network; set"),
    ],
)
def test_what_would_do_nothing_or_fail_late_is_refused(
    name: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(CadstnError, match=message):
        override(recipe(name), values)
    # What a file names is read all the same: runs of earlier versions hold it.
    made = json.loads(recipe(name).to_json())
    for field, value in values.items():
        part, _, inner = field.partition(".")
        if inner:
            made[part][inner] = value
        else:
            made[field] = value
    with pytest.raises(CadstnError, match=message):
        check_used(Recipe.from_json(json.dumps(made)))


@pytest.mark.parametrize("name", ["compact.nyu", "small.icvl", "tiny.recordings"])
def test_fields_of_rendering_are_refused_for_other_frames(name: str) -> None:
    for field, value in {"held": 0.2, "mesh": 0.1, "near_mm": 300.0, "compiled": True}.items():
        with pytest.raises(CadstnError, match=rf"{field} would do nothing for .* not rendered"):
            override(recipe(name), {field: value})
        override(recipe(name), {field: getattr(recipe(name), field)})  # as it is
        override(recipe("compact"), {field: value})


def test_the_free_gate_begins_afresh() -> None:
    override(recipe("small"), {"net.fusion": "free", "fusion_start": "scratch"})
    override(recipe("temporal.small"), {"net.fusion": "free"})  # which trains no gate


@pytest.mark.parametrize("name", NAMES)
def test_named_recipes_use_what_they_set(name: str) -> None:
    check_used(recipe(name))


@pytest.mark.parametrize(
    "values",
    [
        {"temporal.batch": 20},
        {"clip": 3},
        {"spatial.batch": 0},
        {"clip": 0},
        {"fusion.batch": -8},
    ],
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
        ("network", "cadstm", "cadstn"),
        ("augment.turns", "papr", "paper"),
    ],
)
def test_choices_name_the_nearest(name: str, value: str, nearest: str) -> None:
    with pytest.raises(CadstnError, match=f"did you mean '{nearest}'"):
        override(tiny(), {name: value})
