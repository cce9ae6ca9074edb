"""A view in rerun (the extra ``view``): depth, the hand in 3D, confidence, weights, timings."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from cadstn.errors import CadstnError, library
from cadstn.geometry.skeleton import Skeleton
from cadstn.tracking.hand import Hand
from cadstn.tracking.live import Tracked
from cadstn.tracking.views import Image
from cadstn.tracking.window import need_display

#: Where rerun listens: on this machine alone. Its own functions listen on every interface.
HOST = "127.0.0.1"
#: Depth is shown at most so wide, or a minute of it would be a gigabyte.
_WIDEST = 320
#: A file grows to this size; then depth is left out, and hands alone go on, for an eighth more.
LARGEST_BYTES = 1 << 30
_HANDS_SHARE = 1.125
_CHECK_EVERY = 30  # frames
_STARTS_S = 20.0
_NEAR_MM, _FAR_MM = 200.0, 1500.0
#: A viewer that was closed takes nothing any more; it is not waited for longer than this.
_FLUSH_S = 3.0
#: Where rerun listens by itself, if nobody else does.
_DATA_PORT, _WEB_PORT = 9876, 9090


class RerunView:
    """Shows what is tracked, live or later.

    Args:
        skeleton: of the tracker.
        way: ``window`` opens rerun's viewer, ``browser`` serves one, ``file`` writes ``path``.
        path: an ``.rrd`` file, for ``file``; open it with ``rerun FILE``.

    Attributes:
        url: where a browser finds it; None unless it is served to one.
        full: whether the file has reached `LARGEST_BYTES`; hands alone are added then, up to an
            eighth more, and nothing after that.
        closed: False: rerun does not report that its window was closed, and tracking goes on.

    Raises:
        CadstnError: if rerun is missing, its viewer does not start, or there is no display.
    """

    closed = False

    def __init__(
        self,
        skeleton: Skeleton,
        way: str = "window",
        path: Path | None = None,
    ) -> None:
        otherwise = ", --view plain, or --out DIR for a video"
        with library("this view needs rerun", "view", otherwise=otherwise):
            import rerun as rr
        self._rr, self._skeleton = rr, skeleton
        self._camera: Any = None
        self._path = path
        self._server: subprocess.Popen[bytes] | None = None
        self._settings: TemporaryDirectory[str] | None = None
        self.url: str | None = None
        self.full, self._ended, self._frames = False, False, 0
        if way == "window":
            need_display()
        self._stream = rr.RecordingStream("cadstn")
        self._wait_s = 1e9 if way == "file" else _FLUSH_S
        try:
            if way == "file":
                if path is None:
                    raise CadstnError("no file to write the view to", hint="give a path")
                self._stream.save(str(path))
            elif way == "browser":
                self.url = self._serve()
            else:
                self._open_window()
        except (OSError, RuntimeError) as error:
            self._end_viewer()
            why = " ".join(str(error).split())[:120]
            raise CadstnError(
                f"rerun does not start ({why})", where=path, hint="--view plain, or --out DIR"
            ) from None
        self._stream.send_blueprint(_layout())
        # OpenCV's frame, and rerun's name for it: x right, y down, z forward.
        for root in ("world", "near"):
            self._stream.log(root, rr.ViewCoordinates.RDF, static=True)

    def __call__(self, seen: Tracked, picture: Callable[[], Image] | None = None) -> None:
        """Show one frame."""
        self._check_size()
        if self._ended:
            return
        rr, log = self._rr, self._stream.log
        frame = seen.frame
        self._stream.set_time("frame", sequence=frame.index)
        self._stream.set_time("time", duration=frame.time_s)
        if frame.camera != self._camera:
            self._camera = frame.camera
            self._step = step = -(-frame.depth_mm.shape[1] // _WIDEST)
            camera = frame.camera
            # Not `Camera.scaled`: what stays of the frame is every step-th pixel, none in between.
            lens = rr.Pinhole(
                focal_length=(camera.fx / step, camera.fy / step),
                principal_point=(camera.cx / step, camera.cy / step),
                resolution=frame.depth_mm[::step, ::step].shape[::-1],
                image_plane_distance=_NEAR_MM / 1000,
            )
            log("world/camera", lens)
        if not self.full:
            depth = frame.depth_mm[:: self._step, :: self._step]
            log(
                "world/camera/depth",
                rr.DepthImage(
                    np.nan_to_num(depth).clip(0, 65535).astype(np.uint16),
                    meter=1000.0,
                    depth_range=(_NEAR_MM, _FAR_MM),
                ),
            )
        for place, hand in enumerate(seen.hands):
            self._show_hand(f"hand_{place}", hand)
        log("numbers/took_ms", rr.Scalars(seen.took_ms))
        log("numbers/dropped", rr.Scalars(frame.dropped))

    def _show_hand(self, name: str, hand: Hand) -> None:
        rr, log = self._rr, self._stream.log
        if hand.found:
            red = np.round((1 - hand.confidence) * 255)
            colors = np.stack([red, 255 - red, np.full_like(red, 80)], -1).astype(np.uint8)
            self._draw(f"world/{name}", hand.joints_mm, colors)
            # Once more by itself: in the room a hand is small.
            self._draw(f"near/{name}", hand.joints_mm - hand.joints_mm.mean(0), colors)
            log(f"confidence/{name}", rr.BarChart(hand.confidence))
            log(f"weight_of_temporal/{name}", rr.BarChart(hand.temporal_weight))
            if np.isfinite(hand.uncertainty_mm).all():
                log(f"uncertainty_mm/{name}", rr.BarChart(hand.uncertainty_mm))
        else:
            for root in ("world", "near"):
                log(f"{root}/{name}", rr.Clear(recursive=True))
        log(f"numbers/{name}/agreement", rr.Scalars(hand.agreement))
        if np.isfinite(hand.present):
            log(f"numbers/{name}/present", rr.Scalars(hand.present))

    def _draw(self, path: str, joints_mm: NDArray[np.floating], colors: NDArray[np.uint8]) -> None:
        rr, log = self._rr, self._stream.log
        joints = joints_mm / 1000
        bones = [joints[list(bone)] for bone in self._skeleton.bones]
        log(f"{path}/bones", rr.LineStrips3D(bones, colors=[[230, 230, 230]], radii=0.002))
        log(
            f"{path}/joints",
            rr.Points3D(joints, colors=colors, radii=0.004, labels=self._skeleton.joints,
                        show_labels=False),
        )  # fmt: skip

    def _check_size(self) -> None:
        """Check now and then whether the file has reached its size."""
        self._frames += 1  # a source that drops frames may skip any index
        if self._path is not None and self._frames % _CHECK_EVERY == 1:
            with suppress(OSError):
                size = self._path.stat().st_size
                self.full, self._ended = size > LARGEST_BYTES, size > _HANDS_SHARE * LARGEST_BYTES

    def _serve(self) -> str:
        """Start a server of rerun's own for a browser, and open one."""
        data, web = _free_port(_DATA_PORT), _free_port(_WEB_PORT)
        self._start("--serve-web", "--port", str(data), "--web-viewer-port", str(web))
        self._connect(data)
        proxy = f"rerun+http://{HOST}:{data}/proxy"
        url = f"http://{HOST}:{web}/?url={quote(proxy, safe=':/')}"
        with suppress(webbrowser.Error):
            webbrowser.open(url)
        return url

    def _open_window(self) -> None:
        """Start rerun's viewer; it stays open when tracking ends."""
        data = _free_port(_DATA_PORT)
        self._start("--port", str(data), "--hide-welcome-screen")
        self._connect(data)
        self._server = None

    def _start(self, *arguments: str) -> None:
        command = [_viewer(), "--bind", HOST, *arguments]
        self._settings = TemporaryDirectory(prefix="cadstn-rerun-", ignore_cleanup_errors=True)
        environment = {**os.environ, "XDG_CONFIG_HOME": _silent(self._settings.name)}
        self._server = subprocess.Popen(
            command, env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _connect(self, port: int) -> None:
        """Wait until the viewer listens, and send there what is logged."""
        until = time.monotonic() + _STARTS_S
        while True:
            with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            if self._server is not None and self._server.poll() is not None:
                raise RuntimeError(f"its viewer ended with {self._server.returncode}")
            if time.monotonic() > until:
                raise RuntimeError(f"its viewer does not listen on {HOST}:{port}")
            time.sleep(0.1)
        self._stream.connect_grpc(f"rerun+http://{HOST}:{port}/proxy")

    def _end_viewer(self) -> None:
        """End a viewer that is ours, and remove its settings, which it has read when it listens."""
        if self._server is not None:
            self._server.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(timeout=5)
            self._server = None
        if self._settings is not None:
            self._settings.cleanup()
            self._settings = None

    def close(self) -> None:
        """Write out what is still waiting."""
        # A viewer that its user has closed takes nothing: that is no error.
        with suppress(Exception):
            self._stream.flush(timeout_sec=self._wait_s)
        self._stream.disconnect()
        self._end_viewer()


def _layout() -> Any:
    """Depth with the skeleton, the room, the hand by itself, bars of each joint, numbers."""
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Spatial2DView(
                    origin="world/camera", contents=["world/**"], name="As the camera sees it"
                ),
                rrb.Spatial3DView(origin="world", name="The room"),
            ),
            rrb.Spatial3DView(origin="near", name="The hand"),
            rrb.Vertical(
                rrb.BarChartView(origin="confidence", name="Confidence of each joint"),
                rrb.BarChartView(origin="uncertainty_mm", name="Uncertainty of each joint, mm"),
                rrb.BarChartView(
                    origin="weight_of_temporal", name="Fusion: weight of the temporal network"
                ),
                rrb.TimeSeriesView(origin="numbers/took_ms", name="ms a frame"),
                rrb.TimeSeriesView(
                    origin="numbers",
                    contents=["numbers/**", "- numbers/took_ms"],
                    name="Is it a hand; frames dropped",
                ),
            ),
            column_shares=[2, 2, 1.5],
        ),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed"),
    )


def _viewer() -> str:
    """The viewer's program, which rerun's wheel holds; not its Python, which would outlive it."""
    override = os.environ.get("RERUN_CLI_PATH")
    if override:
        return override
    spec = find_spec("rerun_cli")
    if spec is None or spec.origin is None:
        raise RuntimeError("its viewer is not installed")
    folder = Path(spec.origin).parent
    names = ("Rerun.app/Contents/MacOS/Rerun", "rerun", "rerun.exe")
    for path in (folder / name for name in names):
        if path.is_file():
            return str(path)
    raise RuntimeError(f"no viewer in {folder}")


def _silent(folder: str) -> str:
    """Write settings of rerun's viewer under which it sends no usage data; on Linux it reads them.

    From its second start on it sends some, unless its settings have this switch; no variable has.
    """
    own = Path(folder) / "rerun"
    own.mkdir(exist_ok=True)
    file = own / "analytics.json"
    settings = {  # a file without any of these is replaced by one that sends
        "analytics_enabled": False, "analytics_id": "0" * 32, "metadata": {},
        "config_file_path": str(file), "data_dir_path": str(own / "data"),
    }  # fmt: skip
    file.write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _free_port(wanted: int) -> int:
    """The wanted port, or any other if somebody listens there already."""
    for port in (wanted, 0):
        with suppress(OSError), socket.socket() as trial:
            trial.bind((HOST, port))
            return int(trial.getsockname()[1])
    return wanted
