"""A view in the browser (the extra ``serve``): the page of ``cadstn/web``, frames by WebSocket."""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from cadstn.errors import CadstnError, library
from cadstn.geometry.skeleton import Skeleton
from cadstn.tracking.live import Tracked
from cadstn.tracking.records import hand_record
from cadstn.tracking.views import Image

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import ServerConnection

#: Where it listens, unless the user gives another address: on this machine alone.
HOST, PORT = "127.0.0.1", 8765
FRAMES = "/frames"
#: This machine by number and by name: a page at one may ask for frames at the other.
_THIS = ("127.0.0.1", "localhost")
_START = "/index.html?live"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
#: Seconds after which a browser that takes nothing any more is cut off at the end.
_PATIENCE_S = 1.0
_MOST_WATCHERS = 16


class PageView:
    """Serves the page, and each tracked frame to whoever watches it.

    A browser that is slow gets the newest frame when it is ready for one. What a request names is
    looked up among the page's files and never made a path. Pages of other origins get no frames:
    the origin must be the address that was requested, and that must be this machine's ``host``,
    ``localhost`` or a number, so that a name which is made to lead here does not pass either.
    ``localhost`` and 127.0.0.1 are one address; another port is another origin.

    Args:
        skeleton: of the tracker.
        host: address or name to listen at.
        port: 0 for a free one.

    Attributes:
        url: where a browser finds it.
        closed: False: it goes on when the last page is closed.

    Raises:
        CadstnError: if websockets is missing, or the port cannot be had.
    """

    closed = False

    def __init__(self, skeleton: Skeleton, host: str = HOST, port: int = PORT) -> None:
        with library("--serve needs websockets", "serve"):
            from websockets.sync.server import serve
        self._host = host
        self._files = _page_files()
        self._hello = json.dumps(
            {"bones": skeleton.bones, "fingers": {k: list(v) for k, v in skeleton.fingers.items()}}
        )
        self._news = threading.Condition()
        self._latest: Tracked | None = None
        self._ended = False
        self._watchers: set[ServerConnection] = set()
        quiet = logging.getLogger("cadstn.serve")  # what strangers send is no news to the user
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        try:
            self._server = serve(
                self._watch, host, port, process_request=self._answer, compression=None,
                server_header=None, close_timeout=_PATIENCE_S, max_size=1024, logger=quiet,
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise CadstnError(
                f"cannot listen at {host}, port {port} ({why})",
                hint="give another port: --serve 8766"
                if getattr(error, "errno", None) == errno.EADDRINUSE
                else "give an address of this machine, and a port from 1024 to 65535",
            ) from None
        port = self._server.socket.getsockname()[1]
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url: str | None = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, seen: Tracked, picture: Callable[[], Image]) -> None:
        """Give a frame to whoever watches; costs nothing where nobody does."""
        with self._news:
            self._latest = seen
            self._news.notify_all()

    def close(self) -> None:
        """End it for all that watch, within two seconds."""
        with self._news:
            self._ended = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self._watchers, timeout=2 * _PATIENCE_S)
            for stuck in self._watchers:
                with suppress(OSError):
                    stuck.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()

    def _watch(self, connection: ServerConnection) -> None:
        """Send the newest frame, again and again, until either side ends."""
        from websockets.exceptions import ConnectionClosed
        from websockets.protocol import State

        with self._news:
            if len(self._watchers) >= _MOST_WATCHERS:
                return
            self._watchers.add(connection)
        sent: Tracked | None = None
        try:
            connection.send(self._hello)
            while connection.state is State.OPEN:
                with self._news:
                    if self._latest is sent and not self._ended:
                        # Without news it goes on as well, because a page may have gone meanwhile.
                        self._news.wait(5.0)
                    if self._ended:
                        return
                    seen = self._latest
                if seen is not None and seen is not sent:
                    connection.send(frame_message(seen))
                    sent = seen
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._news:
                self._watchers.discard(connection)
                self._news.notify_all()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None lets a WebSocket begin."""
        headers = request.headers
        hosts, origins = headers.get_all("Host"), headers.get_all("Origin")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return connection.respond(403, "Open the address that cadstn printed.\n")
        path = request.path.split("?")[0]
        if path == FRAMES:
            if len(origins) == 1 and origins[0] in _origins(hosts[0]):
                return None
            return connection.respond(403, "Only the page of cadstn itself gets frames.\n")
        if path == "/":
            moved = connection.respond(302, "")
            moved.headers["Location"] = _START
            return moved
        if path not in self._files:
            return connection.respond(404, "There is no such file.\n")
        kind, body = self._files[path]
        found = connection.respond(200, "")
        del found.headers["Content-Type"], found.headers["Content-Length"]
        found.headers["Content-Type"] = f"{kind}; charset=utf-8"
        found.headers["Content-Length"] = str(len(body))
        found.headers["X-Content-Type-Options"] = "nosniff"
        found.headers["Cache-Control"] = "no-cache"
        found.body = body
        return found

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this machine without asking a name server."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("localhost", self._host.lower()):
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _origins(host: str) -> tuple[str, ...]:
    """Origins of the page that was opened at a Host header's address."""
    name, colon, port = host.partition(":")
    return tuple(f"http://{own}{colon}{port}" for own in (_THIS if name in _THIS else (name,)))


def frame_message(seen: Tracked) -> bytes:
    """One frame as bytes: the length of the JSON (4 bytes, little-endian), JSON, depth.

    The JSON holds ``frame``, ``time_s``, ``took_ms``, ``dropped``, ``width``, ``height``,
    ``camera`` (fx, fy, cx, cy) and ``hands``, each as `cadstn.tracking.records.hand_record`.
    Depth is in whole millimetres, ``uint16`` little-endian, row by row; 0 where nothing was
    measured.
    """
    frame = seen.frame
    height, width = frame.depth_mm.shape
    camera = frame.camera
    about = {
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "took_ms": round(seen.took_ms, 2),
        "dropped": frame.dropped,
        "width": width,
        "height": height,
        "camera": {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy")},
        "hands": [hand_record(hand) for hand in seen.hands],
    }
    text = json.dumps(about, allow_nan=False).encode()
    measured = np.nan_to_num(frame.depth_mm, nan=0, posinf=0, neginf=0)
    depth = np.clip(np.rint(measured), 0, 65535).astype("<u2")
    return len(text).to_bytes(4, "little") + text + depth.tobytes()


def _page_files() -> dict[str, tuple[str, bytes]]:
    """The page by the path of its requests: type and contents."""
    folder = resources.files("cadstn") / "web"
    return {
        f"/{file.name}": (kind, file.read_bytes())
        for file in folder.iterdir()
        if (kind := _TYPES.get(f".{file.name.rpartition('.')[2]}")) is not None
    }
