"""Training the detector: its loss, its augmentation, and that it goes on where it stopped."""

import math
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

from cadstn._version import __version__
from cadstn.cli import cli
from cadstn.cli.shared import given_options
from cadstn.errors import CadstnError
from cadstn.export.detector_file import DetectorGraph
from cadstn.export.half import round_to_half
from cadstn.export.onnx_file import detector_file
from cadstn.io.whole import alone_in
from cadstn.models.detector import STRIDE, Detections, Detector, cell_depth, detector_input
from cadstn.synth.whole import ABSENT, FOUND, UNSURE, Frames
from cadstn.train.detector import DetectorRecipe, Line, _rate, augmented, train_detector
from cadstn.train.detector_loss import Target, detector_loss
from cadstn.train.recipes import STAGES
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


def test_one_process_at_a_time_trains_a_detector_in_a_folder(tmp_path: Path) -> None:
    with alone_in(tmp_path / "run"):
        done = CliRunner().invoke(cli, ["train", "detector", "--out", str(tmp_path / "run")])
    assert "run: another process writes into it; wait for it" in str(done.exception)
    assert list((tmp_path / "run").iterdir()) == []


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


def test_augmented_labels_turn_with_their_frames() -> None:
    """The second hand lies 20 px along the first one's direction, and points across it."""
    count = 64

    def rows(*values: object) -> np.ndarray:
        return np.array([values] * count, np.float32)

    labels = Frames(
        np.empty(0, np.float32), np.full(count, 120, np.float32),
        rows([60, 50, 500], [72, 66, 500]), rows([0.6, 0.8], [-0.8, 0.6]), rows(1, 1),
        rows(0, 1), np.full((count, 2), FOUND, np.int8),
    )  # fmt: skip
    bank = WholeBank((np.full((count, 120, 160), 500, np.uint16),), labels)
    for seed in range(6):
        _, _, target = augmented(bank, np.arange(count), np.random.default_rng(seed))
        along, across = target.direction.unbind(1)
        away = target.center_uvd[:, 1, :2] - target.center_uvd[:, 0, :2]
        torch.testing.assert_close(away, 20 * along)
        sense = along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]  # -1 in a mirror
        torch.testing.assert_close(target.left, torch.stack([1 - sense, 1 + sense], 1) / 2)
        torch.testing.assert_close(target.size, target.center_uvd[..., 2] / 500)
        assert 0.2 < target.left[:, 0].mean() < 0.8


def test_the_rate_rises_falls_and_begins_again_at_half() -> None:
    recipe = DetectorRecipe(steps=100, again=40, rounds=2, warmup=4)
    found = [_rate(step, recipe) for step in (0, 50, 100, 120, 140, 160)]
    assert found == pytest.approx([0.25, 0.5, 0.5, 0.25, 0.5, 0.25], abs=1e-12)


def test_the_finished_weights_are_the_average_of_what_was_learned(tmp_path: Path) -> None:
    once = DetectorRecipe(frames=16, steps=1, rounds=0, batch=2, warmup=2, bf16=False)
    path = train_detector(once, tmp_path)
    assert path is not None
    torch.manual_seed(once.seed)
    fresh = Detector()
    mean, held = load_file(path), load_file(tmp_path / "checkpoint.safetensors")
    for name, first in fresh.state_dict().items():
        if first.is_floating_point():  # of the first step half is kept: 1 - 1 / (1 + 1)
            torch.testing.assert_close(mean[name], (first + held[f"model.{name}"]) / 2)
    moved = [(held[f"model.{n}"] - p.detach()).abs().max() for n, p in fresh.named_parameters()]
    # Adam's first step is the rate: 2e-3, half of it in the middle of the warm-up.
    assert max(map(float, moved)) == pytest.approx(1e-3, rel=0.02)


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


def test_the_graph_gives_places_in_the_frame_and_the_networks_other_answers() -> None:
    heat = torch.full((1, 3, 4), -9.0)
    heat[0, 1, 2], heat[0, 1, 3] = 2.0, 1.0  # neighbours: of one hand
    one, pair = torch.ones(1, 3, 4), torch.ones(1, 2, 3, 4)
    aside = torch.tensor([0.25, -0.5]).view(1, 2, 1, 1) * pair
    ahead = torch.tensor([0.6, -0.8]).view(1, 2, 1, 1) * pair
    given = Detections(
        heat, aside, one * math.log(1.1), one * math.log(0.9), ahead, one * math.log(3.0)
    )

    class Given(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> Detections:
            return given

    graph = DetectorGraph(Detector())
    graph.model = Given()  # type: ignore[assignment]
    hands = graph(torch.full((1, 12, 16), 500.0), torch.tensor([120.0]))[0]
    # Cells are of 4 px, the first one's middle at 1.5: (2 + 0.25) 4 + 1.5 and (1 - 0.5) 4 + 1.5.
    expected = [1 / (1 + math.exp(-2)), 10.5, 3.5, 550.0, 0.9, 0.6, -0.8, 0.75]
    torch.testing.assert_close(hands[0], torch.tensor(expected))
    assert hands[1:, 0].max() < 0.001


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


def test_frames_of_another_simulator_or_size_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_bank(tmp_path, seed=(0, 20), frames=3)
    monkeypatch.setattr("cadstn.train.whole_bank._render_part", None)  # refused before the work
    with pytest.raises(CadstnError, match=r"labels\.npz: 3 frames of simulator .*, not 8 of"):
        whole_bank(tmp_path, seed=(0, 20), frames=8)
    with monkeypatch.context() as patch:
        patch.setattr("cadstn.train.whole_bank.SIMULATOR", "9")
        with pytest.raises(CadstnError, match=r"3 frames of simulator .*, not 3 of 9; give"):
            whole_bank(tmp_path, seed=(0, 20), frames=3)
    (path,) = tmp_path.glob("*.labels.npz")
    with np.load(path) as held:
        labels = dict(held)
    del labels["simulator"]  # as before it was noted: it was the first
    np.savez(path, **labels)
    assert len(whole_bank(tmp_path, seed=(0, 20), frames=3)) == 3
    monkeypatch.setattr("cadstn.train.whole_bank.SIMULATOR", "9")
    with pytest.raises(CadstnError, match=r"3 frames of simulator 0\.1\.0, not 3 of 9"):
        whole_bank(tmp_path, seed=(0, 20), frames=3)


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
        assert "the detector's training has ended: " in capsys.readouterr().err
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
    weights = {"detector": "a", "compact": "b", "follow": "c", "follow-again": "d"}

    def made(part: Path, **given: object) -> None:
        calls.append((str(part), given))
        part.mkdir(parents=True, exist_ok=True)
        names = ("detector",) if part.name == "detector" else STAGES
        for name in names:
            (part / f"{name}.safetensors").write_text(weights[part.name])

    monkeypatch.setattr(shipped, "train_detector", lambda part, *_: made(part))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    real = training.train.callback
    assert real is not None

    def trained(**given: object) -> None:
        if given["name"] == "shipped":
            real(**given)
        else:
            made(Path(str(given["out"])), **given)

    monkeypatch.setattr(training.train, "callback", trained)

    def exported(**given: object) -> None:
        assert given_options("hands", "uint16") == []  # which export refuses
        calls.append((str(given["out"]), given))
        Path(str(given["out"])).touch()

    def scale(weights: Path, keep: Path) -> float:
        assert keep == out / f"choosing-{__version__}"
        return 1.25

    def fitted(network: Path, path: Path) -> None:
        calls.append((str(path), {"of": network}))
        path.touch()

    monkeypatch.setattr(exporting.export, "callback", exported)
    monkeypatch.setattr(shipped, "_error_scale", scale)
    monkeypatch.setattr(tracking, "load_network", lambda path: path)
    monkeypatch.setattr(shipped, "fit_decision_to", fitted)
    out = tmp_path / "run"

    def steps() -> list[str]:
        calls.clear()
        result = CliRunner().invoke(cli, ["train", "shipped", "--out", str(out)])
        assert result.exit_code == 0, result.output
        return [Path(path).name for path, _ in calls]

    begun = steps()
    (
        _, compact, first, follow, second, again, plain, scaled, decision, export
    ) = (given for _, given in calls)  # fmt: skip
    assert compact["start"] is None
    assert (first["run"], first["detector"]) == (out / "compact", f"{out}/detector")
    assert (second["run"], second["detector"]) == (out / "follow", f"{out}/detector")
    chosen = next(out.glob("decision-*"))
    miners = [Path(str(given["out"])) for given in (first, second)]
    assert begun == [
        "detector", "compact", miners[0].name, "follow", miners[1].name, "follow-again",
        "follow.onnx", "scaled.onnx", chosen.name, "hand21.onnx",
    ]  # fmt: skip
    assert (follow["start"], follow["miner"]) == (f"{out}/compact", str(miners[0]))
    assert (again["start"], again["miner"]) == (f"{out}/follow", str(miners[1]))
    assert [given["settings"] for given in (compact, follow, again)] == [
        shipped._COMPACT, shipped._FOLLOW, shipped._AGAIN,
    ]  # fmt: skip
    assert plain["run"] == scaled["run"] == export["run"] == out / "follow-again"
    assert export["detector"] == f"{out}/detector"
    assert not export["blend"]
    assert [given["error_scale"] for given in (plain, scaled, export)] == [1, 1.25, 1.25]
    assert decision["of"] == out / "scaled.onnx"
    assert plain["decision"] is scaled["decision"] is None
    assert export["decision"] == chosen
    # What is kept is made of the parts that are there.
    kept = [name for name in begun if not name.startswith(("miner", "scaled", "decision"))]
    assert steps() == kept
    weights["follow-again"] = "trained anew"
    assert len(steps()) == len(kept) + 2
    weights["follow"] = "trained anew"
    assert len(steps()) == len(kept) + 1
    weights["detector"] = "trained anew"
    assert len(steps()) == len(kept) + 4
    assert [len(list(out.glob(f"{name}-*"))) for name in ("miner", "decision")] == [5, 3]
