"""Training the detector: its loss, its augmentation, and that it goes on where it stopped."""

import os
import shutil
import time
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from cadstn.cli import cli
from cadstn.cli.shared import given_options
from cadstn.errors import CadstnError
from cadstn.export.detector_file import DetectorGraph
from cadstn.export.half import round_to_half
from cadstn.export.onnx_file import detector_file
from cadstn.models.detector import STRIDE, Detections, Detector, cell_depth, detector_input
from cadstn.synth.whole import ABSENT, FOUND, UNSURE
from cadstn.train.detector import DetectorRecipe, Line, augmented, train_detector
from cadstn.train.detector_loss import Target, detector_loss
from cadstn.train.whole_bank import WholeBank, whole_bank

RECIPE = DetectorRecipe(frames=64, steps=3, again=3, batch=4, warmup=2, bf16=False)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> WholeBank:
    return whole_bank(tmp_path_factory.mktemp("whole"), seed=(0, 20), frames=64)


def test_the_detector_is_small_and_any_size_goes_in() -> None:
    model = Detector()
    assert sum(p.numel() for p in model.parameters()) < 300_000
    out = model(detector_input(torch.full((2, 96, 160), 500.0), torch.tensor([100.0, 150.0])))
    assert out.heat.shape == (2, 24, 40)
    assert out.direction.shape == (2, 2, 24, 40)


def perfect(target: Target, depth: torch.Tensor, focal: torch.Tensor) -> Detections:
    """What a detector that knows the truth would give, up to the centres' exact heat."""
    batch, height, width = len(depth), depth.shape[1] // STRIDE, depth.shape[2] // STRIDE
    maps = torch.zeros(batch, 7, height, width)
    heat = torch.full((batch, height, width), -9.0)
    base = cell_depth(depth)
    for b in range(batch):
        for h in range(2):
            if target.found[b, h] != FOUND:
                continue
            cell = (target.center_uvd[b, h, :2] - (STRIDE - 1) / 2) / STRIDE
            u, v = round(float(cell[0])), round(float(cell[1]))
            for y in range(max(0, v - 2), min(height, v + 3)):
                for x in range(max(0, u - 2), min(width, u + 3)):
                    maps[b, 0, y, x], maps[b, 1, y, x] = cell[0] - x, cell[1] - y
                    if base[b, y, x] > 0:
                        away = (target.center_uvd[b, h, 2] / base[b, y, x]).log()
                        maps[b, 2, y, x] = away.clamp(-0.7, 0.7)
                    maps[b, 3, y, x] = target.size[b, h].log()
                    maps[b, 4:6, y, x] = target.direction[b, h]
                    maps[b, 6, y, x] = 20 * (2 * target.left[b, h] - 1)
            if 0 <= u < width and 0 <= v < height:
                heat[b, v, u] = 9.0
    return Detections(heat, maps[:, :2], maps[:, 2], maps[:, 3], maps[:, 4:6], maps[:, 6])


def test_the_truth_costs_least(bank: WholeBank) -> None:
    rng = np.random.default_rng(0)
    depth, focal, target = augmented(bank, np.arange(24), rng)
    one = (target.found != FOUND).any(1)  # of two hands close together maps hold but one
    depth, focal = depth[one], focal[one]
    target = Target(*(field[one] for field in target))
    out = perfect(target, depth, focal)
    best, centers = detector_loss(out, target, depth, focal)
    for name in Detections._fields:
        worse = out._replace(**{name: -getattr(out, name) + 0.3})
        assert detector_loss(worse, target, depth, focal)[0] > best + 0.05, name
    assert centers < 0.2
    assert best < 0.4


def test_an_unsure_hand_is_neither_right_nor_wrong(bank: WholeBank) -> None:
    depth, focal, target = augmented(bank, np.arange(24), np.random.default_rng(0))
    unsure = target._replace(found=torch.where(target.found == FOUND, UNSURE, target.found))
    absent = target._replace(found=torch.full_like(target.found, ABSENT))
    out = perfect(target, depth, focal)
    assert detector_loss(out, unsure, depth, focal)[1] < 0.1
    assert detector_loss(out, absent, depth, focal)[1] > 5


def test_augmented_labels_stay_on_their_hands(bank: WholeBank) -> None:
    for seed in range(6):
        depth, _, target = augmented(bank, np.arange(48), np.random.default_rng(seed))
        assert depth.shape[1] % 32 == 0
        assert depth.shape[2] % 32 == 0
        near = []
        for b, h in (target.found == FOUND).nonzero().tolist():
            u, v, z = target.center_uvd[b, h].tolist()
            around = depth[b, max(0, int(v) - 4) : int(v) + 5, max(0, int(u) - 4) : int(u) + 5]
            near.append(bool(((around - z).abs() < 120).any()))
        assert np.mean(near) > 0.9


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = train_detector(RECIPE, tmp_path / "one")
    assert whole is not None
    lines: list[Line] = []
    steps = iter([False, False, True])
    assert train_detector(RECIPE, tmp_path / "two", stop=lambda: next(steps)) is None
    again = train_detector(RECIPE, tmp_path / "two", on_line=lines.append)
    assert again is not None
    assert lines[-1].step == RECIPE.steps + RECIPE.again * RECIPE.rounds
    for path in (tmp_path / "two").glob("detector.*"):  # readable by others, as the umask has it
        assert path.stat().st_mode & 0o777 == 0o666 & ~_umask(), path
    one, two = load_file(whole), load_file(again)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    with pytest.raises(CadstnError, match="another recipe"):
        train_detector(DetectorRecipe(frames=64, steps=9), tmp_path / "two")
    # Finished weights are left as they are: neither frames nor checkpoint are needed any more.
    (tmp_path / "two" / "checkpoint.safetensors").unlink()
    shutil.rmtree(tmp_path / "two" / "frames")
    written = again.stat().st_mtime_ns
    assert train_detector(RECIPE, tmp_path / "two") == again
    assert again.stat().st_mtime_ns == written
    assert not (tmp_path / "two" / "frames").exists()
    again.write_bytes(again.read_bytes()[:-1])
    with pytest.raises(CadstnError, match=r"detector\.safetensors: .*delete it"):
        train_detector(RECIPE, tmp_path / "two")


def test_the_graph_equals_the_network(tmp_path: Path, bank: WholeBank) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(1)
    model = Detector()
    with torch.no_grad():  # heat that varies, so that the surest places are no ties
        model.out.weight.mul_(30)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "detector.onnx"
    path.write_bytes(detector_file(weights))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph = DetectorGraph(model)
    round_to_half(graph)
    for seed, rows in enumerate((3, 9)):
        depth, focal, _ = augmented(bank, np.array([rows]), np.random.default_rng(seed))
        (ours,) = session.run(["hands"], {"depth": depth.numpy(), "focal": focal.numpy()})
        with torch.no_grad():
            theirs = graph(depth, focal).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)
    with pytest.raises(CadstnError, match="not a detector's weights"):
        detector_file({})


def test_the_command_trains_a_detector(tmp_path: Path) -> None:
    few = ("frames=16", "steps=2", "again=1", "batch=2", "bf16=false")
    sets = [part for field in few for part in ("--set", field)]
    arguments = ["train", "detector", "--out", str(tmp_path / "run"), *sets]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "detector.safetensors").exists()
    assert "next: cadstn export" in result.output
    wrong = CliRunner().invoke(
        cli, ["train", "detector", "--out", str(tmp_path), "--set", "step=3"]
    )
    assert isinstance(wrong.exception, CadstnError)
    assert "unknown field 'step'" in str(wrong.exception)
    assert "steps" in str(wrong.exception)


@pytest.mark.parametrize("text", ["frames=0", "batch=0", "learning_rate=0", "average=2"])
def test_a_recipe_that_trains_nothing_is_refused(text: str) -> None:
    done = CliRunner().invoke(cli, ["train", "detector", "--print", "--set", text])
    assert isinstance(done.exception, CadstnError)
    assert text.partition("=")[0] in str(done.exception)


def test_frames_whose_bits_changed_are_refused(tmp_path: Path) -> None:
    whole_bank(tmp_path, seed=(0, 20), frames=2)
    (depth,) = tmp_path.glob("*.depth.npy")
    held = bytearray(depth.read_bytes())
    held[len(held) // 2] ^= 1
    depth.write_bytes(held)
    with pytest.raises(CadstnError, match=r"depth\.npy: damaged frames"):
        whole_bank(tmp_path, seed=(0, 20), frames=2)
    depth.unlink()  # then it is rendered again
    assert len(whole_bank(tmp_path, seed=(0, 20), frames=2)) == 2


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_threads(log: Path, out: Path, threads: int) -> None:
    """What a process does in the detector's place: it waits for the other part to begin."""
    for _ in range(600):
        if out.with_name("other").exists():
            break
        time.sleep(0.1)
    out.mkdir()
    (out / "detector.safetensors").write_text(str(threads))


def fail(log: Path, out: Path, threads: int) -> None:
    raise CadstnError("disk full", where=out)


def test_the_detector_trains_beside_another_part_on_half_of_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadstn.cli import shipped

    before = torch.get_num_threads()
    seen: list[int | str] = []
    monkeypatch.setattr(shipped, "_into", write_threads)
    monkeypatch.setattr(shipped, "train_detector", lambda *_: seen.append("alone"))

    def other() -> None:
        seen.append(torch.get_num_threads())
        (tmp_path / "other").touch()

    detector = tmp_path / "detector"
    try:
        torch.set_num_threads(3)
        shipped._beside(detector, other)
        assert seen == [2]
        assert torch.get_num_threads() == 3
        assert (detector / "detector.safetensors").read_text() == "1"
        # Finished, or on one thread: one after the other.
        shipped._beside(detector, other)
        torch.set_num_threads(1)
        shipped._beside(tmp_path / "new", other)
        assert seen[1:] == ["alone", 3, "alone", 1]
        torch.set_num_threads(2)
        monkeypatch.setattr(shipped, "_into", fail)
        with pytest.raises(CadstnError, match="new: disk full"):
            shipped._beside(tmp_path / "new", other)
    finally:
        torch.set_num_threads(before)


def test_what_the_detector_prints_beside_another_part_goes_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cadstn.cli import shipped

    monkeypatch.setattr(shipped, "train_detector", lambda *_: click.echo("step 1", err=True))
    log = tmp_path / "run" / "detector.log"
    shipped._into(log, tmp_path / "run" / "detector", torch.get_num_threads())
    shipped._into(log, tmp_path / "run" / "detector", torch.get_num_threads())
    assert log.read_text() == "step 1\nstep 1\n"
    assert capsys.readouterr().err == ""


def test_shipped_begins_with_nothing_and_goes_on_from_its_own_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadstn import tracking
    from cadstn.cli import exporting, shipped, training

    calls: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(shipped, "train_detector", lambda out, *_: calls.append((str(out), {})))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    real = training.train.callback
    assert real is not None

    def trained(**given: object) -> None:
        if given["name"] == "shipped":
            real(**given)
        else:
            calls.append((str(given["out"]), given))

    monkeypatch.setattr(training.train, "callback", trained)

    def exported(**given: object) -> None:
        assert given_options("hands", "uint16") == []  # which export refuses
        calls.append((str(given["out"]), given))

    monkeypatch.setattr(exporting.export, "callback", exported)
    monkeypatch.setattr(shipped, "_error_scale", lambda weights, keep: 1.25)
    monkeypatch.setattr(tracking, "load_network", lambda path: path)
    monkeypatch.setattr(
        shipped,
        "fit_decision_to",
        lambda network, path: calls.append((str(path), {"of": network})),
    )
    out = tmp_path / "run"
    result = CliRunner().invoke(cli, ["train", "shipped", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert [path.removeprefix(f"{out}/") for path, _ in calls] == [
        "detector", "compact", "first.onnx", "follow", "second.onnx", "follow-again", "follow.onnx",
        "scaled.onnx", "decision.json", "hand21.onnx",
    ]  # fmt: skip
    (
        _, compact, first, follow, second, again, plain, scaled, decision, export
    ) = (given for _, given in calls)  # fmt: skip
    assert compact["start"] is None
    assert (first["run"], first["detector"]) == (out / "compact", f"{out}/detector")
    assert (follow["start"], follow["miner"]) == (f"{out}/compact", f"{out}/first.onnx")
    assert second["run"] == out / "follow"
    assert (again["start"], again["miner"]) == (f"{out}/follow", f"{out}/second.onnx")
    assert [given["settings"] for given in (compact, follow, again)] == [
        shipped._COMPACT, shipped._FOLLOW, shipped._AGAIN,
    ]  # fmt: skip
    assert plain["run"] == export["run"] == out / "follow-again"
    assert export["detector"] == f"{out}/detector"
    assert not export["blend"]
    assert [given["error_scale"] for given in (plain, scaled, export)] == [1, 1.25, 1.25]
    assert decision["of"] == out / "scaled.onnx"
    assert plain["decision"] is scaled["decision"] is None
    assert export["decision"] == out / "decision.json"
