"""Trainings and banks that began with a hand mesh, or without, go on as they began."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cadstn.cli import cli
from cadstn.train.begun import begun_bank, begun_run

Anny = Callable[[bool], None]

TRAIN = (
    "train", "spatial.tiny", "--set", "spatial.batch=4", "--set", "validation_frames=4",
    "--set", "net.size=16", "--set", "net.channels=[2,4,4]", "--set", "net.width=16",
)  # fmt: skip
PREPARED = ("--set", "prepared=8")
MESH = ("--set", "mesh=0.5")
NEEDED = "began with the hand mesh, which needs anny to be rendered; pip install 'cadstn[mesh]'"


@pytest.fixture
def anny(monkeypatch: pytest.MonkeyPatch) -> Anny:
    """Makes as if anny were installed, or were not; its hands look like the others."""
    monkeypatch.setattr("cadstn.synth.scene._skinned", lambda draws, scene, *rest: scene)

    def there(yes: bool) -> None:
        monkeypatch.setattr("cadstn.synth.mesh.mesh_there", lambda: yes)

    there(True)
    return there


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def interrupted(function: str, *arguments: object) -> Result:
    """Run a command that is interrupted where it calls a function."""

    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"cadstn.{function}", interrupt)
        return run(*arguments)


def steps(count: int) -> tuple[str, str]:
    return "--set", f"spatial.steps={count}"


def mesh_in(out: Path) -> float:
    about = json.loads((out / "recipe.json").read_text())
    return float(about["recipe"]["mesh"])


def test_what_is_rendered_is_trained_on_without_anny(anny: Anny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (*TRAIN, *PREPARED, *MESH, "--out", out)
    assert interrupted("train.loop.mixed_precision", *words, *steps(2)).exit_code != 0
    assert not list(out.glob("*.safetensors"))
    assert begun_run(out) == 0.5
    anny(False)
    # With bank and recipe.json alone, then with the bank alone.
    bank = out / "rendered-1.bank"
    (out / "recipe.json").unlink()
    assert begun_run(out) == begun_bank(bank) == 0.5
    went_on = run(*words, *steps(2))
    assert went_on.exit_code == 0, went_on.output
    assert "going on without it" not in went_on.output
    assert went_on.output.count("validation shows cone hands alone") == 1
    assert mesh_in(out) == 0.5
    # And with the weights alone: the run is done.
    bank.unlink()
    (out / "recipe.json").unlink()
    assert run(*words, *steps(2)).exit_code == 0
    assert not bank.exists()


def test_what_is_still_to_be_rendered_is_asked_for_in_one_line(anny: Anny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (*TRAIN, *PREPARED, *MESH, "--out", out, *steps(2))
    interrupted("train.stream_bank._render", *words)
    part = out / "rendered-1.bank.part"
    _half_render(part)
    before = part.read_bytes()
    anny(False)
    refused = run(*words)
    assert str(refused.exception).startswith(f"{out / 'rendered-1.bank'}: {NEEDED}")
    assert "no hand mesh" not in refused.output
    assert part.read_bytes() == before
    other = run(*words, "--set", "mesh=0")  # another share is another recipe
    assert "left by an interruption, of other crops" in str(other.exception)
    anny(True)
    assert run(*words).exit_code == 0


def _half_render(part: Path) -> None:
    """Make as if half of a bank's clips were rendered."""
    from cadstn.data.bank import open_bank

    bank = open_bank(part, "r+")
    half = slice(len(bank) // 2)
    assert bank.presence is not None
    bank.presence[half] = 1.0
    bank.cube_mm[half] = 250.0


def test_frames_rendered_as_needed_are_asked_for_too(anny: Anny, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (*TRAIN, *MESH, "--out", out, *steps(3))
    interrupted("train.loop.mixed_precision", *words)
    anny(False)
    refused = run(*words)
    assert str(refused.exception).startswith(f"spatial.rendered.tiny: {NEEDED}")
    assert mesh_in(out) == 0.5
    anny(True)
    assert run(*words).exit_code == 0
    anny(False)
    assert run(*words).exit_code == 0  # nothing is left to render


def test_a_run_that_began_without_the_mesh_goes_on_without(
    anny: Anny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadstn.cli.sources import open_source

    out = tmp_path / "out"
    anny(False)
    begun = run(*TRAIN, *PREPARED, *MESH, "--out", out, *steps(2))
    assert "going on without it" in begun.output
    assert begun_run(out) == 0
    again = run(*TRAIN, *PREPARED, *MESH, "--out", out, *steps(2))
    assert again.exit_code == 0, again.exception
    assert "began without the hand mesh: going on without it" in again.output
    anny(True)
    refused = run(*TRAIN, *PREPARED, *MESH, "--out", out, *steps(2))
    assert str(refused.exception).startswith(
        f"{out}: began without the hand mesh, and is asked for a share of 0.5; --set mesh=0 goes on"
    )
    # A recipe that has a share of its own: nobody asked for another.
    chosen, _ = open_source("follow", "synthetic", None, {}, "cpu", folder=out)
    assert chosen.mesh == 0
    chosen, _ = open_source("follow", "synthetic", None, {}, "cpu", folder=tmp_path / "new")
    assert chosen.mesh == 0.25


def test_a_bank_goes_on_as_it_began(anny: Anny, tmp_path: Path) -> None:
    def bank(path: Path, *more: object) -> tuple[object, ...]:
        return "bank", path, "--kind", "tiny", "--clips", 2, "--frames", 2, *more

    whole, cut, none = (tmp_path / f"{name}.bank" for name in ("whole", "cut", "none"))
    assert run(*bank(whole, *MESH)).exit_code == 0
    interrupted("train.stream_bank._render", *bank(cut, *MESH))
    _half_render(cut.with_name("cut.bank.part"))
    anny(False)
    again = run(*bank(whole, *MESH))
    assert again.exit_code == 0, again.exception
    assert "no hand mesh" not in again.output
    assert str(run(*bank(cut, *MESH)).exception).startswith(f"{cut}: {NEEDED}")
    assert cut.with_name("cut.bank.part").exists()
    assert "no hand mesh" in run(*bank(none, *MESH)).output
    anny(True)
    assert run(*bank(cut, *MESH)).exit_code == 0
    assert "began without the hand mesh" in str(run(*bank(none, *MESH)).exception)
    assert begun_bank(tmp_path / "nothing.bank") is None
    for folder in (".", "/"):  # which have no name to look beside
        assert begun_bank(Path(folder)) is None
