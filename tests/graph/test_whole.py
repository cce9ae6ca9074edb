"""The whole graph finds what `observe` finds, frame after frame, with onnxruntime alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="needs cadstn[export]")

from cadstn import Camera, open_recording  # noqa: E402
from cadstn.cli import cli  # noqa: E402
from cadstn.errors import CadstnError  # noqa: E402
from cadstn.geometry.camera import DepthMm  # noqa: E402
from cadstn.graph.file import write_whole  # noqa: E402
from cadstn.io.hashes import BLANK_STAMP, STAMP_KEY, file_sha256, stamp_file  # noqa: E402
from cadstn.tracking import Hand, Network, State, load_network, track_step  # noqa: E402
from cadstn.tracking import observation as rules  # noqa: E402
from cadstn.tracking.decision import AGAIN_MM, Decision  # noqa: E402
from cadstn.tracking.hand import REMEMBERED  # noqa: E402
from cadstn.tracking.weights import known_weights  # noqa: E402

CLOSE_MM = 0.01
Frames = list[tuple[DepthMm, Camera]]
Odds = list[tuple[float, DepthMm, NDArray[np.float64]]]


class Whole(NamedTuple):
    """A session of a whole graph, and how many hands it follows."""

    session: Any
    hands: int

    def fresh(self) -> NDArray[np.float32]:
        shape = next(i.shape for i in self.session.get_inputs() if i.name == "state")
        return np.zeros(shape, np.float32)

    def run(
        self, depth: NDArray[Any], camera: Camera, state: NDArray[np.float32], **more: Any
    ) -> dict[str, NDArray[Any]]:
        intrinsics = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
        feed = {"depth": depth, "intrinsics": intrinsics, "state": state, **more}
        names = [item.name for item in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feed), strict=True))


def opened(path: Path, hands: int) -> Whole:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Whole(session, hands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for hands in (1, 2):
        write_whole(folder / f"{hands}.onnx", hands=hands)
    return folder


@pytest.fixture(scope="module")
def one(folder: Path) -> Whole:
    return opened(folder / "1.onnx", 1)


@pytest.fixture(scope="module")
def two(folder: Path) -> Whole:
    return opened(folder / "2.onnx", 2)


@pytest.fixture(scope="module")
def demo() -> Frames:
    return [(f.depth, f.camera) for f in open_recording("demo")]


def same(hand: Hand, out: dict[str, NDArray[Any]], place: int) -> None:
    assert out["found"][place] == hand.found
    assert out["left"][place] == (hand.side == "left")
    for name, value in (
        ("joints_mm", hand.joints_mm), ("error_scale_mm", hand.uncertainty_mm),
        ("presence", hand.present),
    ):  # fmt: skip
        np.testing.assert_allclose(out[name][place], value, rtol=0, atol=CLOSE_MM)


def follow(whole: Whole, network: Network, frames: Iterable[tuple[DepthMm, Camera]]) -> list[Hand]:
    """Both roads, hand by hand the same; returns the hands of all frames."""
    state, theirs = State.fresh(network, whole.hands, fit=False), whole.fresh()
    seen: list[Hand] = []
    for depth_mm, camera in frames:
        hands, state = track_step(network, state, depth_mm, camera)
        out = whole.run(depth_mm, camera, theirs)
        theirs = out["new_state"]
        for place, hand in enumerate(hands):
            same(hand, out, place)
        seen += hands
    return seen


def test_demo(one: Whole, network: Network, demo: Frames) -> None:
    hands = follow(one, network, demo[:60])
    assert all(hand.found for hand in hands)


def test_demo_with_two_places(two: Whole, network: Network, demo: Frames) -> None:
    hands = follow(two, network, demo[60:90])
    assert sum(hand.found for hand in hands) == 30  # it shows one hand


def test_two_hands_of_one_side_have_their_places_back(
    two: Whole, network: Network, demo: Frames
) -> None:
    depth, camera = demo[0]
    hand = np.where(depth < 1000, depth, 0)
    wide = Camera(camera.fx, camera.fy, 320, camera.cy, 640, 240)

    def both(left: float, right: float) -> tuple[DepthMm, Camera]:
        pair = [np.where(hand > 0, hand + z_mm, 0) for z_mm in (left, right)]
        return np.hstack(pair).astype(np.float32), wide

    blank = np.zeros((240, 640), np.float32), wide
    crossed = [both(10.0 * k, 90 - 10.0 * k) for k in range(10)]
    hands = follow(two, network, [*crossed, blank, *crossed[-2:]])
    assert {hand.side for hand in hands[-2:]} == {"left"}
    for place in (0, 1):
        apart = hands[place].joints_mm[0, 0] - hands[place - 2].joints_mm[0, 0]
        assert abs(apart) < 100


@pytest.mark.parametrize(("across", "down"), [(4 / 3, 1.0), (1.0, 2.0)])
def test_pixels_that_are_not_square(
    one: Whole, network: Network, demo: Frames, across: float, down: float
) -> None:
    columns = ((np.arange(round(320 * across)) + 0.5) / across).astype(int)
    rows = ((np.arange(round(240 * down)) + 0.5) / down).astype(int)
    frames = [
        (depth[rows][:, columns], camera.sized(320, 240).resized(len(columns), len(rows)))
        for depth, camera in demo[:12]
    ]
    assert all(hand.found for hand in follow(one, network, frames))


def test_jumps_and_empty_frames(two: Whole, network: Network, demo: Frames) -> None:
    empty = np.zeros_like(demo[0][0]), demo[0][1]
    wall = np.full_like(demo[0][0], 900), demo[0][1]
    frames = [demo[37 * k % 150] for k in range(12)]
    hands = follow(two, network, [*frames, empty, wall, *frames[:4], wall, frames[5]])
    assert {hand.how for hand in hands} == {"found", "followed", "lost"}


@pytest.fixture(scope="module")
def odds(network: Network, demo: Frames) -> Odds:
    """Log-odds of hands, the least sure first, with their frames and places."""
    none = replace(network.wants, decision=Decision(0.0, 0.0, 0.0, -3.0))  # reads all, takes none
    odds: Odds = []
    for depth_mm, camera in demo[::10]:
        state = State.fresh(network, fit=False)
        _, state = track_step(replace(network, wants=none), state, depth_mm, camera)
        evidence = state.refused[0].evidence
        assert evidence is not None
        odds.append(
            (network.wants.decision.log_odds(evidence), depth_mm, state.refused[0].center_mm)
        )
    return sorted(odds, key=lambda one: one[0])


def test_a_new_hand_waits_for_a_frame_with_runs_for_its_view(
    network: Network, demo: Frames, odds: Odds, tmp_path: Path
) -> None:
    """Beside a hand that is followed, and after a place that is refused."""
    decision = network.wants.decision
    path = tmp_path / "own.onnx"
    refused = decision.bias - odds[0][0] - 0.5  # the weak one, in the wide picture too
    written(path, shipped(decision._replace(bias=refused)))
    write_whole(tmp_path / "whole.onnx", path, hands=2)
    own, whole = load_network(path, threads=1), opened(tmp_path / "whole.onnx", 2)
    camera = demo[0][1]
    wide = Camera(camera.fx, camera.fy, 480, camera.cy, 960, 240)
    weak, strong = (np.where(depth < 1000, depth, 0) for _, depth, _ in (odds[0], odds[-1]))
    row = np.hstack([strong, weak, np.where(strong > 0, strong + 200, 0)]).astype(np.float32)
    alone = np.where(np.arange(960) < 320, row, 0)
    hands = follow(whole, own, [(depth, wide) for depth in (alone, row, row, row)])
    assert [hand.how for hand in hands[::2]] == ["found", *["followed"] * 3]
    assert [hand.how for hand in hands[1::2]] == ["lost", "lost", "lost", "found"]


def test_a_lost_hands_place_is_remembered_for_some_frames(
    network: Network, demo: Frames, odds: Odds, tmp_path: Path
) -> None:
    """Near where it was a hand needs less: with its file's decision, by both roads."""
    unsure, weak, there = odds[0]
    sure, strong = next(
        (s, d) for s, d, at in odds
        if 0.1 < s - unsure < 1.9 and np.linalg.norm(at - there) < AGAIN_MM - 50
    )  # fmt: skip
    decision = network.wants.decision
    decision = decision._replace(bias=decision.bias - (sure + unsure) / 2)
    path = tmp_path / "own.onnx"
    written(path, shipped(decision))
    write_whole(tmp_path / "whole.onnx", path)
    own, whole = load_network(path, threads=1), opened(tmp_path / "whole.onnx", 1)
    camera = demo[0][1]
    empty = np.zeros_like(strong)
    for absent in (0, 1, REMEMBERED, REMEMBERED + 1):
        frames = [(strong, camera), *[(empty, camera)] * absent, (weak, camera)]
        hands = follow(whole, own, frames)
        assert hands[0].found
        assert hands[-1].found == (absent <= REMEMBERED)


def shipped(decision: Decision | None = None) -> Any:
    """The package's weights, with another decision on new hands."""
    return shipped_with(**({} if decision is None else {"decision": decision}))


def shipped_with(**other: Any) -> Any:
    """The package's weights, which want to be run otherwise."""
    model = onnx.load(str(resources.files("cadstn") / "weights" / "hand21.onnx"))
    about = {item.key: item.value for item in model.metadata_props}
    wants = {**json.loads(about["wants"]), **other}
    about |= {"wants": json.dumps(wants), STAMP_KEY: BLANK_STAMP}
    onnx.helper.set_model_props(model, about)
    return model


def written(path: Path, model: Any) -> None:
    path.write_bytes(model.SerializeToString())
    stamp_file(path)


def test_rendered(two: Whole, network: Network) -> None:
    pytest.importorskip("torch", reason="needs cadstn[train]")
    from cadstn.bench.accuracy.scenes import clip

    moving, camera = clip("two-hands", 777, 3, 10)
    first = [(raw.astype(np.float32), camera) for raw in moving.render()]
    moving, _ = clip("held-large", 777, 3, 10)
    frames = [*first, *((raw.astype(np.float32), camera) for raw in moving.render())]
    hands = follow(two, network, frames)
    assert all(hand.found for hand in hands[0:20:2])
    assert {hand.how for hand in hands} == {"found", "followed", "lost"}


# Rare at their own values: the graph is built with these.
@pytest.mark.parametrize(
    ("name", "value", "hands", "found"),
    [
        ("_APART_MM", -1.0, 1, 2),  # the detector never confirms a hand: lost and found anew
        ("_SAME_MM", 1e4, 2, 3),  # two places never follow one hand, and lose it in turn
    ],
)
def test_doubts_and_two_places_of_one_hand(
    name: str, value: float, hands: int, found: int, tmp_path: Path, network: Network,
    monkeypatch: pytest.MonkeyPatch, demo: Frames,
) -> None:  # fmt: skip
    monkeypatch.setattr(rules, name, value)
    if name == "_SAME_MM":
        monkeypatch.setattr(rules, "_APART_MM", -1.0)
    write_whole(tmp_path / "rare.onnx", hands=hands)
    seen = follow(opened(tmp_path / "rare.onnx", hands), network, demo[:70])
    assert sum(hand.how == "found" for hand in seen) >= found


def test_of_two_places_of_one_hand_the_older_stays_after_a_jump(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch, demo: Frames
) -> None:
    monkeypatch.setattr(rules, "_SAME_MM", 500.0)  # the hands are 600 mm apart, and then less
    write_whole(tmp_path / "wide.onnx", hands=2)
    depth, camera = demo[0]
    hand = np.where(depth < 1000, depth, 0)
    wide = Camera(camera.fx, camera.fy, 320, camera.cy, 640, 240)
    pairs = [(hand, hand * 0), (hand, hand), (hand, hand), (np.roll(hand, 60, axis=1), hand)]
    frames = [(np.hstack(pair).astype(np.float32), wide) for pair in pairs]
    hands = follow(opened(tmp_path / "wide.onnx", 2), network, frames)
    assert [hand.how for hand in hands[-4:]] == ["followed", "followed", "followed", "lost"]


def test_another_camera_begins_anew(one: Whole, demo: Frames) -> None:
    depth_mm, camera = demo[0]
    other = Camera(camera.fx + 20, camera.fy, camera.cx, camera.cy)
    state = one.run(depth_mm, camera, one.fresh())["new_state"]
    after, fresh = one.run(depth_mm, other, state), one.run(depth_mm, other, one.fresh())
    for name, value in fresh.items():
        np.testing.assert_array_equal(after[name], value)


def test_intrinsics_that_drift_are_of_one_camera(
    one: Whole, network: Network, demo: Frames
) -> None:
    frames = [
        (depth, replace(camera, fx=camera.fx + 0.3 * k, fy=camera.fy + 0.3 * k, cx=camera.cx - k))
        for k, (depth, camera) in enumerate(demo[:6])
    ]
    hands = follow(one, network, frames)
    assert [hand.how for hand in hands] == ["found", *["followed"] * 5]


def test_steps_of_a_sensor(tmp_path: Path, one: Whole, demo: Frames) -> None:
    write_whole(tmp_path / "steps.onnx", uint16=True)
    whole = opened(tmp_path / "steps.onnx", 1)
    depth_mm, camera = demo[0]
    steps = (depth_mm * 4).astype(np.uint16)
    steps[depth_mm == 0] = 65535  # what saturated sensors write
    unit = np.array(0.25, np.float32)
    out = whole.run(steps, camera, whole.fresh(), depth_unit_mm=unit)
    for name, value in one.run(depth_mm, camera, one.fresh()).items():
        np.testing.assert_array_equal(out[name], value)


def test_nothing_measured_is_zero_or_nan(one: Whole, demo: Frames) -> None:
    depth_mm, camera = demo[0]
    other = np.where(depth_mm > 0, depth_mm, np.nan).astype(np.float32)
    for name, value in one.run(depth_mm, camera, one.fresh()).items():
        np.testing.assert_array_equal(one.run(other, camera, one.fresh())[name], value)


def test_the_json_describes_the_file(folder: Path, two: Whole) -> None:
    about = json.loads((folder / "2.json").read_text(encoding="utf-8"))
    assert about["sha256"] == file_sha256(folder / "2.onnx")
    assert about["joints"][0] == "wrist"
    model = onnx.load(folder / "2.onnx")
    onnx.checker.check_model(model)
    assert {item.domain for item in model.opset_import} == {""}
    for kind, items in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        assert [item["name"] for item in about[kind]] == [item.name for item in items]
        assert [item["about"] for item in about[kind]] == [item.doc_string for item in items]
    shapes = {item.name: item.shape for item in two.session.get_outputs()}
    assert shapes == {item["name"]: item["shape"] for item in about["outputs"]}


def test_weights_in_8_bits_have_a_whole_graph(tmp_path: Path) -> None:
    """Their file imports domains that none of its operators is of, as `quantize_dynamic` does."""
    model, own = shipped(), tmp_path / "own.onnx"
    domains = (
        onnx.helper.make_opsetid("ai.onnx.ml", 5),
        onnx.helper.make_opsetid("com.microsoft", 1),
    )
    model.opset_import.extend(domains)
    written(own, model)
    about = write_whole(tmp_path / "x.onnx", own)
    assert about["weights_sha256"] == file_sha256(own)
    assert {item.domain for item in onnx.load(tmp_path / "x.onnx").opset_import} == {""}
    model.opset_import[0].version = 19
    written(own, model)
    with pytest.raises(CadstnError, match=r"ONNX opset \[19, 20\], not 20"):
        write_whole(tmp_path / "x.onnx", own)


def test_the_file_is_the_same_each_time(folder: Path, tmp_path: Path) -> None:
    write_whole(tmp_path / "2.onnx", hands=2)
    assert (tmp_path / "2.onnx").read_bytes() == (folder / "2.onnx").read_bytes()


def test_what_cannot_be_exported(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CadstnError, match="hands is 3"):
        write_whole(tmp_path / "x.onnx", hands=3)
    with pytest.raises(CadstnError, match="not an exported network"):
        write_whole(tmp_path / "x.onnx", folder / "1.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(CadstnError, match="not an exported network"):
        write_whole(tmp_path / "x.onnx", tmp_path / "text.onnx")
    older = Path(__file__).parents[1] / "tracking/pins/older.onnx"
    with pytest.raises(CadstnError, match="a network without its detector"):
        write_whole(tmp_path / "x.onnx", older)
    plain = onnx.load(older)
    recipe = next(item for item in plain.metadata_props if item.key == "recipe")
    recipe.value = json.dumps({**json.loads(recipe.value), "center": "tracked"})
    onnx.save(plain, tmp_path / "plain.onnx")
    with pytest.raises(CadstnError, match="not a compact network of canonical views"):
        write_whole(tmp_path / "x.onnx", tmp_path / "plain.onnx")
    written(tmp_path / "of-a-set.onnx", shipped_with(answers=False))
    with pytest.raises(CadstnError, match="not a compact network of canonical views"):
        write_whole(tmp_path / "x.onnx", tmp_path / "of-a-set.onnx")
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(CadstnError, match="the name of the description"):
        write_whole(tmp_path / "x.json")
    own, shipped = tmp_path / "own.onnx", known_weights()[0].path
    own.write_bytes(shipped.read_bytes())
    with pytest.raises(CadstnError, match="is the input itself"):
        write_whole(own, own)
    assert own.read_bytes() == shipped.read_bytes()


def test_a_failed_rename_leaves_graph_and_description(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.onnx", "1.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    before = (tmp_path / "1.json").read_bytes()
    rename = os.replace

    def held(source: str, target: Path) -> None:
        if Path(target).suffix == ".onnx":
            raise PermissionError(13, "in use")
        rename(source, target)

    monkeypatch.setattr(os, "replace", held)
    with pytest.raises(CadstnError, match="unchanged"):
        write_whole(tmp_path / "1.onnx")
    assert (tmp_path / "1.json").read_bytes() == before


def test_the_command(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "hand.onnx"
    result = CliRunner().invoke(cli, ["export", "--whole", str(path), "--hands", "2"])
    assert result.exit_code == 0
    assert "hand.json" in result.output
    assert path.read_bytes() == (folder / "2.onnx").read_bytes()


def test_the_graph_is_one_that_older_runtimes_take(folder: Path) -> None:
    """onnxruntime 1.18 wants named nodes and no ArgMax of 64 bits; 1.22 no transposed products."""
    nodes = [*_nodes(onnx.load(folder / "1.onnx").graph)]
    names = [node.name for node in nodes]
    assert len(names) == len(set(names)) > 1000
    assert "" not in names
    # The networks' own are of 32 bits.
    assert "Transpose" not in {n.op_type for n in nodes if not n.name.startswith("net")}
    made = {name: node for node in nodes for name in node.output}
    own = [n for n in nodes if n.op_type == "ArgMax" and not n.name.startswith("net")]
    casts = [made[n.input[0]] for n in own]
    assert casts
    assert {(c.op_type, c.attribute[0].i) for c in casts} == {("Cast", onnx.TensorProto.INT32)}


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
