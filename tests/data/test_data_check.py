"""What `cadstn data check` says of whole, damaged and half data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cadstn.cli import cli
from cadstn.data import icvl, msra, nyu, open_dataset
from cadstn.data.check import check_dataset, describe

Make = Callable[..., tuple[Path, Any, Any]]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "check", *map(str, words)])


def test_a_whole_set(make_nyu: Make) -> None:
    root, _, _ = make_nyu("train")
    make_nyu("test")
    result = run(root)
    assert result.exit_code == 0, result.output
    assert "nyu train: NYU: train and test, camera 1" in result.stdout
    assert "6 frames, 6 of them readable" in result.stdout
    assert "36 joints, 14 scored" in result.stdout
    assert "nothing missing, nothing damaged" in result.stdout
    assert result.stdout.endswith(f"next: cadstn reproduce --data {root} --out report\n")
    spaced = root.rename(root.with_name("a set"))
    assert f"next: cadstn reproduce --data '{spaced}' --out" in run(spaced).stdout


def test_missing_and_damaged_frames_are_counted_and_named(make_nyu: Make) -> None:
    root, depth, _ = make_nyu("test")
    (root / "test" / nyu.frame_name(1)).unlink()
    file = root / "test" / nyu.frame_name(4)
    file.write_bytes(file.read_bytes()[:-30])
    nyu.write_frame(root / "test", 8, depth[0])
    result = run(root)
    assert result.exit_code == 1
    assert "missing: 1, no such file: depth_1_0000002.png" in result.stdout
    assert "damaged: 1, PNG cut off after N bytes: depth_1_0000005.png" in result.stdout
    assert "without label: 1, a frame beyond the labels: depth_1_0000009.png" in result.stdout
    assert "next: unpack the set again (2 frames cannot be read)" in result.stdout
    report = json.loads(run(root, "--json", "--split", "test").stdout)["splits"][0]
    assert (report["frames"], report["opened"]) == (6, 4)
    assert {problem["name"] for problem in report["problems"]} == {
        nyu.frame_name(1),
        nyu.frame_name(4),
        nyu.frame_name(8),
    }


def test_labels_that_disagree_are_reported(make_nyu: Make) -> None:
    root, _, uvd = make_nyu("test")
    xyz = np.asarray(nyu.CAMERA.to_xyz_mm(uvd))
    xyz[2, 7, 1] *= -1
    nyu.write_labels(root / "test", np.stack([uvd] * 3), np.stack([xyz] * 3))
    problems = check_dataset(open_dataset(root, "test")).problems
    assert [(p.kind, p.name) for p in problems] == [("disagrees", nyu.frame_name(2))]


def test_left_out_and_faulty_are_reported(
    make_icvl: Make, make_msra: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _, uvd = make_icvl("train")
    names = list(open_dataset(root, "train").names)
    uvd[:3, 0, 2] = 0
    icvl.write_labels(root / "Training/labels.txt", names, uvd)
    lines = list(describe(check_dataset(open_dataset(root, "train"))))
    assert f"  left out: 3, label without depth: {', '.join(names[:3])}" in lines

    root, _, _ = make_msra()
    monkeypatch.setitem(msra.FAULTY, "P0/1", (2,))
    (root / "P3/1/000003_depth.bin").write_bytes(b"")
    result = run(root)
    assert result.exit_code == 0, result.output
    assert "known faulty: 1, its picture or label is wrong: P0/1/000002_depth.bin" in result.stdout
    assert "without label: 1, a frame beyond the labels: P3/1/000003_depth.bin" in result.stdout
    assert (
        "4 sequences, 2 subjects (P0, P3), 4 shots (a gesture of a subject begins)" in result.stdout
    )


def test_the_center_is_measured_against_the_surface(make_icvl: Make) -> None:
    root, _, uvd = make_icvl("test")
    dataset = open_dataset(root, "test")
    flat = np.full((240, 320), 500, np.uint16)
    for name in dataset.names:
        icvl.write_frame(root / "Testing/Depth", name, flat)
    report = check_dataset(dataset)
    low, middle, high = report.behind_mm or (0, 0, 0)
    assert low == middle == high == pytest.approx(uvd[0, 0, 2] - 500, abs=0.001)


def test_progress_counts_every_frame(make_nyu: Make) -> None:
    root, _, _ = make_nyu("test")
    dataset = open_dataset(root, "test")
    counted: list[int] = []
    assert check_dataset(dataset, counted.append).usable
    assert sum(counted) == 6


def test_a_lone_split_shows_how_to_go_on(make_nyu: Make, make_msra: Make) -> None:
    root, _, _ = make_nyu("test")
    following = f"next: cadstn predict RUN --data {root} --split test --center truth --out"
    assert f"{following} prediction.txt\n" in run(root).stdout
    make_nyu("train")
    assert run(root / "train").stdout.endswith(f"--data {root} --out runs/nyu\n")
    root, _, _ = make_msra(("P4",))
    assert f"--data {root} --split all --out runs/msra" in run(root).stdout


def test_the_next_command_quotes_its_paths(make_nyu: Make, tmp_path: Path) -> None:
    root, _, _ = make_nyu("test")
    moved = tmp_path / "my sets"
    root.rename(moved)
    assert f"next: cadstn predict RUN --data '{moved}' --split test" in run(moved).stdout


def test_no_set_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code != 0
    assert "holds no data set that is known" in str(result.exception)


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        ("P4", "the labels' middle depth is 0.4"),
        ("P2", "% of the joints lie in front of the surface or where nothing was measured"),
    ],
)
def test_labels_of_another_kind(shared: Path, split: str, reason: str) -> None:
    result = run(shared / "cases/msra_labels_of_another_kind/set", "--split", split)
    assert result.exit_code == 1
    assert "labels and pictures do not belong together: " in result.stdout
    assert reason in result.stdout
    assert "nothing missing" not in result.stdout
    assert "next: give pictures and labels of one set" in result.stdout


def test_labels_that_do_not_fit_the_pictures(make_msra: Make) -> None:
    root, _, xyz = make_msra(("P0",))
    for wrong, reason in ((xyz / 1000, "metres, not mm"), (xyz * (1, 1, 2), "mm behind the surf"),
                          (xyz + np.array([200.0, 0, 0]), "nothing was measured")):  # fmt: skip
        for number, gesture in enumerate(("1", "TIP")):
            msra.write_labels(root / "P0" / gesture / "joint.txt", wrong[3 * number :][:3])
        report = check_dataset(open_dataset(root, "P0"))
        assert reason in report.mismatch
        assert not report.usable
        assert report.to_dict()["mismatch"] == report.mismatch
