"""The sealed and the choosing test: which clips they hold, and that every frame counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from cadstn.bench.accuracy.follow import Followed
from cadstn.bench.accuracy.scenes import SCENES
from cadstn.bench.accuracy.sealed import (
    SEEDS,
    SceneSet,
    definition_sha256,
    measure_every,
    scene_recordings,
    set_sha256,
)
from cadstn.cli import cli, shipped
from cadstn.errors import CadstnError

ROOT = Path(__file__).resolve().parents[3]


def a_clip(frames: int = 10) -> Followed:
    """A hand at rest that is tracked without error."""
    k = np.arange(21.0)
    joints = np.stack([12 * (k % 5), 25 * (k // 5), 600 + 2 * k], -1)
    truth: NDArray[np.float64] = np.repeat(joints[None], frames, 0)
    nothing = np.full((frames, 3), np.nan)
    return Followed(
        "clean", False, np.arange(frames) / 30, truth, np.ones(frames, np.bool_), nothing,
        truth.copy(), truth.mean(1), truth.mean(1), np.full((frames, 21), 9.0),
        ("right",) * frames, truth.copy(), truth.copy(),
    )  # fmt: skip


def test_every_frame_counts() -> None:
    """Of ten frames two are lost, one is on the second hand, one has a joint out of the picture."""
    one = a_clip()
    other: NDArray[np.float64] = np.array([300.0, 0, 0])
    one.joints_mm[:2] = np.nan
    one.joints_mm[2] += other
    one.other_mm[:] = one.truth_mm.mean(1) + other
    one.whole[3] = False
    one.joints_mm[3, 0] += [0, 0, 42.0]
    found = measure_every([one])
    assert (found["frames"], found["lost"], found["on_the_other_hand"]) == (10, 2, 1)
    assert found["within_30mm"] == pytest.approx(0.6)
    assert found["mean_error_mm"] == pytest.approx((300 + 42 / 21) / 8)
    assert found["median_frame_mm"] == found["median_joint_mm"] == 0
    assert found["within_scale"] == pytest.approx(1 - 22 / (8 * 21))
    assert found["handedness_right"] == 1
    low, high = found["within_30mm_95"]
    assert 0.1 < low < 0.6 < high < 1


def test_medians_of_lost_frames_are_infinite() -> None:
    one = a_clip()
    one.joints_mm[:6] = np.nan
    found = measure_every([one])
    assert found["median_joint_mm"] == found["median_frame_mm"] == np.inf
    assert found["mean_error_mm"] == 0
    one.joints_mm[:] = np.nan
    nothing = measure_every([replace(one)])
    assert nothing["lost"] == 10
    assert nothing["within_30mm"] == 0
    assert nothing["within_scale"] is None


def test_a_definition_is_hashed() -> None:
    """Name, seed and counts change the hash; the page names the sets that are read."""
    tests = [SceneSet(name, *more) for name in SEEDS for more in ((), (2,), (2, 5))]
    assert len({definition_sha256(test) for test in tests}) == len(tests)
    page = (ROOT / "docs" / "sealed-test.md").read_text(encoding="utf-8")
    for name in SEEDS:
        assert f"| {name} | {definition_sha256(SceneSet(name))} |" in page
    with pytest.raises(CadstnError, match="no test set 'sealed-0'"):
        SceneSet("sealed-0").definition()


# --- What is rendered: needs PyTorch.


def test_every_named_sensor_is_a_scene() -> None:
    pytest.importorskip("torch")
    from cadstn.synth.sensors import SENSORS

    assert {f"sensor-{name}" for name in SENSORS} - {"sensor-ideal"} <= set(SCENES)


def test_clips_show_what_their_scene_is_about() -> None:
    pytest.importorskip("torch")
    from cadstn.bench.accuracy.picture import joints_in_picture, other_hand_mm
    from cadstn.bench.accuracy.scenes import LARGE_MM, choose_clips, clip, held_radius_mm

    for name in ("held-large", "two-hands", "edge"):
        (index,) = choose_clips(name, 3, 1, 3)
        moving, camera = clip(name, 3, index, 3)
        whole = joints_in_picture(moving.joints_xyz_mm, camera).all(1)
        if name == "edge":
            assert not whole.all()
            continue
        assert whole.all()
        other = other_hand_mm(moving)
        assert (other is not None) == (name == "two-hands")
        if other is not None:
            assert joints_in_picture(other[:, None], camera).all()
        else:
            assert LARGE_MM < held_radius_mm(moving._scene)[0] <= 60


def test_the_radius_is_that_of_the_part_in_the_hand() -> None:
    """The drawn radius of bars is found again; a mug's is its handle's."""
    torch = pytest.importorskip("torch")
    from cadstn.bench.accuracy.scenes import held_radius_mm
    from cadstn.synth.draws import Draws
    from cadstn.synth.scene import Scene
    from cadstn.synth.things import KINDS, sample_things, shown_rods

    names = ["bar", "can", "ball", "mug"]
    kind = torch.tensor([list(KINDS).index(name) for name in names])
    held = sample_things(Draws((1,), torch.arange(4)), kind)
    place = torch.tensor([0.0, 0.0, 600.0]).expand(4, 3)
    thing = held.thing.moved(torch.eye(3).expand(4, 3, 3), place)
    # Fingers around where it is held.
    turn = torch.arange(21) / 21 * 6.283
    fingers = torch.stack([0 * turn, turn.cos(), turn.sin()], -1) * (held.numbers[:, 1:2, None] + 8)
    scene = Scene(fingers + place[:, None], shown_rods(thing), place, place[:, 0], thing.blocks)
    np.testing.assert_allclose(held_radius_mm(scene), held.numbers[:, 1], rtol=1e-5)


def test_a_set_is_kept_and_measured_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three scenes of three frames; the second run reads what the first has rendered."""
    pytest.importorskip("torch")
    for name in set(SCENES) - {"held-large", "held-small", "two-hands"}:
        monkeypatch.delitem(SCENES, name)
    arguments = [
        "bench", "model", "--choosing", "--recordings", "1", "--frames", "3", "--threads", "1",
        "--keep", str(tmp_path / "set"), "--json", str(tmp_path / "out.json"),
    ]  # fmt: skip
    first = CliRunner().invoke(cli, arguments)
    assert first.exit_code == 0, first.output
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()}
    again = CliRunner().invoke(cli, [*arguments, "--beside", "shipped"])
    assert again.exit_code == 0, again.output
    assert again.stdout.startswith(first.stdout.rstrip("\n"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").iterdir()} == files
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["set"]["name"] == "choosing-1"
    assert report["all"]["frames"] == 9
    assert report["scenes"]["held-large"]["frames"] == 3
    assert report["two_places"]["frames"] == 3
    assert "tracked as two" in first.stdout
    assert report["beside"]["within_30mm"]["difference"] == 0
    assert report["beside"]["counted"] == 9
    assert report["set"]["sha256"] in first.stdout
    assert report["set"]["sha256"] == set_sha256(SceneSet("choosing-1", 1, 3))
    test = SceneSet("choosing-1", 1, 3)
    (one,) = scene_recordings(tmp_path / "set", test, "held-large")
    assert (len(one.recording), one.setup) == (3, "held-large")
    with pytest.raises(CadstnError, match="does not hold this test set"):
        list(scene_recordings(tmp_path / "set", SceneSet("sealed-1", 1, 3), "held-large"))


def test_a_set_of_nothing_is_refused() -> None:
    result = CliRunner().invoke(cli, ["bench", "model", "--choosing", "--recordings", "0"])
    assert result.exit_code != 0
    assert "0 clips of 30 frames" in str(result.exception or result.output)


@pytest.mark.parametrize("option", [["--seed", "0"], ["--empty", "32"], ["--real", "."]])
def test_a_set_has_its_own_seeds(option: list[str]) -> None:
    words = ["bench", "model", "--choosing", "--recordings", "0", *option]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 2
    assert f"{option[0]} does not go with --sealed or --choosing" in refused.output


@pytest.mark.parametrize(("found", "factor"), [(1.25, 1.25), (None, 1.0)])
def test_error_scales_are_calibrated_on_the_choosing_set(
    monkeypatch: pytest.MonkeyPatch, found: float | None, factor: float
) -> None:
    asked: list[object] = []

    def measured(test: SceneSet, weights: Path, *, keep: Path, bar: object) -> Any:
        asked.extend((test.name, weights, keep))
        return {"all": {"scale_factor": found}}

    monkeypatch.setattr("cadstn.bench.accuracy.sealed.bench_sealed", measured)
    assert shipped._error_scale(Path("hand.onnx"), Path("kept")) == factor
    assert asked == ["choosing-1", Path("hand.onnx"), Path("kept")]
