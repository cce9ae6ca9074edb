"""What is written and served: records, tables, drawings, videos, rerun's files and sockets."""

from __future__ import annotations

import io
import json
import queue
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21, NYU14
from cadstn.tracking.cameras import LiveFrame
from cadstn.tracking.hand import Hand
from cadstn.tracking.listeners import StatusLine
from cadstn.tracking.live import Tracked
from cadstn.tracking.records import Identities, draw_hand, hand_record, hands_table
from cadstn.tracking.video import VideoFile
from cadstn.tracking.views import in_front, overlay, shade

CAMERA = Camera(240.0, 240.0, 159.5, 119.5, 320, 240)


def hand(found: bool = True, how: str = "followed") -> Hand:
    rng = np.random.default_rng(0)
    nan = np.full(21, np.nan, np.float32)
    joints = rng.uniform((-60, -60, 440), (60, 60, 560), (21, 3)).astype(np.float32)
    return Hand(
        joints if found else np.full((21, 3), np.nan, np.float32),
        found,
        how if found else "lost",
        0.9 if found else 0.0,
        np.array([0.0, 0.0, 500.0]) if found else np.full(3, np.nan),
        200.0,
        nan,
        rng.uniform(0, 1, 21).astype(np.float32) if found else np.zeros(21, np.float32),
        rng.uniform(3, 9, 21).astype(np.float32) if found else nan,
        0.98 if found else float("nan"),
        "left" if found else "unknown",
        1.25,
    )


# --- records ----------------------------------------------------------------------------------


def test_a_record_is_json_and_holds_all() -> None:
    record = json.loads(json.dumps(hand_record(hand()), allow_nan=False))
    assert record["side"] == "left"
    assert record["present"] == 0.98
    assert record["time_s"] == 1.25
    np.testing.assert_allclose(record["joints_mm"], hand().joints_mm, atol=0.006)
    np.testing.assert_allclose(record["uncertainty_mm"], hand().uncertainty_mm, atol=0.06)
    lost = json.loads(json.dumps(hand_record(hand(found=False)), allow_nan=False))
    assert lost["found"] is False
    assert [key for key, value in lost.items() if value is None] == [
        "present", "joints_mm", "confidence", "uncertainty_mm", "center_mm",
    ]  # fmt: skip
    assert hand_record(replace(hand(), time_s=None))["time_s"] is None


def test_hands_are_compared_by_which_they_are() -> None:
    one, other = hand(), hand()
    assert one != other
    assert [other, one].index(one) == 1
    assert len({one, other, one}) == 2


def test_a_hand_keeps_its_number_while_it_is_followed() -> None:
    number = Identities()
    first, again, lost = hand(how="found"), hand(), hand(found=False)
    assert [number(0, h) for h in (first, again, lost, first, again)] == [0, 0, None, 1, 1]
    assert number(1, first) == 2  # another place, another hand
    assert number(0, again) == 1


def test_a_table_has_a_row_a_joint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CadstnError, match=r"pip install 'cadstn\[table\]'"):
        hands_table([hand()])
    monkeypatch.undo()
    pytest.importorskip("pandas")
    table = hands_table([hand(), hand(found=False)])
    assert len(table) == 42
    assert table["joint"][3] == HAND21.joints[3]
    assert table["x_mm"][3] == pytest.approx(hand().joints_mm[3, 0])
    assert table["x_mm"][21:].isna().all()


class Table(list[Any]):
    """As much of a pandas DataFrame as shows what a table is made of."""

    def __init__(self, rows: list[list[Any]], columns: list[str]) -> None:
        super().__init__(dict(zip(columns, row, strict=True)) for row in rows)
        self.columns = columns


def test_a_table_of_several_hands_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Table))
    table = hands_table([(hand(), hand(found=False)), (hand(), hand())])
    assert table.columns[:3] == ["frame", "hand", "time_s"]
    keys = [(row["frame"], row["hand"], row["found"]) for row in table[::21]]
    assert keys == [(0, 0, True), (0, 1, False), (1, 0, True), (1, 1, True)]
    assert table[3]["z_mm"] == pytest.approx(hand().joints_mm[3, 2])
    assert [row["frame"] for row in hands_table([hand(), hand()])[::21]] == [0, 1]
    none = hands_table([])
    assert not none
    assert none.columns == [name for name in table.columns if name != "hand"]


@pytest.mark.parametrize("kind", ["colour", "grey", "depth", "twice as large"])
def test_a_hand_is_drawn_where_it_is(kind: str) -> None:
    size = (480, 640) if kind == "twice as large" else (240, 320)
    image = np.zeros((*size, 3), np.uint8)
    if kind == "grey":
        image = image[..., 0]
    elif kind == "depth":
        image = np.full(size, 900, np.float32)
    before = image.copy()
    picture = draw_hand(hand(), image, CAMERA)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    plain = draw_hand(hand(found=False), image, CAMERA)
    drawn = (picture != plain).any(-1)
    uv = CAMERA.to_uvd(hand().joints_mm)[:, :2]
    uv = (uv + 0.5) * (size[1] / 320) - 0.5
    for u, v in np.rint(uv).astype(int):
        if 0 <= u < size[1] and 0 <= v < size[0]:
            assert drawn[max(0, v - 3) : v + 4, max(0, u - 3) : u + 4].any()


def test_a_hand_of_another_skeleton_is_drawn_with_its_own_bones() -> None:
    one = hand()
    fewer = replace(one, joints_mm=one.joints_mm[:14], skeleton=NYU14)
    picture = draw_hand(fewer, np.zeros((240, 320, 3), np.uint8), CAMERA)
    assert picture.any()


@pytest.mark.parametrize("image", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.uint16)])
def test_what_cannot_be_drawn_on(image: np.ndarray) -> None:
    with pytest.raises(CadstnError, match="image is uint"):
        draw_hand(hand(), image, CAMERA)


# --- video ------------------------------------------------------------------------------------


def picture(number: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    image = np.full((*size, 3), 40, np.uint8)
    cv2.circle(image, (40 + 4 * number, 120), 30, (0, 200, 255), -1)
    return image


@pytest.fixture(params=["VP8", "VP9"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The codec without the extra ``video``, and with it."""
    if request.param == "VP8":
        monkeypatch.setitem(sys.modules, "av", None)
    else:
        pytest.importorskip("av", reason="the extra video")
    return str(request.param)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("fps", [0.5, 29.97, 300.0])
def test_a_video_that_browsers_play(
    tmp_path: Path, fps: float, background: bool, codec: str
) -> None:
    video = VideoFile(tmp_path / "a", fps, background=background)
    for number in range(12):
        video.write(picture(number))
    video.write(picture(0, (100, 90)), times=3)  # another camera's, and dropped frames
    video.close()
    video.close()
    video.check()
    assert video.path == tmp_path / "a.webm"
    data = video.path.read_bytes()
    assert data[:4] == b"\x1aE\xdf\xa3"  # EBML
    assert b"webm" in data[:64]
    assert f"V_{codec}".encode() in data
    read = cv2.VideoCapture(str(video.path))
    count = 0
    while read.read()[0]:
        count += 1
    assert count == video.frames == 15


class SlowWriter:
    """An encoder that writes nothing until it may."""

    def __init__(self) -> None:
        self.may, self.written = threading.Event(), 0

    def write(self, picture: np.ndarray) -> None:
        self.may.wait(60)
        self.written += 1

    def release(self) -> None:
        pass


@pytest.mark.parametrize("times", [1, 20, 300])
def test_a_live_video_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    writer = SlowWriter()
    monkeypatch.setattr(VideoFile, "_opened", lambda self: writer)
    video = VideoFile(tmp_path / "a", 30, background=True, live=True)
    for number in range(100):  # would wait for ever
        video.write(picture(number), times)
    assert video.frames <= max(60, times)
    assert video.left_out == 100 * times - video.frames
    writer.may.set()
    video.close()
    assert writer.written == video.frames


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_chromium_plays_the_video(tmp_path: Path, codec: str) -> None:
    video = VideoFile(tmp_path / "a", 30)
    for number in range(30):
        video.write(picture(number))
    video.close()
    (tmp_path / "page.html").write_text(
        "<body><video src=a.webm muted></video><script>"
        "const v = document.querySelector('video');"
        "const show = how => fetch(`/shown ${how} ${v.duration} ${v.videoWidth}`);"
        "v.onended = () => show('ended'); v.onerror = () => show('failed'); v.play();</script>"
    )
    shown: queue.Queue[str] = queue.Queue()

    class Pages(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/shown"):
                shown.put(self.path)
            super().do_GET()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/page.html"
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", url]
        command.append(f"--user-data-dir={tmp_path / 'profile'}")
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _, how, duration, width = shown.get(timeout=60).replace("%20", " ").split()
        finally:
            browser.terminate()
            browser.wait(timeout=30)
            server.shutdown()
    assert (how, int(width)) == ("ended", 240)
    assert float(duration) == pytest.approx(1.0, abs=0.05)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.usefixtures("codec")
def test_a_disk_that_is_full_while_a_video_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.webm").symlink_to("/dev/full")
    video = VideoFile(tmp_path / "a", 30)
    for number in range(20):
        video.write(np.random.default_rng(number).integers(0, 255, (240, 320, 3), np.uint8))
    video.close()
    with pytest.raises(CadstnError, match=r"could not be written .*make room"):
        video.check()


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "a", 30)
    video.write(picture(0))
    video.close()
    assert video.path is not None
    video.path.write_bytes(b"")
    with pytest.raises(CadstnError, match=r"could not be written .*make room"):
        video.check()


def test_where_webm_is_not_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("cadstn.tracking.video.FORMATS", ((".webm", "none"), (".mp4", "mp4v")))
    video = VideoFile(tmp_path / "a", 30)
    video.write(picture(0))
    video.close()
    assert video.path == tmp_path / "a.mp4"
    monkeypatch.setattr("cadstn.tracking.video.FORMATS", ())
    none = VideoFile(tmp_path / "b", 30)
    none.write(picture(0))
    none.close()
    none.check()
    assert none.path is None
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("fps", [0.001, 14.985, 999.9, 1000.0, 1001.7, 1e5])
def test_a_video_holds_its_frames_or_is_left_out(tmp_path: Path, fps: float) -> None:
    video = VideoFile(tmp_path / "a", fps)
    for k in range(12):
        video.write(picture(k))
    video.close()
    video.check()
    assert (video.path is None) == (fps > 1000)


# --- the status line --------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seen(one: Hand, index: int = 0) -> Tracked:
    depth = np.full((240, 320), 700, np.float32)
    frame = LiveFrame(depth, CAMERA, index / 30, index)
    return Tracked(frame, (one,), 3.0, 0, "" if one.found else "1 place refused: 0.70 m away (x)")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_status_line_shows_what_is_seen(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("cadstn.tracking.listeners.time.monotonic", lambda: now[0])
    stream = Terminal() if terminal else io.StringIO()
    line = StatusLine(stream)
    for one in (hand(), hand(found=False)):
        now[0] += 6
        line(seen(one))
    ending = "\r" if terminal else "\n"
    first, second, _ = stream.getvalue().split(ending)
    assert "left hand 0.50 m away" in first
    assert "no hand: 1 place refused: 0.70 m away (x); nearest surface 0.70 m" in second


# --- rerun ------------------------------------------------------------------------------------


def rerun_view(*arguments: Any, **options: Any) -> Any:
    pytest.importorskip("rerun", reason="no rerun (extra view)")
    from cadstn.tracking.rerun_view import RerunView

    return RerunView(HAND21, *arguments, **options)


def listening() -> set[tuple[str, int]]:
    """Addresses and ports that this machine listens on, from the kernel's own tables."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            local, state = row.split()[1], row.split()[3]
            if state == "0A":
                address, port = local.split(":")
                found.add((address, int(port, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's socket tables")
def test_the_browsers_view_listens_on_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    before = listening()
    view = rerun_view("browser")
    try:
        view(seen(hand()))
        new = listening() - before
        assert len(new) >= 2  # data, and the page
        assert {address for address, _ in new} == {"0100007F"}  # 127.0.0.1
        assert view.url.startswith("http://127.0.0.1:")
        assert opened == [view.url]
        port = int(view.url.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            pass
    finally:
        view.close()
    assert not {port for _, port in listening()} & {port for _, port in new}


def test_a_viewer_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERUN_CLI_PATH", "/bin/false")
    with pytest.raises(CadstnError, match=r"rerun does not start \(its viewer ended with 1\)"):
        rerun_view("browser")


def test_rerun_gets_the_camera_of_the_pixels_that_are_kept(tmp_path: Path) -> None:
    view = rerun_view("file", tmp_path / "a.rrd")
    camera = Camera(600.0, 600.0, 322.0, 241.0, 960, 540)  # every third pixel is shown
    frame = LiveFrame(np.full((540, 960), 700, np.float32), camera, 0, 0)
    logged = {}
    send = view._stream.log

    def log(path: str, what: Any, **options: Any) -> None:
        logged[path] = what
        send(path, what, **options)

    view._stream.log = log
    view(Tracked(frame, (hand(),), 3.0, 0))
    view.close()
    columns = logged["world/camera"].image_from_camera.as_arrow_array().to_pylist()
    # Pixel 30 of a row that is shown is pixel 90 of the frame.
    point = np.array([(90 - 322) / 600, (30 - 241) / 600, 1]) * 700
    shown = np.reshape(columns, (3, 3)).T @ point
    np.testing.assert_allclose(shown[:2] / shown[2], [30, 10], atol=1e-4)


def test_a_file_of_rerun_stops_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(300, 900, (240, 320)).astype(np.float32)
    sizes = {}
    for limit in (100_000, 1 << 30):
        path = tmp_path / f"{limit}.rrd"
        monkeypatch.setattr("cadstn.tracking.rerun_view.LARGEST_BYTES", limit)
        view = rerun_view("file", path)
        for index in range(120):
            frame = LiveFrame(noise, CAMERA, index / 30, index)
            view(Tracked(frame, (hand(),), 3.0, 0))
            if index % 10 == 0:
                view._stream.flush(timeout_sec=5)
        view.close()
        sizes[limit] = path.stat().st_size
        assert view.full == (limit == 100_000)
    assert sizes[100_000] < sizes[1 << 30] / 2


def test_a_file_of_rerun_ends_whatever_frames_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cadstn.tracking.rerun_view.LARGEST_BYTES", 60_000)
    path, sizes = tmp_path / "a.rrd", []
    view = rerun_view("file", path)
    for index in range(1, 1201, 7):  # no multiple of 30 among the first
        frame = LiveFrame(np.full((24, 32), 700, np.float32), CAMERA, index / 30, index)
        view(Tracked(frame, (hand(),), 3.0, 0))
        view._stream.flush(timeout_sec=5)
        sizes.append(path.stat().st_size)
    view.close()
    assert view.full
    assert sizes[-1] == sizes[-60]


def test_a_table_holds_each_number_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=Table))
    one = hand()
    x, y, z = one.joints_mm[3].tolist()
    assert hands_table([one])[3] == {
        "frame": 0, "time_s": 1.25, "found": True, "side": "left", "present": 0.98,
        "joint": HAND21.joints[3], "x_mm": x, "y_mm": y, "z_mm": z,
        "confidence": float(one.confidence[3]), "uncertainty_mm": float(one.uncertainty_mm[3]),
    }  # fmt: skip


def test_a_picture_shows_the_hand_where_it_is() -> None:
    joints = np.full((21, 3), [0.0, 0.0, 500.0], np.float32)
    joints[8] = [40, -20, 500]
    one, lost = replace(hand(), joints_mm=joints), hand(found=False)
    empty = np.zeros((240, 320), np.float32)
    near = overlay(empty, CAMERA, one, HAND21)
    far = overlay(empty, CAMERA, lost, HAND21, others=[one])
    assert near.shape == far.shape == (480, 640 + 480, 3)
    # The index finger's tip is at pixel (178.7, 109.9): twice as large in the frame. Of the cube of
    # 200 mm, which is 96 pixels from (111.5, 71.5) on, it is five times as large.
    index = [233, 180, 86]
    assert near[221, 358].tolist() == far[221, 358].tolist() == index
    assert near[192, 640 + 336].tolist() == index
    assert (far[:, 640:] == 40).all()
    shown, others = in_front([lost, one, lost])
    assert shown is one
    assert others == [lost, lost]
    # Near is bright: 215 steps over 300 mm, of which the cube's middle has 170 behind it.
    row = np.array([[0, 370, 500, 670, 2000]], np.float32)
    assert shade(row, 500.0)[0, :, 0].tolist() == [0, 255, 161, 40, 40]


@pytest.mark.usefixtures("codec")
def test_a_video_keeps_colours_and_rate(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "a", 10)
    video.write(picture(0), times=5)
    video.close()
    assert video.path is not None
    read = cv2.VideoCapture(str(video.path))
    assert read.get(cv2.CAP_PROP_FPS) == pytest.approx(10, abs=0.1)
    _, image = read.read()
    np.testing.assert_allclose(image[90, 30], [0, 200, 255], atol=20)  # 3/4 of (40, 120)
