"""The page in the browser: what it serves, to whom, and that nothing else is to be had."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import resources
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner

from cadstn.cli import cli
from cadstn.errors import CadstnError
from cadstn.geometry.camera import Camera
from cadstn.geometry.skeleton import HAND21
from cadstn.tracking.cameras.frames import LiveFrame
from cadstn.tracking.hand import Hand
from cadstn.tracking.listeners import Listeners
from cadstn.tracking.live import Tracked
from cadstn.tracking.serve import PageView, frame_message

websockets = pytest.importorskip("websockets", reason="no websockets (extra serve)")
from websockets.sync.client import ClientConnection, connect  # noqa: E402

CAMERA = Camera(285.0, 286.0, 2.0, 1.0, width=3, height=2)


def seen(depth_mm: float = 600.0, index: int = 7) -> Tracked:
    joints = np.full((21, 3), 500.0, np.float32)
    hand = Hand(
        joints, True, "followed", 1.0, np.array([0.0, 0.0, 500.0]), 240.0,
        np.ones(21, np.float32), np.ones(21, np.float32), np.full(21, np.nan, np.float32),
    )  # fmt: skip
    depth = np.array([[0, 1.4, depth_mm], [np.nan, 70000, -3]], np.float32)
    return Tracked(LiveFrame(depth, CAMERA, 0.25, index), (hand,), 3.0, 0)


@pytest.fixture
def page() -> Iterator[PageView]:
    with closing(PageView(HAND21, port=0)) as view:
        yield view


def address(page: PageView) -> str:
    return urlsplit(str(page.url)).netloc


def get(page: PageView, path: str, host: str | None = None) -> tuple[int, str, bytes]:
    """Send a path as it is: status, type and body."""
    with closing(http.client.HTTPConnection(address(page), timeout=60)) as client:
        client.putrequest("GET", path, skip_host=True)
        client.putheader("Host", address(page) if host is None else host)
        client.endheaders()
        answer = client.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def watch(page: PageView, origin: str | None = "", host: str | None = None) -> ClientConnection:
    """Ask for frames, as a page of an origin that was reached by the name of a host."""
    own, port = address(page).split(":")
    return connect(
        f"ws://{host or address(page)}/frames", sock=socket.create_connection((own, int(port)), 5),
        origin=f"http://{address(page)}" if origin == "" else origin,  # type: ignore[arg-type]
        open_timeout=60, compression=None,
    )  # fmt: skip


def test_the_page_and_its_modules_are_served(page: PageView) -> None:
    status, kind, body = get(page, "/index.html?live")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert body == (resources.files("cadstn") / "web/index.html").read_bytes()
    assert get(page, "/main.js")[:2] == (200, "text/javascript; charset=utf-8")
    assert get(page, "/")[0] == 302


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/..%2f__init__.py", "/../__init__.py", "/web/../__init__.py",
     "//main.js", "/./main.js", "/main.js/", "/main.js%00", "\\..\\__init__.py", "main.js"],
)  # fmt: skip
def test_no_other_path_is_served(page: PageView, path: str) -> None:
    assert get(page, path)[0] == 404


def test_a_frame_arrives_as_it_was_tracked(page: PageView) -> None:
    page(seen(), lambda: np.zeros((1, 1, 3), np.uint8))
    with watch(page) as client:
        hello = json.loads(client.recv(timeout=60))
        assert hello["bones"] == [list(bone) for bone in HAND21.bones]
        assert hello["fingers"]["thumb"] == [1, 2, 3, 4]
        message = client.recv(timeout=60)
        assert isinstance(message, bytes)
    length = int.from_bytes(message[:4], "little")
    about = json.loads(message[4 : 4 + length])
    assert (about["frame"], about["width"], about["height"]) == (7, 3, 2)
    assert about["camera"] == {"fx": 285.0, "fy": 286.0, "cx": 2.0, "cy": 1.0}
    assert about["hands"][0]["joints_mm"][0] == [500.0, 500.0, 500.0]
    assert about["hands"][0]["present"] is None  # not a number is no JSON
    depth = np.frombuffer(message[4 + length :], "<u2").reshape(2, 3)
    np.testing.assert_array_equal(depth, [[0, 1, 600], [0, 65535, 0]])


def test_a_slow_page_gets_the_newest_frame(page: PageView) -> None:
    picture = np.zeros((1, 1, 3), np.uint8)
    with watch(page) as client:
        client.recv(timeout=60)
        page(seen(index=1), lambda: picture)
        client.recv(timeout=60)
        for index in range(2, 50):
            page(seen(index=index), lambda: picture)
        got: list[int] = []
        while not got or got[-1] < 49:
            message = client.recv(timeout=60)
            assert isinstance(message, bytes)
            length = int.from_bytes(message[:4], "little")
            got.append(json.loads(message[4 : 4 + length])["frame"])
        assert got == sorted(set(got))


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://evil.example", None), (None, None), ("null", None), ("https://127.0.0.1", None),
     ("http://127.0.0.1:1", None), ("http://evil.example", "evil.example"),
     ("http://localhost.evil.example", "localhost.evil.example"), ("http://localhost:1", None),
     ("http://localhost", None), ("https://localhost", None)],
)  # fmt: skip
def test_pages_of_others_get_no_frames(
    page: PageView, origin: str | None, host: str | None
) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
        watch(page, origin, host)


@pytest.mark.parametrize("host", ["evil.example", "", "[", "a@127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_lead_here_is_refused(page: PageView, host: str) -> None:
    assert get(page, "/index.html", host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("origin", ["localhost", "127.0.0.1"])
def test_localhost_is_this_machine(page: PageView, origin: str, host: str) -> None:
    port = address(page).split(":")[1]
    with watch(page, f"http://{origin}:{port}", f"{host}:{port}") as client:
        assert "bones" in json.loads(client.recv(timeout=60))


def test_it_listens_on_this_machine_alone(page: PageView) -> None:
    host, port = address(page).split(":")
    assert host == "127.0.0.1"
    assert page._server.socket.getsockname() == ("127.0.0.1", int(port))
    with pytest.raises(OSError, match="refused"):  # another address of the loopback device
        socket.create_connection(("127.0.0.2", int(port)), timeout=2)


def test_a_port_that_is_taken_is_one_line(page: PageView) -> None:
    port = int(address(page).split(":")[1])
    with pytest.raises(CadstnError, match=r"cannot listen at 127\.0\.0\.1, port .*--serve"):
        PageView(HAND21, port=port)


def test_a_page_that_stands_still_does_not_hold_up_the_end() -> None:
    view = PageView(HAND21, port=0)
    large = np.full((2000, 2000), 600.0, np.float32)
    frame = replace(seen(), frame=LiveFrame(large, CAMERA, 0.0, 1))
    with socket.create_connection(("127.0.0.1", int(address(view).split(":")[1])), 5) as client:
        client.sendall(
            f"GET /frames HTTP/1.1\r\nHost: {address(view)}\r\nOrigin: http://{address(view)}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        for _ in range(3):  # nobody reads them
            view(frame, lambda: np.zeros((1, 1, 3), np.uint8))
            time.sleep(0.1)
        start = time.monotonic()
        view.close()
        assert time.monotonic() - start < 8


def test_listeners_pass_frames_to_the_page() -> None:
    with Listeners(HAND21, None, None, serve=("127.0.0.1", 0)) as listeners:
        (view,) = listeners._views
        assert isinstance(view, PageView)
        assert listeners.url == view.url
        listeners(seen())
        with watch(view) as client:
            client.recv(timeout=60)
            assert client.recv(timeout=60) == frame_message(seen())


def test_the_command_serves_a_recording() -> None:
    result = CliRunner().invoke(
        cli, ["live", "demo", "--fast", "--serve", "0", "--seconds", "0.5"], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert "open http://127.0.0.1:" in result.output
