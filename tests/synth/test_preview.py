"""Contact sheets: what they show is the simulator's own output, with its labels on the hand."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.synth import preview
from cadstn.synth.gestures import gesture
from cadstn.synth.shape import average_shape
from cadstn.synth.stream import sample_clips


def test_every_sheet_is_written_and_follows_from_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, clips = ("fist", "five"), sample_clips
    monkeypatch.setattr(preview, "GESTURES", few)
    monkeypatch.setattr(preview, "SENSORS", ("kinect2", "sr305"))
    monkeypatch.setattr(preview, "_TILE", 48)
    monkeypatch.setattr(preview, "_GRASPS", 40)
    monkeypatch.setattr(
        preview,
        "sample_clips",
        lambda seed, index, *rest, **more: clips(seed, index[:2], *rest, **more),
    )
    first = preview.draw_previews(tmp_path / "a", seed=3)
    assert [path.stem for path in first] == list(preview.SHEETS)
    again = preview.draw_previews(str(tmp_path / "b"), seed=3)
    other = preview.draw_previews(tmp_path / "c", seed=4)
    for a, b, c in zip(first, again, other, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.stem
        # The vocabulary alone does not depend on the seed.
        assert (a.read_bytes() == c.read_bytes()) == (a.stem == "gestures")
    assert preview.draw_previews(tmp_path / "a", seed=3) == []  # they are there
    with pytest.raises(CadstnError, match=r"\(seed 3, not 4\)"):
        preview.draw_previews(tmp_path / "a", seed=4)
    first[0].unlink()
    assert preview.draw_previews(tmp_path / "a", seed=3) == first[:1]


def test_an_open_hand_covers_more_than_a_fist() -> None:
    angles = torch.stack([gesture(name) for name in ("five", "fist")])
    pictures = preview._shaded(angles, average_shape(2), yaw_deg=20.0)
    open_hand, fist = ((picture[..., 0] > 30).mean() for picture in pictures)
    assert open_hand > 1.2 * fist


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(CadstnError, match="name a folder"):
        preview.draw_previews(taken)
    with pytest.raises(CadstnError, match=r"seed is 1.0; give a whole number"):
        preview.draw_previews(tmp_path / "new", seed=1.0)  # type: ignore[arg-type]


def test_a_picture_of_the_user_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "motion.png").write_text("mine")
    with pytest.raises(CadstnError, match="is not empty; give a new folder"):
        preview.draw_previews(tmp_path)
    assert (tmp_path / "motion.png").read_text() == "mine"


@pytest.mark.parametrize("option", [["--frames", "9"], ["--layout", "recording"], ["--held", "0"]])
def test_options_that_previews_have_no_use_for(tmp_path: Path, option: list[str]) -> None:
    words = ["synth", str(tmp_path / "out"), "--preview", *option]
    refused = CliRunner().invoke(cli, words)
    assert isinstance(refused.exception, CadstnError)
    assert f"{option[0]} means nothing to --preview" in str(refused.exception)
