from __future__ import annotations

import errno
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cadstn._version import __version__
from cadstn.errors import CadstnError, CadstnWarning
from cadstn.geometry.camera import Camera
from cadstn.geometry.crop import crop_cube
from cadstn.io import open_recording, write_recording
from cadstn.io.files import read_png
from cadstn.synth import SIMULATOR, frames
from cadstn.synth.draws import Draws
from cadstn.synth.frames import Sequence, view_frustum
from cadstn.synth.raster import camera_view, cast, crop_view
from cadstn.synth.scene import sample_scene
from cadstn.synth.sensors import sensor
from cadstn.synth.surroundings import Surroundings
from cadstn.synth.write import SYNTH_CAMERA, write_synthetic

SMALL = Camera(71.0, 71.0, 40.0, 30.0, 80, 60)


def whole(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.glob("*.png"))}


def test_any_frames_in_any_order_are_the_same() -> None:
    one = Sequence((3, 2), 5, SMALL, 9)
    whole = list(one.render(together=4))
    assert len(whole) == len(one) == 9
    for place, frame in zip((7, 2, 3), one.render((7, 2, 3), together=1), strict=True):
        np.testing.assert_array_equal(frame, whole[place])
    again = list(Sequence((3, 2), 5, SMALL, 9).render(range(4, 9)))
    np.testing.assert_array_equal(np.stack(again), np.stack(whole[4:]))
    other = next(Sequence((3, 2), 6, SMALL, 9).render(range(1)))
    assert (other != whole[0]).any()


def test_frames_show_the_labelled_hand() -> None:
    """Cut out by the tracker's crop they are what the renderer draws straight into a crop."""
    ideal = sensor("ideal")
    camera = replace(SYNTH_CAMERA, depth_unit_mm=0.1)
    # What is drawn is what `Sequence` draws: the same seed, index and place in the view.
    moving = Sequence((4, 2), 0, camera, 3, sensor=ideal, distance_mm=(400.0, 600.0))
    draws = Draws((4, 2), torch.tensor([0])).fork("scene")
    scene = sample_scene(draws, 3, camera.fps, frustum=view_frustum(camera, (400.0, 600.0)))
    np.testing.assert_array_equal(scene.joints_xyz_mm.numpy(), moving.joints_xyz_mm)
    for t, units in enumerate(moving.render()):
        center = moving.joints_xyz_mm[t].mean(0)
        depth = units.astype(np.float32) * np.float32(camera.depth_unit_mm)
        crop = crop_cube(depth, camera, center, 250.0, 128).image
        cones = type(scene.cones)(*(field[t : t + 1] for field in scene.cones))
        view = crop_view(torch.from_numpy(center)[None], 250.0, 128)
        drawn = cast(cones, view, planes=scene.planes[t : t + 1])[0].numpy()
        drawn = ((drawn - center[2]) / 125).clip(-1, 1)
        hand = (crop < 0.99) & (drawn < 0.99)
        assert hand.mean() > 0.05
        # A frame's pixel is up to 2 mm of a crop's, and outlines differ by one.
        assert ((crop < 0.99) == (drawn < 0.99)).mean() > 0.95
        assert np.median(np.abs(crop - drawn)[hand]) * 125 < 1.5


def test_hands_are_in_view() -> None:
    camera = Camera(300.0, 300.0, 210.0, 70.0, 320, 240)  # an axis far from the middle
    for index in range(6):
        truth = camera.to_uvd(Sequence((1,), index, camera, 30).joints_xyz_mm)
        u, v = truth[..., 9, 0], truth[..., 9, 1]
        assert ((u > 0) & (u < 319) & (v > 0) & (v < 239)).mean() > 0.9
        assert ((truth[..., 2] > 100) & (truth[..., 2] < 1500)).all()


@pytest.mark.parametrize(
    ("camera", "distance_mm", "message"),
    [
        (SMALL, (-300.0, 500.0), "-300 to 500 mm"),
        (SMALL, (50.0, 500.0), "from 50 to 500 mm"),
        (SMALL, (500.0, 400.0), "from 500 to 400 mm"),
        (SMALL, (300.0, 1e9), "1e\\+09 mm"),
        (SMALL, (float("nan"), 500.0), "nan"),
        (replace(SMALL, width=0), (300.0, 500.0), "0x60 pixels"),
        (replace(SMALL, width=60_000), (300.0, 500.0), "60000x60"),
        (replace(SMALL, cx=-200.0), (300.0, 500.0), "no hand in view"),
        (replace(SMALL, fx=9000.0, fy=9000.0), (300.0, 500.0), "no hand in view"),
        (replace(SMALL, depth_unit_mm=0.01), (300.0, 900.0), "end before 900 mm"),
        (SMALL, 300.0, "distance_mm is 300.0; give two rising"),
        (replace(SMALL, distortion=(0.1, 0, 0, 0)), (300.0, 900.0), "distortion.*camera.pinhole"),
        (replace(SMALL, encoding="metres"), (300.0, 900.0), "floats in metres"),
    ],
)
def test_nonsense_is_one_line_and_writes_nothing(
    tmp_path: Path, camera: Camera, distance_mm: tuple[float, float], message: str
) -> None:
    with pytest.raises(CadstnError, match=message) as error:
        write_synthetic(tmp_path / "a", frames=2, seed=0, camera=camera, distance_mm=distance_mm)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
    if camera.distortion:
        with pytest.raises(CadstnError, match=message):
            camera_view(camera)
        with pytest.raises(CadstnError, match=message):
            Sequence((0,), 0, camera, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 1.0}, "seed is 1.0; give a whole number"),
        ({"frames": 1.0}, "frames is 1.0; give a whole number, 1 or more"),
        ({"number": "0"}, "number is '0'; give a whole number"),
        ({"held": None}, "held is None; give a share"),
    ],
)
def test_what_is_no_number_is_one_line(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(CadstnError, match=message):
        write_synthetic(tmp_path / "a", **{"frames": 2, "seed": 0, **arguments})
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time_renders_into_a_folder(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"frames": 3, "seed": 3, "camera": SMALL}

    def second() -> None:
        with pytest.raises(CadstnError, match=r"a\.part: another process writes into it; wait"):
            write_synthetic(tmp_path / "a", **arguments)

    assert write_synthetic(tmp_path / "a", **arguments, on_frame=second)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    made = 0

    def interrupt() -> None:
        nonlocal made
        made += 1
        if made == 4:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"frames": 7, "seed": 3, "camera": SMALL}
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "a", **arguments, on_frame=interrupt)
    assert not (tmp_path / "a").exists()
    kept = files(tmp_path / "a.part")
    assert 3 <= len(kept) < 7
    oldest = {name: (tmp_path / "a.part" / name).stat().st_mtime_ns for name in kept}
    message = []
    write_synthetic(tmp_path / "a", **arguments, on_frame=lambda: message.append(1))
    assert len(message) == 7  # the bar counts what was there
    assert not (tmp_path / "a.part").exists()
    for name, time in oldest.items():
        assert (tmp_path / "a" / name).stat().st_mtime_ns == time  # not made again
    write_synthetic(tmp_path / "b", **arguments)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert {f.name for f in (tmp_path / "a").iterdir()} == {
        *(f"{i:06d}.png" for i in range(7)), "camera.json", "truth.npz", "synth.json",
    }  # fmt: skip
    recording = open_recording(tmp_path / "a")
    assert len(recording) == 7
    truth = np.load(tmp_path / "b" / "truth.npz")["joints_xyz_mm"]
    np.testing.assert_array_equal(np.asarray(recording.truth_xyz_mm, np.float32), truth)


def test_full_disk_is_one_line_and_what_is_finished_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = Path.write_bytes, 0

    def full(file: Path, data: bytes) -> None:
        nonlocal count
        count += b"PNG" in data
        if count == 3:
            real(file, b"half a fra")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CadstnError, match="No space left on device") as error:
        write_synthetic(tmp_path / "a", frames=4, seed=3, camera=SMALL)
    assert "\n" not in str(error.value)
    assert len(files(tmp_path / "a.part")) == 2  # no half a frame
    monkeypatch.setattr(Path, "write_bytes", real)
    write_synthetic(tmp_path / "a", frames=4, seed=3, camera=SMALL)
    assert len(open_recording(tmp_path / "a")) == 4


def test_part_of_another_order_is_not_gone_on_with(tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    part.mkdir()
    (part / "synth.json").write_text(json.dumps({"frames": 9}))
    with pytest.raises(CadstnError, match=r"settings \(simulator unknown, not .*frames 9, not 2"):
        write_synthetic(tmp_path / "a", frames=2, seed=0, camera=SMALL)
    (part / "synth.json").write_text("{")  # cut off
    with pytest.raises(CadstnError, match="other settings: its note is damaged; give the same"):
        write_synthetic(tmp_path / "a", frames=2, seed=0, camera=SMALL)


@pytest.mark.parametrize("name", ["a", "a.npz"])
def test_the_same_order_again_is_there_already_and_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    assert write_synthetic(path, frames=2, seed=3, camera=SMALL)
    held = whole(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("cadstn.synth.write.Sequence", None)  # nothing is drawn
        patch.setattr("cadstn.io.folder.__version__", "9.9")  # a release that renders the same
        same: dict[str, Any] = {"frames": np.int32(2), "seed": np.int64(3), "camera": SMALL}
        assert not write_synthetic(str(path), **same)
        with pytest.raises(CadstnError, match=rf"{name}: was begun .*\(seed 3, not 4\); give the"):
            write_synthetic(path, frames=2, seed=4, camera=SMALL)
        patch.setattr("cadstn.synth.write.SIMULATOR", "9")
        with pytest.raises(CadstnError, match=r'other settings \(simulator ".*", not "9"\)'):
            write_synthetic(path, frames=2, seed=3, camera=SMALL)
    assert whole(tmp_path) == held
    write_recording(tmp_path / f"b{name}", np.ones((2, 60, 80), np.uint16), SMALL)
    with pytest.raises(CadstnError, match="is already there; give a new name, or delete it"):
        write_synthetic(tmp_path / f"b{name}", frames=2, seed=3, camera=SMALL)


def test_frames_that_a_finished_recording_lost_are_made_again(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"frames": 4, "seed": 3, "camera": SMALL}
    write_synthetic(tmp_path / "a", **arguments)
    held = whole(tmp_path)
    (tmp_path / "a/000001.png").unlink()
    (tmp_path / "a/000003.png").write_bytes(held["a/000003.png"][:-5])  # cut
    (tmp_path / "a/truth.npz").write_bytes(held["a/truth.npz"][:-5])
    assert write_synthetic(tmp_path / "a", **arguments)
    assert whole(tmp_path) == held


def test_a_recording_says_what_it_is_and_what_it_shows(tmp_path: Path) -> None:
    for name in ("a", "a.npz"):
        write_synthetic(tmp_path / name, frames=2, seed=12, camera=SMALL, sensor="ideal")
    one, truth = np.load(tmp_path / "a.npz"), np.load(tmp_path / "a/truth.npz")
    about = json.loads((tmp_path / "a/synth.json").read_text())
    assert about == json.loads(str(one["synth"])) == {
        "simulator": SIMULATOR, "version": __version__, "frames": 2, "seed": 12, "number": 0,
        "camera": json.loads(SMALL.to_json()), "sensor": "ideal", "distance_mm": [250, 1200],
        "held": 0, "alone": False,
    }  # fmt: skip
    moving = Sequence((12, 2), 0, SMALL, 2)
    for arrays in (one, truth):
        assert arrays["side"].tolist() == ["left" if moving.left else "right"] * 2
        assert arrays["holds"].tolist() == [False, False]
        np.testing.assert_array_equal(arrays["second_xyz_mm"], moving.second_xyz_mm)
        assert np.isfinite(arrays["second_xyz_mm"]).all()
    write_synthetic(tmp_path / "b", frames=2, seed=12, camera=SMALL, alone=True)
    assert np.isnan(np.load(tmp_path / "b/truth.npz")["second_xyz_mm"]).all()


def test_a_mount_point_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.synth.write.is_replaceable", lambda path: False)
    with pytest.raises(CadstnError, match=r"is a mount point, .*; give a folder within it"):
        write_synthetic(tmp_path, frames=2, seed=0, camera=SMALL)
    assert not list(tmp_path.iterdir())


def test_the_current_folder_is_refused_and_a_link_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"frames": 1, "seed": 3, "camera": SMALL}
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    for path in (".", tmp_path / "here", tmp_path / "link"):
        with pytest.raises(CadstnError, match=r"the current folder, .*; give a folder within it"):
            write_synthetic(path, **arguments)
    assert not list(Path().iterdir())
    monkeypatch.chdir(tmp_path)
    assert write_synthetic("link", **arguments)
    assert (tmp_path / "link").is_symlink()
    assert len(open_recording(tmp_path / "here")) == 1
    monkeypatch.chdir(tmp_path / "here")
    assert not write_synthetic(".", **arguments)  # it is there already


@pytest.mark.parametrize("kind", ["an empty file", "a link to nothing"])
def test_what_no_folder_can_replace_is_refused_before_the_work(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.symlink_to("nothing") if "link" in kind else path.touch()
    with pytest.raises(CadstnError, match="is already there"):
        write_synthetic(path, frames=2, seed=0, camera=SMALL)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_hand_beyond_the_sensor_s_range_is_refused_or_warned_of(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"frames": 1, "seed": 0, "camera": SMALL, "sensor": "truedepth"}
    with pytest.raises(CadstnError, match=r"truedepth measures nothing; its range ends at 1500 mm"):
        write_synthetic(tmp_path / "a", **arguments, distance_mm=(1600.0, 1900.0))
    assert not list(tmp_path.iterdir())
    with pytest.warns(CadstnWarning, match=r"in 1 of 1 frames the hand is beyond the 1500 mm"):
        write_synthetic(tmp_path / "a", **arguments, distance_mm=(1490.0, 5000.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_synthetic(tmp_path / "b", **arguments)
        write_synthetic(tmp_path / "a", **arguments, distance_mm=(1490.0, 5000.0))  # is there


def test_path_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("x")
    with pytest.raises(CadstnError, match="is already there"):
        write_synthetic(tmp_path / "a", frames=2, seed=0, camera=SMALL)
    assert (tmp_path / "a" / "mine").read_text() == "x"


def test_one_file(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "a.npz", frames=2, seed=3, camera=SMALL)
    write_synthetic(tmp_path / "a", frames=2, seed=3, camera=SMALL)
    one, two = open_recording(tmp_path / "a.npz"), open_recording(tmp_path / "a")
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.depth, b.depth)


def test_a_share_of_held_things_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CadstnError, match="held is 2"):
        write_synthetic(tmp_path / "a", frames=2, seed=0, camera=SMALL, held=2.0)
    assert not list(tmp_path.iterdir())


def test_a_recording_with_something_held_is_another_one(tmp_path: Path) -> None:
    for name, held in (("plain", 0.0), ("held", 1.0)):
        write_synthetic(tmp_path / name, frames=2, seed=3, camera=SMALL, held=held)
    one, two = (
        [frame.depth for frame in open_recording(tmp_path / name).frames()]
        for name in ("plain", "held")
    )
    assert any((a != b).any() for a, b in zip(one, two, strict=True))


def test_a_recording_is_measured_by_the_sensor_that_is_named(tmp_path: Path) -> None:
    frames = {}
    for name in ("ideal", "ds325"):
        write_synthetic(tmp_path / name, frames=1, seed=12, camera=SMALL, sensor=name)
        frames[name] = read_png(tmp_path / name / "000000.png", SMALL)
        (expected,) = Sequence((12, 2), 0, SMALL, 1, sensor=sensor(name)).render()
        np.testing.assert_array_equal(frames[name], expected)
    assert (frames["ideal"] != frames["ds325"]).any()


def test_a_drawn_sensor_reaches_as_far_as_its_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = sensor("ideal", range_mm=10.0)
    monkeypatch.setattr(frames, "sample_sensor", lambda draws: blind)
    moving = Sequence((4, 2), 0, SMALL, 2)
    for units, joints in zip(moving.render(), moving.joints_xyz_mm, strict=True):
        near, far = joints[:, 2].min() - 40, joints[:, 2].max() + 40
        assert ((units > near) & (units < far)).sum() > 30


def test_a_faster_camera_shows_the_same_motion_at_more_moments() -> None:
    slow, fast = (
        Sequence((4, 2), 0, replace(SMALL, fps=fps), count).joints_xyz_mm
        for fps, count in ((30.0, 4), (60.0, 7))
    )
    np.testing.assert_allclose(fast[::2], slow, atol=0.05)
    assert np.abs(fast[1] - fast[0]).max() > 0.1


def test_what_16_bits_do_not_hold_is_not_measured() -> None:
    around = Surroundings(body=0, head=0, wall=1.0, table=0, held=0, second=0, wall_from_mm=1e4)
    coarse, fine = (
        next(
            Sequence(
                (4, 2), 0, replace(SMALL, depth_unit_mm=unit), 1, sensor=sensor("ideal"),
                around=around,
            ).render()
        )
        for unit in (1.0, 0.1)
    )  # fmt: skip
    beyond = coarse > 6553
    assert 0.2 < beyond.mean() < 0.99
    assert (fine[beyond] == 0).all()
    np.testing.assert_allclose(fine[~beyond] * 0.1, coarse[~beyond], atol=0.6)
