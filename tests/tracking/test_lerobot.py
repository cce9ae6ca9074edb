"""Sessions as LeRobot data sets: the layout of format v3.0, and LeRobot's reader where it is."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.cli.outputs import targets
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.cameras import LiveFrame
from cadstn.tracking.hand import Hand
from cadstn.tracking.live import Tracked
from cadstn.tracking.outputs.lerobot import DEPTH, FOUND, STATE, TIME, LeRobotWriter
from cadstn.tracking.outputs.lerobot_stats import ImageStats, stats_of

parquet = pytest.importorskip("pyarrow.parquet", reason="needs cadstn[lerobot]")

CAMERA = Camera(60.0, 60.0, 19.5, 14.5, 40, 30, depth_unit_mm=0.25, fps=30)
DEMO = Path(__file__).resolve().parents[2] / "src/cadstn/demo"


def depth_of(index: int) -> np.ndarray:
    """Depth in quarters of a millimetre, as the camera's unit is."""
    depth = np.random.default_rng(index).integers(0, 20000, (30, 40)) / 4
    return depth.astype(np.float32)


def seen(index: int, found: bool = True, cut: bool = False, hands: int = 1) -> Tracked:
    joints = np.full((21, 3), float(index) if found else np.nan, np.float32)
    nan = np.full(21, np.nan, np.float32)
    hand = Hand(
        joints, found, "found" if found else "lost", 0.0, np.zeros(3), 200.0, nan,
        np.zeros(21, np.float32), nan, 0.9, "left" if found else "unknown", 0.0,
    )  # fmt: skip
    frame = LiveFrame(depth_of(index), CAMERA, 100 + index / 30, index, cut=cut)
    return Tracked(frame, (hand,) * hands, 3.0, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes of 70 and 30 frames; the hand is lost in the first one and in the 11th."""
    out = tmp_path_factory.mktemp("lerobot") / "set"
    with LeRobotWriter(out, HAND21, "wave") as writer:
        for index in range(100):
            writer(seen(index, found=index not in (0, 10), cut=index in (0, 70)))
    return out


def rows_of(folder: Path, episode: int) -> Any:
    return parquet.read_table(folder / f"data/chunk-000/file-{episode:03d}.parquet").to_pylist()


def test_info_names_every_column_of_the_data(folder: Path) -> None:
    info = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 100, 1)
    assert (info["fps"], info["splits"]) == (30, {"train": "0:2"})
    path = info["data_path"].format(chunk_index=0, file_index=1)
    schema = parquet.read_schema(folder / path)
    assert set(schema.names) == set(info["features"])
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index"} < set(schema.names)
    for name, feature in info["features"].items():
        kind = str(schema.field(name).type)
        if feature["dtype"] == "image":
            assert kind == "struct<bytes: binary, path: string>"
        elif feature["shape"] == [1]:
            assert kind == {"float32": "float", "float64": "double"}.get(
                feature["dtype"], feature["dtype"]
            )
        else:
            assert kind.startswith("fixed_size_list")
            assert len(feature["names"]) == feature["shape"][0] == schema.field(name).type.list_size
    assert info["features"][STATE]["names"][-1] == "pinky_tip_z_mm"
    assert info["features"][DEPTH]["shape"] == [30, 40, 1]
    assert info["features"][DEPTH]["info"]["depth_unit_mm"] == 0.25


def test_depth_is_kept_as_it_was(folder: Path) -> None:
    for index, row in enumerate(rows_of(folder, 0)):
        image = cv2.imdecode(np.frombuffer(row[DEPTH]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None and image.dtype == np.uint16  # noqa: PT018
        np.testing.assert_array_equal(image * 0.25, depth_of(index))


def test_hands_and_indices(folder: Path) -> None:
    first, second = rows_of(folder, 0), rows_of(folder, 1)
    assert (len(first), len(second)) == (70, 30)
    assert [row["index"] for row in first + second] == list(range(100))
    assert [row["frame_index"] for row in second] == list(range(30))
    assert {row["episode_index"] for row in second} == {1}
    np.testing.assert_allclose([row["timestamp"] for row in second], np.arange(30) / 30, rtol=1e-6)
    np.testing.assert_allclose([row[TIME] for row in second], 100 + np.arange(70, 100) / 30)
    # Where the hand is lost it stays where it was, at the beginning at 0.
    assert [row[FOUND] for row in first[:3]] == [False, True, True]
    assert [row[STATE][0] for row in first[8:13]] == [8, 9, 9, 11, 12]
    assert not first[0][STATE][0]
    assert not first[10][FOUND]


def test_episodes_and_tasks_lead_to_the_data(folder: Path) -> None:
    first, second = parquet.read_table(
        folder / "meta/episodes/chunk-000/file-000.parquet"
    ).to_pylist()
    assert (second["dataset_from_index"], second["dataset_to_index"]) == (70, 100)
    assert (second["length"], second["tasks"]) == (30, ["wave"])
    assert (first["data/file_index"], second["data/file_index"]) == (0, 1)
    np.testing.assert_allclose(second[f"stats/{STATE}/min"], 70)
    assert second[f"stats/{STATE}/count"] == [30]
    pandas = pytest.importorskip("pandas", reason="needs cadstn[table]")
    tasks = pandas.read_parquet(folder / "meta/tasks.parquet")
    assert tasks.iloc[0].name == "wave"
    assert tasks.loc["wave"].task_index == 0


def test_statistics_are_those_of_all_frames(folder: Path) -> None:
    stats = json.loads((folder / "meta/stats.json").read_text(encoding="utf-8"))
    units = np.stack([depth_of(index) for index in range(100)]) * 4
    for name, value in {
        "min": units.min(), "max": units.max(), "mean": units.mean(), "std": units.std(),
        "q50": np.median(units),
    }.items():  # fmt: skip
        np.testing.assert_allclose(stats[DEPTH][name], [[[value]]], rtol=1e-3, err_msg=name)
    assert stats[DEPTH]["count"] == [100]
    times = 100 + np.arange(100) / 30
    np.testing.assert_allclose(stats[TIME]["mean"], [times.mean()])
    np.testing.assert_allclose(stats[TIME]["q90"], [np.quantile(times, 0.9)])


def test_statistics_of_images_are_exact() -> None:
    images = np.random.default_rng(0).integers(0, 1 << 16, (3, 20, 30)).astype(np.uint16)
    one, other = ImageStats(), ImageStats()
    one.add(images[0])
    other.add(images[1])
    other.add(images[2])
    one.merge(other)
    expected = stats_of(images.reshape(-1, 1))
    for name, value in one.to_dict().items():
        if name == "count":
            assert value == [3]
        else:
            np.testing.assert_allclose(value, [[expected[name]]], atol=60, err_msg=name)
    np.testing.assert_allclose(one.to_dict()["std"], [[expected["std"]]])


def test_two_hands_are_one_state(tmp_path: Path) -> None:
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        writer(seen(1, hands=2))
    row = rows_of(tmp_path / "set", 0)[0]
    assert len(row[STATE]) == 2 * 63
    assert row[FOUND] == [True, True]
    info = json.loads((tmp_path / "set/meta/info.json").read_text(encoding="utf-8"))
    assert info["features"][STATE]["names"][63] == "hand2_wrist_x_mm"


def test_an_episode_begins_without_the_hand_of_the_one_before(tmp_path: Path) -> None:
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        for index in range(1, 7):
            writer(seen(index, found=index in (1, 2, 6), cut=index == 4))
    first, second = rows_of(tmp_path / "set", 0), rows_of(tmp_path / "set", 1)
    assert [row[STATE][0] for row in first] == [1, 2, 2]
    assert [row[STATE][0] for row in second] == [0, 0, 6]


@pytest.mark.parametrize("gap_s", [0.5, 0.6, 2.9, -1.0])
def test_a_gap_that_the_tracker_does_not_cross_begins_an_episode(
    tmp_path: Path, gap_s: float
) -> None:
    times = [0.0, 1 / 32, 1 / 16, 1 / 16 + gap_s, 1 / 16 + gap_s + 1 / 32]
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        for index, time_s in enumerate(times):
            one = seen(index)
            dropped = 7 if index < 3 else 10
            frame = replace(one.frame, time_s=time_s, dropped=dropped)
            writer(replace(one, frame=frame))
    assert (writer.frames, writer.dropped) == (5, 3)
    first = rows_of(tmp_path / "set", 0)
    assert len(first) == (5 if gap_s == 0.5 else 3)
    np.testing.assert_allclose([row[TIME] for row in first], times[: len(first)])
    if gap_s != 0.5:
        second = rows_of(tmp_path / "set", 1)
        np.testing.assert_allclose([row["timestamp"] for row in second], [0, 1 / 30])
        np.testing.assert_allclose([row[TIME] for row in second], times[3:])


def test_live_says_how_many_frames_a_data_set_lacks(tmp_path: Path) -> None:
    lines: list[str] = []
    given: Any = {"osc": None, "udp": None, "task": None, "lerobot": tmp_path / "set"}
    network: Any = SimpleNamespace(skeleton=HAND21)
    with targets(network, "hand21", False, lines.append, **given) as sinks:
        for index, dropped in enumerate((0, 0, 1)):
            one = seen(index)
            sinks[0](replace(one, frame=replace(one.frame, dropped=dropped)))
    (line,) = lines
    assert line.startswith("the data set lacks 25% of the source's frames")


def test_what_cannot_be_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_text("here", encoding="utf-8")
    with pytest.raises(CadstnError, match="is already there"):
        LeRobotWriter(tmp_path, HAND21)
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        writer(seen(0))
        other = seen(1)
        frame = replace(other.frame, depth_mm=np.zeros((20, 20), np.float32))
        with pytest.raises(CadstnError, match=r"frames of \(20, 20\) after \(30, 40\)"):
            writer(replace(other, frame=frame))
    assert len(rows_of(tmp_path / "set", 0)) == 1  # what came before is whole
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CadstnError, match=r"pip install 'cadstn\[lerobot\]'"):
        LeRobotWriter(tmp_path / "other", HAND21)


def test_live_records_a_session(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["live", str(DEMO), "--fast", "--seconds", "0.2", "--lerobot", str(tmp_path / "set"),
              "--task", "open and close"], catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "set", 0)
    assert rows[0][FOUND]
    info = json.loads((tmp_path / "set/meta/info.json").read_text(encoding="utf-8"))
    assert info["total_frames"] == len(rows)


def test_lerobots_own_reader_takes_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip(
        "lerobot.datasets.lerobot_dataset", reason="lerobot is not installed"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    held = datasets.LeRobotDataset("local/set", root=folder)
    assert (len(held), held.num_episodes) == (100, 2)
    item = held[75]
    assert item["task"] == "wave"
    np.testing.assert_array_equal(item[DEPTH].numpy()[0] * 0.25, depth_of(75))
    np.testing.assert_allclose(item[STATE].numpy(), 75)


def image_of(folder: Path) -> np.ndarray:
    data = np.frombuffer(rows_of(folder, 0)[0][DEPTH]["bytes"], np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def test_depth_that_16_bits_do_not_hold_counts_as_not_measured(tmp_path: Path) -> None:
    one, depth_mm = seen(1), np.full((30, 40), 500, np.float32)
    depth_mm[0, :5] = 16383.75, 16384, 20000, np.nan, np.inf  # four units a millimetre
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        writer(replace(one, frame=replace(one.frame, depth_mm=depth_mm)))
    assert image_of(tmp_path / "set")[0, :6].tolist() == [65535, 0, 0, 0, 0, 2000]


def test_a_coarse_unit_keeps_millimetres(tmp_path: Path) -> None:
    one, depth_mm = seen(1), np.full((30, 40), 523.4, np.float32)
    camera = replace(CAMERA, depth_unit_mm=10.0)
    with LeRobotWriter(tmp_path / "set", HAND21) as writer:
        writer(replace(one, frame=replace(one.frame, depth_mm=depth_mm, camera=camera)))
    assert (image_of(tmp_path / "set") == 523).all()
    info = json.loads((tmp_path / "set/meta/info.json").read_text(encoding="utf-8"))
    assert info["features"][DEPTH]["info"]["depth_unit_mm"] == 1
