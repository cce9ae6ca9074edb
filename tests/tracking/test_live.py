"""Live tracking as a whole: every listener, every kind of bad frame, files that stay valid."""

import io
import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.io import Frame, open_recording, write_recording
from cadstn.tracking.cameras.frames import BaseSource, LiveFrame
from cadstn.tracking.filters import Exponential, make_filter
from cadstn.tracking.listeners import Listeners
from cadstn.tracking.live import JsonLines, Tally, track_source
from cadstn.tracking.network import Network
from cadstn.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(open_recording("demo"))[:12]


class Scripted(BaseSource):
    """Gives the frames it was given, and fails at the end if told to."""

    name = "scripted"

    def __init__(self, frames: list[LiveFrame], error: Exception | None = None) -> None:
        self.frames, self.error = frames, error

    def __iter__(self) -> Iterator[LiveFrame]:
        yield from self.frames
        if self.error is not None:
            raise self.error


def scripted(frames: list[Frame]) -> list[LiveFrame]:
    return [LiveFrame(f.depth, f.camera, f.time_s, f.index, cut=f.cut) for f in frames]


def test_every_bad_frame_is_one_line_and_tracking_goes_on(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    script = scripted(frames)
    depth, camera, index = script[4].depth_mm, script[4].camera, 4
    nan = depth.copy()
    nan[::2] = np.nan
    script[4] = LiveFrame(depth[:100], camera, script[4].time_s, index)  # changed its size
    script[5] = LiveFrame(nan, camera, script[5].time_s, 5)
    script[6] = LiveFrame(depth, camera, 0.01, 6)  # its clock was set back
    script[7] = LiveFrame(np.full_like(depth, np.inf), camera, script[7].time_s, 7)
    reported: list[CadstnError] = []
    tally = Tally()
    source = Scripted(script)
    seen = []
    with Listeners(network.skeleton, tmp_path, None) as listeners:
        for one in track_source(source, Tracker(network), on_bad=reported.append, tally=tally):
            listeners(one)  # pictures of NaN must not fail either
            seen.append(one)
    assert [s.frame.index for s in seen] == [0, 1, 2, 3, 5, 7, 8, 9, 10, 11]
    assert [str(e).split(":")[0] for e in reported] == ["scripted, frame 4", "scripted, frame 6"]
    assert "100" in str(reported[0])
    assert "runs back" in str(reported[1])
    assert not any("\n" in str(e) for e in reported)
    assert not seen[5].hand.found  # nothing but infinity
    assert seen[-1].hand.found
    assert (tally.frames, tally.bad) == (10, 2)
    assert "10 frames" in tally.line()


def test_zero_intrinsics_never_become_a_camera() -> None:
    with pytest.raises(CadstnError, match="camera fx is 0"):
        Camera(0, 0, 160, 120)


def test_unplugged_in_mid_stream_leaves_valid_files(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    error = CadstnError("stopped", where="scripted", hint="plug it in")
    source = Scripted(scripted(frames), error)
    text = io.StringIO()
    out = tmp_path / "out"

    def run() -> None:
        with Listeners(network.skeleton, out, text) as listeners:
            for seen in track_source(source, Tracker(network)):
                listeners(seen)

    with pytest.raises(CadstnError, match="plug it in"):
        run()
    lines = [json.loads(line) for line in (out / "joints.jsonl").read_text().splitlines()]
    assert len(lines) == 13
    assert lines[0]["joints"][0] == "wrist"
    assert text.getvalue() == (out / "joints.jsonl").read_text()
    video = cv2.VideoCapture(str(out / "live.webm"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 12


class _Closed(io.StringIO):
    """A pipe whose reader has had enough after some lines, such as ``head -3``."""

    def write(self, text: str) -> int:
        if self.getvalue().count("\n") == 3:
            raise BrokenPipeError
        return super().write(text)


def test_a_reader_that_has_enough_leaves_valid_files(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    def run() -> None:
        with Listeners(network.skeleton, tmp_path, _Closed()) as listeners:
            for seen in track_source(Scripted(scripted(frames)), Tracker(network)):
                listeners(seen)

    with pytest.raises(BrokenPipeError):
        run()
    assert {path.name for path in tmp_path.iterdir()} == {"joints.jsonl", "live.webm"}
    assert len((tmp_path / "joints.jsonl").read_text().splitlines()) == 4


def test_lines_say_all_and_never_nan(network: Network, frames: list[Frame]) -> None:
    script = scripted(frames[:3])
    script[1] = LiveFrame(np.zeros_like(script[1].depth_mm), script[1].camera, 1 / 30, 1, dropped=4)
    text = io.StringIO()
    lines = JsonLines(text, network.skeleton, "openxr")
    hands = []
    for seen in track_source(Scripted(script), Tracker(network)):
        lines(seen)
        hands.append(seen.hand)
    head, one, lost, again = (json.loads(line) for line in text.getvalue().splitlines())
    assert head["skeleton"] == "openxr"
    assert len(head["joints"]) == len(one["joints_mm"]) == 26
    np.testing.assert_allclose(one["joints_mm"][1], hands[0].joints_mm[0], atol=0.01)
    assert lost["found"] is False
    assert lost["joints_mm"] is None
    assert lost["dropped"] == 4
    assert again["how"] == "found"


def test_smoothing_smooths_what_comes_out_alone(network: Network, frames: list[Frame]) -> None:
    plain = [s.hand for s in track_source(Scripted(scripted(frames)), Tracker(network))]
    source = Scripted(scripted(frames))
    averaged = track_source(source, Tracker(network), smooth=lambda: Exponential(0.5))
    late = [s.hand for s in averaged]
    np.testing.assert_array_equal(plain[0].joints_mm, late[0].joints_mm)
    expected = (plain[0].joints_mm + plain[1].joints_mm) / 2
    np.testing.assert_allclose(late[1].joints_mm, expected, atol=1e-3)
    np.testing.assert_array_equal(plain[-1].center_mm, late[-1].center_mm)


def test_a_new_hand_is_not_averaged_with_the_one_before(
    network: Network, frames: list[Frame]
) -> None:
    script = scripted(frames)
    # Elsewhere from one frame to the next, so that the tracker acquires it anew.
    for k in range(6, 12):
        moved = np.roll(script[k].depth_mm, 120, axis=1) + 300 * (script[k].depth_mm > 0)
        script[k] = replace(script[k], depth_mm=moved)
    plain = [s.hand for s in track_source(Scripted(script), Tracker(network))]
    averaged = track_source(Scripted(script), Tracker(network), smooth=lambda: Exponential(0.2))
    late = [s.hand for s in averaged]
    new = next(k for k, hand in enumerate(plain) if k and hand.how == "found")
    np.testing.assert_array_equal(plain[new].joints_mm, late[new].joints_mm)


def test_bad_frames_alone_do_not_outlast_the_time_given(
    network: Network, frames: list[Frame]
) -> None:
    bad = replace(scripted(frames)[0], depth_mm=frames[0].depth[:100])
    tally = Tally()
    source = Scripted([bad] * 1000)
    assert not list(track_source(source, Tracker(network), seconds=0.01, tally=tally))
    assert tally.bad < 1000


@pytest.mark.parametrize("view", [None, "file"])
def test_a_session_without_a_frame_leaves_the_one_before(
    network: Network, frames: list[Frame], tmp_path: Path, view: str | None
) -> None:
    if view is not None:
        pytest.importorskip("rerun", reason="no rerun (extra view)")

    def session(script: Scripted) -> list[Path]:
        with Listeners(network.skeleton, tmp_path, None, view=view) as listeners:
            for seen in track_source(script, Tracker(network)):
                listeners(seen)
        return listeners.written

    written = session(Scripted(scripted(frames[:3])))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == sorted(path.name for path in written)
    with pytest.raises(CadstnError, match="unplugged"):
        session(Scripted([], CadstnError("unplugged")))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert session(Scripted([])) == []  # as with Ctrl-C before the first frame
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_killed_session_wrote_is_kept(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    def cut_off(lines: str) -> None:
        (tmp_path / "joints.jsonl.part").write_text(lines)
        (tmp_path / "live-part.webm").write_bytes(b"half a video")

    def session() -> Listeners:
        with Listeners(network.skeleton, tmp_path, None) as listeners:
            for seen in track_source(Scripted(scripted(frames[:2])), Tracker(network)):
                listeners(seen)
        return listeners

    for number, lines in enumerate(("names\nfirst\n", "names\nsecond\nhalf a li"), 1):
        cut_off(lines)
        listeners = session()
        assert [p.name for p in listeners.kept] == [f"joints-{number}.jsonl", f"live-{number}.webm"]
        assert (tmp_path / f"joints-{number}.jsonl").read_text() == lines
        assert (tmp_path / f"live-{number}.webm").read_bytes() == b"half a video"
        assert (tmp_path / "joints.jsonl") in listeners.written
    cut_off("names of the joints alone\n")
    assert session().kept == []
    assert not list(tmp_path.glob("*part*"))


def test_a_session_replaces_the_one_before_as_a_whole(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    for name in ("view.rrd", "live.mp4", "view-mine.rrd", "joints-1.jsonl"):
        (tmp_path / name).write_text("earlier")
    with Listeners(network.skeleton, tmp_path, None) as listeners:
        for seen in track_source(Scripted(scripted(frames[:2])), Tracker(network)):
            listeners(seen)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "joints-1.jsonl", "joints.jsonl", "live.webm", "view-mine.rrd",
    ]  # fmt: skip


def test_a_second_session_at_the_same_time_needs_a_folder_of_its_own(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    shown = track_source(Scripted(scripted(frames[:2])), Tracker(network))
    with Listeners(network.skeleton, tmp_path, None) as listeners:
        listeners(next(shown))
        with pytest.raises(CadstnError, match="another process writes into it; wait for it"):
            Listeners(network.skeleton, tmp_path, None)
        listeners(next(shown))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joints.jsonl", "live.webm"]
    assert len((tmp_path / "joints.jsonl").read_text().splitlines()) == 3
    with Listeners(network.skeleton, tmp_path, None):
        pass  # it is free again


def test_other_programs_get_a_frame_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(Listeners, "__call__", lambda self, seen: calls.append("draw"))
    monkeypatch.setattr(JsonLines, "__call__", lambda self, seen: calls.append("send"))
    words = ["live", "demo", "--fast", "--seconds", "0.1", "--udp", "127.0.0.1:9"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert calls[:2] == ["send", "draw"]


def test_another_camera_in_mid_stream_keeps_the_video_whole(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    script = scripted(frames[:4])
    half = script[2].depth_mm[::2, ::2]
    c = script[2].camera
    small = Camera(c.fx / 2, c.fy / 2, c.cx / 2, c.cy / 2, 160, 120)
    script[2] = LiveFrame(half, small, script[2].time_s, 2)
    with Listeners(network.skeleton, tmp_path, None) as listeners:
        for seen in track_source(Scripted(script), Tracker(network)):
            listeners(seen)
    assert cv2.VideoCapture(str(tmp_path / "live.webm")).get(cv2.CAP_PROP_FRAME_COUNT) == 4


def test_rerun_file(network: Network, frames: list[Frame], tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun (extra view)")
    with Listeners(network.skeleton, tmp_path, None, view="file") as listeners:
        for seen in track_source(Scripted(scripted(frames[:3])), Tracker(network)):
            listeners(seen)
            # Until the session ends, an earlier view.rrd stays.
            assert not (tmp_path / "view.rrd").exists()
            assert (tmp_path / "view-part.rrd").exists()
    assert listeners.written[1:] == [tmp_path / "view.rrd", tmp_path / "live.webm"]
    data = (tmp_path / "view.rrd").read_bytes()
    assert data[:3] == b"RRF"
    assert len(data) > 20_000
    for entity in (b"world/camera/depth", b"world/hand_0/joints", b"confidence/hand_0"):
        assert entity in data
    with pytest.raises(CadstnError, match="--out DIR"):
        Listeners(network.skeleton, None, None, view="file")


def test_the_command(frames: list[Frame], tmp_path: Path) -> None:
    units = [f.depth.astype(np.uint16) for f in frames[:4]]
    write_recording(tmp_path / "clip", units, frames[0].camera)
    arguments = ["live", str(tmp_path / "clip"), "--fast", "--emit", "jsonl"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert json.loads(lines[-1])["found"]
    assert "4 frames, hand in 4, 0 dropped, 0 bad" in result.stderr
    assert str(tmp_path / "out/live.webm") in result.stderr


def test_what_was_written_is_listed_for_a_reader_that_has_enough(
    frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [f.depth.astype(np.uint16) for f in frames[:4]]
    write_recording(tmp_path / "clip", units, frames[0].camera)
    monkeypatch.setattr("cadstn.cli.cameras._own_stdout", lambda: nullcontext(_Closed()))
    arguments = ["live", str(tmp_path / "clip"), "--fast", "--emit", "jsonl"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, BrokenPipeError)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"joints.jsonl", "live.webm"}
    assert f"wrote {tmp_path / 'out/joints.jsonl'}\n" in result.stderr


def test_doctor_says_what_an_older_file_lacks() -> None:
    older = Path(__file__).parent / "pins" / "older.onnx"
    result = CliRunner().invoke(cli, ["doctor", "--seconds", "0", "--weights", str(older)])
    assert result.exit_code == 0, result.output
    assert "; lacks a detector (the package's finds hands for it)" in result.output
    assert "lacks" not in CliRunner().invoke(cli, ["doctor", "--seconds", "0"]).output


def test_doctor() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--seconds", "0.3"])
    assert result.exit_code == 0, result.output
    for word in ("cadstn", "onnxruntime", "cpu", "weights", "self_test", "mean joint error"):
        assert word in result.output
    as_json = CliRunner().invoke(cli, ["doctor", "--seconds", "0", "--json"])
    report = json.loads(as_json.output)
    assert "cpu" in report["providers"]
    assert "self_test" not in report


def test_live_follows_as_its_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def loaded(path: Path, threads: int) -> str:
        asked.update(weights=path, threads=threads)
        return "network"

    def begun(network: str, **options: Any) -> None:
        asked.update(options, network=network)
        raise InterruptedError

    monkeypatch.setattr("cadstn.tracking.load_network", loaded)
    monkeypatch.setattr("cadstn.tracking.Tracker", begun)
    words = ["live", "demo", "--weights", "mine.onnx", "--threads", "3", "--hands", "2", "--no-fit"]
    CliRunner().invoke(cli, words)
    assert asked == {
        "weights": Path("mine.onnx"), "threads": 3, "network": "network", "hands": 2, "fit": False,
    }  # fmt: skip


def test_live_smooths_as_its_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(name: str) -> Any:
        made.append(name)
        return make_filter(name)

    monkeypatch.setattr("cadstn.tracking.filters.make_filter", make)
    words = ["live", "demo", "--fast", "--seconds", "0.1", "--smooth", "one-euro"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert set(made) == {"one-euro"}


def test_a_hand_is_followed_by_times_in_milliseconds(network: Network, frames: list[Frame]) -> None:
    script = [replace(one, time_s=one.index * 1000 / 30) for one in scripted(frames[:6])]
    seen = list(track_source(Scripted(script), Tracker(network)))
    assert [one.hand.how for one in seen[3:]] == ["followed"] * 3  # three tell the unit
    assert seen[-1].frame.time_s == pytest.approx(5 / 30)


def test_the_file_holds_the_same_lines(
    network: Network, frames: list[Frame], tmp_path: Path
) -> None:
    text = io.StringIO()
    script = [replace(one, time_s=1732.56789) for one in scripted(frames[:1])]
    with Listeners(network.skeleton, tmp_path, text, "openxr", pose=True) as listeners:
        for seen in track_source(Scripted(script), Tracker(network)):
            listeners(seen)
    assert (tmp_path / "joints.jsonl").read_text() == text.getvalue()
    head, line = (json.loads(one) for one in text.getvalue().splitlines())
    assert head["skeleton"] == "openxr"
    assert len(line["joints_mm"]) == 26
    assert line["pose"]["wrist"]["position_mm"] == pytest.approx(line["joints_mm"][1], abs=0.02)
    assert line["time_s"] == 1732.5679


def test_each_hand_has_a_filter_of_its_own(network: Network, frames: list[Frame]) -> None:
    camera = frames[0].camera
    wide = Camera(camera.fx, camera.fy, 319.5, camera.cy, 640, camera.height)
    script = []
    for one in scripted(frames[:2]):
        near = np.where(one.depth_mm < 1000, one.depth_mm, 0)
        pair = np.ascontiguousarray(np.hstack([near, near[:, ::-1]]))
        script.append(replace(one, depth_mm=pair, camera=wide))
    plain = [s.hands for s in track_source(Scripted(script), Tracker(network, hands=2))]
    smoothed = track_source(
        Scripted(script), Tracker(network, hands=2), smooth=lambda: Exponential(0.5)
    )
    late = [s.hands for s in smoothed]
    for place in (0, 1):
        first, second = (hands[place].joints_mm for hands in plain)
        assert plain[1][place].how == "followed"
        np.testing.assert_array_equal(late[0][place].joints_mm, first)
        np.testing.assert_allclose(late[1][place].joints_mm, (first + second) / 2, atol=1e-3)


def test_a_cut_may_go_back_in_time(network: Network, frames: list[Frame]) -> None:
    times = (5.0, 5.033, 1.0, 1.033)
    script = [
        replace(one, time_s=time_s, cut=one.index == 2)
        for one, time_s in zip(scripted(frames[:4]), times, strict=True)
    ]
    tally = Tally()
    seen = list(track_source(Scripted(script), Tracker(network), tally=tally))
    assert tally.bad == 0
    assert [one.frame.time_s for one in seen] == list(times)
    assert [one.hand.how for one in seen] == ["found", "followed"] * 2


def test_doctor_names_cameras_and_libraries_that_do_not_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cadstn.tracking import doctor

    def missing() -> list[str]:
        raise CadstnError("needs a library")

    def broken() -> list[str]:
        raise OSError("no\ndriver")

    monkeypatch.setattr("cadstn.tracking.cameras.realsense.found", lambda: ["D435 111", "D405 2"])
    monkeypatch.setattr("cadstn.tracking.cameras.orbbec.found", missing)
    monkeypatch.setattr("cadstn.tracking.cameras.luxonis.found", missing)
    monkeypatch.setattr(doctor, "_version", {"pyorbbecsdk2": "2.0.1"}.get)
    assert doctor._cameras() == ["D435 111", "D405 2", "orbbec: needs a library"]
    monkeypatch.setattr("cadstn.tracking.cameras.luxonis.found", broken)
    assert doctor._cameras()[-1] == "luxonis: OSError no driver"


def test_doctor_measures_against_the_truth_of_each_round(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cadstn.tracking import doctor

    def tracked(source: Any, tracker: object, **how: object) -> Iterator[Any]:
        truth = source._recording.truth_xyz_mm
        for index in (1, len(truth) + 2):
            joints = truth[index % len(truth)] + [3.0, 0.0, -4.0]
            one = SimpleNamespace(found=True, joints_mm=joints)
            yield SimpleNamespace(hand=one, frame=SimpleNamespace(index=index))

    monkeypatch.setattr("cadstn.tracking.live.track_source", tracked)
    assert doctor._self_test(network, 1.0).endswith("; mean joint error 5.0 mm")
